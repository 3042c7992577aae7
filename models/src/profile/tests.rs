use super::*;
use crate::data::{ChannelStats, Dataset, Split};
use crate::methods::Way;
use crate::recipe::Recipe;
use crate::train::{Session, Silent, Training, take_epoch};
use ghostlight_autodiff::{Cost, Event, Observer, Phase};
use ghostlight_tests::client;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Two steps of four images under watch.
fn watched(hunt_nan: bool, peak_lr: f64) -> Profile {
    // One observer of launches can be installed at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let side = 8;
    let pixels: Vec<u8> = (0..8 * side * side * 3)
        .map(|i| (i * 37 % 251) as u8)
        .collect();
    let classes = vec!["a".to_string(), "b".to_string()];
    let files = (0..8).map(|i| i.to_string()).collect();
    let labels = (0..8).map(|i| i % 2).collect();
    let dataset = Dataset::new("t".into(), classes, (side, side), pixels, labels, files);
    let dataset = Arc::new(dataset.unwrap());
    let mut recipe = Recipe::default();
    recipe.augment.shift = 0;
    recipe.train.batch = 4;
    recipe.train.peak_lr = peak_lr;
    let split = Split {
        train: (0..8).collect(),
        ..Split::default()
    };
    let (client, stop) = (client(), AtomicBool::new(false));
    let watch = Watching::begin(&client, hunt_nan);
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset: &dataset,
        split: &split,
        stats: ChannelStats {
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        progress: &Silent,
        cache: None,
        watch: Some(&watch),
        stop: &stop,
    };
    let training = Training {
        name: "t".into(),
        title: "t".into(),
        arch: "resnet8",
        epochs: 1,
        train: recipe.train.clone(),
        role: 1,
        way: Way::alone(0.0),
        teachers: &[],
    };
    // A rate without measure ends in an error, after what is hunted.
    let _ = take_epoch(&session, training);
    watch.end()
}

#[test]
fn a_watched_step_shows_every_operation_with_its_launches_and_what_it_holds() {
    let found = watched(false, 0.1);
    let lines = operations(&found);
    let line = |op: &str, direction: &str| {
        let line = lines
            .iter()
            .find(|it| it.op == op && it.direction == direction);
        line.unwrap_or_else(|| panic!("no {op} {direction} among {lines:?}"))
    };
    // Nine convolutions, two of them projections, in each of two steps; three of them normalise what they read.
    for (op, calls) in [("conv", 12), ("norm_conv", 6)] {
        assert_eq!(line(op, "forward").calls, calls);
        assert_eq!(line(op, "backward").calls, calls);
    }
    assert_eq!(line("linear", "forward").cost.macs, 2 * 4 * 64 * 2);
    assert!(line("optimiser and inputs", "").launches >= 4);
    assert!(lines.iter().all(|line| line.whole >= line.time));
    let launches: usize = lines.iter().map(|line| line.launches).sum();
    let of_kernels: usize = kernels(&found).iter().map(|line| line.launches).sum();
    assert_eq!(launches, of_kernels);
    assert!(
        kernels(&found)
            .iter()
            .any(|line| line.name.contains("conv::dense")),
        "{:?}",
        kernels(&found)
    );
    assert!(found.held.before > 4 * 2 * 77_000 && found.held.peak > found.held.before);
    let held: u64 = found.held.holders.iter().map(|holder| holder.bytes).sum();
    assert!(held + found.held.before >= found.held.peak);
    let holders = &found.held.holders;
    assert!(
        holders.iter().any(|holder| holder.op == "batch_norm"),
        "{holders:?}"
    );
    let doing: Vec<&str> = found.spans.iter().map(|span| span.what).collect();
    for what in [
        "loading",
        "uploading",
        "forward",
        "loss",
        "backward",
        "optimiser",
        "reading results",
    ] {
        assert!(doing.contains(&what), "no {what} in {doing:?}");
    }
    assert_eq!(found.not_finite, None);
}

#[test]
fn the_first_result_that_is_not_finite_is_found_with_its_operation() {
    assert_eq!(watched(true, 0.1).not_finite, None);
    let found = watched(true, 1e30)
        .not_finite
        .expect("a rate that overflows");
    assert_eq!((found.op, found.phase), ("batch_norm", Phase::Forward));
    assert!(found.counts[0] + found.counts[1] > 0);
    assert_eq!(found.first.len(), 4);
    // The first step is fine: its results were finite.
    assert!(found.number > 20, "{found}");
}

#[test]
fn a_trace_has_only_events_that_a_viewer_knows_in_order_within_each_row() {
    let found = watched(false, 0.1);
    let trace = trace(&found, "t");
    let events = trace["traceEvents"].as_array().unwrap();
    let mut ends = std::collections::BTreeMap::new();
    for event in events {
        match event["ph"].as_str().unwrap() {
            "M" => assert!(event["args"]["name"].is_string()),
            "C" => assert!(event["args"]["bytes"].as_u64().unwrap() > 0),
            "X" => {
                let (ts, dur) = (
                    event["ts"].as_f64().unwrap(),
                    event["dur"].as_f64().unwrap(),
                );
                assert!(ts >= 0.0 && dur >= 0.0 && event["name"].is_string());
                // Complete events of a row may lie within each other, but not overlap by parts.
                let row = event["tid"].as_u64().unwrap();
                let end = ends.entry(row).or_insert(0.0);
                assert!(
                    row == 3 || ts + 1.0 >= *end,
                    "row {row} at {ts} before {end}"
                );
                *end = f64::max(*end, ts + dur);
            }
            other => panic!("{other} is no event"),
        }
    }
    let count = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    assert_eq!(count("C"), found.operations.len());
    assert_eq!(count("M"), 4);
}

#[test]
fn who_holds_memory_is_who_left_it_when_the_forward_pass_ended() {
    let mut ledger = memory::Ledger::new(100);
    let at = Duration::from_millis;
    ledger.note("conv", false, 150, at(1));
    ledger.note("norm", false, 180, at(2));
    ledger.note("conv", false, 230, at(3));
    ledger.note("conv", true, 200, at(4));
    ledger.note("norm", true, 240, at(5));
    ledger.note("conv", true, 120, at(6));
    let held = ledger.finish();
    assert_eq!((held.before, held.peak, held.course.len()), (100, 240, 6));
    let holders: Vec<(&str, u64)> = held
        .holders
        .iter()
        .map(|it| (it.op.as_str(), it.bytes))
        .collect();
    assert_eq!(
        holders,
        [("conv", 100), ("norm", 30), ("gradients and scratch", 10)]
    );
}

#[test]
fn work_at_the_speed_of_the_ceiling_that_binds_is_all_of_the_roofline() {
    let ceilings = Ceilings {
        macs: 1e9,
        bytes: 1e8,
    };
    let share = |macs, bytes: u64, ms| {
        let cost = Cost {
            macs,
            bytes_read: bytes / 2,
            bytes_written: bytes / 2,
            ..Cost::default()
        };
        ceilings.share(cost, Duration::from_millis(ms))
    };
    assert!((share(1_000_000, 0, 1) - 1.0).abs() < 1e-12);
    assert!((share(1_000_000, 200_000, 4) - 0.5).abs() < 1e-12);
    assert!((share(0, 100_000, 2) - 0.5).abs() < 1e-12);
}

#[test]
fn an_observer_that_does_not_look_is_told_all_the_same() {
    struct Deaf(usize);
    impl Observer for Deaf {
        fn ran(&mut self, _: Event) {
            self.0 += 1;
        }
    }
    let deaf = std::rc::Rc::new(std::cell::RefCell::new(Deaf(0)));
    let tape = ghostlight_autodiff::Tape::observed(deaf.clone());
    let x = ghostlight_autodiff::Tensor::zeros(
        &client(),
        &[2, 2, 2, 3],
        ghostlight_autodiff::DType::F32,
    );
    let x = ghostlight_autodiff::Var::constant(x);
    tape.apply(ghostlight_autodiff::ops::GlobalAverage, &[&x])
        .unwrap();
    assert_eq!(deaf.borrow().0, 1);
}
