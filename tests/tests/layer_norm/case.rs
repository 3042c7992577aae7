use ghostlight_kernels::norm::layer_norm::{
    LayerNormGrads, Sample, backward, layer_norm, reference,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{naive, poison, reals, upload};
use proptest::prelude::*;

/// A norm with its operands, on the host.
#[derive(Clone, Debug)]
pub struct Case {
    pub shape: Vec<usize>,
    pub sample: Sample,
    pub x: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub grad: Vec<f64>,
    pub epsilon: f64,
}

pub const RESULTS: [&str; 4] = ["y", "x", "gamma", "beta"];

impl Case {
    /// Values between -1 and 1 for images `[n, pixels, c]`.
    pub fn random([n, pixels, c]: [usize; 3], sample: Sample, seed: u64) -> Self {
        let len = n * pixels * c;
        Self {
            shape: vec![n, pixels, c],
            sample,
            x: reals(seed, len),
            gamma: reals(seed + 1, c),
            beta: reals(seed + 2, c),
            grad: reals(seed + 3, len),
            epsilon: f64::from(1e-3f32),
        }
    }

    pub fn channels(&self) -> usize {
        self.gamma.len()
    }

    /// Pixels of a sample.
    pub fn pixels(&self) -> usize {
        match self.sample {
            Sample::Pixel => 1,
            Sample::Image => self.shape[1],
        }
    }

    /// How the errors of the longest sum grow: that over a sample, or that of a parameter's gradient.
    pub fn naive(&self) -> f64 {
        naive((self.pixels() * self.channels()).max(self.x.len() / self.channels()))
    }

    /// Results on the device, in the order of [`RESULTS`].
    pub fn run(&self, dtype: DType) -> [Tensor; 4] {
        let x = upload(&self.x, &self.shape, dtype);
        let [gamma, beta] = [&self.gamma, &self.beta].map(|v| upload(v, &[v.len()], dtype));
        let grad = upload(&self.grad, &self.shape, dtype);
        poison(dtype, &[self.x.len(), 2 * self.channels()]);
        let (y, saved) = layer_norm(&x, &gamma, &beta, self.epsilon, self.sample).unwrap();
        let LayerNormGrads { x, gamma, beta } = backward(&saved, &grad).unwrap();
        [y, x, gamma, beta]
    }

    /// The same of the reference.
    pub fn reference(&self) -> [Vec<f64>; 4] {
        let (pixels, epsilon) = (self.pixels(), self.epsilon);
        let y = reference::forward(&self.x, &self.gamma, &self.beta, pixels, epsilon);
        let [x, gamma, beta] =
            reference::backward(&self.x, &self.gamma, &self.grad, pixels, epsilon);
        [y, x, gamma, beta]
    }

    /// The sizes of the terms that each result is made of.
    pub fn magnitude(&self) -> [Vec<f64>; 4] {
        let (channels, elements) = (self.channels(), self.pixels() * self.channels());
        let mut sizes = [
            vec![0.0; self.x.len()],
            vec![0.0; self.x.len()],
            vec![0.0; channels],
            vec![0.0; channels],
        ];
        for (s, own) in self.x.chunks(elements).enumerate() {
            let count = elements as f64;
            let mean = own.iter().sum::<f64>() / count;
            let offset = own.iter().map(|x| x.abs()).sum::<f64>() / count;
            let inv_std = 1.0
                / (own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count + self.epsilon)
                    .sqrt();
            // The mean is off by units of what it is the mean of, and the deviation of any value by as much.
            let normal = |x: f64| ((x - mean).abs() + x.abs() + offset) * inv_std;
            let h = |i: usize| (self.grad[s * elements + i] * self.gamma[i % channels]).abs();
            let pulls = (0..elements).map(h).sum::<f64>() / count;
            let tilts = (0..elements).map(|i| h(i) * normal(own[i])).sum::<f64>() / count;
            for (i, &x) in own.iter().enumerate() {
                let (at, c) = (s * elements + i, i % channels);
                sizes[0][at] = normal(x) * self.gamma[c].abs() + self.beta[c].abs();
                sizes[1][at] = inv_std * (h(i) + pulls + 2.0 * normal(x) * tilts);
                sizes[2][c] += self.grad[at].abs() * normal(x);
                sizes[3][c] += self.grad[at].abs();
            }
        }
        sizes
    }
}

/// Norms of both kinds, of channels below a vector, of whole vectors and with a tail.
pub fn cases() -> impl Strategy<Value = Case> {
    let channels = prop::sample::select(&[1usize, 2, 3, 10, 16, 36, 60, 100, 192][..]);
    let sample = prop::sample::select(&[Sample::Pixel, Sample::Image][..]);
    (0usize..80, 1usize..12, channels, sample, any::<u32>())
        .prop_map(|(n, pixels, c, sample, seed)| Case::random([n, pixels, c], sample, seed.into()))
}
