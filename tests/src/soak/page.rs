use super::Soak;
use crate::client;
use ghostlight_kernels::launch::is_cpu;
use std::fmt::Write;

/// The version of CubeCL that this build is locked to.
fn cubecl() -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let after = lock.split_once("name = \"cubecl\"\nversion = \"");
    after
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("?", |(version, _)| version)
}

/// The kind of device, in words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("a processor without a name", |rest| {
        rest.trim_start_matches([' ', '\t', ':'])
    });
    match is_cpu(&client()) {
        true => format!("{cores} cores of {name}, CubeCL's CPU runtime"),
        false => format!("a device that is no CPU, beside {name}"),
    }
}

/// The run as a page of results.
pub fn page(soak: &Soak) -> String {
    let (problems, failures) = (soak.problems(), soak.failures());
    let mut page = format!(
        "# Random problems of every operation\n\n\
         Written by `cargo xtask soak --write`: {problems} problems in {} minutes, seed {}, {failures} of them failing. Each is drawn anew (extents, options, \
         element type, integers, equal, scaled, sparse and not finite numbers) and checked whole, in one circumstance: value and gradients against the f64 \
         reference, that reference's gradient against its values, the inner products of what is linear, every input unchanged.\n\n\
         Ghostlight {}, CubeCL {}; {}.\n\n| operation | problems | failing |\n| --- | ---: | ---: |\n",
        soak.seconds().div_ceil(60),
        soak.seed,
        env!("CARGO_PKG_VERSION"),
        cubecl(),
        machine(),
    );
    for (operation, count) in &soak.counts {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            operation.name, count.problems, count.failures
        );
    }
    let failing = soak
        .counts
        .iter()
        .filter_map(|(operation, count)| Some((operation.name, count.smallest.as_ref()?)));
    for (name, failure) in failing {
        let _ = write!(
            page,
            "\n## {name}\n\n`cargo xtask soak --seed {} --case {} {name}`: {}\n\n```text\n{}\n```\n",
            soak.seed, failure.case, failure.words, failure.found
        );
    }
    page
}
