//! What a step refuses, in which order, and that nothing else stops it.

use super::PLAIN;
use ghostlight_kernels::optim::sgd::{SgdOptions, step};
use ghostlight_kernels::{DType, Tensor};
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

#[test]
fn refusals_come_in_the_documented_order() {
    // Everything is wrong at first; each line repairs what the line before it was refused for.
    let mut options = SgdOptions {
        learning_rate: -0.1,
        momentum: 1.0,
        weight_decay: -1.0,
        nesterov: true,
    };
    let (params, mut others) = (of(&[4]), [double(&[5]), double(&[5]), double(&[5])]);
    for (i, name) in ["grads", "velocity", "decayed"].into_iter().enumerate() {
        let refuse = |[grads, velocity, decayed]: &[Tensor; 3]| {
            step(&params, grads, velocity, decayed, &options)
        };
        assert_refuses_shape(refuse(&others), name, &[5]);
        others[i] = double(&[4, 1]);
        assert_refuses_shape(refuse(&others), name, &[4, 1]);
        others[i] = double(&[4]);
        assert_refuses_dtype(refuse(&others), name, DType::F64);
        others[i] = of(&[4]);
    }
    let refuse = |options: &SgdOptions| step(&params, &others[0], &others[1], &others[2], options);
    assert_refuses_range(refuse(&options), "learning_rate", -0.1);
    options.learning_rate = 0.0;
    assert_refuses_range(refuse(&options), "momentum", 1);
    options.momentum = 0.0;
    assert_refuses_range(refuse(&options), "weight_decay", -1);
    options.weight_decay = 0.0;
    assert_refuses_range(refuse(&options), "momentum", 0);
    options.nesterov = false;
    assert!(refuse(&options).is_ok());
}

#[test]
fn numbers_out_of_range_are_refused_by_name_and_value_and_move_nothing() {
    let params = upload(&[1.0, 2.0], &[2], DType::F32);
    let refuse = |options| step(&params, &params, &params, &params, &options);
    // The last is a number, and none in 32 bits.
    for value in [-1e-9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        let learning_rate = SgdOptions {
            learning_rate: value,
            ..PLAIN
        };
        assert_refuses_range(refuse(learning_rate), "learning_rate", value);
        assert_refuses_range(
            refuse(SgdOptions {
                momentum: value,
                ..PLAIN
            }),
            "momentum",
            value,
        );
        let weight_decay = SgdOptions {
            weight_decay: value,
            ..PLAIN
        };
        assert_refuses_range(refuse(weight_decay), "weight_decay", value);
    }
    assert_refuses_range(
        refuse(SgdOptions {
            momentum: 1.5,
            ..PLAIN
        }),
        "momentum",
        1.5,
    );
    assert_exact("params", &params, &[1.0, 2.0]);
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0, 1 => Just(0.0), 1 => prop::num::f64::ANY]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(128))]

    #[test]
    fn no_length_and_no_number_panics(
        lens in [0usize..3, 0usize..3, 0usize..3, 0usize..3],
        (learning_rate, momentum, weight_decay) in (number(), number(), number()),
        nesterov: bool,
    ) {
        let [params, grads, velocity, decayed] = lens.map(|len| of(&[len]));
        let options = SgdOptions { learning_rate, momentum, weight_decay, nesterov };
        if let Err(error) = step(&params, &grads, &velocity, &decayed, &options) {
            prop_assert!(error.to_string().starts_with("sgd: "), "{}", error);
        }
    }
}
