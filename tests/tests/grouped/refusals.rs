//! What a grouped convolution refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::conv::grouped::{
    ConvOptions, GroupedProblem, conv, grad_input, grad_weight,
};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::empty(&client(), shape, DType::F32)
}

fn options(stride: [usize; 2], padding: [usize; 2]) -> ConvOptions {
    ConvOptions { stride, padding }
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each line repairs what the line before it was refused for.
    let bad = options([0, 0], [9, 9]);
    let double = |channels| Tensor::empty(&client(), &[1025, 0, channels, 4], DType::F64);
    let of_rank_3 = of(&[2, 2, 6]);
    assert_refuses_shape(conv(&of_rank_3, &of(&[3, 3]), 0, bad), "input", &[2, 2, 6]);
    let x = of(&[1, 2, 2, 6]);
    assert_refuses_shape(conv(&x, &of(&[3, 3]), 0, bad), "weight", &[3, 3]);
    let window = double(8).window(0, 2).unwrap();
    let refused = conv(&x, &window, 0, bad).unwrap_err();
    assert!(
        matches!(
            refused,
            KernelError::Window {
                tensor: "weight",
                ..
            }
        ),
        "{refused}"
    );
    for groups in [0, 4, 3, usize::MAX] {
        assert_refuses_range(conv(&x, &double(2), groups, bad), "groups", groups);
    }
    assert_refuses_shape(conv(&x, &double(2), 2, bad), "weight", &[1025, 0, 2, 4]);
    assert_refuses_dtype(conv(&x, &double(3), 2, bad), "weight", DType::F64);
    assert_refuses_range(conv(&x, &of(&[1025, 0, 3, 4]), 2, bad), "kernel", 1025);
    assert_refuses_range(conv(&x, &of(&[5, 0, 3, 4]), 2, bad), "stride", 0);
    let bad = options([1024, 0], [9, 9]);
    assert_refuses_range(conv(&x, &of(&[5, 0, 3, 4]), 2, bad), "padding", 9);
    let bad = options([1024, 0], [1, 9]);
    assert_refuses_range(conv(&x, &of(&[5, 0, 3, 4]), 2, bad), "input", 2);
    // The vertical axis is in order now; the horizontal one is checked by the same rules.
    let bad = options([1024, 0], [2, 9]);
    assert_refuses_range(conv(&x, &of(&[5, 0, 3, 4]), 2, bad), "kernel", 0);
    assert_refuses_range(conv(&x, &of(&[5, 4, 3, 4]), 2, bad), "stride", 0);
    let good = options([1024, 1], [2, 1]);
    let y = conv(&x, &of(&[5, 4, 3, 4]), 2, good).unwrap();
    assert_eq!(y.shape(), [1, 1, 1, 4]);
}

#[test]
fn gradients_refuse_what_the_convolution_refuses_and_then_a_gradient_of_the_wrong_kind() {
    let (x, w, options) = (
        of(&[1, 4, 4, 6]),
        of(&[3, 3, 3, 2]),
        options([1, 1], [0, 0]),
    );
    let double = |shape: &[usize]| Tensor::empty(&client(), shape, DType::F64);
    let by_weight = |x: &Tensor, w: &Tensor, grad: &Tensor, groups, options| {
        grad_weight(x, w, grad, groups, options)
    };
    for gradient in [grad_input, by_weight] {
        let refused = gradient(&x, &of(&[3, 3, 4, 2]), &double(&[1, 2, 2]), 2, options);
        assert_refuses_shape(refused, "weight", &[3, 3, 4, 2]);
        for shape in [&[1, 2, 2][..], &[1, 2, 3, 2], &[2, 2, 2, 2], &[0, 2, 2, 2]] {
            assert_refuses_shape(gradient(&x, &w, &double(shape), 2, options), "grad", shape);
        }
        let refused = gradient(&x, &w, &double(&[1, 2, 2, 2]), 2, options);
        assert_refuses_dtype(refused, "grad", DType::F64);
        assert!(gradient(&x, &w, &of(&[1, 2, 2, 2]), 2, options).is_ok());
    }
}

#[test]
fn a_tensor_without_channels_is_refused() {
    let plain = ConvOptions::square(1, 0);
    for (x, w) in [([1, 4, 4, 0], [3, 3, 0, 2]), ([1, 4, 4, 6], [3, 3, 3, 0])] {
        assert_refuses_shape(conv(&of(&x), &of(&w), 2, plain), "weight", &w);
    }
}

/// Small numbers that mostly fit together, and the largest there are.
fn number() -> impl Strategy<Value = usize> {
    prop_oneof![16 => 0usize..5, 1 => any::<usize>(), 1 => Just(usize::MAX), 1 => 1020usize..1030]
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => prop::collection::vec(0usize..6, 0..6),
        8 => prop::collection::vec(0usize..4, 4),
    ]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(512))]

    #[test]
    fn no_shape_and_no_option_panics(
        x in shape(),
        w in shape(),
        groups in number(),
        stride in [number(), number()],
        padding in [number(), number()],
    ) {
        let result: Result<GroupedProblem, KernelError> =
            GroupedProblem::new(&of(&x), &of(&w), groups, options(stride, padding));
        match result {
            Ok(problem) => {
                prop_assert_eq!(problem.input_shape().to_vec(), x);
                prop_assert_eq!(problem.weight_shape().to_vec(), w);
                prop_assert!(problem.output().iter().all(|&side| side > 0));
            }
            Err(error) => prop_assert!(error.to_string().starts_with("grouped_conv: "), "{}", error),
        }
    }
}
