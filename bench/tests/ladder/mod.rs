//! The rungs of the ladders: each is right on shapes that nobody would choose, and one that is not is refused.

use crate::runner;
use ghostlight_autodiff::{KernelError, Tensor};
use ghostlight_bench::ladder::{Ladder, Rung, case, tables};
use ghostlight_bench::results::{Ceilings, FORMAT, Machine, Results};
use ghostlight_bench::{DTYPE, Effort, Operands, Outcome, Runner};
use std::fs;
use std::path::Path;

/// What a ladder comes to on one problem, timed as little as can be.
fn climbed(ladder: &Ladder, extents: &[usize]) -> Outcome {
    let mut runner = Runner {
        effort: Effort {
            rounds: 2,
            turn_ms: 0.0,
            cold_rounds: 0,
            cold_calls: 0,
        },
        ..runner()
    };
    runner.run(&ladder.phase(&case(extents), extents))
}

fn ladder(name: &str) -> Ladder {
    Ladder::named(&[name.into()]).expect("it is one").remove(0)
}

fn every_rung_is_right(ladder: &Ladder, extents: &[usize]) {
    let outcome = climbed(ladder, extents);
    assert_eq!(outcome.refused, [], "{} {extents:?}", ladder.name);
    for rung in &ladder.rungs {
        let timed = outcome.rows.iter().any(|row| row.variant == rung.name);
        assert!(timed, "{} of {} {extents:?}", rung.name, ladder.name);
    }
}

#[test]
fn every_rung_of_the_convolution_is_right_on_odd_shapes() {
    for extents in [
        // A pixel, a row, a column; sides shorter than a tile, of one, and past one; whole vectors and none.
        [1, 1, 1, 1],
        [2, 1, 1, 5],
        [1, 1, 9, 16],
        [1, 6, 1, 3],
        [3, 2, 3, 7],
        [2, 4, 4, 32],
        [1, 3, 5, 33],
        [2, 5, 8, 36],
        [1, 7, 11, 100],
    ] {
        every_rung_is_right(&ladder("depthwise"), &extents);
    }
}

#[test]
fn every_rung_of_the_loss_is_right_on_odd_shapes() {
    for extents in [
        [1, 2],
        [7, 2],
        [1, 3],
        [5, 7],
        [3, 16],
        [2, 33],
        [9, 100],
        [1, 1000],
    ] {
        every_rung_is_right(&ladder("dkd"), &extents);
    }
}

/// A convolution whose taps are those of the opposite corner.
fn flipped(operands: &Operands) -> Result<Vec<Tensor>, KernelError> {
    let (x, w) = (&operands[0], &operands[1]);
    let taps = w.to_f64()?;
    let taps: Vec<f64> = taps.chunks(w.shape()[2]).rev().flatten().copied().collect();
    let w = Tensor::from_f64(x.client(), &taps, w.shape(), DTYPE)?;
    let options = ghostlight_kernels::conv::depthwise::DepthwiseOptions::square(1, 1);
    let y = ghostlight_kernels::conv::depthwise::depthwise(x, &w, None, options)?;
    Ok(vec![y])
}

/// A loss that lacks a factor of its temperature, with the right gradient.
fn cooled(operands: &Operands) -> Result<Vec<Tensor>, KernelError> {
    let mut outputs = (ladder("dkd").rungs[0].call)(operands)?;
    let loss: Vec<f64> = outputs[0].to_f64()?.iter().map(|loss| loss / 4.0).collect();
    outputs[0] = Tensor::from_f64(outputs[0].client(), &loss, &[loss.len()], DTYPE)?;
    Ok(outputs)
}

/// The right loss, whose gradient is 0 at the last class of the last sample.
fn forgetful(operands: &Operands) -> Result<Vec<Tensor>, KernelError> {
    let mut outputs = (ladder("dkd").rungs[0].call)(operands)?;
    let mut grad = outputs[1].to_f64()?;
    grad.pop();
    grad.push(0.0);
    outputs[1] = Tensor::from_f64(outputs[1].client(), &grad, outputs[1].shape(), DTYPE)?;
    Ok(outputs)
}

#[test]
fn a_wrong_rung_is_refused_and_the_others_are_timed() {
    for (name, extents, call, reason) in [
        (
            "depthwise",
            &[1, 4, 5, 8][..],
            flipped as fn(&Operands) -> _,
            "output 0 differs",
        ),
        ("dkd", &[6, 10], cooled, "output 0 differs"),
        ("dkd", &[6, 10], forgetful, "output 1 differs"),
    ] {
        let mut ladder = ladder(name);
        let wrong = Rung {
            name: "wrong",
            change: "a bug",
            call,
        };
        ladder.rungs.insert(1, wrong);
        let outcome = climbed(&ladder, extents);
        let told = super::reason(&outcome, "wrong");
        assert!(told.contains(reason), "{name}: {told}");
        assert_eq!(outcome.refused.len(), 1, "{name}: {:?}", outcome.refused);
        // All others, and the control.
        assert_eq!(outcome.rows.len(), ladder.rungs.len(), "{name}");
        let results = Results {
            format: FORMAT,
            machine: Machine::default(),
            versions: Default::default(),
            commit: String::new(),
            began: String::new(),
            seconds: 0.0,
            command: String::new(),
            ceilings: Ceilings::default(),
            missing: Vec::new(),
            rows: outcome.rows,
            refused: outcome.refused,
        };
        let text = tables(&[ladder], &results);
        let row = text.lines().find(|line| line.starts_with("2 wrong"));
        assert!(row.is_some_and(|row| row.contains("refused")), "{text}");
    }
}

#[test]
fn every_rung_has_a_file_that_says_which_it_is_and_a_place_in_the_book() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/ladder.md")).expect("the page");
    for ladder in Ladder::all() {
        let (last, rungs) = ladder.rungs.split_last().expect("it has rungs");
        assert_eq!(last.name, "ours");
        let (_, section) = page
            .split_once(&format!("`bench/ladder/{}/mod.rs`", ladder.name))
            .unwrap_or_else(|| panic!("docs/ladder.md does not lead to {}", ladder.name));
        let mut places = Vec::new();
        for (i, rung) in rungs.iter().enumerate() {
            let file = format!("ladder/{}/{}.rs", ladder.name, rung.name);
            let text = fs::read_to_string(root.join(&file)).expect(&file);
            let begin = format!("//! Rung {}:", i + 1);
            assert!(text.starts_with(&begin), "{file} begins with {begin}");
            let named = section.find(&format!("`bench/{file}`"));
            places.push(named.unwrap_or_else(|| panic!("docs/ladder.md leaves out {file}")));
        }
        assert!(places.is_sorted(), "{}: {places:?}", ladder.name);
    }
}
