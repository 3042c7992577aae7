//! What is not right is not timed: variants that each go wrong in one way, run as any other.

use ghostlight_autodiff::{Cost, KernelError, Tensor};
use ghostlight_bench::results::{Bandwidth, Cache, Ceilings, Machine};
use ghostlight_bench::{
    Contender, DTYPE, Effort, Flush, Input, Operands, Outcome, Peer, Phase, Runner, Task, Variant,
    values,
};
use ghostlight_kernels::pointwise::activation::{Activation, activation};
use std::cell::OnceCell;
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
        flush: Flush::of(None),
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

/// A peer that is right, and claims to need no time.
struct Claiming {
    loaded: Vec<f32>,
}

impl Contender for Claiming {
    fn name(&self) -> &str {
        "claiming"
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.loaded = values[0].clone();
        Ok(())
    }

    fn call(&mut self) -> Result<f64, String> {
        Ok(1e-9)
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(vec![
            self.loaded.iter().map(|x| f64::from(x.max(0.0))).collect(),
        ])
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(vec![self.loaded.iter().map(|&x| f64::from(x)).collect()])
    }
}

struct Claims;

impl Peer for Claims {
    fn version(&self) -> [String; 2] {
        ["claiming".into(), "1".into()]
    }

    fn contenders(&mut self, _: &Task) -> Vec<Box<dyn Contender>> {
        vec![Box::new(Claiming { loaded: Vec::new() })]
    }
}

#[test]
fn a_time_ten_times_over_the_roofline_is_refused() {
    let mut runner = runner();
    // No machine copies at a TB/s from its memory.
    let copy = |cache| Bandwidth {
        access: "copy".into(),
        cache,
        bytes: 1 << 20,
        gb_s: 1000.0,
    };
    runner.ceilings = Ceilings {
        memory: vec![copy(Cache::Hot), copy(Cache::Cold)],
        gflop_s: 1000.0,
        launch_us: 0.1,
    };
    runner.peers.push(Box::new(Claims));
    let outcome = runner.run(&phase(None));
    let reason = reason(&outcome, "claiming");
    assert!(reason.contains("the work was not done"), "{reason}");
    assert!(outcome.rows.iter().any(|row| row.variant == "ours"));
}

#[test]
fn the_machine_is_named() {
    let machine = Machine::here(&cubecl::Device::default());
    assert!(!machine.device.is_empty() && machine.cores > 0);
}
