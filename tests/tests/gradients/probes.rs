//! What the checking tools look at: each test hides a fault in one place, where a tool that looks elsewhere would pass it.

use super::operations::input;
use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck, values};
use ghostlight_autodiff::{
    Cost, DType, Function, Gradients, KernelError, Sgd, Step, Tape, Tensor, Var,
};
use ghostlight_tests::{client, download, has_f64};
use std::cell::RefCell;

/// A map computed on the host, and what passes for the map of its gradients.
#[derive(Clone)]
struct Host<F, B> {
    map: F,
    back: B,
}

impl<F, B> Function for Host<F, B>
where
    F: Fn(&[f64]) -> Vec<f64> + 'static,
    B: Fn(&[f64]) -> Vec<f64> + 'static,
{
    type Saved = ();

    fn name(&self) -> &'static str {
        "host"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<()>, KernelError> {
        let x = inputs[0];
        let y = (self.map)(&x.to_f64()?);
        Ok(Step {
            output: Tensor::from_f64(x.client(), &y, x.shape(), x.dtype())?,
            saved: (),
            cost: Cost::default(),
        })
    }

    fn backward(&self, (): (), grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let back = (self.back)(&grad.to_f64()?);
        let back = Tensor::from_f64(grad.client(), &back, grad.shape(), grad.dtype())?;
        Ok(Gradients {
            inputs: vec![Some(back)],
            cost: Cost::default(),
        })
    }
}

/// Whether the gradient of `host` at six numbers is believed.
fn believed<F, B>(host: Host<F, B>, options: GradcheckOptions) -> bool
where
    F: Fn(&[f64]) -> Vec<f64> + Clone + 'static,
    B: Fn(&[f64]) -> Vec<f64> + Clone + 'static,
{
    let apply = |tape: &Tape, v: &[Var]| tape.apply(host.clone(), &[&v[0]]);
    gradcheck(&client(), &[input(1, &[6])], apply, options).is_ok()
}

/// The identity, whose gradient `back` is.
fn same(x: &[f64]) -> Vec<f64> {
    x.to_vec()
}

#[test]
fn test_values_are_those_of_splitmix64() {
    // Steele, Lea and Flood 2014, as the reference code of Vigna prints them.
    for (seed, words) in [
        (0, [0xe220_a839_7b1d_cdaf_u64, 0x6e78_9e6a_a1b9_65f4]),
        (
            1_234_567,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973],
        ),
    ] {
        let wanted = words.map(|word| (word >> 11) as f64 / (1u64 << 52) as f64 - 1.0);
        assert_eq!(values(seed, 2), wanted);
    }
    let many = values(3, 10_000);
    assert!(many.iter().all(|value| (-1.0..1.0).contains(value)));
    assert!((many.iter().sum::<f64>() / 1e4).abs() < 0.03);
}

#[test]
fn every_element_of_a_small_input_is_probed_by_itself() {
    if !has_f64() {
        return;
    }
    let options = GradcheckOptions {
        full_up_to: 6,
        directions: 1,
        ..GradcheckOptions::default()
    };
    assert!(believed(
        Host {
            map: same,
            back: same
        },
        options
    ));
    for (at, other) in (0..6).flat_map(|at| (0..6).map(move |other| (at, other))) {
        // Off by as much in two places, in opposite directions: no sum over the input shows it.
        let back = move |grad: &[f64]| {
            let mut back = grad.to_vec();
            back[at] += 1e-3;
            back[other] -= 1e-3;
            back
        };
        assert_eq!(believed(Host { map: same, back }, options), at == other);
    }
}

#[test]
fn a_large_input_is_probed_along_as_many_directions_as_were_asked_for_no_two_alike() {
    if !has_f64() {
        return;
    }
    let at = input(1, &[6]);
    let seen = RefCell::new(Vec::new());
    let apply = |tape: &Tape, v: &[Var]| {
        seen.borrow_mut().push(download(v[0].tensor()));
        let host = Host {
            map: same,
            back: same,
        };
        tape.apply(host, &[&v[0]])
    };
    let options = GradcheckOptions {
        full_up_to: 5,
        directions: 3,
        ..GradcheckOptions::default()
    };
    let checked = gradcheck(&client(), std::slice::from_ref(&at), apply, options);
    assert!(checked.is_ok());
    let mut moved = seen.into_inner();
    moved.retain(|values| *values != at.0);
    assert_eq!(moved.len(), 2 * 3, "there and back along each");
    moved.sort_by(|a, b| a[0].total_cmp(&b[0]));
    moved.dedup();
    assert_eq!(moved.len(), 2 * 3);
    let all_move = |values: &Vec<f64>| values.iter().zip(&at.0).all(|(a, b)| a != b);
    assert!(moved.iter().all(all_move));
}

#[test]
fn an_error_is_measured_by_the_larger_of_the_derivative_and_1() {
    if !has_f64() {
        return;
    }
    let options = GradcheckOptions::default();
    for (slope, error, fine) in [
        (1e6, 0.1, true),
        (1e6, 10.0, false),
        (1e-3, 1e-7, true),
        (1e-3, 1e-5, false),
    ] {
        let scaled = |by: f64| move |x: &[f64]| x.iter().map(|x| by * x).collect::<Vec<f64>>();
        let host = Host {
            map: scaled(slope),
            back: scaled(slope + error),
        };
        assert_eq!(believed(host, options), fine, "{slope} with {error} more");
    }
}

#[test]
fn a_gradient_that_is_no_number_is_not_believed() {
    if !has_f64() {
        return;
    }
    for value in [f64::NAN, f64::INFINITY] {
        let back = move |grad: &[f64]| vec![value; grad.len()];
        let host = Host { map: same, back };
        assert!(!believed(host, GradcheckOptions::default()), "{value}");
    }
}

#[test]
fn a_map_that_is_not_symmetric_is_no_adjoint_of_its_own() {
    if !has_f64() {
        return;
    }
    fn turn(by: usize) -> impl Fn(&[f64]) -> Vec<f64> + Clone {
        move |x: &[f64]| {
            let mut turned = x.to_vec();
            turned.rotate_left(by);
            turned
        }
    }
    // One way and back is right; twice the same way is what a transposition forgotten looks like.
    for (back, right) in [(5, true), (1, false)] {
        let host = Host {
            map: turn(1),
            back: turn(back),
        };
        let apply = move |tape: &Tape, x: &Var| tape.apply(host.clone(), &[x]);
        assert_eq!(adjointness(&client(), &[6], 1, apply).is_ok(), right);
    }
}

#[test]
fn a_velocity_of_other_parameters_is_refused() {
    let of = |len: usize, dtype| Tensor::zeros(&client(), &[len], dtype);
    let mut optimiser = Sgd::new(&of(4, DType::F32));
    assert!(optimiser.restore(&of(4, DType::F32)).is_ok());
    let refused = optimiser.restore(&of(5, DType::F32)).unwrap_err();
    assert!(refused.to_string().contains("velocity"), "{refused}");
    assert_eq!(optimiser.velocity().shape(), [4]);
}
