//! Times whole training and inference steps, one JSON object a line, in the format of the PyTorch baseline:
//!
//! ```text
//! cargo xtask bench --bench step -- [--profile] [ARCH:BATCH:SIZE]...
//! ```

use ghostlight_autodiff::Tape;
use ghostlight_bench::{Bench, Timing, parse};
use std::error::Error;
use std::process::ExitCode;

const STEPS: usize = 9;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench` to what it passes on.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (options, mut cases): (Vec<String>, Vec<String>) =
        words.partition(|word| word.starts_with("--"));
    if let Some(unknown) = options.iter().find(|option| *option != "--profile") {
        return Err(format!("there is no option {unknown}; the only one is --profile").into());
    }
    if cases.is_empty() {
        cases = ["resnet8:128:64", "resnet20:128:64"]
            .map(String::from)
            .to_vec();
    }
    let client = cubecl::Device::default().client();
    for case in &cases {
        let (arch, batch, size) = parse(case)?;
        let mut bench = Bench::new(&client, arch, batch, size)?;
        let timing = bench.time(STEPS, |bench| bench.train(&Tape::new()))?;
        show(arch, batch, size, "train step", timing);
        let timing = bench.time(STEPS, |bench| bench.infer(&Tape::new()))?;
        show(arch, batch, size, "inference", timing);
        if !options.is_empty() {
            print_profile(&mut bench)?;
        }
    }
    Ok(())
}

fn show(arch: &str, batch: usize, size: usize, phase: &str, timing: Timing) {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    println!(
        "{{\"op\": \"cifar_{arch}\", \"case\": \"batch {batch}, {size} px\", \"phase\": \"{phase}\", \"ms\": {:.2}, \"low_ms\": {:.2}, \"high_ms\": {:.2}, \"first_ms\": {:.0}, \"images_per_s\": {:.1}}}",
        ms(timing.median),
        ms(timing.low),
        ms(timing.high),
        ms(timing.first),
        batch as f64 / timing.median.as_secs_f64(),
    );
}

fn print_profile(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let profile = bench.profile()?;
    let mut lines: Vec<_> = profile
        .borrow()
        .lines
        .iter()
        .map(|(key, line)| (key.clone(), *line))
        .collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.time));
    println!(
        "{:26} {:22} {:>5} {:>9} {:>9} {:>7}",
        "operation", "output", "count", "ms", "GFLOP/s", "GB/s"
    );
    for ((op, shape), line) in lines {
        let seconds = line.time.as_secs_f64();
        let bytes = (line.cost.bytes_read + line.cost.bytes_written) as f64;
        println!(
            "{op:26} {shape:22} {:>5} {:>9.2} {:>9.0} {:>7.1}",
            line.count,
            seconds * 1e3,
            2.0 * line.cost.macs as f64 / seconds / 1e9,
            bytes / seconds / 1e9,
        );
    }
    Ok(())
}
