//! `bench tune`: what kernels choose, tried otherwise on this machine.
//!
//! A phase is called once while its choices are watched (`ghostlight_kernels::tune`). For each class of problems that it asks for, the candidates
//! become variants of that phase beside the rule's own sizes, and so are verified, compared bit by bit, and timed in turns like all else that the bench
//! times. The fastest then meets the rule once more, alone and for longer, since the best of many noisy times flatters.

mod page;
mod trial;

use page::{markdown, table};
use trial::Trial;

use crate::flush::Flush;
use crate::gauges::Gauges;
use crate::problems::Problems;
use crate::results::Ceilings;
use crate::run::{Effort, Runner};
use crate::session::{Cases, Session, begun};
use clap::Args;
use ghostlight_autodiff::Client;
use ghostlight_kernels::tune::{Chosen, Table};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};
use std::{fs, io};

/// What `tune` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// Two cases of each operation.
    #[arg(long)]
    quick: bool,
    /// The table to keep what is faster in, instead of this device's in the user's folder for caches.
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Write what was found as a page.
    #[arg(long, value_name = "FILE.md")]
    write: Option<PathBuf>,
    #[command(flatten)]
    pub problems: Problems,
}

/// The table to add to; a new one where there is none yet. What stands there and is no table of this device is told before anything is timed.
fn so_far(client: &Client, path: &Path) -> Result<Table, Box<dyn Error>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::new(client)),
        _ => Ok(Table::read(client, Some(path))?),
    }
}

/// Tries the choices of every phase of `session`, keeps the faster ones and prints what was found. Returns how many candidates were refused.
pub(crate) fn run(session: &Session, options: &Options) -> Result<usize, Box<dyn Error>> {
    let (start, began) = (Instant::now(), SystemTime::now());
    let device = cubecl::Device::default();
    let client = device.client();
    let path = match &options.out {
        Some(path) => path.clone(),
        None => Table::path(&client)?,
    };
    let mut kept = so_far(&client, &path)?;
    let mut runner = Runner {
        ceilings: Ceilings::default(),
        effort: Effort::QUICK,
        budget: None,
        flush: Flush::none(),
        gauges: Gauges::here(&device),
        with_slow: true,
        client,
        peers: Vec::new(),
    };
    runner.gauges.begin();
    let mut results = begun(&device, &runner, began, "");
    let mut trials: Vec<Trial> = Vec::new();
    let (mut cases, mut at) = (Cases::default(), 0);
    let mut failed = None;
    session.each(|mut phase| {
        at += 1;
        if failed.is_some() || cases.take(&phase, options.quick).is_none() {
            return Ok(());
        }
        let ours = phase.variants[0].clone();
        for question in trial::questions(&runner, &phase) {
            if trials.iter().any(|trial| trial.key == question.key) {
                continue;
            }
            let trial = Trial::of(&mut runner, &mut phase, &ours, question);
            eprintln!("[{at}/{}] {}: {trial}", session.phases.len(), phase.line());
            kept.keep(
                &trial.key,
                trial.faster().map(|best| Chosen {
                    op: trial.key.op.clone(),
                    dtype: trial.key.dtype.name().into(),
                    class: trial.key.class.clone(),
                    sizes: best.sizes.clone(),
                    on: phase.line(),
                    gain: best.gain,
                }),
            );
            trials.push(trial);
            // A run that is cut short leaves what it has found.
            failed = kept.write(&path).err();
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if trials.is_empty() {
        return Err("none of these has anything to choose on this device: depthwise, grouped and dense convolutions and products have".into());
    }
    results.seconds = start.elapsed().as_secs_f64();
    if let Some(page) = &options.write {
        fs::write(page, markdown(&results, &trials))
            .map_err(|error| format!("--write {}: {error}", page.display()))?;
    }
    print!("{}", table(&trials));
    println!("\n{}", path.display());
    let refused: usize = trials.iter().map(|trial| trial.refused.len()).sum();
    if refused > 0 {
        eprintln!("error: {refused} candidates were refused");
    }
    Ok(refused)
}

#[cfg(test)]
mod tests;
