//! Separable self-attention and its gradient over `f64` slices; `qkv` is `[s, tokens, 1 + 2 channels]`.

use crate::clamp::reference::{relu, relu_grad};
use crate::norm::softmax;

/// The softmax of a sample's queries, and the sum of its keys under it.
fn shares_and_context(sample: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let wide = 1 + 2 * channels;
    let queries: Vec<f64> = sample.chunks(wide).map(|token| token[0]).collect();
    let shares = softmax::reference::forward(&queries, queries.len());
    let mut context = vec![0.0; channels];
    for (token, share) in sample.chunks(wide).zip(&shares) {
        for (sum, key) in context.iter_mut().zip(&token[1..]) {
            *sum += share * key;
        }
    }
    (shares, context)
}

/// `[s, tokens, channels]`.
pub fn forward(qkv: &[f64], tokens: usize, channels: usize) -> Vec<f64> {
    let wide = 1 + 2 * channels;
    let mut out = Vec::new();
    for sample in qkv.chunks((tokens * wide).max(1)) {
        let (_, context) = shares_and_context(sample, channels);
        for token in sample.chunks(wide) {
            let values = token[1 + channels..].iter().zip(&context);
            out.extend(values.map(|(&value, context)| relu(value) * context));
        }
    }
    out
}

/// The gradient with respect to `qkv`, from `grad` `[s, tokens, channels]`.
pub fn backward(qkv: &[f64], grad: &[f64], tokens: usize, channels: usize) -> Vec<f64> {
    let wide = 1 + 2 * channels;
    let mut out = Vec::new();
    let samples = qkv.chunks((tokens * wide).max(1));
    for (sample, grad) in samples.zip(grad.chunks((tokens * channels).max(1))) {
        let (shares, context) = shares_and_context(sample, channels);
        let mut by_context = vec![0.0; channels];
        for (token, grad) in sample.chunks(wide).zip(grad.chunks(channels)) {
            for c in 0..channels {
                by_context[c] += grad[c] * relu(token[1 + channels + c]);
            }
        }
        let by_share = |token: &[f64]| -> f64 {
            let keys = token[1..=channels].iter().zip(&by_context);
            keys.map(|(key, by_context)| key * by_context).sum()
        };
        let by_shares: Vec<f64> = sample.chunks(wide).map(by_share).collect();
        let by_queries = softmax::reference::backward(&shares, &by_shares, tokens);
        for (i, (token, grad)) in sample.chunks(wide).zip(grad.chunks(channels)).enumerate() {
            out.push(by_queries[i]);
            out.extend(by_context.iter().map(|by_context| shares[i] * by_context));
            let values = token[1 + channels..].iter().zip(grad);
            out.extend(
                values
                    .zip(&context)
                    .map(|((&value, grad), context)| relu_grad(value, grad * context)),
            );
        }
    }
    out
}
