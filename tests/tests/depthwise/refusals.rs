//! What a depthwise convolution refuses, in which order, and that nothing else stops it.

use ghostlight_kernels::conv::depthwise::{
    DepthwiseOptions, DepthwiseProblem, depthwise, depthwise_into, grad_input, grad_input_plus,
    grad_weight,
};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize]) -> Tensor {
    Tensor::empty(&client(), shape, DType::F32)
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each line repairs what the line before it was refused for.
    let mut o = DepthwiseOptions {
        stride: [0, 0],
        dilation: [0, 0],
        padding: [9, 9, 9, 9],
    };
    let run = |x: &Tensor, w: &Tensor, o| DepthwiseProblem::new(x, w, o);
    assert_refuses_shape(run(&of(&[2, 2, 3]), &of(&[3]), o), "x", &[2, 2, 3]);
    let x = of(&[1, 2, 2, 3]);
    assert_refuses_shape(run(&x, &of(&[3, 3]), o), "weight", &[3, 3]);
    let wide = of(&[32, 3, 8]).window(0, 4).unwrap();
    let refused = run(&x, &wide, o);
    assert!(matches!(refused, Err(KernelError::Window { .. })));
    for channels in [4, 0] {
        let w = of(&[32, 3, channels]);
        assert_refuses_shape(run(&x, &w, o), "weight", &[32, 3, channels]);
    }
    let double = Tensor::empty(&client(), &[32, 3, 6], DType::F64);
    assert_refuses_dtype(run(&x, &double, o), "weight", DType::F64);
    assert_refuses_range(run(&x, &of(&[32, 3, 6]), o), "kernel", 32);
    let w = of(&[4, 3, 6]);
    assert_refuses_range(run(&x, &w, o), "stride", 0);
    o.stride[0] = 1024;
    assert_refuses_range(run(&x, &w, o), "dilation", 0);
    o.dilation[0] = 2;
    assert_refuses_range(run(&x, &w, o), "padding", 9);
    o.padding[0] = 3;
    assert_refuses_range(run(&x, &w, o), "padding", 9);
    o.padding[1] = 1;
    assert_refuses_range(run(&x, &w, o), "input", 2);
    o.padding[1] = 6;
    // The vertical axis is in order now; the horizontal one is checked by the same rules.
    assert_refuses_range(run(&x, &w, o), "stride", 0);
    o.stride[1] = 1;
    assert_refuses_range(run(&x, &w, o), "dilation", 0);
    o.dilation[1] = 1;
    assert_refuses_range(run(&x, &w, o), "padding", 9);
    o.padding = [3, 6, 0, 0];
    assert_refuses_range(run(&x, &w, o), "input", 2);
    o.padding[3] = 1;
    assert_eq!(run(&x, &w, o).unwrap().output_shape(), [1, 1, 1, 6]);
}

#[test]
fn operands_of_another_kind_are_refused() {
    let o = DepthwiseOptions::square(1, 1);
    let (x, w) = (of(&[1, 4, 4, 3]), of(&[3, 3, 3]));
    let (four, wrong) = (of(&[4]), of(&[1, 4, 4, 4]));
    assert_refuses_shape(depthwise(&x, &w, Some(&four), o), "bias", &[4]);
    assert_refuses_shape(
        depthwise_into(&x, &w, None, o, &wrong),
        "out",
        &[1, 4, 4, 4],
    );
    let by_weight =
        |x: &Tensor, w: &Tensor, grad: &Tensor, options| grad_weight(x, w, grad, options);
    for gradient in [grad_input, by_weight] {
        assert_refuses_shape(gradient(&x, &w, &wrong, o), "grad", &[1, 4, 4, 4]);
    }
    let refused = grad_input_plus(&x, &w, &x, o, &wrong);
    assert_refuses_shape(refused, "plus", &[1, 4, 4, 4]);
}

/// Small numbers that mostly fit together, and the largest there are.
fn number() -> impl Strategy<Value = usize> {
    prop_oneof![16 => 0usize..5, 1 => any::<usize>(), 1 => Just(usize::MAX), 1 => 1020usize..1030]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(512))]

    #[test]
    fn no_shape_and_no_option_panics(
        x in prop::collection::vec(0usize..5, 3..6),
        w in prop::collection::vec(0usize..5, 2..5),
        stride in [number(), number()],
        dilation in [number(), number()],
        padding in [number(), number(), number(), number()],
    ) {
        let options = DepthwiseOptions { stride, dilation, padding };
        match DepthwiseProblem::new(&of(&x), &of(&w), options) {
            Ok(problem) => {
                prop_assert_eq!(problem.input_shape().to_vec(), x);
                prop_assert_eq!(problem.weight_shape().to_vec(), w);
                prop_assert!(problem.output().iter().all(|&side| side > 0));
            }
            Err(error) => prop_assert!(error.to_string().starts_with("depthwise: "), "{}", error),
        }
    }
}
