//! What is not finite, launches, determinism and refusals.

use crate::values::{Operands, problem};
use ghostlight_kernels::attention::softmax::{
    AttentionGrads, AttentionOptions, attention, backward, packed,
};
use ghostlight_kernels::{DType, KernelError, Tensor, launch};
use ghostlight_tests::{
    Fingerprint, assert_launches, assert_refuses_dtype, assert_refuses_range, assert_refuses_shape,
    assert_same_bits, assert_same_bits_on_one_core, client, download, dtypes_with_exp,
};
use proptest::prelude::*;

#[test]
fn scores_of_ten_thousand_choose_one_value() {
    let problem = problem([1, 3, 1], [1, 2], None);
    let operands = Operands {
        q: vec![1e4, -1e4, 0.0],
        k: vec![-1.0, 1.0, 0.5],
        v: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        bias: Vec::new(),
        g: vec![1.0; 6],
    };
    for dtype in dtypes_with_exp() {
        let (out, grads) = operands.run(&problem, dtype);
        let out = download(&out);
        assert_eq!(out[..4], [3.0, 4.0, 1.0, 2.0]);
        // Where one key has all the probability, nothing is gained by another query.
        assert_eq!(download(&grads.q)[..2], [0.0, 0.0]);
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_sample_and_head() {
    // Two samples, two heads of two channels; five tokens.
    let problem = problem([2, 5, 2], [2, 2], None);
    for operand in 0..3 {
        let clean = Operands::draw(&problem, 1);
        let mut spoiled = Operands::draw(&problem, 1);
        let values = [&mut spoiled.q, &mut spoiled.k, &mut spoiled.v];
        // Sample 1, token 3, head 0, channel 1.
        values.into_iter().nth(operand).unwrap()[((5 + 3) * 2) * 2 + 1] = f64::NAN;
        for dtype in dtypes_with_exp() {
            let [got, before] =
                [&spoiled, &clean].map(|operands| download(&operands.run(&problem, dtype).0));
            for (i, (got, before)) in got.iter().zip(&before).enumerate() {
                let (channel, head, token, sample) = (i % 2, i / 2 % 2, i / 4 % 5, i / 20);
                let reached = sample == 1
                    && head == 0
                    && match operand {
                        0 => token == 3,
                        1 => true,
                        _ => channel == 1,
                    };
                assert_eq!(got.is_nan(), reached, "operand {operand}, element {i}");
                assert!(
                    got.is_nan() || got == before,
                    "operand {operand}, element {i}"
                );
            }
        }
    }
}

#[test]
fn launches_are_few_and_a_bias_takes_three_or_four_more() {
    let cached = if launch::is_cpu(&client()) {
        [[1, 1], [2, 4]]
    } else {
        [[3, 5], [4, 7]]
    };
    for (samples, dim, offsets, wanted) in [
        (3, 4, None, cached[0]),
        (3, 4, Some([2, 3]), cached[1]),
        // More than a core's caches hold.
        (1, 6000, None, [3, 5]),
        (1, 6000, Some([2, 3]), [4, 7]),
        (0, 4, None, [0, 0]),
        (0, 4, Some([2, 3]), [0, 1]),
    ] {
        let options = problem([samples, 6, 2], [dim, dim], offsets).options;
        let x = of(&[samples, 6, 2 * dim]);
        let bias = offsets.map(|_| Tensor::zeros(&client(), &[2, 6], DType::F32));
        let run = || attention(&x, &x, &x, bias.as_ref(), options).unwrap();
        let (out, saved) = assert_launches("attention", wanted[0], run);
        assert_launches("backward", wanted[1], || backward(saved, &out).unwrap());
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for (extents, dims, offsets) in [
        ([1, 130, 1], [16, 20], None),
        ([5, 49, 2], [16, 32], Some([7, 7])),
        ([64, 4, 4], [36, 36], None),
        ([1, 260, 1], [130, 128], Some([13, 20])),
    ] {
        let problem = problem(extents, dims, offsets);
        let operands = Operands::draw(&problem, 8);
        let [first, again] = [0, 1].map(|_| operands.run(&problem, DType::F32));
        let each = |(out, grads): (Tensor, AttentionGrads)| {
            [
                vec![out, grads.q, grads.k, grads.v],
                grads.bias.into_iter().collect(),
            ]
            .concat()
        };
        for (first, again) in each(first).iter().zip(&each(again)) {
            assert_same_bits("again", first, again);
            fingerprint.add(first);
        }
    }
    let name = "promises::repeated_launches_and_one_core_give_the_same_bits";
    assert_same_bits_on_one_core(name, &fingerprint);
}

fn of(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F32)
}

fn double(shape: &[usize]) -> Tensor {
    Tensor::zeros(&client(), shape, DType::F64)
}

#[test]
fn refusals_come_in_the_documented_order() {
    // Each line repairs what the line before it was refused for.
    let with = |scale, offsets| AttentionOptions {
        heads: 2,
        scale,
        offsets,
    };
    let nan = with(f64::NAN, None);
    let map = with(1.0, Some([3, 3]));
    let (bad, bias) = (double(&[5]), double(&[3]));
    let run = |q: &Tensor, k: &Tensor, v: &Tensor, bias, options| attention(q, k, v, bias, options);
    assert_refuses_range(run(&bad, &bad, &bad, None, nan), "scale", "NaN");
    assert_refuses_shape(run(&bad, &bad, &bad, None, map), "q", &[5]);
    let odd = of(&[4, 6, 7]);
    assert_refuses_shape(run(&odd, &bad, &bad, None, map), "q", &[4, 6, 7]);
    let none = of(&[4, 6, 0]);
    assert_refuses_shape(run(&none, &bad, &bad, None, map), "q", &[4, 6, 0]);
    let q = of(&[4, 6, 8]);
    assert_refuses_shape(run(&q, &bad, &bad, None, map), "k", &[5]);
    assert_refuses_dtype(
        run(&q, &double(&[4, 6, 8]), &bad, None, map),
        "k",
        DType::F64,
    );
    assert_refuses_shape(run(&q, &q, &bad, None, map), "v", &[5]);
    let short = double(&[4, 5, 10]);
    assert_refuses_shape(run(&q, &q, &short, None, map), "v", &[4, 5, 10]);
    let v = double(&[4, 6, 10]);
    assert_refuses_dtype(run(&q, &q, &v, None, map), "v", DType::F64);
    let v = of(&[4, 6, 10]);
    assert_refuses_range(run(&q, &q, &v, None, map), "bias", "none");
    let without = run(&q, &q, &v, Some(&bias), with(1.0, None));
    assert_refuses_range(without, "offsets", "none");
    let nine = "3 x 3 beside 6 tokens";
    assert_refuses_range(run(&q, &q, &v, Some(&bias), map), "offsets", nine);
    let map = with(1.0, Some([2, 3]));
    assert_refuses_shape(run(&q, &q, &v, Some(&bias), map), "bias", &[3]);
    let bias = double(&[2, 6]);
    assert_refuses_dtype(run(&q, &q, &v, Some(&bias), map), "bias", DType::F64);
    let (out, saved) = run(&q, &q, &v, Some(&of(&[2, 6])), map).unwrap();

    assert_refuses_shape(backward(saved.clone(), &double(&[3])), "grad", &[3]);
    let wrong = double(&[4, 6, 10]);
    assert_refuses_dtype(backward(saved.clone(), &wrong), "grad", DType::F64);
    assert!(backward(saved, &out).is_ok());

    assert_refuses_shape(packed(&of(&[2, 12]), 2), "qkv", &[2, 12]);
    assert_refuses_shape(packed(&of(&[1, 2, 14]), 2), "qkv", &[1, 2, 14]);
    assert_refuses_shape(packed(&of(&[1, 2, 9]), 2), "qkv", &[1, 2, 9]);
    assert!(packed(&of(&[1, 2, 12]), 2).is_ok());

    // No index reaches the probabilities.
    let many = of(&[1, 70_000, 2]);
    let error = attention(&many, &many, &many, None, with(1.0, None)).unwrap_err();
    let large = matches!(
        error,
        KernelError::TooLarge {
            tensor: "probabilities",
            ..
        }
    );
    assert!(large, "{error}");
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(40))]

    #[test]
    fn no_shape_panics(
        q in prop::collection::vec(0usize..4, 0..5),
        k in prop::collection::vec(0usize..4, 0..5),
        v in prop::collection::vec(0usize..4, 0..5),
        bias in prop::option::of(prop::collection::vec(0usize..4, 0..4)),
        offsets in prop::option::of((0usize..3, 0usize..3)),
        heads in 0usize..4,
    ) {
        let options = AttentionOptions { heads, scale: 1.0, offsets: offsets.map(|(h, w)| [h, w]) };
        let bias = bias.map(|shape| of(&shape));
        match attention(&of(&q), &of(&k), &of(&v), bias.as_ref(), options) {
            Ok((out, saved)) => prop_assert!(backward(saved, &out).is_ok()),
            Err(error) => prop_assert!(error.to_string().starts_with("attention: "), "{}", error),
        }
        if let Ok([q, ..]) = packed(&of(&q), heads) {
            prop_assert_eq!(3 * q.len(), q.pixels() * 3 * q.shape()[2]);
        }
    }
}
