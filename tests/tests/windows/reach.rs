//! Tensors and scratches that 32-bit indices do not reach: refused by name, before memory is asked for.

use ghostlight_kernels::attention::linear::linear_attention;
use ghostlight_kernels::attention::partition::{PartitionKind, merge, partition};
use ghostlight_kernels::attention::separable::separable_attention;
use ghostlight_kernels::attention::softmax::{AttentionOptions, attention};
use ghostlight_kernels::conv::{dense, depthwise, grouped};
use ghostlight_kernels::matmul::batched::{BatchedOptions, Form, batched};
use ghostlight_kernels::matmul::gemm::{gemm, grad_bias};
use ghostlight_kernels::norm::{batch_norm, layer_norm, softmax};
use ghostlight_kernels::pointwise::activation::{
    Activation, activation, activation_into, backward,
};
use ghostlight_kernels::pointwise::{add, add_at, add_into, convert, fill, scale};
use ghostlight_kernels::pool::{adaptive_average, global_average, max};
use ghostlight_kernels::resize::bilinear::{Alignment, bilinear};
use ghostlight_kernels::{Clamp, DType, KernelError, Tensor};
use ghostlight_kernels::{launch, loss};
use ghostlight_tests::client;
use std::fmt::Debug;

fn empty(shape: &[usize]) -> Tensor {
    Tensor::empty(&client(), shape, DType::F32)
}

/// Asserts that `result` refuses `name` of `shape`, and says the way out.
fn assert_too_large<T: Debug>(result: Result<T, KernelError>, name: &str, shape: &[usize]) {
    let error = result.expect_err("what no index reaches is refused");
    let KernelError::TooLarge {
        tensor,
        shape: ref got,
        ..
    } = error
    else {
        panic!("{error:?}, wanted a refusal of {name}");
    };
    assert_eq!((tensor, got.as_slice()), (name, shape), "{error}");
    let said = format!("{name} {shape:?} is past the 4278190080 elements");
    let error = error.to_string();
    assert!(
        error.contains(&said) && error.contains("smaller"),
        "{error}"
    );
}

/// The second wraps to 0 elements, the third to 4; the last one has none, and strides past all memory.
const BEYOND: [&[usize]; 5] = [
    &[1 << 16, 1 << 16],
    &[1 << 32, 1 << 32],
    &[(1 << 62) + 1, 4],
    &[usize::MAX, usize::MAX],
    &[0, 1 << 40],
];

#[test]
fn operations_refuse_operands_that_no_index_reaches() {
    for shape in BEYOND {
        let (x, small) = (empty(shape), empty(&[2, 2]));
        assert_too_large(add(&x, &x), "a", shape);
        assert_too_large(add_into(&x, &x), "into", shape);
        assert_too_large(add_into(&small, &x), "add", shape);
        assert_too_large(convert(&x, DType::F32), "x", shape);
        assert_too_large(scale(&x, &empty(&[1])), "x", shape);
        assert_too_large(activation_into(&x, Activation::Relu, &x), "x", shape);
        assert_too_large(backward(&x, &x, Activation::Relu), "x", shape);
        assert_too_large(gemm(&x, &small, None), "a", shape);
        assert_too_large(gemm(&small, &x, None), "b", shape);
        assert_too_large(grad_bias(&x), "grad", shape);
        assert_too_large(softmax::softmax(&x), "x", shape);
        let (product, one_head) = (
            BatchedOptions {
                heads: 1,
                form: Form::Plain,
                alpha: 1.0,
            },
            AttentionOptions {
                heads: 1,
                scale: 1.0,
                offsets: None,
            },
        );
        let tokens = empty(&[1, 2, 2]);
        assert_too_large(batched(&x, &tokens, product), "a", shape);
        assert_too_large(batched(&tokens, &x, product), "b", shape);
        assert_too_large(attention(&x, &tokens, &tokens, None, one_head), "q", shape);
        assert_too_large(separable_attention(&x).map(|(out, _)| out), "qkv", shape);
        let kind = PartitionKind::Grid;
        assert_too_large(partition(&x, kind, [2, 2]), "x", shape);
        assert_too_large(merge(&x, kind, [2, 2], [4, 4]), "tokens", shape);
        assert_too_large(linear_attention(&x, 1, 1e-5), "qkv", shape);
        let one = empty(&[1]);
        let normed = layer_norm::layer_norm(&x, &one, &one, 1e-5, layer_norm::Sample::Image);
        assert_too_large(normed, "x", shape);
        let norm = batch_norm::BatchNorm {
            gamma: one.clone(),
            beta: one.clone(),
            running_mean: empty(&[1]),
            running_var: empty(&[1]),
            epsilon: 1e-5,
            momentum: 0.1,
        };
        assert_too_large(batch_norm::infer(&x, &norm, None, Clamp::None), "x", shape);
        let distilled = loss::kd::kd(&x, &x, &Default::default());
        assert_too_large(distilled, "student", shape);
        assert_too_large(x.window(0, 1), "self", shape);
        assert_too_large(x.slice(0, &[1]), "self", shape);
        assert_too_large(x.reshape(&[4]), "self", shape);
        assert_too_large(x.to_f64(), "self", shape);
        // What cannot refuse touches nothing, and nobody takes what it made.
        fill(&x, 1.0);
        assert_too_large(activation(&x, Activation::Relu).to_f32(), "self", shape);
        Tensor::zeros(&client(), shape, DType::F32);
    }
    let shape = [1 << 12, 1 << 10, 1 << 10, 3];
    let (x, small) = (empty(&shape), empty(&[3, 3, 3, 8]));
    let options = dense::ConvOptions::square(1, 1);
    assert_too_large(dense::conv(&x, &small, options), "input", &shape);
    assert_too_large(global_average::global_average(&x), "x", &shape);
    let pooled = max::max_pool(&x, max::MaxPoolOptions::square(2, 2, 0));
    assert_too_large(pooled, "x", &shape);
}

#[test]
fn operations_refuse_results_that_no_index_reaches() {
    let (column, row) = (empty(&[1 << 16, 1]), empty(&[1, 1 << 16]));
    assert_too_large(gemm(&column, &row, None), "product", &[1 << 16, 1 << 16]);
    let images = empty(&[1 << 16, 1, 1, 1]);
    let output = [1 << 16, 1, 1, 1 << 16];
    let weight = empty(&[1, 1, 1, 1 << 16]);
    let options = dense::ConvOptions::square(1, 0);
    assert_too_large(dense::conv(&images, &weight, options), "output", &output);
    let convolved = grouped::conv(&images, &weight, 1, options);
    assert_too_large(convolved, "output", &output);
    let filters = weight.reshape(&[1, 1, 1 << 16]).unwrap();
    let each = depthwise::DepthwiseOptions::square(1, 0);
    let convolved = depthwise::depthwise(&images, &filters, None, each);
    assert_too_large(convolved, "out", &output);
    let pixel = empty(&[1, 1, 1, 8]);
    let large = [32_767, 32_767];
    let output = [1, 32_767, 32_767, 8];
    assert_too_large(bilinear(&pixel, large, Alignment::Corners), "y", &output);
    let pooled = adaptive_average::adaptive_average(&pixel, large);
    assert_too_large(pooled, "y", &output);
    assert_too_large(
        add_at(None, &empty(&[2, 1]), 0, 1 << 32),
        "result",
        &[2, 1 << 32],
    );
}

#[test]
fn a_scratch_that_no_index_reaches_is_refused() {
    if !launch::is_cpu(&client()) {
        // A GPU takes no scratch for this.
        return;
    }
    // A unit's scratch has every row and column between eight rows of eight outputs, 1,024 apart.
    let (x, weight) = (empty(&[1, 7169, 1, 128]), empty(&[1, 1, 128, 1]));
    let options = dense::ConvOptions::square(1024, 0);
    let convolved = dense::conv(&x, &weight, options);
    assert!(
        matches!(
            convolved,
            Err(KernelError::TooLarge {
                tensor: "scratch",
                ..
            })
        ),
        "{convolved:?}"
    );
}

#[test]
fn values_do_not_fill_a_shape_whose_product_wraps() {
    let (client, none) = (client(), &[] as &[f32]);
    let wrapped = Tensor::from_f32(&client, none, &[1 << 32, 1 << 32]);
    assert!(
        matches!(wrapped, Err(KernelError::Shape { .. })),
        "{wrapped:?}"
    );
    assert_too_large(
        Tensor::from_f32(&client, none, &[0, 1 << 40]),
        "values",
        &[0, 1 << 40],
    );
    let four = Tensor::from_f32(&client, &[0.0; 4], &[4]).unwrap();
    let wrapped = four.reshape(&[(1 << 62) + 1, 4]);
    assert!(
        matches!(wrapped, Err(KernelError::Shape { .. })),
        "{wrapped:?}"
    );
    let wrapped = four.slice(0, &[(1 << 62) + 1, 4]);
    assert!(
        matches!(wrapped, Err(KernelError::Shape { .. })),
        "{wrapped:?}"
    );
}
