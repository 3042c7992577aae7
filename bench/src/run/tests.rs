//! Rows that cannot be told, beside rows that can.

use super::*;
use crate::contender::Task;
use crate::input::{Input, Operands};
use crate::phase::values;
use crate::results::Verdict;
use ghostlight_autodiff::{Cost, KernelError, Tensor};
use ghostlight_kernels::pointwise::activation::{Activation, activation};

const LEN: usize = 4096;
const ROUNDS: usize = 3;

/// A ReLU that claims these times, another one each turn, and for its first call more.
struct Claiming {
    name: &'static str,
    ms: [f64; 2],
    compile_ms: f64,
    loads: usize,
    loaded: Vec<f32>,
    result: Vec<f64>,
}

impl Contender for Claiming {
    fn name(&self) -> &str {
        self.name
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.loaded = values[0].clone();
        self.loads += 1;
        Ok(())
    }

    fn call(&mut self) -> Result<f64, String> {
        let relu = self.loaded.iter().map(|x| f64::from(x.max(0.0)));
        self.result = relu.collect();
        Ok(self.ms[self.loads % 2] + std::mem::take(&mut self.compile_ms))
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(vec![self.result.clone()])
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(vec![self.loaded.iter().map(|&x| f64::from(x)).collect()])
    }
}

struct Claims;

impl Peer for Claims {
    fn version(&self) -> [String; 2] {
        ["claims".into(), "1".into()]
    }

    fn contenders(&mut self, _: &Task) -> Vec<Box<dyn Contender>> {
        let claiming = |name, ms, compile_ms| {
            Box::new(Claiming {
                name,
                ms,
                compile_ms,
                loads: 0,
                loaded: Vec::new(),
                result: Vec::new(),
            }) as Box<dyn Contender>
        };
        // Now far behind ours, now far ahead; and always as far behind as a peer's calls may be that are timed at all, so that ours may wobble.
        vec![
            claiming("wobbling", [5000.0, 1e-6], 0.0),
            claiming("steady", [5000.0, 5000.0], 700.0),
        ]
    }
}

/// The hot rows of a ReLU of ours beside both.
fn rows(budget: Option<Budget>) -> (Vec<Row>, Runner) {
    let relu = |t: &Operands| -> Result<Vec<Tensor>, KernelError> {
        Ok(vec![activation(&t[0], Activation::Relu)])
    };
    let phase = Phase::new(
        ["relu", "4096", "forward"],
        Cost::traffic(LEN, LEN, 4),
        vec![Input::random(1, &[LEN])],
        |v| values(v[0].iter().map(|x| x.max(0.0)).collect()),
        relu,
    );
    let mut runner = Runner {
        client: cubecl::Device::default().client(),
        peers: vec![Box::new(Claims)],
        ceilings: Ceilings::default(),
        effort: Effort {
            rounds: ROUNDS,
            turn_ms: 1.0,
            cold_rounds: 0,
            cold_calls: 1,
        },
        budget,
        flush: Flush::none(),
        gauges: Gauges::none(),
        with_slow: true,
    };
    let outcome = runner.run(&phase);
    assert_eq!(outcome.refused, []);
    (outcome.rows, runner)
}

/// The looks and the turns of `variant`.
fn looked(rows: &[Row], variant: &str) -> [usize; 2] {
    let row = rows.iter().find(|row| row.variant == variant);
    let row = row.expect("it was timed");
    [row.looks, row.turns_ms.len()]
}

#[test]
fn what_cannot_be_told_gets_more_turns_beside_ours_and_nothing_else_does() {
    let (rows, runner) = rows(Some(Budget::new(Duration::from_secs(600), 1)));
    assert_eq!(looked(&rows, "wobbling"), [5, 16 * ROUNDS]);
    assert_eq!(looked(&rows, "ours"), [5, 16 * ROUNDS]);
    assert_eq!(looked(&rows, "steady"), [1, ROUNDS]);
    assert_eq!(looked(&rows, "control"), [1, ROUNDS]);
    let verdict = |variant: &str| {
        let row = rows.iter().find(|row| row.variant == variant);
        row.and_then(|row| row.verdict)
    };
    assert_eq!(verdict("wobbling"), Some(Verdict::Unsure));
    assert_eq!(verdict("steady"), Some(Verdict::Faster));
    // Nothing is left for a phase that does not come.
    assert_eq!(
        looks::confidence(runner.budget),
        crate::stats::Confidence::OfFive
    );
    assert!(
        runner
            .budget
            .is_some_and(|budget| budget.share() < Duration::from_secs(600))
    );
}

#[test]
fn without_time_left_a_row_is_looked_at_once() {
    for budget in [None, Some(Budget::new(Duration::from_nanos(1), 1))] {
        let (rows, _) = rows(budget);
        for variant in ["wobbling", "ours", "steady", "control"] {
            assert_eq!(looked(&rows, variant), [1, ROUNDS], "{variant}");
        }
    }
}

#[test]
fn a_row_knows_what_was_held_if_it_is_ours_and_what_its_first_call_compiled() {
    let (rows, _) = rows(None);
    let row = |variant: &str| {
        let row = rows.iter().find(|row| row.variant == variant);
        row.expect("it was timed")
    };
    // An operand and a result, each filled up to what the pool hands out at least.
    let held = row("ours").peak_bytes.expect("it is ours");
    let least = 2 * 4 * LEN as u64;
    assert!((least..2 * least).contains(&held), "{held}");
    assert_eq!(row("control").peak_bytes, Some(held));
    assert_eq!(row("steady").peak_bytes, None);
    assert_eq!(row("steady").compile_ms, Some(700.0));
    assert!(row("ours").compile_ms.is_some());
    assert_eq!(row("ours").note, None);
}
