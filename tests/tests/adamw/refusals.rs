//! What a step refuses, in which order, and that nothing else stops it.

use super::OPTIONS;
use ghostlight_autodiff::AdamW;
use ghostlight_kernels::optim::adamw::{AdamWOptions, AdamWState, step};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{
    assert_exact, assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client, upload,
};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

fn run(
    params: &Tensor,
    [first, second, grads, decayed]: &[Tensor; 4],
    options: &AdamWOptions,
    number: u64,
) -> Result<(), KernelError> {
    step(
        AdamWState {
            params,
            first,
            second,
        },
        grads,
        decayed,
        options,
        number,
    )
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Everything is wrong at first; each line repairs what the line before it was refused for.
    let mut options = AdamWOptions {
        learning_rate: -0.1,
        beta1: 1.0,
        beta2: -0.5,
        epsilon: 0.0,
        weight_decay: -1.0,
    };
    let mut others = [0; 4].map(|_| double(&[5]));
    let window = of(&[2, 4]).window(1, 2).unwrap();
    let refused = run(&window, &others, &options, 0).unwrap_err();
    assert!(
        matches!(
            refused,
            KernelError::Window {
                tensor: "params",
                ..
            }
        ),
        "{refused}"
    );
    let params = of(&[4]);
    for (i, name) in ["first", "second", "grads", "decayed"]
        .into_iter()
        .enumerate()
    {
        assert_refuses_shape(run(&params, &others, &options, 0), name, &[5]);
        others[i] = double(&[4]);
        assert_refuses_dtype(run(&params, &others, &options, 0), name, DType::F64);
        others[i] = of(&[4]);
    }
    let refuse = |options: &AdamWOptions, number| run(&params, &others, options, number);
    assert_refuses_range(refuse(&options, 0), "learning_rate", -0.1);
    options.learning_rate = 0.0;
    assert_refuses_range(refuse(&options, 0), "beta1", 1);
    options.beta1 = 0.0;
    assert_refuses_range(refuse(&options, 0), "beta2", -0.5);
    options.beta2 = 0.0;
    assert_refuses_range(refuse(&options, 0), "epsilon", 0);
    options.epsilon = 1e-8;
    assert_refuses_range(refuse(&options, 0), "weight_decay", -1);
    options.weight_decay = 0.0;
    assert_refuses_range(refuse(&options, 0), "number", 0);
    assert!(refuse(&options, 1).is_ok());
}

#[test]
fn numbers_out_of_range_are_refused_by_name_and_value_and_move_nothing() {
    let params = upload(&[1.0, 2.0], &[2], DType::F32);
    let others = [0; 4].map(|_| params.clone());
    let refuse = |options| run(&params, &others, &options, 1);
    for value in [-1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert_refuses_range(
            refuse(AdamWOptions {
                learning_rate: value,
                ..OPTIONS
            }),
            "learning_rate",
            value,
        );
        assert_refuses_range(
            refuse(AdamWOptions {
                beta1: value,
                ..OPTIONS
            }),
            "beta1",
            value,
        );
        assert_refuses_range(
            refuse(AdamWOptions {
                beta2: value,
                ..OPTIONS
            }),
            "beta2",
            value,
        );
        assert_refuses_range(
            refuse(AdamWOptions {
                epsilon: value,
                ..OPTIONS
            }),
            "epsilon",
            value,
        );
        assert_refuses_range(
            refuse(AdamWOptions {
                weight_decay: value,
                ..OPTIONS
            }),
            "weight_decay",
            value,
        );
    }
    // Above 0, but 0 as f32.
    assert_refuses_range(
        refuse(AdamWOptions {
            epsilon: 1e-60,
            ..OPTIONS
        }),
        "epsilon",
        1e-60,
    );
    assert!(
        AdamWOptions {
            epsilon: 1e-60,
            ..OPTIONS
        }
        .check(DType::F64)
        .is_ok()
    );
    assert_exact("params", &params, &[1.0, 2.0]);
}

#[test]
fn a_refused_step_of_the_optimiser_is_not_counted() {
    let params = upload(&[1.0, 2.0], &[2], DType::F32);
    let mut optimiser = AdamW::new(&params);
    let bad = AdamWOptions {
        learning_rate: f64::NAN,
        ..OPTIONS
    };
    assert!(
        optimiser
            .step(&params, &params.clone(), &of(&[2]), &bad)
            .is_err()
    );
    assert_eq!(optimiser.steps(), 0);
    assert_refuses_shape(optimiser.restore([&of(&[3]), &of(&[2])], 7), "first", &[3]);
    assert_refuses_dtype(
        optimiser.restore([&of(&[2]), &double(&[2])], 7),
        "second",
        DType::F64,
    );
    assert_eq!(optimiser.steps(), 0);
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0, 1 => Just(0.0), 1 => prop::num::f64::ANY]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(128))]

    #[test]
    fn no_length_and_no_number_panics(
        lens in [0usize..3, 0usize..3, 0usize..3, 0usize..3, 0usize..3],
        numbers in [number(), number(), number(), number(), number()],
        step_number: u64,
    ) {
        let [params, others @ ..] = lens.map(|len| of(&[len]));
        let [learning_rate, beta1, beta2, epsilon, weight_decay] = numbers;
        let options = AdamWOptions { learning_rate, beta1, beta2, epsilon, weight_decay };
        if let Err(error) = run(&params, &others, &options, step_number) {
            prop_assert!(error.to_string().starts_with("adamw: "), "{}", error);
        }
    }
}
