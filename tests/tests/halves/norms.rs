use super::{Draw, assert_rounded, assert_rounded_once, halves};
use ghostlight_kernels::attention::linear;
use ghostlight_kernels::attention::separable;
use ghostlight_kernels::attention::softmax::{
    self as softmax_attention, AttentionOptions, attention,
};
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm};
use ghostlight_kernels::norm::layer_norm::{self, Sample, layer_norm};
use ghostlight_kernels::norm::softmax;
use ghostlight_kernels::{Clamp, DType, Tensor};
use ghostlight_tests::{assert_refuses_dtype, client};
use proptest::prelude::*;

const CHANNELS: [usize; 6] = [1, 3, 16, 20, 36, 100];

fn channels() -> impl Strategy<Value = usize> {
    prop::sample::select(&CHANNELS[..])
}

fn norm(draw: &Draw, c: usize) -> BatchNorm {
    BatchNorm {
        gamma: draw.row(c),
        beta: draw.row(c),
        running_mean: draw.row(c),
        running_var: draw.positive_row(c),
        epsilon: 1e-3,
        momentum: 0.25,
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(5))]

    #[test]
    fn batch_norms(n in 0usize..4, pixels in 1usize..300, c in channels(), clamp in prop::sample::select(&Clamp::ALL[..])) {
        assert_rounded_once(|draw| {
            let (x, g) = (draw.stored(&[n, pixels, c]), draw.stored(&[n, pixels, c]));
            let norm = norm(draw, c);
            let inferred = batch_norm::infer(&x, &norm, None, clamp).unwrap();
            let (y, saved) = batch_norm::train(&x, &norm, None, clamp).unwrap();
            let grads = batch_norm::backward(&norm, saved, &g).unwrap();
            let mut results = vec![
                ("infer", inferred),
                ("y", y),
                ("gamma", grads.gamma),
                ("beta", grads.beta),
                ("running_mean", norm.running_mean.clone()),
                ("running_var", norm.running_var.clone()),
            ];
            if n > 0 {
                results.push(("x", grads.input));
            }
            results
        });
    }

    #[test]
    fn layer_norms(n in 0usize..20, pixels in 1usize..10, c in channels(), image: bool) {
        let sample = if image { Sample::Image } else { Sample::Pixel };
        assert_rounded_once(|draw| {
            let (x, g) = (draw.stored(&[n, pixels, c]), draw.stored(&[n, pixels, c]));
            let (gamma, beta) = (draw.row(c), draw.row(c));
            let (y, saved) = layer_norm(&x, &gamma, &beta, 1e-3, sample).unwrap();
            let grads = layer_norm::backward(&saved, &g).unwrap();
            vec![("y", y), ("x", grads.x), ("gamma", grads.gamma), ("beta", grads.beta)]
        });
    }

    #[test]
    fn separable_attentions(samples in 0usize..4, tokens in 1usize..40, channels in 1usize..50) {
        assert_rounded_once(|draw| {
            let qkv = draw.stored(&[samples, tokens, 1 + 2 * channels]);
            let g = draw.stored(&[samples, tokens, channels]);
            let (y, saved) = separable::separable_attention(&qkv).unwrap();
            vec![("y", y), ("qkv", separable::backward(&saved, &g).unwrap())]
        });
    }

    #[test]
    fn linear_attentions(n in 0usize..4, tokens in 1usize..80, groups in 1usize..4, head in 1usize..40) {
        assert_rounded_once(|draw| {
            let qkv = draw.stored(&[n, tokens, groups * 3 * head]);
            let g = draw.stored(&[n, tokens, groups * head]);
            vec![
                ("y", linear::linear_attention(&qkv, head, 0.125).unwrap()),
                ("qkv", linear::backward(&qkv, &g, head, 0.125).unwrap()),
            ]
        });
    }

    #[test]
    fn softmaxes(rows in 0usize..40, classes in 1usize..150) {
        assert_rounded_once(|draw| {
            let x = draw.scaled(&[rows, classes], 8.0);
            let (y, g) = (draw.stored(&[rows, classes]), draw.stored(&[rows, classes]));
            vec![
                ("softmax", softmax::softmax(&x).unwrap()),
                ("backward", softmax::backward(&y, &g).unwrap()),
            ]
        });
    }
}

#[test]
fn attention_keeps_its_scores_in_32_bits() {
    for (tokens, heads, offsets) in [(20, 4, None), (12, 2, Some([3, 4]))] {
        assert_rounded_once(|draw| {
            let options = AttentionOptions {
                heads,
                scale: 0.25,
                offsets,
            };
            let of = |channels| draw.scaled(&[3, tokens, heads * channels], 2.0);
            let (q, k, v, g) = (of(20), of(20), of(7), of(7));
            let bias = offsets.map(|_| draw.stored(&[heads, tokens]));
            let (out, saved) = attention(&q, &k, &v, bias.as_ref(), options).unwrap();
            let grads = softmax_attention::backward(saved, &g).unwrap();
            let all = vec![("out", out), ("q", grads.q), ("k", grads.k), ("v", grads.v)];
            let bias = grads.bias.map(|bias| ("bias", bias));
            all.into_iter().chain(bias).collect()
        });
    }
}

#[test]
fn a_batch_norm_with_a_residual() {
    // The residual's gradient is stored before that of the input is made of it.
    assert_rounded(2.0, |draw| {
        let (shape, c) = ([3, 50, 20], 20);
        let (x, residual, g) = (
            draw.stored(&shape),
            draw.stored(&shape),
            draw.stored(&shape),
        );
        let norm = norm(draw, c);
        let (y, saved) = batch_norm::train(&x, &norm, Some(&residual), Clamp::None).unwrap();
        let grads = batch_norm::backward(&norm, saved, &g).unwrap();
        vec![
            ("y", y),
            ("x", grads.input),
            ("residual", grads.residual.unwrap()),
        ]
    });
}

#[test]
fn what_belongs_to_a_channel_is_kept_in_32_bits() {
    for half in halves() {
        let empty = |shape: &[usize], dtype: DType| Tensor::empty(&client(), shape, dtype);
        let x = empty(&[2, 3], half);
        let norm = |dtype: DType| BatchNorm {
            gamma: empty(&[3], dtype),
            beta: empty(&[3], dtype),
            running_mean: empty(&[3], dtype),
            running_var: empty(&[3], dtype),
            epsilon: 1e-3,
            momentum: 0.1,
        };
        let refused = batch_norm::infer(&x, &norm(half), None, Clamp::None);
        assert_refuses_dtype(refused, "gamma", half);
        let (gamma, beta) = (empty(&[3], half), empty(&[3], DType::F32));
        let refused = layer_norm(&x, &gamma, &beta, 1e-3, Sample::Pixel);
        assert_refuses_dtype(refused, "gamma", half);
    }
}
