//! The checking tools and the tape themselves: a tool that cannot fail proves nothing.

use super::operations::input;
use ghostlight_autodiff::check::{
    GradcheckError, GradcheckOptions, Mismatch, adjointness, gradcheck,
};
use ghostlight_autodiff::ops::{Conv, GlobalAverage};
use ghostlight_autodiff::{
    Cost, DType, Event, Function, Gradients, KernelError, Phase, Step, Tape, Tensor, Var,
};
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::pointwise::{add, fill};
use ghostlight_tests::{client, download, has_f64};
use std::cell::RefCell;
use std::rc::Rc;

/// `2 x`, whose backward pass passes on `grads` times the gradient that it got: right for 2.
struct Double {
    grads: usize,
}

impl Function for Double {
    type Saved = ();

    fn name(&self) -> &'static str {
        "double"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<Step<()>, KernelError> {
        let output = add(inputs[0], inputs[0])?;
        Ok(Step {
            output,
            saved: (),
            cost: Cost::default(),
        })
    }

    fn backward(&self, (): (), grad: &Tensor, _: &[bool]) -> Result<Gradients, KernelError> {
        let grad = if self.grads == 2 {
            add(grad, grad)?
        } else {
            grad.clone()
        };
        Ok(Gradients {
            inputs: vec![Some(grad)],
            cost: Cost::default(),
        })
    }
}

#[test]
fn a_gradient_that_lacks_a_factor_is_found_by_both_tools() {
    if !has_f64() {
        return;
    }
    let client = client();
    let inputs = [input(1, &[2, 3])];
    let apply = |grads| move |tape: &Tape, v: &[Var]| tape.apply(Double { grads }, &[&v[0]]);
    gradcheck(&client, &inputs, apply(2), GradcheckOptions::default()).unwrap();
    let wrong = gradcheck(&client, &inputs, apply(1), GradcheckOptions::default());
    assert!(
        matches!(&wrong, Err(GradcheckError::Derivatives(found)) if found.wrong.len() == 6),
        "{wrong:?}"
    );

    let linear = |grads| move |tape: &Tape, x: &Var| tape.apply(Double { grads }, &[x]);
    adjointness(&client, &[2, 3], 1, linear(2)).unwrap();
    let wrong = adjointness(&client, &[2, 3], 1, linear(1));
    assert!(
        matches!(wrong, Err(Mismatch::NotAdjoint { .. })),
        "{wrong:?}"
    );
}

#[test]
fn a_variable_used_twice_gets_the_sum_of_its_gradients() {
    if !has_f64() {
        return;
    }
    let client = client();
    let tape = Tape::new();
    let x = Tensor::from_f64(&client, &[1.0, 2.0], &[2], DType::F64).unwrap();
    let grad = Tensor::zeros(&client, &[2], DType::F64);
    let leaf = tape.leaf(&x, &grad).unwrap();
    let y = tape.apply(Double { grads: 2 }, &[&leaf]).unwrap();
    let z = tape.apply(Double { grads: 2 }, &[&leaf]).unwrap();
    let deep = tape.apply(Double { grads: 2 }, &[&z]).unwrap();
    tape.backward(&[(&y, 1.0), (&deep, 0.5)]).unwrap();
    assert_eq!(download(&grad), [4.0, 4.0]);
    assert!(tape.is_empty());
}

#[test]
fn gradients_are_added_to_what_a_leaf_already_holds() {
    let client = client();
    let x = Tensor::zeros(&client, &[3], DType::F32);
    let grad = Tensor::empty(&client, &[3], DType::F32);
    fill(&grad, 5.0);
    let tape = Tape::new();
    let y = tape
        .apply(Double { grads: 2 }, &[&tape.leaf(&x, &grad).unwrap()])
        .unwrap();
    tape.backward(&[(&y, 1.0)]).unwrap();
    assert_eq!(download(&grad), [7.0; 3]);
}

#[test]
fn what_needs_no_gradient_is_not_recorded_but_observed() {
    let client = client();
    let events = Rc::new(RefCell::new(Vec::<Event>::new()));
    let tape = Tape::observed(events.clone());
    let image = Var::constant(Tensor::zeros(&client, &[1, 4, 4, 3], DType::F32));
    let weight = Tensor::zeros(&client, &[3, 3, 3, 8], DType::F32);
    let conv = Conv {
        options: ConvOptions::square(1, 1),
    };
    let y = tape
        .apply(conv, &[&image, &Var::constant(weight.clone())])
        .unwrap();
    assert!(tape.is_empty() && !y.needs_grad());
    assert_eq!(events.borrow()[0].cost.macs, 16 * 8 * 27);

    let grad = Tensor::zeros(&client, weight.shape(), DType::F32);
    let leaf = tape.leaf(&weight, &grad).unwrap();
    let y = tape.apply(conv, &[&image, &leaf]).unwrap();
    let pooled = tape.apply(GlobalAverage, &[&y]).unwrap();
    tape.backward(&[(&pooled, 1.0)]).unwrap();
    let seen: Vec<_> = events
        .borrow()
        .iter()
        .map(|e| (e.op, e.phase, e.cost.macs))
        .collect();
    let macs = 16 * 8 * 27;
    assert_eq!(
        seen[1..],
        [
            ("conv", Phase::Forward, macs),
            ("global_average", Phase::Forward, 0),
            ("global_average", Phase::Backward, 0),
            // The image needs no gradient: only the weight's is computed.
            ("conv", Phase::Backward, macs),
        ]
    );
}

#[test]
fn a_leaf_whose_gradient_has_another_shape_is_refused() {
    let client = client();
    let (x, grad) = (
        Tensor::zeros(&client, &[3], DType::F32),
        Tensor::zeros(&client, &[4], DType::F32),
    );
    let refused = Tape::new().leaf(&x, &grad).unwrap_err().to_string();
    assert_eq!(refused, "leaf: grad has shape [4], wanted [3]");
}
