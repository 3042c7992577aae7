use crate::sample::{beside_ours, sample};
use ghostlight_bench::compare::compare;
use ghostlight_bench::results::{Cache, Results, ResultsError, Row, Verdict};
use std::fs;
use std::path::Path;

/// Every row of ours slower by `factor`; its spreads go along.
fn scaled(run: &Results, factor: f64) -> Results {
    let mut run = run.clone();
    for row in run.rows.iter_mut().filter(|row| row.variant == "ours") {
        row.median_ms *= factor;
        row.low_ms *= factor;
        row.high_ms *= factor;
    }
    run
}

/// One row of ours whose calls lie within `spread` of the median.
fn one(median: f64, spread: f64) -> Results {
    let mut run = sample();
    let ours = Row {
        median_ms: median,
        low_ms: median / spread,
        high_ms: median * spread,
        ..run.rows[0].clone()
    };
    run.rows = vec![ours];
    run
}

fn verdict(a: &Results, b: &Results) -> Verdict {
    compare(a, b).changes[0].verdict
}

#[test]
fn a_run_held_against_itself_is_the_same_everywhere() {
    let run = sample();
    let comparison = compare(&run, &run);
    assert_eq!(comparison.count(Verdict::Same), comparison.changes.len());
    assert!(comparison.changes.len() > 80);
    assert!(!comparison.regressed());
    assert!(comparison.warnings.is_empty());
    assert_eq!(comparison.drift.map(|(ratio, _)| ratio), Some(1.0));
}

#[test]
fn a_slowdown_beyond_the_noise_is_a_regression_and_one_within_it_is_none() {
    let run = sample();
    let slower = compare(&run, &scaled(&run, 1.3));
    assert!(slower.regressed());
    assert_eq!(slower.count(Verdict::Slower), slower.changes.len());
    assert!((slower.changes[0].ratio - 1.0 / 1.3).abs() < 1e-12);
    assert!(!compare(&run, &scaled(&run, 1.02)).regressed());
    assert!(!compare(&run, &scaled(&run, 0.7)).regressed());
}

#[test]
fn an_interval_is_judged_by_both_of_its_ends() {
    assert_eq!(verdict(&one(1.0, 1.01), &one(1.01, 1.01)), Verdict::Same);
    assert_eq!(verdict(&one(1.2, 1.01), &one(1.0, 1.01)), Verdict::Faster);
    assert_eq!(verdict(&one(1.0, 1.01), &one(1.2, 1.01)), Verdict::Slower);
    // On the edge of the noise, and a spread that hides a tenth.
    assert_eq!(verdict(&one(1.05, 1.02), &one(1.0, 1.02)), Verdict::Unsure);
    assert_eq!(verdict(&one(1.1, 1.9), &one(1.0, 1.9)), Verdict::Unsure);
}

#[test]
fn percentiles_that_cannot_be_true_leave_a_row_unsure() {
    let mut broken = one(2.0, 1.01);
    broken.rows[0].low_ms = 0.0;
    assert_eq!(verdict(&one(1.0, 1.01), &broken), Verdict::Unsure);
    assert_eq!(compare(&one(1.0, 1.01), &broken).changes[0].interval, None);
}

#[test]
fn controls_that_wobble_widen_the_noise() {
    let (mut a, b) = (one(1.0, 1.01), one(1.12, 1.01));
    assert_eq!(verdict(&a, &b), Verdict::Slower);
    let control = beside_ours(&a.rows[0], "control", 1.2);
    a.rows.push(control);
    let comparison = compare(&a, &b);
    assert!((comparison.noise.hot - 0.2).abs() < 1e-9);
    assert_eq!(comparison.changes[0].verdict, Verdict::Same);
}

#[test]
fn cold_controls_that_wobble_say_nothing_of_hot_rows() {
    let (mut a, b) = (one(1.0, 1.01), one(1.12, 1.01));
    let mut control = beside_ours(&a.rows[0], "control", 1.2);
    control.cache = Cache::Cold;
    a.rows.push(control);
    let comparison = compare(&a, &b);
    assert_eq!(comparison.noise.hot, 0.05);
    assert!((comparison.noise.cold - 0.2).abs() < 1e-9);
    assert_eq!(comparison.changes[0].verdict, Verdict::Slower);
}

#[test]
fn another_machine_is_a_warning_at_the_top_and_no_failure() {
    let run = sample();
    let mut other = scaled(&run, 2.0);
    other.machine.cores = 64;
    let comparison = compare(&run, &other);
    assert!(comparison.count(Verdict::Slower) > 0);
    assert!(!comparison.regressed());
    let text = comparison.to_string();
    assert!(
        text.starts_with("warning: The machines differ in cores: 2 and 64."),
        "{text}"
    );
    assert!(
        comparison
            .markdown()
            .contains("> **Warning.** The machines differ in cores")
    );
}

#[test]
fn another_clock_is_a_warning_and_its_rows_stand_alone() {
    let (a, mut b) = (one(1.0, 1.01), one(2.0, 1.01));
    b.rows[0].clock = "device".into();
    let comparison = compare(&a, &b);
    assert!(comparison.changes.is_empty() && !comparison.regressed());
    assert_eq!((comparison.only_a.len(), comparison.only_b.len()), (1, 1));
    assert!(comparison.warnings[0].contains("wall and device"));
}

#[test]
fn peers_that_changed_too_say_that_the_machine_did() {
    let run = sample();
    let mut slower = run.clone();
    for row in slower.rows.iter_mut().filter(|row| row.variant == "torch") {
        row.median_ms *= 1.4;
    }
    let comparison = compare(&run, &slower);
    assert!(
        comparison
            .warnings
            .iter()
            .any(|text| text.contains("The machine was not the same"))
    );
    assert!(comparison.comparable);
    // Another version of the peer may be slower by itself.
    for peer in ["torch", "cubek", "candle", "burn"] {
        slower.versions.insert(peer.into(), "9".into());
    }
    assert_eq!(compare(&run, &slower).drift, None);
}

#[test]
fn rows_of_one_file_only_are_listed() {
    let a = sample();
    let mut b = a.clone();
    b.rows
        .retain(|row| row.op != "gate" || row.cache == Cache::Hot);
    let comparison = compare(&a, &b);
    assert_eq!(comparison.only_a.len(), 6);
    assert!(
        comparison
            .only_a
            .iter()
            .all(|key| key.op == "gate" && key.cache == Cache::Cold)
    );
    assert!(
        comparison
            .to_string()
            .contains("only in the first: gate n8 56x56 c128 m1 k3 s1 d1 forward (cold, wall)")
    );
    assert!(compare(&b, &a).markdown().contains("## Only in the second"));
}

#[test]
fn the_worst_row_stands_first_and_in_bold() {
    let a = sample();
    let mut b = a.clone();
    let worst = b
        .rows
        .iter_mut()
        .rfind(|row| row.variant == "ours")
        .expect("rows of ours");
    worst.median_ms *= 3.0;
    worst.low_ms *= 3.0;
    worst.high_ms *= 3.0;
    let comparison = compare(&a, &b);
    assert!(
        comparison.to_string().starts_with("SLOWER   0.33"),
        "{comparison}"
    );
    let text = comparison.markdown();
    let first = text
        .lines()
        .find(|line| line.starts_with("| **"))
        .expect("a bold row");
    assert!(first.starts_with("| **SLOWER** | **0.33** |"), "{first}");
}

#[test]
fn a_malformed_file_is_named_with_its_line() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("malformed.json");
    sample().write(&path).expect("a file that can be written");
    let read = Results::read(&path).expect("what was written");
    assert_eq!(
        (read.rows.len(), read.refused),
        (sample().rows.len(), sample().refused)
    );

    let text = fs::read_to_string(&path).expect("the file");
    let line = 1 + text
        .lines()
        .position(|line| line.contains("\"rows\""))
        .expect("rows");
    fs::write(&path, text.replacen("\"rows\"", "\"lines\"", 1))
        .expect("a file that can be written");
    let error = Results::read(&path).expect_err("an unknown key");
    assert!(matches!(&error, ResultsError::Malformed { line: found, .. } if *found == line));
    assert!(
        error
            .to_string()
            .contains(&format!("malformed.json, line {line}, column")),
        "{error}"
    );
}
