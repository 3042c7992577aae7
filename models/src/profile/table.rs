use super::{Kernel, Profile};
use ghostlight_autodiff::{Cost, Phase};
use std::collections::BTreeMap;
use std::time::Duration;

/// All runs of one operation in one direction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperationLine {
    /// The operation.
    pub op: String,
    /// `forward` or `backward`.
    pub direction: &'static str,
    /// How often it ran.
    pub calls: usize,
    /// The time of its kernels.
    pub time: Duration,
    /// From the end of the operation before to its own end, host and waiting included.
    pub whole: Duration,
    /// The work.
    pub cost: Cost,
    /// Launches.
    pub launches: usize,
    /// Buffers that it asked the pool for.
    pub allocations: u64,
}

/// All launches of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelLine {
    /// Its path.
    pub name: String,
    /// Launches.
    pub launches: usize,
    /// Their time.
    pub time: Duration,
    /// The longest.
    pub longest: Duration,
}

/// The operations of `profile`, those that took longest first.
pub fn operations(profile: &Profile) -> Vec<OperationLine> {
    let mut lines: BTreeMap<(&str, &str), OperationLine> = BTreeMap::new();
    for ran in &profile.operations {
        let direction = match ran.event.phase {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
        };
        let line = lines.entry((ran.event.op, direction)).or_default();
        line.op = ran.event.op.to_string();
        line.direction = direction;
        line.calls += 1;
        line.time += ran.device_time();
        line.whole += ran.ended.saturating_sub(ran.began);
        line.cost += ran.event.cost;
        line.launches += ran.kernels.len();
        line.allocations += ran.allocations;
    }
    if !profile.others.is_empty() {
        let time = profile.others.iter().map(|kernel| kernel.time).sum();
        lines.insert(
            ("optimiser and inputs", ""),
            OperationLine {
                op: "optimiser and inputs".to_string(),
                calls: 1,
                time,
                whole: time,
                launches: profile.others.len(),
                ..OperationLine::default()
            },
        );
    }
    let mut lines: Vec<OperationLine> = lines.into_values().collect();
    lines.sort_by(|a, b| b.time.cmp(&a.time).then(a.op.cmp(&b.op)));
    lines
}

/// The kernels of `profile`, those that took longest first.
pub fn kernels(profile: &Profile) -> Vec<KernelLine> {
    let mut lines: BTreeMap<&str, KernelLine> = BTreeMap::new();
    let of_operations = profile.operations.iter().flat_map(|ran| &ran.kernels);
    for Kernel { name, time, .. } in of_operations.chain(&profile.others) {
        let line = lines.entry(name).or_insert_with(|| KernelLine {
            name: name.clone(),
            launches: 0,
            time: Duration::ZERO,
            longest: Duration::ZERO,
        });
        line.launches += 1;
        line.time += *time;
        line.longest = line.longest.max(*time);
    }
    let mut lines: Vec<KernelLine> = lines.into_values().collect();
    lines.sort_by(|a, b| b.time.cmp(&a.time).then(a.name.cmp(&b.name)));
    lines
}
