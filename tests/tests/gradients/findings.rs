//! What the checking tools say of gradients that are wrong, and of functions that cannot be judged or probed.

use super::operations::input;
use ghostlight_autodiff::check::{
    Coverage, Derivative, Findings, GradcheckError, GradcheckOptions, Mismatch, Probe, adjointness,
    gradcheck,
};
use ghostlight_autodiff::{Cost, Function, Gradients, KernelError, Step, Tape, Tensor, Var};
use ghostlight_tests::{cases, client, has_f64};
use proptest::prelude::*;

/// A function of every element and of its index, computed on the host, with what is to be taken for its derivative.
#[derive(Clone, Copy)]
struct OnHost<V, S> {
    value: V,
    slope: S,
}

impl<V, S> Function for OnHost<V, S>
where
    V: Fn(usize, f64) -> f64 + 'static,
    S: Fn(usize, f64) -> f64 + 'static,
{
    type Saved = Tensor;

    fn name(&self) -> &'static str {
        "on_host"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<Tensor>, KernelError> {
        let x = inputs[0];
        let values: Vec<f64> = (0..)
            .zip(x.to_f64()?)
            .map(|(i, x)| (self.value)(i, x))
            .collect();
        Ok(Step {
            output: Tensor::from_f64(x.client(), &values, x.shape(), x.dtype())?,
            saved: x.clone(),
            cost: Cost::default(),
        })
    }

    fn backward(&self, x: Tensor, grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let values: Vec<f64> = (0..)
            .zip(x.to_f64()?)
            .zip(grad.to_f64()?)
            .map(|((i, x), grad)| (self.slope)(i, x) * grad)
            .collect();
        Ok(Gradients {
            inputs: vec![Some(Tensor::from_f64(
                x.client(),
                &values,
                x.shape(),
                x.dtype(),
            )?)],
            cost: Cost::default(),
        })
    }
}

fn square_with(
    error: impl Fn(usize) -> f64 + Copy + 'static,
) -> OnHost<impl Fn(usize, f64) -> f64 + Copy, impl Fn(usize, f64) -> f64 + Copy> {
    OnHost {
        value: |_, x| x * x,
        slope: move |i, x| 2.0 * x + error(i),
    }
}

fn found(result: Result<Vec<Coverage>, GradcheckError>) -> Findings {
    match result {
        Err(GradcheckError::Derivatives(findings)) => findings,
        other => panic!("{other:?}, wanted findings"),
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn every_wrong_derivative_is_reported_with_its_coordinates(
        shape in prop::collection::vec(1usize..5, 1..4),
        wrong: u64,
    ) {
        if !has_f64() {
            return Ok(());
        }
        // Bit i of `wrong` spoils element i, each by another amount.
        let error = move |i: usize| if wrong >> i & 1 == 1 { 10.0 + i as f64 } else { 0.0 };
        let spoilt = square_with(error);
        let inputs = [input(1, &shape)];
        let checked = gradcheck(&client(), &inputs, |t, v| t.apply(spoilt, &[&v[0]]), GradcheckOptions::default());
        let len: usize = shape.iter().product();
        let mut wanted = Vec::new();
        for i in (0..len).filter(|&i| error(i) != 0.0) {
            let (mut rest, mut at) = (i, vec![0; shape.len()]);
            for (coordinate, extent) in at.iter_mut().zip(&shape).rev() {
                (*coordinate, rest) = (rest % extent, rest / extent);
            }
            wanted.push(Probe::Element(at));
        }
        if wanted.is_empty() {
            prop_assert_eq!(checked.unwrap(), [Coverage::Full(len)]);
            return Ok(());
        }
        let found = found(checked);
        prop_assert_eq!(found.probes, len);
        prop_assert!(found.unjudged.is_empty());
        let worst = found.worst().unwrap().error();
        prop_assert!(found.wrong.iter().all(|one| one.error() <= worst));
        let places: Vec<Probe> = found.wrong.into_iter().map(|one| one.probe).collect();
        prop_assert_eq!(places, wanted);
    }
}

#[test]
fn the_worst_of_several_wrong_derivatives_is_named_and_a_nan_is_worse_than_any() {
    let derivative = |row, analytic| Derivative {
        input: 1,
        probe: Probe::Element(vec![row, 0]),
        analytic,
        numeric: 2.0,
    };
    let mut findings = Findings {
        probes: 9,
        wrong: vec![derivative(0, 3.0), derivative(1, -5.0), derivative(2, 2.5)],
        unjudged: vec![],
    };
    assert_eq!(
        findings.to_string(),
        "3 of 9 derivatives are wrong, worst at input 1, element [1, 0]: the derivative is -5, but central differences give 2"
    );
    findings.wrong.push(derivative(3, f64::NAN));
    assert_eq!(findings.worst().unwrap().probe, Probe::Element(vec![3, 0]));
}

#[test]
fn an_infinite_central_difference_is_never_taken_for_agreement() {
    if !has_f64() {
        return;
    }
    // One step up from here exp is no number of f64; the derivative is not 0.
    let exp = OnHost {
        value: |_, x: f64| x.exp(),
        slope: |_, _| 0.0,
    };
    let inputs = [(vec![0.0, 709.78271], vec![1, 2])];
    let apply = |tape: &Tape, v: &[Var]| tape.apply(exp, &[&v[0]]);
    let found = found(gradcheck(
        &client(),
        &inputs,
        apply,
        GradcheckOptions::default(),
    ));
    assert_eq!((found.wrong.len(), found.unjudged.len()), (1, 1), "{found}");
    assert_eq!(found.unjudged[0].probe, Probe::Element(vec![0, 1]));
    let said = found.to_string();
    assert!(
        said.starts_with("1 of 2 derivatives are wrong, worst at input 0, element [0, 0]: "),
        "{said}"
    );
    assert!(
        said.contains("; 1 of 2 derivatives cannot be judged, first at input 0, element [0, 1]: "),
        "{said}"
    );
}

#[test]
fn a_derivative_that_is_not_finite_is_wrong() {
    if !has_f64() {
        return;
    }
    for slope in [f64::NAN, f64::INFINITY] {
        let spoilt = square_with(move |_| slope);
        let inputs = [(vec![0.5], vec![1])];
        let apply = |tape: &Tape, v: &[Var]| tape.apply(spoilt, &[&v[0]]);
        let found = found(gradcheck(
            &client(),
            &inputs,
            apply,
            GradcheckOptions::default(),
        ));
        assert_eq!((found.wrong.len(), found.unjudged.len()), (1, 0), "{found}");
    }
}

#[test]
fn a_check_of_nothing_does_not_pass() {
    if !has_f64() {
        return;
    }
    let (client, options) = (client(), GradcheckOptions::default());
    let identity = |tape: &Tape, v: &[Var]| tape.apply(square_with(|_| 0.0), &[&v[0]]);
    let nothing = |tape: &Tape, v: &[Var]| tape.window(&v[0], 0, 0);
    let said = |checked: Result<Vec<Coverage>, GradcheckError>| checked.unwrap_err().to_string();
    assert_eq!(
        said(gradcheck(&client, &[input(1, &[2, 3])], nothing, options)),
        "nothing was probed: the output [2, 0] has no elements"
    );
    assert_eq!(
        said(gradcheck(&client, &[input(1, &[0, 3])], identity, options)),
        "nothing was probed: the output [0, 3] has no elements"
    );
    let constant = Tensor::zeros(&client, &[1], ghostlight_autodiff::DType::F64);
    let apart = |_: &Tape, _: &[Var]| Ok(Var::constant(constant.clone()));
    assert_eq!(
        said(gradcheck(&client, &[input(1, &[0, 3])], apart, options)),
        "nothing was probed: no input of [[0, 3]] has elements"
    );

    let refused = adjointness(&client, &[2, 3], 1, |tape, x| tape.window(x, 0, 0));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "nothing was probed: the output [2, 0] has no elements"
    );
    let refused = adjointness(&client, &[0], 1, |tape, x| tape.window(x, 0, 0));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "nothing was probed: the input [0] has no elements"
    );
}

#[test]
fn a_check_that_passes_says_how_far_it_looked() {
    if !has_f64() {
        return;
    }
    let inputs = [input(1, &[5]), input(2, &[0, 4])];
    let apply = |tape: &Tape, v: &[Var]| tape.apply(square_with(|_| 0.0), &[&v[0]]);
    let small = GradcheckOptions {
        full_up_to: 4,
        directions: 3,
        ..GradcheckOptions::default()
    };
    for (options, looked) in [
        (GradcheckOptions::default(), Coverage::Full(5)),
        (small, Coverage::Directions(3)),
    ] {
        let coverage = gradcheck(&client(), &inputs, apply, options).unwrap();
        assert_eq!(coverage, [looked, Coverage::Unprobed]);
    }
}

#[test]
fn options_that_would_probe_nothing_are_refused() {
    let options = GradcheckOptions::default();
    let said = |options| {
        let identity = |tape: &Tape, v: &[Var]| tape.apply(square_with(|_| 0.0), &[&v[0]]);
        let checked = gradcheck(&client(), &[input(1, &[2])], identity, options);
        checked.unwrap_err().to_string()
    };
    for (step, got) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN")] {
        assert_eq!(
            said(GradcheckOptions { step, ..options }),
            format!("gradcheck: step is {got}, wanted above 0")
        );
    }
    let tolerance = f64::INFINITY;
    assert_eq!(
        said(GradcheckOptions {
            tolerance,
            ..options
        }),
        "gradcheck: tolerance is inf, wanted 0 or above"
    );
    let directions = 0;
    assert_eq!(
        said(GradcheckOptions {
            directions,
            ..options
        }),
        "gradcheck: directions is 0, wanted 1 or more"
    );
}

#[test]
fn infinite_inner_products_are_no_adjoints() {
    if !has_f64() {
        return;
    }
    let overflow = OnHost {
        value: |_, x: f64| x / f64::MIN_POSITIVE * 1e9,
        slope: |_, _| 0.0,
    };
    let checked = adjointness(&client(), &[1], 1, |tape, x| tape.apply(overflow, &[x]));
    assert!(
        matches!(checked, Err(Mismatch::NotAdjoint { forward, .. }) if forward.is_infinite()),
        "{checked:?}"
    );
}
