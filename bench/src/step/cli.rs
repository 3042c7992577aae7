//! The command line of whole steps.

use super::case::{Case, Kind};
use super::page;
use super::race::race;
use super::row::Steps;
use super::workload::Workload;
use crate::cli::go_to_the_user;
use crate::results::{Ceilings, Machine};
use crate::{peers, session};
use clap::Parser;
use cubecl::Device;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

#[derive(Parser)]
#[command(
    name = "cargo xtask bench --bench step --",
    about = "Times whole steps of networks, one JSON object a line as they are done, then the table.",
    after_help = "A CASE is ARCH:BATCH:SIZE (a training step, and inference), train:ARCH:BATCH:SIZE, infer:ARCH:BATCH:SIZE or \
distill:STUDENT:TEACHER:BATCH:SIZE. Without one, all of the table of docs/speed.md are timed."
)]
struct Options {
    /// The steps.
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
    /// PyTorch in turns with us, under this interpreter, which has torch, torchvision and timm.
    #[arg(long, value_name = "PYTHON")]
    torch: Option<String>,
    /// Training steps that write every normalised map, as `train.fused=false` does in a run.
    #[arg(long)]
    unfused: bool,
    /// Where the time of a step goes, by operation, behind its line.
    #[arg(long)]
    profile: bool,
    /// Write all that was measured, every step's time among it.
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
    /// Write the table as a page.
    #[arg(long, value_name = "FILE.md")]
    write: Option<PathBuf>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    // `cargo bench` adds `--bench` to what it passes on.
    let words = env::args().filter(|word| word != "--bench");
    match run(&Options::parse_from(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    go_to_the_user()?;
    let begun = Instant::now();
    let cases = match &options.cases[..] {
        [] => Case::all(),
        named => {
            let each = named.iter().map(|text| Case::of(text));
            each.collect::<Result<Vec<_>, _>>()?.concat()
        }
    };
    let device = Device::default();
    let client = device.client();
    let cores = client.properties().hardware.num_cpu_cores;
    let threads = cores.map_or(1, |cores| cores as usize);
    let mut torch = match &options.torch {
        Some(python) => Some(peers::steps(&device, python, threads)?),
        None => None,
    };
    let mut steps = Steps::begin(
        Machine::here(&device),
        threads,
        session::command("--bench step -- "),
    );
    if let Some(torch) = &torch {
        steps.versions.extend(torch.versions.clone());
    }
    let is_held = |case: &Case| case.kind != Kind::Infer;
    if cases.iter().any(is_held) {
        steps.ceilings = Some(Ceilings::of_steps(&client)?);
    }
    for case in &cases {
        let ceilings = steps.ceilings.as_ref().filter(|_| is_held(case));
        let (row, mut work) = race(&client, case, torch.as_mut(), ceilings, !options.unfused)
            .map_err(|error| format!("{case}: {error}"))?;
        println!("{}", row.line());
        for way in &row.peers {
            if let Some(reason) = &way.failed {
                eprintln!("{case}: PyTorch, {}: {reason}", way.name);
            }
        }
        if options.profile {
            print_profile(&mut work)?;
        }
        steps.rows.push(row);
        steps.seconds = begun.elapsed().as_secs_f64();
        // What a run that is cut short has measured is there.
        if let Some(path) = &options.json {
            steps.write(path)?;
        }
    }
    let page = page::markdown(&steps);
    if let Some(path) = &options.write {
        fs::write(path, &page).map_err(|error| format!("--write {}: {error}", path.display()))?;
    }
    println!("\n{}", page::tables(&steps));
    Ok(())
}

fn print_profile(work: &mut Workload) -> Result<(), Box<dyn Error>> {
    let profile = work.profile()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
