use super::{Ladder, case, markdown, tables};
use crate::flush::Flush;
use crate::gauges::Gauges;
use crate::input::DTYPE;
use crate::results::Ceilings;
use crate::run::{Effort, Runner};
use crate::session::begun;
use clap::Args;
use ghostlight_autodiff::DType;
use ghostlight_kernels::Work;
use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

/// What `ladder` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// The ladders, `depthwise` or `dkd`; both without a name.
    #[arg(value_name = "LADDER")]
    ladders: Vec<String>,
    /// The first problem of each ladder, shorter turns.
    #[arg(long)]
    quick: bool,
    /// Write the tables as a page.
    #[arg(long, value_name = "FILE.md")]
    write: Option<PathBuf>,
}

/// The kinds of arithmetic that the ladders' problems have, whose peaks are measured.
fn kinds(ladders: &[Ladder]) -> Vec<(Work, DType)> {
    let costs = ladders.iter().map(|ladder| {
        let extents = ladder.problems[0];
        ladder.phase(&case(extents), extents).cost
    });
    let costs: Vec<_> = costs.collect();
    let has = |work: &Work| costs.iter().any(|cost| cost.count(*work) > 0);
    let kinds = Work::ALL.into_iter().filter(has);
    kinds.map(|work| (work, DTYPE)).collect()
}

/// Measures the ladders, prints their tables and writes their page. Returns how many rungs were refused.
pub(crate) fn run(options: &Options) -> Result<usize, String> {
    let ladders = Ladder::named(&options.ladders)?;
    let (start, began) = (Instant::now(), SystemTime::now());
    let device = cubecl::Device::default();
    let client = device.client();
    eprintln!("measuring the device's ceilings");
    let mut runner = Runner {
        // No caches are flushed, as the rungs tell about kernels and not about memory.
        ceilings: Ceilings::measure(&client, true, &kinds(&ladders))?,
        effort: match options.quick {
            true => Effort::QUICK,
            false => Effort::HOT,
        },
        budget: None,
        flush: Flush::none(),
        gauges: Gauges::here(&device),
        with_slow: true,
        client,
        peers: Vec::new(),
    };
    runner.gauges.begin();
    let mut results = begun(&device, &runner, began, "");
    for ladder in &ladders {
        let problems = match options.quick {
            true => &ladder.problems[..1],
            false => ladder.problems,
        };
        for extents in problems {
            let case = case(extents);
            eprintln!("{} {case}: {} rungs", ladder.name, ladder.rungs.len());
            let outcome = runner.run(&ladder.phase(&case, extents));
            results.rows.extend(outcome.rows);
            results.refused.extend(outcome.refused);
        }
    }
    results.ceilings = runner.ceilings;
    results.seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &options.write {
        fs::write(path, markdown(&ladders, &results))
            .map_err(|error| format!("--write {}: {error}", path.display()))?;
    }
    println!("{}", tables(&ladders, &results));
    for refused in &results.refused {
        let (case, rung, reason) = (&refused.case, &refused.variant, &refused.reason);
        eprintln!("error: {} {case}: {rung} refused: {reason}", refused.op);
    }
    Ok(results.refused.len())
}
