//! The history of a row: every run of this machine is kept, and a row's times are drawn over the runs that have it.

mod draw;
mod store;

pub(crate) use store::{Store, StoreError, VARIABLE, short_commit};

use crate::compare::{Estimate, Key, Noise};
use crate::results::{Machine, Results, Row, Verdict};
use clap::Args;
use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Names that are told where none matches.
const NEAREST: usize = 5;

/// What a history is told.
#[derive(Args)]
pub(crate) struct History {
    /// Parts of `op/phase/case`, all of which a row must have; a `/` parts them too, as in `softmax/64x1000`.
    #[arg(required = true, value_name = "OP/CASE")]
    filters: Vec<String>,
    /// The last N runs of each row alone.
    #[arg(long, value_name = "N")]
    last: Option<NonZeroUsize>,
    /// Draw the lines as a picture too.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// One row over all runs that have it.
#[derive(Debug, PartialEq)]
struct Line {
    key: Key,
    points: Vec<Point>,
}

/// One run of it.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    began: String,
    commit: String,
    /// The median call.
    ms: f64,
    /// Its interval of 95 %, where the row kept its turns or their spread.
    interval: Option<[f64; 2]>,
    /// The run before over this one: above 1, this one is faster.
    ratio: Option<f64>,
    /// What the ratio's interval says beside the noise of both runs.
    verdict: Option<Verdict>,
    /// Whether both say that they computed other bits.
    other_bits: bool,
}

/// Draws what `options` ask for, of this machine.
///
/// # Errors
/// No store, no run of this machine, or no row of such a name.
pub(crate) fn run(options: &History) -> Result<(), Box<dyn Error>> {
    let machine = Machine::here(&cubecl::Device::default());
    show(options, &Store::of_this_user()?, &machine)
}

fn show(options: &History, store: &Store, machine: &Machine) -> Result<(), Box<dyn Error>> {
    let found = store.runs(machine)?;
    for broken in &found.broken {
        eprintln!("warning: passed over: {broken}");
    }
    if found.others > 0 {
        let others = found.others;
        eprintln!("{others} runs of other machines are left out");
    }
    let folder = store.folder().display();
    if found.runs.is_empty() {
        return Err(format!(
            "no run of this machine is kept in {folder} yet: `cargo xtask bench report` keeps one each time; {VARIABLE} names another folder"
        )
        .into());
    }
    let mut lines = lines(&found.runs, &options.filters);
    if lines.is_empty() {
        let (asked, runs) = (options.filters.join(" "), found.runs.len());
        let nearest = nearest(&found.runs, &options.filters).join("\n  ");
        return Err(format!(
            "none of the {runs} runs of this machine in {folder} has a row of `{asked}`; the nearest names are\n  {nearest}"
        )
        .into());
    }
    for line in &mut lines {
        let all = line.points.len();
        let last = options.last.map_or(all, NonZeroUsize::get);
        line.points.drain(..all.saturating_sub(last));
    }
    print!("{}", draw::text(&lines));
    if let Some(path) = &options.svg {
        let failed = |reason: String| format!("--svg {}: {reason}", path.display());
        let picture = draw::svg(&lines).map_err(failed)?;
        fs::write(path, picture).map_err(|error| failed(error.to_string()))?;
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        println!("{}", path.display());
    }
    Ok(())
}

/// The parts of all filters.
fn parts(filters: &[String]) -> impl Iterator<Item = &str> {
    filters.iter().flat_map(|filter| filter.split('/'))
}

/// Our rows whose names have all parts of the filters, in the order of the first run that has them.
fn lines(runs: &[Results], filters: &[String]) -> Vec<Line> {
    let mut found: Vec<(Line, Option<Seen>)> = Vec::new();
    for run in runs {
        for row in run.rows.iter().filter(|row| row.is_ours()) {
            let key = Key::of(row);
            let name = key.line();
            if !parts(filters).all(|part| name.contains(part)) {
                continue;
            }
            let known = found.iter().position(|(line, _)| line.key == key);
            let at = known.unwrap_or_else(|| {
                let points = Vec::new();
                found.push((Line { key, points }, None));
                found.len() - 1
            });
            let (line, before) = &mut found[at];
            line.points.push(point((run, row), *before));
            *before = Some((run, row));
        }
    }
    found.into_iter().map(|(line, _)| line).collect()
}

/// A row with the run that it is of.
type Seen<'a> = (&'a Results, &'a Row);

fn point((run, row): Seen, before: Option<Seen>) -> Point {
    let this = Estimate::of(row);
    let verdict = before.and_then(|(old, before)| {
        let change = Estimate::of(before)?.over(this?);
        Some(change.verdict(Noise::of(old, run).with(row.cache)))
    });
    let digests = before.and_then(|(_, old)| Some((old.digest.as_ref()?, row.digest.as_ref()?)));
    Point {
        began: run.began.clone(),
        commit: short_commit(&run.commit),
        ms: row.median_ms,
        interval: this.map(Estimate::interval),
        ratio: before.map(|(_, before)| before.median_ms / row.median_ms),
        verdict,
        other_bits: digests.is_some_and(|(before, this)| before != this),
    }
}

/// The names most like what was asked for.
fn nearest(runs: &[Results], filters: &[String]) -> Vec<String> {
    let rows = runs.iter().flat_map(|run| &run.rows);
    let mut names: Vec<(f64, String)> = Vec::new();
    for row in rows.filter(|row| row.is_ours()) {
        let name = Key::of(row).line();
        if names.iter().all(|(_, known)| *known != name) {
            // Each part that was asked for is held against the part of the name that it is most like.
            let like = |part: &str| {
                let parts = [&row.op, &row.phase, &row.case];
                let likeness = parts.map(|own| strsim::normalized_damerau_levenshtein(part, own));
                likeness.into_iter().fold(0.0, f64::max)
            };
            names.push((parts(filters).map(like).sum(), name));
        }
    }
    // Stable: of names that are as near those measured first come first.
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names = names.into_iter().map(|(_, name)| name);
    names.take(NEAREST).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::results::{Cache, Ceilings, FORMAT, OURS};
    use std::collections::BTreeMap;

    pub(crate) fn machine(device: &str) -> Machine {
        Machine {
            device: device.into(),
            runtime: "cpu".into(),
            ..Machine::default()
        }
    }

    /// A run of one row, `relu/forward/n1 c4`, on machine `a`, that took so long.
    pub(crate) fn run(began: &str, commit: &str, ms: f64) -> Results {
        Results {
            format: FORMAT,
            machine: machine("a"),
            versions: BTreeMap::new(),
            commit: commit.into(),
            began: began.into(),
            seconds: 1.0,
            command: "cargo xtask bench report".into(),
            ceilings: Ceilings::default(),
            missing: Vec::new(),
            rows: vec![row(["relu", "forward", "n1 c4"], ms)],
            refused: Vec::new(),
        }
    }

    /// A row of ours with four turns about `ms`.
    pub(crate) fn row([op, phase, case]: [&str; 3], ms: f64) -> Row {
        Row {
            op: op.into(),
            case: case.into(),
            phase: phase.into(),
            variant: OURS.into(),
            clock: "wall".into(),
            cache: Cache::Hot,
            median_ms: ms,
            low_ms: 0.98 * ms,
            high_ms: 1.02 * ms,
            calls: 20,
            turns_ms: [0.99, 1.0, 1.01, 1.0].map(|factor| factor * ms).to_vec(),
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            verdict: None,
            roofline: None,
            bound: None,
            gb_s: 1.0,
            gflop_s: 1.0,
            intensity: 1.0,
            error: Some(0.1),
            unchecked: Some(0.0),
            digest: Some("same".into()),
            launches: Some(1),
            allocations: Some(1),
            looks: 1,
            peak_bytes: None,
            compile_ms: None,
            ghz: None,
            load: None,
            joules: None,
            note: None,
            sweep: None,
            layers: Vec::new(),
        }
    }

    fn filters(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    /// Three runs: the second as fast as the first, the third half as fast, with other bits.
    fn three() -> Vec<Results> {
        let mut runs = [
            ("2026-11-29T08:00:00Z", "aaaa", 1.0),
            ("2026-11-29T09:00:00Z", "bbbb", 1.001),
            ("2026-11-30T08:00:00Z", "cccc-dirty", 2.002),
        ]
        .map(|(began, commit, ms)| run(began, commit, ms));
        runs[2].rows[0].digest = Some("other".into());
        runs.to_vec()
    }

    #[test]
    fn a_run_is_held_against_the_one_before_it() {
        let lines = lines(&three(), &filters(&["relu"]));
        let [line] = &lines[..] else {
            panic!("{lines:?}");
        };
        let ratios: Vec<Option<f64>> = line.points.iter().map(|point| point.ratio).collect();
        assert_eq!(ratios[0], None);
        assert!((ratios[1].expect("a ratio") - 1.0 / 1.001).abs() < 1e-12);
        assert!((ratios[2].expect("a ratio") - 0.5).abs() < 1e-12);
        let verdicts: Vec<Option<Verdict>> = line.points.iter().map(|p| p.verdict).collect();
        assert_eq!(verdicts, [None, Some(Verdict::Same), Some(Verdict::Slower)]);
        let bits: Vec<bool> = line.points.iter().map(|point| point.other_bits).collect();
        assert_eq!(bits, [false, false, true]);
        let [low, high] = line.points[0].interval.expect("turns");
        assert!(0.98 < low && low < 1.0 && 1.0 < high && high < 1.02);
    }

    #[test]
    fn what_the_controls_of_a_run_differ_by_is_no_change() {
        let mut runs = three();
        let mut control = row(["relu", "forward", "n1 c4"], 1.0);
        (control.variant, control.ratio) = ("control".into(), Some(2.5));
        runs[2].rows.push(control);
        let lines = lines(&runs, &filters(&["relu"]));
        assert_eq!(lines[0].points[2].verdict, Some(Verdict::Same));
    }

    #[test]
    fn a_run_that_lacks_the_row_is_no_point_of_it() {
        let mut runs = three();
        runs[1].rows[0] = row(["relu", "forward", "n2 c4"], 7.0);
        let lines = lines(&runs, &filters(&["relu/n1 c4"]));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].points.len(), 2);
        assert_eq!(lines[0].points[1].ratio.map(|it| it.round()), Some(0.0));
    }

    #[test]
    fn a_filter_names_operation_case_and_phase_in_any_order() {
        let mut one = run("2026", "", 1.0);
        one.rows.push(row(["relu", "backward", "n1 c4"], 2.0));
        one.rows.push(row(["gelu", "forward", "n1 c8"], 3.0));
        let mut peer = row(["relu", "forward", "n1 c4"], 9.0);
        peer.variant = "torch".into();
        one.rows.push(peer);
        let count = |words: &[&str]| lines(&[one.clone()], &filters(words)).len();
        assert_eq!(count(&["relu"]), 2);
        assert_eq!(count(&["relu/n1 c4"]), 2);
        assert_eq!(count(&["relu/n1 c4/forward"]), 1);
        assert_eq!(count(&["relu/forward/n1 c4"]), 1);
        assert_eq!(count(&["relu", "backward"]), 1);
        assert_eq!(count(&["n1"]), 3);
        assert_eq!(count(&["relu/n2"]), 0);
    }

    #[test]
    fn what_no_row_is_called_is_told_with_the_nearest_names() {
        let mut one = run("2026", "", 1.0);
        for i in 0..9 {
            one.rows
                .push(row(["attention", "forward", &format!("h{i}")], 1.0));
        }
        one.rows.push(row(["softmax", "backward", "64x10"], 1.0));
        let near = nearest(&[one], &filters(&["sofmax"]));
        assert_eq!(near[0], "softmax/backward/64x10");
        assert_eq!(near.len(), NEAREST);
    }

    /// What `words` say of a store with three runs of machine `a`.
    fn shown(words: &[&str], device: &str) -> Result<(), String> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            history: History,
        }
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::at(folder.path().into());
        for run in three() {
            store.keep(&run).expect("kept");
        }
        let words = ["history"].iter().chain(words);
        let line = <Line as clap::Parser>::try_parse_from(words).expect("a command line");
        show(&line.history, &store, &machine(device)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_picture_is_written_where_it_is_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("relu.svg");
        let at = path.to_string_lossy();
        shown(&["relu", "--last", "2", "--svg", &at], "a").expect("drawn");
        let picture = fs::read_to_string(&path).expect("a picture");
        assert!(
            picture.contains("bbbb") && !picture.contains("aaaa"),
            "{picture}"
        );
    }

    #[test]
    fn without_a_run_or_a_row_it_is_told_what_to_do() {
        let none = shown(&["relu"], "b").expect_err("nothing of this machine");
        assert!(none.contains("cargo xtask bench report"), "{none}");
        let none = shown(&["rellu"], "a").expect_err("no such row");
        assert!(
            none.contains("`rellu`") && none.contains("relu/forward/n1 c4"),
            "{none}"
        );
    }
}
