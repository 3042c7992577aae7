//! On the tape.

use crate::values::{Operands, problem};
use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck};
use ghostlight_autodiff::ops::Attention;
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{client, has_f64_exp, reals, upload};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(12))]

    #[test]
    fn gradients_are_derivatives_and_adjoints(
        (samples, heads) in (1usize..3, 1usize..3),
        [h, w] in [1usize..4, 1usize..4],
        (dim, dim_v) in (1usize..5, 1usize..5),
        bias: bool,
        seed: u32,
    ) {
        if !has_f64_exp() {
            return Ok(());
        }
        let offsets = bias.then_some([h, w]);
        let problem = problem([samples, h * w, heads], [dim, dim_v], offsets);
        let operands = Operands::draw(&problem, seed.into());
        let attention = Attention { heads, scale: problem.options.scale, offsets };
        let narrow = vec![samples, h * w, heads * dim];
        let wide = problem.output().to_vec();
        let mut inputs = vec![(operands.q, narrow.clone()), (operands.k, narrow), (operands.v, wide.clone())];
        if bias {
            inputs.push((operands.bias, vec![heads, h * w]));
        }
        let apply = |tape: &Tape, v: &[Var]| tape.apply(attention, &v.iter().collect::<Vec<_>>());
        gradcheck(&client(), &inputs, apply, GradcheckOptions::default())?;
        // It is linear in the values alone.
        let fixed: Vec<Var> = inputs
            .iter()
            .map(|(values, shape)| Var::constant(upload(values, shape, DType::F64)))
            .collect();
        adjointness(&client(), &wide, 5, |tape, v| {
            let mut inputs = vec![&fixed[0], &fixed[1], v];
            inputs.extend(fixed.get(3));
            tape.apply(attention, &inputs)
        })?;
    }

    #[test]
    fn gradients_of_one_packed_input_are_derivatives(
        (samples, heads, dim) in (1usize..3, 1usize..3, 1usize..5),
        [h, w] in [1usize..4, 1usize..4],
        bias: bool,
        seed: u32,
    ) {
        if !has_f64_exp() {
            return Ok(());
        }
        let offsets = bias.then_some([h, w]);
        let attention = Attention { heads, scale: 0.5, offsets };
        let (seed, shape) = (u64::from(seed), vec![samples, h * w, 3 * heads * dim]);
        let mut inputs = vec![(reals(seed, shape.iter().product()), shape)];
        if bias {
            inputs.push((reals(seed + 1, heads * h * w), vec![heads, h * w]));
        }
        let apply = |tape: &Tape, v: &[Var]| tape.apply(attention, &v.iter().collect::<Vec<_>>());
        gradcheck(&client(), &inputs, apply, GradcheckOptions::default())?;
    }
}

#[test]
fn inputs_that_are_neither_packed_nor_three_are_refused_by_number() {
    let tape = Tape::new();
    let x = Var::constant(Tensor::zeros(&client(), &[1, 4, 6], DType::F32));
    let without = Attention {
        heads: 1,
        scale: 1.0,
        offsets: None,
    };
    let with = Attention {
        offsets: Some([2, 2]),
        ..without
    };
    for (attention, inputs) in [
        (without, vec![&x; 2]),
        (without, vec![&x; 4]),
        (with, vec![&x; 3]),
    ] {
        let count = inputs.len();
        let Err(error) = tape.apply(attention, &inputs) else {
            panic!("{count} inputs were taken");
        };
        let contract = matches!(
            error,
            KernelError::Contract {
                op: "attention",
                ..
            }
        );
        assert!(
            contract && error.to_string().contains(&format!("are {count}")),
            "{error}"
        );
    }
}
