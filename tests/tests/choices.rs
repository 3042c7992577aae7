//! What kernels may choose otherwise: every candidate of every knob computes the bits that the rule's choice does.

use ghostlight_kernels::conv::dense::{self, ConvOptions, Strategy as Way};
use ghostlight_kernels::conv::depthwise::{self, DepthwiseOptions};
use ghostlight_kernels::conv::grouped;
use ghostlight_kernels::matmul::gemm;
use ghostlight_kernels::tune::{watch, with};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{assert_same_bits, cases, dtypes, poison, reals, upload};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Runs `call` as the rules have it, and with one candidate, which `pick` chooses, of each choice that it makes; returns the kernels that chose.
fn assert_same_bits_however_chosen(pick: u64, call: impl Fn() -> Vec<Tensor>) -> BTreeSet<String> {
    let (by_rule, questions) = watch(&call);
    for question in &questions {
        let count = question.candidates.len() as u64;
        let Some(i) = pick.checked_rem(count) else {
            continue;
        };
        let sizes = &question.candidates[i as usize];
        for result in &by_rule {
            poison(result.dtype(), &[result.len()]);
        }
        let otherwise = with(&question.key, sizes, &call);
        assert_eq!(by_rule.len(), otherwise.len());
        for (a, b) in by_rule.iter().zip(&otherwise) {
            let what = format!("{}: {sizes} instead of {}", question.key, question.rule);
            assert_same_bits(&what, a, b);
        }
    }
    questions
        .into_iter()
        .map(|question| question.key.op)
        .collect()
}

fn tensor(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    upload(&reals(seed, shape.iter().product()), shape, dtype)
}

fn products([m, k, n]: [usize; 3], dtype: DType, pick: u64) -> BTreeSet<String> {
    let (a, b) = (tensor(1, &[m, k], dtype), tensor(2, &[k, n], dtype));
    let grad = tensor(3, &[m, n], dtype);
    assert_same_bits_however_chosen(pick, || {
        vec![
            gemm::gemm(&a, &b, None).expect("a product"),
            gemm::grad_a(&a, &b, &grad).expect("a gradient"),
            gemm::grad_b(&a, &b, &grad).expect("a gradient"),
        ]
    })
}

/// Images `[n, h, w, c]`, a square kernel, a stride and a multiplier.
fn depthwise(
    image: [usize; 4],
    [kernel, stride, multiplier]: [usize; 3],
    dtype: DType,
    pick: u64,
) -> BTreeSet<String> {
    let [_, _, _, c] = image;
    let options = DepthwiseOptions::square(stride, kernel / 2);
    let (x, weight) = (
        tensor(1, &image, dtype),
        tensor(2, &[kernel, kernel, c * multiplier], dtype),
    );
    let y = depthwise::depthwise(&x, &weight, None, options).expect("a convolution");
    let grad = tensor(3, y.shape(), dtype);
    assert_same_bits_however_chosen(pick, || {
        vec![
            depthwise::depthwise(&x, &weight, None, options).expect("a convolution"),
            depthwise::grad_input(&x, &weight, &grad, options).expect("a gradient"),
        ]
    })
}

/// Images `[n, h, w, c]`, output channels, a square kernel and a stride.
fn dense(
    image: [usize; 4],
    [channels, kernel, stride]: [usize; 3],
    way: Way,
    dtype: DType,
    pick: u64,
) -> BTreeSet<String> {
    let options = ConvOptions::square(stride, kernel / 2);
    let (x, weight) = (
        tensor(1, &image, dtype),
        tensor(2, &[kernel, kernel, image[3], channels], dtype),
    );
    let run = || dense::conv_by(way, &x, &weight, options, None).expect("a convolution");
    let grad = tensor(3, run().shape(), dtype);
    assert_same_bits_however_chosen(pick, || {
        let gradient = dense::grad_input_by(way, &x, &weight, &grad, options, None);
        vec![run(), gradient.expect("a gradient")]
    })
}

/// Images `[n, h, w, c]`, groups, a square kernel and a stride.
fn in_groups(
    image: [usize; 4],
    [groups, kernel, stride]: [usize; 3],
    dtype: DType,
    pick: u64,
) -> BTreeSet<String> {
    let [_, _, _, c] = image;
    let options = ConvOptions::square(stride, kernel / 2);
    let (x, weight) = (
        tensor(1, &image, dtype),
        tensor(2, &[kernel, kernel, c / groups, c], dtype),
    );
    let run = || grouped::conv(&x, &weight, groups, options).expect("a convolution");
    let grad = tensor(3, run().shape(), dtype);
    assert_same_bits_however_chosen(pick, || {
        let gradient = grouped::grad_input(&x, &weight, &grad, groups, options);
        vec![run(), gradient.expect("a gradient")]
    })
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn products_have_the_bits_of_the_rule(
        shape in [2usize..70, 1usize..40, 1usize..90],
        pick in any::<u64>(),
    ) {
        for dtype in dtypes() {
            products(shape, dtype, pick);
        }
    }

    #[test]
    fn depthwise_convolutions_have_the_bits_of_the_rule(
        image in [1usize..3, 2usize..12, 2usize..20, 1usize..40],
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        multiplier in prop::sample::select(vec![1usize, 1, 1, 2, 3]),
        pick in any::<u64>(),
    ) {
        depthwise(image, [kernel, stride, multiplier], DType::F32, pick);
    }

    #[test]
    fn dense_convolutions_have_the_bits_of_the_rule(
        image in [1usize..4, 2usize..12, 2usize..20, 1usize..24],
        channels in 1usize..100,
        kernel in prop::sample::select(vec![1usize, 3, 5]),
        stride in 1usize..3,
        pick in any::<u64>(),
    ) {
        for way in [Way::Auto, Way::Direct] {
            dense(image, [channels, kernel, stride], way, DType::F32, pick);
        }
    }

    #[test]
    fn grouped_convolutions_have_the_bits_of_the_rule(
        image in [1usize..3, 2usize..12, 2usize..20],
        group in 1usize..10,
        groups in 2usize..6,
        kernel in prop::sample::select(vec![1usize, 3, 5]),
        stride in 1usize..3,
        pick in any::<u64>(),
    ) {
        let [n, h, w] = image;
        in_groups([n, h, w, group * groups], [groups, kernel, stride], DType::F32, pick);
    }
}

/// A knob that nobody asks, or that has one value, would pass all of the above.
#[test]
fn every_knob_is_asked() {
    let f32 = DType::F32;
    let mut asked = products([40, 30, 50], f32, 1);
    asked.extend(depthwise([1, 8, 9, 16], [3, 1, 1], f32, 1));
    asked.extend(dense([1, 8, 9, 8], [16, 3, 1], Way::Direct, f32, 1));
    asked.extend(dense([2, 8, 9, 24], [80, 3, 1], Way::Direct, f32, 1));
    asked.extend(dense([4, 12, 12, 32], [32, 3, 1], Way::Auto, f32, 1));
    asked.extend(in_groups([1, 8, 9, 24], [3, 3, 1], f32, 1));
    let is_cpu = ghostlight_kernels::launch::is_cpu(&ghostlight_tests::client());
    let wanted: &[&str] = match is_cpu {
        true => &[
            "conv",
            "conv wide",
            "conv winograd",
            "depthwise",
            "gemm",
            "grouped",
        ],
        false => &["depthwise", "implicit"],
    };
    assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}
