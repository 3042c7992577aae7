//! What is not right is not timed: variants that each go wrong in one way, run as any other.

mod ladder;

use ghostlight_autodiff::{Cost, KernelError, Tensor};
use ghostlight_bench::results::{Bandwidth, Cache, Ceilings, Machine};
use ghostlight_bench::{
    Contender, DTYPE, Effort, Flush, Gauges, Input, Operands, Outcome, Peer, Phase, Runner, Task,
    Variant, values,
};
use ghostlight_kernels::pointwise::activation::{Activation, activation};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

const LEN: usize = 4096;

fn relu(t: &Operands) -> Result<Vec<Tensor>, KernelError> {
    Ok(vec![activation(&t[0], Activation::Relu)])
}

/// A phase of a ReLU, timed as `ours`, with `variant` beside it.
fn phase<'a>(variant: Option<Variant<'a>>) -> Phase<'a> {
    let phase = Phase::new(
        ["relu", "4096", "forward"],
        Cost::traffic(LEN, LEN, 4),
        vec![Input::random(1, &[LEN])],
        |v| values(v[0].iter().map(|x| x.max(0.0)).collect()),
        relu,
    );
    match variant {
        Some(variant) => phase.beside(variant),
        None => phase,
    }
}

fn runner() -> Runner {
    Runner {
        with_slow: true,
        client: cubecl::Device::default().client(),
        peers: Vec::new(),
        ceilings: Ceilings::default(),
        effort: Effort {
            rounds: 3,
            turn_ms: 1.0,
            cold_rounds: 2,
            cold_calls: 1,
        },
        budget: None,
        flush: Flush::of(None),
        gauges: Gauges::none(),
    }
}

/// Why `name` got no time; panics if it did.
fn reason(outcome: &Outcome, name: &str) -> String {
    assert!(
        outcome.rows.iter().all(|row| row.variant != name),
        "{name} was timed"
    );
    let refused = outcome
        .refused
        .iter()
        .find(|refused| refused.variant == name);
    refused.expect("it is told why").reason.clone()
}

#[test]
fn a_right_kernel_and_its_control_are_timed_hot_and_cold() {
    let outcome = runner().run(&phase(None));
    assert_eq!(outcome.refused, []);
    let variants: Vec<&str> = outcome
        .rows
        .iter()
        .map(|row| row.variant.as_str())
        .collect();
    assert_eq!(variants, ["ours", "control", "ours", "control"]);
    assert_eq!(outcome.rows[0].launches, Some(1));
    assert_eq!(outcome.rows[0].allocations, Some(1));
    assert_eq!(outcome.rows[0].ratio, None);
    assert!(outcome.rows[1].ratio.is_some());
}

#[test]
fn a_kernel_that_does_nothing_gets_no_time() {
    let nothing = Variant::new("nothing", |t| {
        Ok(vec![Tensor::empty(t[0].client(), &[LEN], DTYPE)])
    });
    let outcome = runner().run(&phase(Some(nothing)));
    let reason = reason(&outcome, "nothing");
    assert!(
        reason.contains("differs from the reference") || reason.contains("not computed"),
        "{reason}"
    );
}

#[test]
fn a_kernel_that_keeps_its_first_output_gets_no_time() {
    let kept = Rc::new(OnceCell::new());
    let caching = Variant::new("caching", move |t| {
        if kept.get().is_none() {
            let _ = kept.set(activation(&t[0], Activation::Relu));
        }
        Ok(kept.get().cloned().into_iter().collect())
    });
    let outcome = runner().run(&phase(Some(caching)));
    assert!(reason(&outcome, "caching").contains("not computed"));
}

#[test]
fn a_kernel_that_changes_its_input_gets_no_time() {
    let changing = Variant::new("changing", |t| {
        let y = activation(&t[0], Activation::Relu);
        ghostlight_kernels::pointwise::fill(&t[0], 0.0);
        Ok(vec![y])
    });
    let outcome = runner().run(&phase(Some(changing)));
    assert!(reason(&outcome, "changing").contains("operand 0 was changed"));
}

#[test]
fn a_kernel_that_is_wrong_in_one_element_gets_no_time() {
    let wrong = Variant::new("wrong", |t| {
        let mut y = activation(&t[0], Activation::Relu).to_f64()?;
        y[LEN - 1] += 0.01;
        Ok(vec![Tensor::from_f64(t[0].client(), &y, &[LEN], DTYPE)?])
    });
    let outcome = runner().run(&phase(Some(wrong)));
    assert!(reason(&outcome, "wrong").contains("element 4095"));
}

#[test]
fn a_kernel_that_fails_is_told_with_its_error() {
    let failing = Variant::new("failing", |t| Ok(vec![t[0].reshape(&[LEN + 1])?]));
    let outcome = runner().run(&phase(Some(failing)));
    assert!(!reason(&outcome, "failing").is_empty());
}

/// A peer that computes a ReLU as `how` says, and claims what times it likes.
struct Claiming {
    how: How,
    ms: Vec<f64>,
    calls: usize,
    loads: usize,
    loaded: Vec<f32>,
    known: Vec<(Vec<f32>, Vec<f64>)>,
    result: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    /// In the call.
    Honestly,
    /// When the result is read.
    Lazily,
    /// So many times, and never again.
    Until(usize),
    /// For so many operands; of others it has what it computed last.
    Knowing(usize),
}

fn relu_of(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(x.max(0.0))).collect()
}

impl Contender for Claiming {
    fn name(&self) -> &str {
        "claiming"
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.loaded = values[0].clone();
        self.loads += 1;
        let is_new = self.known.iter().all(|(known, _)| *known != self.loaded);
        if matches!(self.how, How::Knowing(most) if is_new && self.known.len() < most) {
            self.known
                .push((self.loaded.clone(), relu_of(&self.loaded)));
        }
        Ok(())
    }

    fn call(&mut self) -> Result<f64, String> {
        self.calls += 1;
        match self.how {
            How::Until(most) if self.calls > most => {}
            How::Knowing(_) => {
                let known = self.known.iter().find(|(known, _)| *known == self.loaded);
                self.result = known.map_or(self.result.clone(), |(_, result)| result.clone());
            }
            _ => self.result = relu_of(&self.loaded),
        }
        // Another one each turn.
        Ok(self.ms[self.loads % self.ms.len()])
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        match self.how {
            How::Lazily => Ok(vec![relu_of(&self.loaded)]),
            _ => Ok(vec![self.result.clone()]),
        }
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(vec![self.loaded.iter().map(|&x| f64::from(x)).collect()])
    }
}

struct Claims(How, Vec<f64>);

impl Peer for Claims {
    fn version(&self) -> [String; 2] {
        ["claiming".into(), "1".into()]
    }

    fn contenders(&mut self, _: &Task) -> Vec<Box<dyn Contender>> {
        vec![Box::new(Claiming {
            how: self.0,
            ms: self.1.clone(),
            calls: 0,
            loads: 0,
            loaded: Vec::new(),
            known: Vec::new(),
            result: Vec::new(),
        })]
    }
}

/// What a run comes to beside a peer of this kind, on a device that copies a TB/s, as no machine does from its memory.
fn beside(how: How, ms: &[f64]) -> Outcome {
    let mut runner = runner();
    let copy = |cache| Bandwidth {
        access: "copy".into(),
        cache,
        bytes: 1 << 20,
        gb_s: 1000.0,
    };
    runner.ceilings = Ceilings {
        memory: vec![copy(Cache::Hot), copy(Cache::Cold)],
        gflop_s: 0.0,
        peaks: Vec::new(),
        launch_us: 1e6,
    };
    runner.peers.push(Box::new(Claims(how, ms.to_vec())));
    let outcome = runner.run(&phase(None));
    assert!(outcome.rows.iter().any(|row| row.variant == "ours"));
    outcome
}

/// What this device needs at least: the bytes at one and a half times the bandwidth of a copy. A launch of ours, of a second here, is
/// no part of it.
const LEAST_MS: f64 = (2 * LEN * 4) as f64 / 1500.0 / 1e6;

fn is_timed(outcome: &Outcome) -> bool {
    let row = |variant: &str| outcome.rows.iter().any(|row| row.variant == variant);
    outcome.refused.is_empty() && row("claiming")
}

#[test]
fn a_peer_that_is_right_is_timed() {
    assert!(is_timed(&beside(How::Honestly, &[1.1 * LEAST_MS])));
}

#[test]
fn a_time_below_what_the_device_needs_is_refused() {
    let outcome = beside(How::Honestly, &[0.9 * LEAST_MS]);
    let reason = reason(&outcome, "claiming");
    assert!(reason.contains("the work was not done"), "{reason}");
}

#[test]
fn a_time_that_may_be_what_the_device_needs_by_its_own_error_is_not() {
    // A geometric mean of 0.86.
    let ms = [0.5, 0.8, 1.6].map(|part| part * LEAST_MS);
    assert!(is_timed(&beside(How::Honestly, &ms)));
}

#[test]
fn a_result_that_is_made_when_it_is_read_gets_no_time() {
    let outcome = beside(How::Lazily, &[0.1]);
    assert!(reason(&outcome, "claiming").contains("not computed"));
}

#[test]
fn results_that_are_replayed_while_it_is_timed_are_found_afterwards() {
    // Two calls verify it, some more warm it.
    for most in [3, 40] {
        let outcome = beside(How::Until(most), &[0.1]);
        let reason = reason(&outcome, "claiming");
        assert!(
            reason.starts_with("once it was timed: output 0"),
            "{reason}"
        );
    }
}

#[test]
fn who_knows_the_operands_of_the_clock_is_asked_for_others() {
    let outcome = beside(How::Knowing(2), &[0.1]);
    assert!(reason(&outcome, "claiming").starts_with("once it was timed"));
    assert!(
        is_timed(&beside(How::Knowing(3), &[0.1])),
        "all that there are"
    );
}

#[test]
fn a_kernel_that_remembers_results_by_the_place_of_their_operands_gets_no_time() {
    let kept: RefCell<Option<(Tensor, Tensor)>> = RefCell::default();
    let remembering = Variant::new("remembering", move |t| {
        let mut kept = kept.borrow_mut();
        match &*kept {
            Some((x, y)) if t[0].lies_at(x, 0) => Ok(vec![y.clone()]),
            _ => {
                let y = activation(&t[0], Activation::Relu);
                *kept = Some((t[0].clone(), y.clone()));
                Ok(vec![y])
            }
        }
    });
    let outcome = runner().run(&phase(Some(remembering)));
    assert!(reason(&outcome, "remembering").contains("not computed"));
}

#[test]
fn a_reference_that_admits_almost_anything_verifies_nobody() {
    let of = |share: usize| {
        let mut phase = phase(None);
        phase.reference = Box::new(move |v: &[Vec<f64>]| {
            let relu = v[0].iter().enumerate();
            values(
                relu.map(|(i, x)| {
                    if i % 100 < share {
                        f64::NAN
                    } else {
                        x.max(0.0)
                    }
                })
                .collect(),
            )
        });
        runner().run(&phase)
    };
    let reason = reason(&of(60), "ours");
    assert!(reason.contains("60 % of the reference is NaN"), "{reason}");
    let few = of(10);
    assert_eq!(few.refused, []);
    let unchecked = few.rows[0].unchecked.expect("it is told");
    assert!((unchecked - 0.1).abs() < 1e-3, "{unchecked}");
}

#[test]
fn a_row_says_how_far_off_it_was_and_which_bits_it_computed() {
    let off = |by: f64| {
        Variant::new("off", move |t| {
            let y = activation(&t[0], Activation::Relu).to_f64()?;
            let y: Vec<f64> = y.iter().map(|y| y + by).collect();
            Ok(vec![Tensor::from_f64(t[0].client(), &y, &[LEN], DTYPE)?])
        })
    };
    let outcome = runner().run(&phase(Some(off(1e-4))));
    let row = |variant: &str| {
        let mut rows = outcome.rows.iter();
        rows.find(|row| row.variant == variant).expect("a row")
    };
    // A fifth of the tolerance of 5e-4, where the largest value is 1.
    assert!((row("off").error.expect("verified") - 0.2).abs() < 0.01);
    assert_eq!(row("ours").error, Some(0.0));
    assert_eq!(row("ours").digest, row("control").digest);
    assert_ne!(row("ours").digest, row("off").digest);
}

#[test]
fn the_machine_is_named() {
    let machine = Machine::here(&cubecl::Device::default());
    assert!(!machine.device.is_empty() && machine.cores > 0);
}
