//! What the poolings refuse, in which order, and that nothing else stops them.

use ghostlight_kernels::pool::adaptive_average::{self, AdaptiveAverageProblem, adaptive_average};
use ghostlight_kernels::pool::average::{
    self, AveragePoolOptions, AveragePoolProblem, average_pool,
};
use ghostlight_kernels::pool::max::{self, MaxPoolOptions, MaxPoolProblem, max_pool};
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::{assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, client};
use proptest::prelude::*;

fn of(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::empty(&client(), shape, dtype)
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each step repairs what the one before it was refused for, on the vertical axis first.
    let mut bad = MaxPoolOptions {
        kernel: [0, 1025],
        stride: [0, 0],
        padding: [3, 9],
        dilation: [0, 1025],
        ceil_mode: false,
    };
    for shape in [
        &[4, 4, 3][..],
        &[2, 0, 4, 3],
        &[2, 4, 32_768, 3],
        &[2, 4, 4, 0],
    ] {
        // Tensors of the largest side are never allocated: their problem is refused.
        if shape.len() == 4 {
            let shape = [shape[0], shape[1], shape[2], shape[3]];
            assert_refuses_shape(MaxPoolProblem::new(shape, DType::F32, bad), "x", &shape);
        } else {
            assert_refuses_shape(max_pool(&of(shape, DType::F32), bad), "x", shape);
        }
    }
    let x = of(&[2, 4, 5, 3], DType::F32);
    for axis in 0..2 {
        let (kernel, size) = ([0, 1025][axis], [4, 5][axis]);
        assert_refuses_range(max_pool(&x, bad), "kernel", kernel);
        bad.kernel[axis] = 5;
        assert_refuses_range(max_pool(&x, bad), "stride", 0);
        bad.stride[axis] = 1024;
        assert_refuses_range(max_pool(&x, bad), "padding", [3, 9][axis]);
        bad.padding[axis] = 2;
        assert_refuses_range(max_pool(&x, bad), "dilation", [0, 1025][axis]);
        bad.dilation[axis] = 1024;
        assert_refuses_range(max_pool(&x, bad), "dilation", 1024);
        bad.dilation[axis] = 1023;
        assert_refuses_range(max_pool(&x, bad), "input", size);
        bad.dilation[axis] = 1;
    }
    assert_eq!(max_pool(&x, bad).unwrap().shape(), [2, 1, 1, 3]);
}

#[test]
fn averages_refuse_what_no_window_fits_on_and_sizes_that_cannot_be() {
    let x = of(&[2, 4, 5, 3], DType::F32);
    let square = AveragePoolOptions::square;
    assert_refuses_range(average_pool(&x, square(0, 1, 0)), "kernel", 0);
    assert_refuses_range(average_pool(&x, square(2, 0, 0)), "stride", 0);
    assert_refuses_range(average_pool(&x, square(2, 1, 2)), "padding", 2);
    assert_refuses_range(average_pool(&x, square(5, 1, 0)), "input", 4);
    assert_refuses_shape(
        average_pool(&of(&[2, 4, 3], DType::F32), square(0, 0, 0)),
        "x",
        &[2, 4, 3],
    );
    assert_refuses_shape(
        adaptive_average(&of(&[2, 4, 3], DType::F32), [0, 0]),
        "x",
        &[2, 4, 3],
    );
    assert_refuses_shape(adaptive_average(&x, [0, 2]), "output", &[2, 0, 2, 3]);
    assert_refuses_shape(
        adaptive_average(&x, [2, 32_768]),
        "output",
        &[2, 2, 32_768, 3],
    );
}

#[test]
fn gradients_of_the_wrong_kind_are_refused() {
    let x = of(&[2, 4, 6, 3], DType::F32);
    let pooled = [2, 2, 3, 3];
    let options = MaxPoolOptions::square(2, 2, 0);
    let (_, winners) = max::train(&x, options).unwrap();
    let means = AveragePoolOptions::square(2, 2, 0);
    let means = AveragePoolProblem::new([2, 4, 6, 3], DType::F32, means).unwrap();
    let bins = AdaptiveAverageProblem::new([2, 4, 6, 3], DType::F32, [2, 3]).unwrap();
    let backward = |grad: &Tensor| {
        [
            max::backward(&winners, grad),
            average::backward(&means, grad),
            adaptive_average::backward(&bins, grad),
        ]
    };
    for shape in [&[2, 2, 3][..], &[2, 3, 3, 3], &[2, 4, 6, 3]] {
        for refused in backward(&of(shape, DType::F64)) {
            assert_refuses_shape(refused, "grad", shape);
        }
    }
    for refused in backward(&of(&pooled, DType::F64)) {
        assert_refuses_dtype(refused, "grad", DType::F64);
    }
    for accepted in backward(&of(&pooled, DType::F32)) {
        assert_eq!(accepted.unwrap().shape(), x.shape());
    }
}

/// Small numbers that mostly fit together, and the largest there are.
fn number() -> impl Strategy<Value = usize> {
    prop_oneof![16 => 0usize..6, 1 => any::<usize>(), 1 => Just(usize::MAX), 1 => 1020usize..1030]
}

fn shape() -> impl Strategy<Value = [usize; 4]> {
    let extent = || prop_oneof![12 => 0usize..9, 1 => any::<usize>(), 1 => 32_760usize..32_770];
    [extent(), extent(), extent(), extent()]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(512))]

    #[test]
    fn no_shape_and_no_option_panics(
        input in shape(),
        [kernel, stride, padding, dilation] in [[number(), number()], [number(), number()], [number(), number()], [number(), number()]],
        ceil_mode in any::<bool>(),
    ) {
        let options = MaxPoolOptions { kernel, stride, padding, dilation, ceil_mode };
        let means = AveragePoolOptions { kernel, stride, padding, ceil_mode, count_include_pad: true };
        let dtype = DType::F64;
        let results: [(Result<[usize; 4], KernelError>, &str); 3] = [
            (MaxPoolProblem::new(input, dtype, options).map(|p| p.output_shape()), "max_pool: "),
            (AveragePoolProblem::new(input, dtype, means).map(|p| p.output_shape()), "average_pool: "),
            (AdaptiveAverageProblem::new(input, dtype, kernel).map(|p| p.output_shape()), "adaptive_average: "),
        ];
        for (result, op) in results {
            match result {
                Ok([n, oh, ow, c]) => {
                    prop_assert_eq!([n, c], [input[0], input[3]]);
                    prop_assert!(oh > 0 && ow > 0);
                }
                Err(error) => prop_assert!(error.to_string().starts_with(op), "{}", error),
            }
        }
    }
}
