//! What an attention refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::attention::linear::{
    LinearAttentionProblem, backward, linear_attention, linear_attention_into,
};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    let good = of(&[2, 3, 12]);
    for head in [0, 65, usize::MAX] {
        assert_refuses_range(linear_attention(&of(&[7]), head, 0.0), "head", head);
    }
    for shape in [&[][..], &[12], &[2, 3, 13], &[2, 6, 6, 18]] {
        assert_refuses_shape(linear_attention(&of(shape), 4, 0.0), "qkv", shape);
    }
    for epsilon in [0.0, -1e-5, f64::NAN, f64::INFINITY, 1e-60] {
        assert_refuses_range(linear_attention(&good, 4, epsilon), "epsilon", epsilon);
    }
    let into = |y: &Tensor| linear_attention_into(&good, 4, 1e-5, y);
    assert_refuses_range(
        linear_attention_into(&good, 4, 0.0, &of(&[1])),
        "epsilon",
        0,
    );
    assert_refuses_shape(into(&double(&[2, 3, 12])), "y", &[2, 3, 12]);
    assert_refuses_dtype(into(&double(&[2, 3, 4])), "y", DType::F64);
    let shared = into(&good.window(8, 4).unwrap()).unwrap_err();
    let wanted = matches!(
        shared,
        KernelError::Overlap {
            tensor: "y",
            other: "qkv",
            ..
        }
    );
    assert!(wanted, "{shared}");
    assert!(into(&of(&[2, 3, 4])).is_ok());
    let back = |grad: &Tensor| backward(&good, grad, 4, 1e-5);
    assert_refuses_range(backward(&good, &of(&[1]), 4, 0.0), "epsilon", 0);
    assert_refuses_shape(back(&double(&[2, 3, 12])), "grad", &[2, 3, 12]);
    assert_refuses_dtype(back(&double(&[2, 3, 4])), "grad", DType::F64);
    assert!(back(&of(&[2, 3, 4])).is_ok());
}

#[test]
fn a_result_may_lie_beside_its_operand_in_one_tensor() {
    let whole = of(&[2, 3, 16]);
    let (qkv, y) = (whole.window(0, 12).unwrap(), whole.window(12, 4).unwrap());
    assert!(linear_attention_into(&qkv, 4, 1e-5, &y).is_ok());
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(256))]

    #[test]
    fn no_shape_and_no_number_panics(
        qkv in prop::collection::vec(0usize..8, 0..5),
        head in 0usize..4,
        epsilon in prop_oneof![4 => 0.0..1.0, 1 => prop::num::f64::ANY],
    ) {
        match LinearAttentionProblem::new(&of(&qkv), head, epsilon) {
            Ok(p) => {
                let elements = p.samples * p.tokens * p.groups * 3 * p.head;
                prop_assert_eq!(elements, qkv.iter().product::<usize>());
                prop_assert!(epsilon as f32 > 0.0 && p.head == head && head > 0);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("linear_attention: "), "{}", error),
        }
    }
}
