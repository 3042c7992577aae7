//! Batch norm, residual, ReLU and their gradients over `f64` slices `[m, c]`.

use crate::Clamp;
use crate::clamp::reference::{clamped, clamped_grad};

/// What a forward pass computes: the output and each channel's mean and biased variance.
pub struct Forward {
    /// `[m, c]`.
    pub output: Vec<f64>,
    /// `[c]`.
    pub mean: Vec<f64>,
    /// `[c]`.
    pub variance: Vec<f64>,
}

/// The affine map of one batch norm with what follows it.
pub struct Layer<'a> {
    /// Scale `[c]`.
    pub gamma: &'a [f64],
    /// Shift `[c]`.
    pub beta: &'a [f64],
    /// Added to the variance.
    pub epsilon: f64,
    /// Added before the activation, `[m, c]`.
    pub residual: Option<&'a [f64]>,
    /// What bounds the result.
    pub clamp: Clamp,
}

impl Layer<'_> {
    /// The output for given statistics (the running ones in inference).
    pub fn apply(&self, x: &[f64], mean: &[f64], variance: &[f64]) -> Vec<f64> {
        let c = self.gamma.len();
        let offset = |i: usize| {
            let (ch, residual) = (i % c, self.residual.map_or(0.0, |r| r[i]));
            let hat = (x[i] - mean[ch]) / (variance[ch] + self.epsilon).sqrt();
            let value = hat * self.gamma[ch] + self.beta[ch] + residual;
            clamped(value, self.clamp)
        };
        (0..x.len()).map(offset).collect()
    }

    /// The training forward pass: statistics of the batch, in two passes.
    pub fn forward(&self, x: &[f64]) -> Forward {
        let c = self.gamma.len();
        let m = (x.len() / c) as f64;
        let column = |ch: usize| x.iter().skip(ch).step_by(c);
        let mean: Vec<f64> = (0..c).map(|ch| column(ch).sum::<f64>() / m).collect();
        let variance: Vec<f64> = (0..c)
            .map(|ch| column(ch).map(|v| (v - mean[ch]).powi(2)).sum::<f64>() / m)
            .collect();
        Forward {
            output: self.apply(x, &mean, &variance),
            mean,
            variance,
        }
    }

    /// Gradients `(x, residual, gamma, beta)` from the output's gradient.
    pub fn backward(&self, x: &[f64], grad: &[f64]) -> [Vec<f64>; 4] {
        let c = self.gamma.len();
        let m = (x.len() / c) as f64;
        let forward = self.forward(x);
        let inv: Vec<f64> = forward
            .variance
            .iter()
            .map(|v| 1.0 / (v + self.epsilon).sqrt())
            .collect();
        let hat = |i: usize| (x[i] - forward.mean[i % c]) * inv[i % c];
        let before: Vec<f64> = (0..x.len())
            .map(|i| clamped_grad(forward.output[i], grad[i], self.clamp))
            .collect();
        let (mut gamma, mut beta) = (vec![0.0; c], vec![0.0; c]);
        for (i, g) in before.iter().enumerate() {
            gamma[i % c] += g * hat(i);
            beta[i % c] += g;
        }
        let input = (0..x.len())
            .map(|i| {
                let ch = i % c;
                self.gamma[ch] * inv[ch] * (before[i] - beta[ch] / m - hat(i) * gamma[ch] / m)
            })
            .collect();
        [input, before, gamma, beta]
    }
}
