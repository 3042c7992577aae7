use crate::{Peer, launches};
use cubecl::std::throughput::measure_memory_curve;
use cubecl::throughput::{MemoryAccess, MemoryCurve};
use ghostlight_autodiff::{Client, Cost};
use ghostlight_kernels::KernelError;
use serde_json::{Value, json};
use std::time::Instant;

/// Changes of side, so that a drift of the machine meets both.
const ROUNDS: usize = 3;

/// How long each side runs before the other has its turn. A side begins with caches, clocks and threads that the other left behind:
/// 6 MB of ReLU took 0.45 ms in the median of 7 calls a turn, and 0.31 ms of 300.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Calls before the first that counts.
    pub discarded: usize,
    /// Calls that count at least.
    pub least: usize,
    /// After so many ms no further call begins.
    pub ms: f64,
}

impl Turn {
    /// Compiles kernels, fills the memory pool, and settles the clocks.
    const WARM: Self = Self {
        discarded: 0,
        least: 3,
        ms: 30.0,
    };
    const TIMED: Self = Self {
        discarded: 2,
        least: 5,
        ms: 40.0,
    };

    /// The times of the calls that count.
    fn take(
        self,
        mut call: impl FnMut() -> Result<f64, KernelError>,
    ) -> Result<Vec<f64>, KernelError> {
        for _ in 0..self.discarded {
            call()?;
        }
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < self.least || start.elapsed().as_secs_f64() * 1e3 < self.ms {
            times.push(call()?);
        }
        Ok(times)
    }
}

/// Times single operations, one JSON object a line, beside PyTorch where it was given an interpreter that has it.
pub struct Ops {
    client: Client,
    filters: Vec<String>,
    peer: Option<Peer>,
    show_launches: bool,
    copy: Option<MemoryCurve>,
}

impl Ops {
    /// Reads `[--torch PYTHON] [--ceiling] [--launches] [FILTER]...` from the command line; a case runs when its line holds every filter.
    ///
    /// # Errors
    /// An unknown option, an option without its value, or an interpreter that does not start.
    pub fn from_arguments(client: &Client) -> Result<Self, String> {
        // `cargo bench` adds `--bench` to what it passes on.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let (mut filters, mut peer, mut show_launches, mut copy) = (Vec::new(), None, false, None);
        while let Some(word) = words.next() {
            if word == "--torch" {
                let python = words.next().ok_or("--torch wants the path of a Python")?;
                peer = Some(Peer::start(&python)?);
            } else if word == "--launches" {
                show_launches = true;
            } else if word == "--ceiling" {
                copy = Some(measure_memory_curve(client, MemoryAccess::Copy));
            } else if word.starts_with('-') {
                return Err(format!(
                    "there is no option {word}; there are --torch PYTHON, --ceiling and --launches"
                ));
            } else {
                filters.push(word);
            }
        }
        Ok(Self {
            client: client.clone(),
            filters,
            peer,
            show_launches,
            copy,
        })
    }

    /// The device's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether a phase of `op case` could pass the filters, so that its operands are worth making.
    pub fn wants(&self, op: &str, case: &str) -> bool {
        const PHASES: &str = "forward backward grad_input grad_weight loss+grad train inference";
        self.passes(&format!("{op} {case} {PHASES}"))
    }

    fn passes(&self, line: &str) -> bool {
        self.filters
            .iter()
            .all(|filter| line.contains(filter.as_str()))
    }

    /// Times `run`, every call to the end of its work on the device, and prints the medians. `cost` is the call's work; `peer` says
    /// to `torch_peer.py` what to run beside it, `Value::Null` where nothing is.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn time<T>(
        &mut self,
        [op, case, phase]: [&str; 3],
        cost: Cost,
        peer: Value,
        mut run: impl FnMut() -> Result<T, KernelError>,
    ) -> Result<(), KernelError> {
        if !self.passes(&format!("{op} {case} {phase}")) {
            return Ok(());
        }
        let client = self.client.clone();
        let mut call = || {
            let start = Instant::now();
            let result = run()?;
            // A kernel that does not compile fails the read of its result, not this: such a row is too fast to be true.
            cubecl::future::block_on(client.sync())
                .map_err(|error| KernelError::Device(error.to_string()))?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            drop(result);
            Ok::<f64, KernelError>(ms)
        };
        Turn::WARM.take(&mut call)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut beside = self.peer.as_mut().filter(|_| !peer.is_null());
        if let Some(torch) = &mut beside {
            torch.prepare(op, phase, &peer);
        }
        for _ in 0..ROUNDS {
            ours.extend(Turn::TIMED.take(&mut call)?);
            if let Some(torch) = &mut beside {
                theirs.extend(torch.run(Turn::TIMED));
            }
        }
        let ms = median(&mut ours);
        let gigabytes = (cost.bytes_read + cost.bytes_written) as f64 / ms / 1e6;
        let mut line = json!({
            "op": op, "case": case, "phase": phase, "ms": round(ms),
            "gb_s": round(gigabytes), "gflop_s": round(2.0 * cost.macs as f64 / ms / 1e6),
        });
        if !theirs.is_empty() {
            let torch = median(&mut theirs);
            line["torch_ms"] = json!(round(torch));
            line["ratio"] = json!(round(torch / ms));
        }
        let bytes = cost.bytes_read + cost.bytes_written;
        if let Some(ceiling) = self.copy.as_ref().and_then(|curve| curve.ceiling_at(bytes)) {
            line["of_copy"] = json!(round(gigabytes * 1e9 / ceiling));
        }
        println!("{line}");
        if self.show_launches {
            for (kernel, ms) in launches(&mut call) {
                let kernel = kernel.split('<').next().unwrap_or(kernel);
                println!("{}", json!({"launch": kernel, "ms": round(ms)}));
            }
        }
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
