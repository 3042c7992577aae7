//! What a batch norm refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::norm::batch_norm::{
    BatchNorm, BatchNormProblem, backward, infer, infer_by, running_scale, train, train_into,
};
use ghostlight_kernels::{Clamp, DType, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

/// A layer of `channels` channels, all of it in order.
fn layer(channels: usize) -> BatchNorm {
    BatchNorm {
        gamma: of(&[channels]),
        beta: of(&[channels]),
        running_mean: of(&[channels]),
        running_var: of(&[channels]),
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

#[test]
fn refusals_come_in_the_documented_order() {
    let (x, residual) = (of(&[2, 3, 3, 4]), double(&[2, 3]));
    let refuse = |x: &Tensor, norm: &BatchNorm, residual: &Tensor| {
        let trained = train(x, norm, Some(residual), Clamp::Relu)
            .map(|(y, _)| y)
            .unwrap_err();
        assert_eq!(
            infer(x, norm, Some(residual), Clamp::Relu).unwrap_err(),
            trained
        );
        Err::<Tensor, _>(trained)
    };
    // Everything is wrong at first; each line repairs what the line before it was refused for.
    let mut norm = BatchNorm {
        gamma: double(&[5]),
        beta: double(&[5]),
        running_mean: double(&[5]),
        running_var: double(&[5]),
        epsilon: 0.0,
        momentum: 1.5,
    };
    assert_refuses_shape(refuse(&of(&[]), &norm, &residual), "x", &[]);
    assert_refuses_shape(
        refuse(&of(&[2, 3, 3, 0]), &norm, &residual),
        "x",
        &[2, 3, 3, 0],
    );
    for name in ["gamma", "beta", "running_mean", "running_var"] {
        let set = |norm: &mut BatchNorm, tensor: Tensor| match name {
            "gamma" => norm.gamma = tensor,
            "beta" => norm.beta = tensor,
            "running_mean" => norm.running_mean = tensor,
            _ => norm.running_var = tensor,
        };
        assert_refuses_shape(refuse(&x, &norm, &residual), name, &[5]);
        set(&mut norm, double(&[1, 4]));
        assert_refuses_shape(refuse(&x, &norm, &residual), name, &[1, 4]);
        set(&mut norm, double(&[4]));
        assert_refuses_dtype(refuse(&x, &norm, &residual), name, DType::F64);
        set(&mut norm, of(&[4]));
    }
    assert_refuses_shape(refuse(&x, &norm, &residual), "residual", &[2, 3]);
    assert_refuses_dtype(
        refuse(&x, &norm, &double(&[2, 3, 3, 4])),
        "residual",
        DType::F64,
    );
    assert_refuses_range(refuse(&x, &norm, &x), "epsilon", 0);
    norm.epsilon = 1e-5;
    assert_refuses_range(refuse(&x, &norm, &x), "momentum", 1.5);
    norm.momentum = 1.0;
    assert!(train(&x, &norm, Some(&x), Clamp::Relu).is_ok());
}

#[test]
fn numbers_out_of_range_are_refused_by_name_and_value() {
    let (x, good) = (of(&[2, 4]), layer(4));
    for epsilon in [0.0, -1e-5, f64::NAN, f64::INFINITY] {
        let norm = BatchNorm {
            epsilon,
            ..good.clone()
        };
        assert_refuses_range(infer(&x, &norm, None, Clamp::None), "epsilon", epsilon);
    }
    let norm = BatchNorm {
        epsilon: 1e-60,
        ..good.clone()
    };
    // Above 0, and none in 32 bits.
    assert_refuses_range(infer(&x, &norm, None, Clamp::None), "epsilon", 1e-60);
    for momentum in [-0.1, 1.0000001, f64::NAN, f64::NEG_INFINITY] {
        let norm = BatchNorm {
            momentum,
            ..good.clone()
        };
        assert_refuses_range(infer(&x, &norm, None, Clamp::None), "momentum", momentum);
    }
}

#[test]
fn a_scale_is_of_two_vectors_and_of_the_norm_that_it_is_for() {
    let scale =
        |gamma: &Tensor, variance: &Tensor, epsilon| running_scale(gamma, variance, epsilon);
    let half = Tensor::empty(&client(), &[4], DType::F16);
    let wrong = double(&[3]);
    assert_refuses_shape(scale(&of(&[2, 2]), &wrong, 0.0), "gamma", &[2, 2]);
    assert_refuses_shape(scale(&of(&[0]), &wrong, 0.0), "gamma", &[0]);
    assert_refuses_dtype(scale(&half, &wrong, 0.0), "gamma", DType::F16);
    let gamma = of(&[4]);
    assert_refuses_shape(scale(&gamma, &wrong, 0.0), "running_var", &[3]);
    assert_refuses_dtype(scale(&gamma, &double(&[4]), 0.0), "running_var", DType::F64);
    assert_refuses_range(scale(&gamma, &of(&[4]), 0.0), "epsilon", 0.0);
    let by = |x: &Tensor, scale: &Tensor| infer_by(x, &layer(4), scale, None, Clamp::None);
    assert_refuses_shape(by(&of(&[2, 3]), &wrong), "gamma", &[4]);
    assert_refuses_shape(by(&of(&[2, 4]), &wrong), "scale", &[3]);
    assert_refuses_dtype(by(&of(&[2, 4]), &double(&[4])), "scale", DType::F64);
}

#[test]
fn a_vector_takes_no_residual_of_rows() {
    let (x, norm) = (of(&[4]), layer(4));
    let train_into =
        |residual: &Tensor| train_into(&x, &norm, Some(residual), Clamp::Relu, &of(&[4]));
    assert_refuses_shape(train_into(&of(&[4, 4])), "residual", &[4, 4]);
    assert!(train_into(&of(&[4])).is_ok());
}

#[test]
fn a_refused_step_moves_no_statistics() {
    let norm = BatchNorm {
        momentum: 2.0,
        ..layer(4)
    };
    assert!(train(&of(&[2, 4]), &norm, None, Clamp::None).is_err());
    assert_eq!(norm.running_var.to_f32().unwrap(), [0.0; 4]);
}

#[test]
fn the_backward_pass_refuses_a_changed_layer_and_a_gradient_of_the_wrong_kind() {
    let (x, norm) = (of(&[2, 3, 3, 4]), layer(4));
    let (_, saved) = train(&x, &norm, None, Clamp::Relu).unwrap();
    let refuse =
        |norm: &BatchNorm, grad: &Tensor| backward(norm, saved.clone(), grad).map(|g| g.input);
    assert_refuses_shape(refuse(&layer(5), &double(&[2, 4])), "gamma", &[5]);
    assert_refuses_shape(refuse(&norm, &double(&[2, 4])), "grad", &[2, 4]);
    assert_refuses_dtype(refuse(&norm, &double(&[2, 3, 3, 4])), "grad", DType::F64);
    assert!(refuse(&norm, &x).is_ok());
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0, 1 => any::<f64>(), 1 => prop::num::f64::ANY]
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..4, 0..6)
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_shape_and_no_number_panics(
        x in shape(),
        residual in prop::option::of(shape()),
        gamma in 1usize..4,
        epsilon in number(),
        momentum in number(),
    ) {
        let norm = BatchNorm { epsilon, momentum, ..layer(gamma) };
        let residual = residual.map(|shape| of(&shape));
        match BatchNormProblem::new(&of(&x), &norm, residual.as_ref()) {
            Ok(problem) => {
                prop_assert_eq!(problem.pixels * problem.channels, x.iter().product::<usize>());
                prop_assert!(epsilon as f32 > 0.0 && (0.0..=1.0).contains(&momentum));
            }
            Err(error) => prop_assert!(error.to_string().starts_with("batch_norm: "), "{}", error),
        }
    }
}
