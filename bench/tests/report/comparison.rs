use crate::sample::{beside_ours, sample};
use ghostlight_bench::compare::{Comparison, Fault, compare};
use ghostlight_bench::results::{
    Bound, Cache, FORMAT, Refused, Results, ResultsError, Row, Verdict,
};
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

fn drifts(comparison: &Comparison) -> Vec<f64> {
    let drifts = comparison.drift.iter();
    drifts.map(|drift| drift.ratio).collect()
}

fn fails(a: &Results, b: &Results) -> bool {
    !compare(a, b).faults(false).is_empty()
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
    assert_eq!(comparison.faults(false), []);
    assert!(comparison.warnings.is_empty());
    assert_eq!(drifts(&comparison), [1.0, 1.0]);
}

#[test]
fn a_slowdown_beyond_the_noise_is_a_regression_and_one_within_it_is_none() {
    let run = sample();
    let slower = compare(&run, &scaled(&run, 1.3));
    assert_eq!(slower.faults(false).len(), slower.changes.len());
    assert_eq!(slower.count(Verdict::Slower), slower.changes.len());
    assert!((slower.changes[0].ratio - 1.0 / 1.3).abs() < 1e-12);
    assert!(!fails(&run, &scaled(&run, 1.02)) && !fails(&run, &scaled(&run, 0.7)));
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
    assert_eq!(comparison.faults(false), []);
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
    assert!(comparison.changes.is_empty() && comparison.faults(false).is_empty());
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
    assert_eq!(compare(&run, &slower).drift, []);
}

/// All rows of `variants` slower by `factor`, in one state of the caches.
fn slowed(run: &Results, variants: &[&str], cache: Cache, factor: f64) -> Results {
    let mut run = run.clone();
    let rows = run.rows.iter_mut();
    for row in rows.filter(|row| row.cache == cache && variants.contains(&row.variant.as_str())) {
        for ms in [&mut row.median_ms, &mut row.low_ms, &mut row.high_ms] {
            *ms *= factor;
        }
    }
    run
}

#[test]
fn a_drift_that_the_peers_share_is_no_failure_and_one_of_ours_alone_is() {
    let run = sample();
    let all = ["ours", "control", "torch", "burn", "cubek", "candle"];
    let machine = slowed(&run, &all, Cache::Cold, 1.5);
    let comparison = compare(&run, &machine);
    assert_eq!(comparison.faults(false), []);
    assert!(
        comparison.count(Verdict::Unsure) > 20,
        "it is not called the same either"
    );
    assert!((drifts(&comparison)[1] * 1.5 - 1.0).abs() < 1e-9);
    assert!(
        comparison
            .changes
            .iter()
            .all(|change| change.peers.is_some())
    );
    // On the slower machine ours alone became slower still.
    let ours = slowed(&machine, &["ours"], Cache::Cold, 1.3);
    assert!(compare(&run, &ours).faults(false).len() > 20);
}

#[test]
fn a_slow_spell_of_one_problem_excuses_it_and_its_neighbours_do_not() {
    let run = sample();
    let mut spell = run.clone();
    let first = (run.rows[0].case.clone(), run.rows[0].phase.clone());
    for row in spell
        .rows
        .iter_mut()
        .filter(|row| (&row.op, &row.case, &row.phase) == (&run.rows[0].op, &first.0, &first.1))
    {
        for ms in [&mut row.median_ms, &mut row.low_ms, &mut row.high_ms] {
            *ms *= 1.4;
        }
    }
    assert!(!fails(&run, &spell));
    spell
        .rows
        .retain(|row| !row.is_peer() || row.case != first.0);
    assert!(fails(&run, &spell), "nobody says that it was the machine");
}

#[test]
fn a_row_of_ours_that_is_refused_or_gone_fails_on_any_machine() {
    let run = sample();
    let mut other = run.clone();
    other.machine.cores = 64;
    let at = other.rows.iter().position(|row| row.variant == "ours");
    let gone = other.rows.remove(at.expect("rows of ours"));
    let faults = compare(&run, &other).faults(false);
    assert!(
        matches!(&faults[..], [Fault::Missing(key)] if key.case == gone.case),
        "{faults:?}"
    );
    assert_eq!(compare(&run, &other).faults(true), []);

    let refused = |variant: &str| Refused {
        op: gone.op.clone(),
        case: gone.case.clone(),
        phase: gone.phase.clone(),
        variant: variant.into(),
        reason: "output 0 differs from the reference".into(),
    };
    other.refused.push(refused("ours"));
    let comparison = compare(&run, &other);
    for part in [false, true] {
        let faults = comparison.faults(part);
        assert!(matches!(&faults[..], [Fault::Refused(_)]), "{faults:?}");
        assert!(
            faults[0]
                .to_string()
                .ends_with("ours: output 0 differs from the reference")
        );
    }
    assert!(comparison.to_string().contains("refused: activation"));
    assert!(comparison.markdown().contains("## Refused in the second"));

    // Known already, or another's.
    let mut known = run.clone();
    known.refused.push(refused("ours"));
    known
        .rows
        .retain(|row| row.is_peer() || !row.is_beside(&gone));
    assert!(!fails(&known, &other));
    let mut theirs = run.clone();
    theirs.refused.push(refused("torch"));
    assert!(!fails(&run, &theirs));
}

#[test]
fn other_bits_are_told_with_how_the_error_moved_even_where_the_time_did_not() {
    let run =
        [(1.0, 0.311, "aa"), (1.0, 0.4, "bb"), (0.5, 0.311, "aa")].map(|(ms, error, digest)| {
            let mut run = one(ms, 1.01);
            run.rows[0].error = Some(error);
            run.rows[0].digest = Some(digest.into());
            run
        });
    let other = compare(&run[0], &run[1]);
    assert_eq!((other.count(Verdict::Same), other.other_bits()), (1, 1));
    let text = other.to_string();
    assert!(
        text.starts_with("SAME") && text.contains("; other bits, error 0.31 -> 0.40"),
        "{text}"
    );
    assert!(text.contains("1 with other bits"));
    assert!(
        other
            .markdown()
            .contains("| other bits, error 0.31 -> 0.40 |")
    );

    let same = compare(&run[0], &run[2]);
    assert!(same.to_string().starts_with("FASTER") && same.to_string().contains("; same bits"));
    let mut older = run[0].clone();
    older.rows[0].digest = None;
    assert_eq!(compare(&older, &run[1]).changes[0].same_bits, None);
}

#[test]
fn turns_are_compared_as_such_where_both_runs_have_them() {
    let mut run = [1.0, 1.2].map(|ms| one(ms, 1.9));
    assert_eq!(verdict(&run[0], &run[1]), Verdict::Unsure);
    for (run, ms) in run.iter_mut().zip([1.0, 1.2]) {
        run.rows[0].turns_ms = [0.99, 1.0, 1.01, 1.0, 1.0].map(|turn| turn * ms).to_vec();
    }
    assert_eq!(verdict(&run[0], &run[1]), Verdict::Slower);
    run[1].rows[0].turns_ms = vec![1.1, 1.3];
    assert_eq!(verdict(&run[0], &run[1]), Verdict::Unsure);
}

#[test]
fn a_file_of_an_older_bench_is_read_with_a_warning_and_one_of_a_later_is_told() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats.json");
    let mut old = sample();
    old.format = 1;
    old.write(&path).expect("a file that can be written");
    let read = Results::read(&path).expect("an older file");
    let comparison = compare(&read, &sample());
    assert!(comparison.warnings[0].contains("older bench (format 1)"));
    assert!(comparison.comparable);

    // What counted multiply-adds alone called them compute, and knew no other peak.
    let is_compute = |row: &Row| row.bound == Some(Bound::MultiplyAdds);
    let bound = old.rows.iter().filter(|row| is_compute(row)).count();
    assert!(bound > 20);
    old.ceilings.peaks.clear();
    old.write(&path).expect("a file that can be written");
    let text = fs::read_to_string(&path).expect("the file");
    let former = text.replace("\"bound\": \"multiply-adds\"", "\"bound\": \"compute\"");
    assert!(!former.contains("peaks") && former != text);
    fs::write(&path, former).expect("a file");
    let read = Results::read(&path).expect("an older file");
    let bounds = |run: &Results| run.rows.iter().map(|row| row.bound).collect::<Vec<_>>();
    assert_eq!(bounds(&read), bounds(&old));
    assert!(read.ceilings.peaks.is_empty());

    let later = format!("\"format\": {}, \"new\": 1,", FORMAT + 1);
    fs::write(&path, text.replacen("\"format\": 1,", &later, 1)).expect("a file");
    let error = Results::read(&path).expect_err("a later file");
    assert!(
        matches!(error, ResultsError::Format { found, .. } if found == FORMAT + 1),
        "{error}"
    );
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
