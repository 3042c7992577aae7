//! What the tape refuses of operations and callers, and what it does with gradients that are shared, joined or windows.

use ghostlight_autodiff::ops::Conv;
use ghostlight_autodiff::{Cost, DType, Function, Gradients, KernelError, Step, Tape, Tensor, Var};
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::pointwise::add;
use ghostlight_tests::{client, download, integers, launches, upload};
use proptest::prelude::*;

/// The first input plus the second, when there is one; its backward pass returns whatever it is made to.
struct Sum<B>(B);

impl<B: Fn(&Tensor) -> Vec<Option<Tensor>> + 'static> Function for Sum<B> {
    type Saved = ();

    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<()>, KernelError> {
        let output = match inputs {
            [a, b] => add(a, b)?,
            _ => inputs[0].clone(),
        };
        Ok(Step {
            output,
            saved: (),
            cost: Cost::default(),
        })
    }

    fn backward(&self, (): (), grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        Ok(Gradients {
            inputs: (self.0)(grad),
            cost: Cost::default(),
        })
    }
}

/// The right sum of two inputs: both get the output's gradient, in one memory.
fn honest() -> Sum<impl Fn(&Tensor) -> Vec<Option<Tensor>>> {
    Sum(|grad: &Tensor| vec![Some(grad.clone()), Some(grad.clone())])
}

/// The right identity.
fn identity() -> Sum<impl Fn(&Tensor) -> Vec<Option<Tensor>>> {
    Sum(|grad: &Tensor| vec![Some(grad.clone())])
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

/// A leaf of zeros with its gradient.
fn leaf(tape: &Tape, shape: &[usize]) -> (Var, Tensor) {
    let grad = zeros(shape);
    (tape.leaf(&zeros(shape), &grad).unwrap(), grad)
}

/// What the tape says of a sum of a leaf and a constant, both `[2, 3]`, whose backward pass returns `grads`.
fn refusal(grads: impl Fn(&Tensor) -> Vec<Option<Tensor>> + 'static) -> String {
    let tape = Tape::new();
    let (x, grad) = leaf(&tape, &[2, 3]);
    let data = Var::constant(zeros(&[2, 3]));
    let y = tape.apply(Sum(grads), &[&x, &data]).unwrap();
    let refused = tape.backward(&[(&y, 1.0)]).expect_err("a wrong gradient");
    assert_eq!(
        download(&grad),
        [0.0; 6],
        "nothing reached the leaf: {refused}"
    );
    refused.to_string()
}

#[test]
fn a_gradient_that_is_missing_or_too_much_is_refused_by_name() {
    assert_eq!(
        refusal(|_| vec![]),
        "sum: the backward pass returned gradients of 0 inputs, wanted one gradient, or `None`, for each of 2"
    );
    assert_eq!(
        refusal(|grad| vec![Some(grad.clone())]),
        "sum: the backward pass returned gradients of 1 inputs, wanted one gradient, or `None`, for each of 2"
    );
    assert_eq!(
        refusal(|grad| vec![Some(grad.clone()), None, None]),
        "sum: the backward pass returned gradients of 3 inputs, wanted one gradient, or `None`, for each of 2"
    );
    assert_eq!(
        refusal(|_| vec![None, None]),
        "sum: the gradient of input 0 is missing, wanted the input's [2, 3] of F32"
    );
    assert_eq!(
        refusal(|grad| vec![Some(grad.clone()), Some(grad.clone())]),
        "sum: the gradient of input 1 is [2, 3] of F32, wanted none, as the input needs none"
    );
}

#[test]
fn a_gradient_of_another_element_type_is_refused() {
    let other = |_: &Tensor| {
        let other = Tensor::zeros(&client(), &[2, 3], DType::F16);
        vec![Some(other), None]
    };
    assert_eq!(
        refusal(other),
        "sum: the gradient of input 0 is [2, 3] of F16, wanted the input's [2, 3] of F32"
    );
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(24))]

    #[test]
    fn a_gradient_of_another_shape_is_refused(shape in prop::collection::vec(0usize..4, 0..4)) {
        prop_assume!(shape != [2, 3]);
        let wanted = format!("sum: the gradient of input 0 is {shape:?} of F32, wanted the input's [2, 3] of F32");
        let other = move |_: &Tensor| vec![Some(zeros(&shape)), None];
        prop_assert_eq!(refusal(other), wanted);
    }

    #[test]
    fn windows_of_a_leaf_get_their_own_channels_of_the_gradient(
        (pixels, cuts) in (0usize..5, prop::collection::vec(0usize..20, 1..5)),
        seed: u32,
    ) {
        // Windows side by side, some without channels, each through an operation of its own, joined again: an identity.
        let channels: usize = cuts.iter().sum();
        let tape = Tape::new();
        let (x, grad) = leaf(&tape, &[pixels, channels]);
        let mut start = 0;
        let mut parts = Vec::new();
        for &count in &cuts {
            let part = tape.window(&x, start, count).unwrap();
            parts.push(tape.apply(identity(), &[&part]).unwrap());
            start += count;
        }
        let whole = tape.join(x.tensor(), &parts.iter().collect::<Vec<_>>()).unwrap();
        let wanted = integers(seed.into(), pixels * channels);
        tape.backward_from(&[(&whole, upload(&wanted, &[pixels, channels], DType::F32))]).unwrap();
        prop_assert_eq!(download(&grad), wanted);
    }
}

#[test]
fn a_second_backward_is_refused() {
    let tape = Tape::new();
    let (x, grad) = leaf(&tape, &[3]);
    let y = tape.apply(identity(), &[&x]).unwrap();
    tape.backward(&[(&y, 1.0)]).unwrap();
    let refused = tape.backward(&[(&y, 1.0)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "backward: output 0 was recorded before the last backward pass, which used its record up, \
         wanted a variable of this tape's present pass, or a constant"
    );
    assert_eq!(download(&grad), [1.0; 3]);

    // A new pass does not take variables of the old one, also where it has a node of the same number.
    let (_, other) = leaf(&tape, &[3]);
    for refused in [
        tape.apply(identity(), &[&x]).err(),
        tape.window(&x, 0, 1).err(),
        tape.join(x.tensor(), &[&x]).err(),
        tape.backward(&[(&x, 1.0)]).err(),
    ] {
        let refused = refused.expect("it is used up").to_string();
        assert!(refused.contains(" 0 was recorded before"), "{refused}");
    }
    assert_eq!(tape.len(), 1);
    assert_eq!(download(&other), [0.0; 3]);
}

#[test]
fn a_variable_of_another_tape_is_refused_before_anything_runs() {
    let (ours, theirs) = (Tape::new(), Tape::new());
    let (x, own) = leaf(&ours, &[2, 3]);
    let (stranger, grad) = leaf(&theirs, &[2, 3]);
    let (refused, seen) = launches(|| {
        [
            ours.apply(honest(), &[&x, &stranger]).err(),
            ours.join(x.tensor(), &[&x, &stranger]).err(),
        ]
    });
    let said = refused.map(|refused| refused.expect("it is another's").to_string());
    let why = "1 was recorded by another tape, wanted a variable of this tape's present pass, or a constant";
    assert_eq!(
        said,
        [format!("sum: input {why}"), format!("join: part {why}")]
    );
    assert!(seen.is_empty(), "{seen:?}");

    assert!(ours.window(&stranger, 0, 1).is_err());
    let seed = || zeros(&[2, 3]);
    let refused = ours.backward_from(&[(&x, seed()), (&stranger, seed())]);
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("backward: output {why}")
    );

    // Neither tape is spoilt by it.
    ours.backward(&[(&x, 1.0)]).unwrap();
    theirs.backward(&[(&stranger, 2.0)]).unwrap();
    assert_eq!(
        (download(&own), download(&grad)),
        (vec![1.0; 6], vec![2.0; 6])
    );
}

#[test]
fn a_clone_of_a_tape_takes_its_variables() {
    let tape = Tape::new();
    let (x, grad) = leaf(&tape, &[2]);
    let y = tape.clone().apply(identity(), &[&x]).unwrap();
    tape.clone().backward(&[(&y, 1.0)]).unwrap();
    assert_eq!(download(&grad), [1.0; 2]);
    assert!(tape.backward(&[(&y, 1.0)]).is_err());
}

#[test]
fn a_backward_pass_without_anything_to_differentiate_is_refused() {
    let tape = Tape::new();
    let (x, grad) = leaf(&tape, &[2]);
    let constant = Var::constant(zeros(&[2]));
    let said = |outputs: &[(&Var, f64)]| tape.backward(outputs).unwrap_err().to_string();
    assert_eq!(
        said(&[]),
        "backward: the outputs are none, wanted one or more"
    );
    assert_eq!(
        said(&[(&x, 1.0), (&constant, 1.0)]),
        "backward: output 1 needs no gradient, wanted a variable that depends on a leaf of this tape"
    );
    assert_eq!(
        said(&[(&x, f64::NAN)]),
        "backward: weight is NaN, wanted a finite number"
    );
    for seed in [zeros(&[3]), Tensor::zeros(&client(), &[2], DType::F16)] {
        let refused = tape.backward_from(&[(&x, seed)]).unwrap_err().to_string();
        assert!(refused.starts_with("backward: seed "), "{refused}");
    }
    // Refused before anything happened: the pass is still there.
    tape.backward(&[(&x, 3.0)]).unwrap();
    assert_eq!(download(&grad), [3.0; 2]);
}

#[test]
fn a_gradient_that_two_inputs_share_is_not_overwritten() {
    // Both leaves get the seed in one memory; the second one's own use then adds to its part of it.
    let tape = Tape::new();
    let (a, grad_a) = leaf(&tape, &[4]);
    let (b, grad_b) = leaf(&tape, &[4]);
    let twice = tape.apply(identity(), &[&b]).unwrap();
    let sum = tape.apply(honest(), &[&a, &b]).unwrap();
    tape.backward(&[(&sum, 1.0), (&twice, 2.0)]).unwrap();
    assert_eq!(download(&grad_a), [1.0; 4]);
    assert_eq!(download(&grad_b), [3.0; 4]);
}

#[test]
fn a_convolution_beside_another_use_of_its_input_adds_to_its_gradient() {
    let tape = Tape::new();
    let shape = [1, 3, 3, 2];
    let (x, grad) = leaf(&tape, &shape);
    let weight = Var::constant(upload(&[1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2], DType::F32));
    let conv = Conv {
        options: ConvOptions::square(1, 0),
    };
    // The other use comes later, so that its gradient arrives first and is handed to the convolution's backward pass.
    let y = tape.apply(conv, &[&x, &weight]).unwrap();
    let other = tape.apply(identity(), &[&x]).unwrap();
    tape.backward(&[(&y, 1.0), (&other, 10.0)]).unwrap();
    let wanted = [13.0, 17.0].repeat(9);
    assert_eq!(download(&grad), wanted);
}
