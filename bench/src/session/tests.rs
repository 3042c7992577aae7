//! What a report leaves in the history.

use super::*;
use crate::history::StoreError;
use crate::{Input, values};
use clap::Parser;
use ghostlight_autodiff::Cost;
use ghostlight_kernels::pointwise::activation::{Activation, activation};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    report: Report,
}

/// A ReLU.
fn right(suite: &mut Suite) -> Result<(), SuiteError> {
    let relu = |v: &[Vec<f64>]| values(v[0].iter().map(|x| x.max(0.0)).collect());
    let (cost, inputs) = (Cost::traffic(8, 8, 4), vec![Input::random(1, &[8])]);
    let name = ["relu", "8", "forward"];
    suite.phase(Phase::new(name, cost, inputs, relu, |t| {
        Ok(vec![activation(&t[0], Activation::Relu)])
    }))
}

/// The results of a short report, and what it keeps in the store in `folder`, told `words` more.
fn reported(folder: &Path, words: &[&str]) -> (Results, Vec<Results>) {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().to_string_lossy();
    let before = ["report", "--short", "--out", &*path];
    let line = Line::try_parse_from(before.iter().chain(words)).expect("a command line");
    let options = line.report;
    let session = Session::new(&[right], &options.problems).expect("a phase");
    let store = Store::at(folder.into());
    let kept = options.store(|| Ok(store.clone()));
    let refused = session.report(&options, options.quick, kept.as_ref());
    assert_eq!(refused.expect("a run"), 0);
    let results = Results::read(&out.path().join("results.json")).expect("results");
    let runs = store.runs(&results.machine).expect("a store");
    (results, runs.runs)
}

#[test]
fn a_report_is_kept_unless_it_is_told_not_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, kept) = reported(folder.path(), &["--no-history"]);
    assert_eq!(kept, []);
    let mut left = fs::read_dir(folder.path()).expect("a folder");
    assert!(left.next().is_none());
    let (results, kept) = reported(folder.path(), &[]);
    assert_eq!(kept, [results]);
    let variants: Vec<&str> = kept[0]
        .rows
        .iter()
        .map(|row| row.variant.as_str())
        .collect();
    assert_eq!(variants, ["ours", "control"]);
}

#[test]
fn a_run_that_cannot_be_kept_is_measured_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("in the way");
    fs::write(&file, "").expect("a file");
    let (out, store) = (folder.path().join("out"), Store::at(file.join("store")));
    let options = Report {
        short: true,
        out: Some(out.clone()),
        ..Report::default()
    };
    let session = Session::new(&[right], &options.problems).expect("a phase");
    assert_eq!(
        session
            .report(&options, false, Some(&store))
            .expect("a run"),
        0
    );
    assert!(out.join("report.html").is_file());
    assert!(options.store(|| Err(StoreError::NoFolder)).is_none());
}
