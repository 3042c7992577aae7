use ghostlight_kernels::norm::batch_norm::reference::Layer;
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm, BatchNormGrads};
use ghostlight_kernels::{Clamp, DType, Tensor};
use ghostlight_tests::{abs, naive, poison, reals, upload};
use proptest::prelude::*;
use std::fmt::{Debug, Formatter};

/// The results of a training step, in the order of [`Case::train`].
pub const RESULTS: [&str; 7] = [
    "y",
    "running_mean",
    "running_var",
    "grad_x",
    "grad_residual",
    "grad_gamma",
    "grad_beta",
];

/// One batch norm with its operands, on the host.
#[derive(Clone)]
pub struct Case {
    pub channels: usize,
    pub x: Vec<f64>,
    pub residual: Option<Vec<f64>>,
    pub grad: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub running_mean: Vec<f64>,
    pub running_var: Vec<f64>,
    pub epsilon: f64,
    pub momentum: f64,
    pub clamp: Clamp,
}

impl Debug for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            channels,
            epsilon,
            momentum,
            clamp,
            ..
        } = self;
        write!(
            f,
            "{} pixels of {channels} channels, epsilon {epsilon}, momentum {momentum}, ",
            self.pixels()
        )?;
        write!(
            f,
            "{clamp:?}, residual {}, first x {:?}",
            self.residual.is_some(),
            self.x.first()
        )
    }
}

impl Case {
    /// `pixels` pixels of random values around 0, without residual and ReLU.
    pub fn random(pixels: usize, channels: usize, seed: u64) -> Self {
        let len = pixels * channels;
        Self {
            channels,
            x: reals(seed, len),
            residual: None,
            grad: reals(seed + 1, len),
            gamma: reals(seed + 2, channels),
            beta: reals(seed + 3, channels),
            running_mean: reals(seed + 4, channels),
            running_var: abs(&reals(seed + 5, channels)),
            epsilon: 1e-5,
            momentum: 0.1,
            clamp: Clamp::None,
        }
    }

    /// The same with a random residual.
    pub fn with_residual(mut self, seed: u64) -> Self {
        self.residual = Some(reals(seed, self.x.len()));
        self
    }

    /// Pixels.
    pub fn pixels(&self) -> usize {
        self.x.len() / self.channels
    }

    /// The layer as its reference takes it.
    pub fn layer(&self) -> Layer<'_> {
        Layer {
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: self.epsilon,
            residual: self.residual.as_deref(),
            clamp: self.clamp,
        }
    }

    /// The layer on the device.
    pub fn norm(&self, dtype: DType) -> BatchNorm {
        let on_device = |values: &[f64]| upload(values, &[self.channels], dtype);
        BatchNorm {
            gamma: on_device(&self.gamma),
            beta: on_device(&self.beta),
            running_mean: on_device(&self.running_mean),
            running_var: on_device(&self.running_var),
            epsilon: self.epsilon,
            momentum: self.momentum,
        }
    }

    fn tensors(&self, dtype: DType) -> (Tensor, Option<Tensor>, Tensor) {
        let shape = [self.pixels(), self.channels];
        let x = upload(&self.x, &shape, dtype);
        let residual = self.residual.as_ref().map(|r| upload(r, &shape, dtype));
        poison(dtype, &[x.len(), self.channels, 2 * self.channels]);
        (x, residual, upload(&self.grad, &shape, dtype))
    }

    /// A training step forwards and backwards, on memory full of NaN; without a residual, its gradient is an empty tensor.
    pub fn train(&self, dtype: DType) -> [Tensor; 7] {
        let (norm, (x, residual, grad)) = (self.norm(dtype), self.tensors(dtype));
        let (y, saved) = batch_norm::train(&x, &norm, residual.as_ref(), self.clamp).unwrap();
        let grads = batch_norm::backward(&norm, saved, &grad).unwrap();
        assert_eq!((y.shape(), grads.input.shape()), (x.shape(), x.shape()));
        assert_eq!(grads.residual.is_some(), residual.is_some());
        let [input, residual, gamma, beta] = all_of(grads);
        [
            y,
            norm.running_mean,
            norm.running_var,
            input,
            residual,
            gamma,
            beta,
        ]
    }

    /// The last four of [`Self::train`] when nothing but what was saved holds `x`.
    pub fn gradients_without_x(&self, dtype: DType) -> [Tensor; 4] {
        let (norm, (x, residual, grad)) = (self.norm(dtype), self.tensors(dtype));
        let (_, saved) = batch_norm::train(&x, &norm, residual.as_ref(), self.clamp).unwrap();
        drop(x);
        all_of(batch_norm::backward(&norm, saved, &grad).unwrap())
    }

    /// The output in inference.
    pub fn infer(&self, dtype: DType) -> Tensor {
        let (x, residual, _) = self.tensors(dtype);
        batch_norm::infer(&x, &self.norm(dtype), residual.as_ref(), self.clamp).unwrap()
    }

    /// What [`Self::train`] should find.
    pub fn reference(&self) -> [Vec<f64>; 7] {
        let (layer, m) = (self.layer(), self.pixels() as f64);
        let forward = layer.forward(&self.x);
        let moved = |from: &[f64], to: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
            from.iter()
                .zip(to)
                .map(|(from, to)| from + self.momentum * (to - from))
                .collect()
        };
        let mean = moved(&self.running_mean, &mut forward.mean.iter().copied());
        let unbiased = |v: &f64| v * m / (m - 1.0).max(1.0);
        let var = moved(
            &self.running_var,
            &mut forward.variance.iter().map(unbiased),
        );
        let [input, mut residual, gamma, beta] = layer.backward(&self.x, &self.grad);
        if self.residual.is_none() {
            residual.clear();
        }
        [forward.output, mean, var, input, residual, gamma, beta]
    }

    /// The sums of the magnitudes of the terms of [`Self::reference`], where `x - mean` counts as two terms.
    pub fn magnitude(&self) -> [Vec<f64>; 7] {
        let (c, m) = (self.channels, self.pixels() as f64);
        let forward = self.layer().forward(&self.x);
        let inv: Vec<f64> = forward
            .variance
            .iter()
            .map(|v| 1.0 / (v + self.epsilon).sqrt())
            .collect();
        let largest = |ch: usize| {
            self.x
                .iter()
                .skip(ch)
                .step_by(c)
                .fold(0.0f64, |most, x| most.max(x.abs()))
        };
        let largest: Vec<f64> = (0..c).map(largest).collect();
        let hat = |i: usize| (self.x[i].abs() + largest[i % c]) * inv[i % c];
        let residual = |i: usize| self.residual.as_ref().map_or(0.0, |r| r[i].abs());
        let (mut gamma, mut beta) = (vec![0.0; c], vec![0.0; c]);
        for (i, g) in self.grad.iter().enumerate() {
            gamma[i % c] += g.abs() * hat(i);
            beta[i % c] += g.abs();
        }
        let each = |value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..self.x.len()).map(|i| value(i, i % c)).collect()
        };
        let output =
            each(&|i, ch| hat(i) * self.gamma[ch].abs() + self.beta[ch].abs() + residual(i));
        let input = each(&|i, ch| {
            let sums = beta[ch] / m + hat(i) * gamma[ch] / m;
            self.gamma[ch].abs() * inv[ch] * (self.grad[i].abs() + sums)
        });
        let mean = (0..c)
            .map(|ch| self.running_mean[ch].abs() + 2.0 * largest[ch])
            .collect();
        let square = |ch: usize| (2.0 * largest[ch]).powi(2) * m / (m - 1.0).max(1.0);
        let var = (0..c).map(|ch| self.running_var[ch] + square(ch)).collect();
        let mut before = each(&|i, _| self.grad[i].abs());
        if self.residual.is_none() {
            before.clear();
        }
        [output, mean, var, input, before, gamma, beta]
    }

    /// The error of a naive evaluation of the formulas, in units of rounding of [`Self::magnitude`]: that of a sum over the
    /// pixels, and half a unit for each of difference, root, quotient and product on the way to an output.
    pub fn naive(&self) -> f64 {
        2.0 + naive(self.pixels())
    }

    /// Takes the gradient away from outputs that rounding may move across a kink: there no gradient is right.
    pub fn away_from_the_kink(mut self) -> Self {
        let kinks: &[f64] = match self.clamp {
            Clamp::None => &[],
            Clamp::Relu => &[0.0],
            Clamp::Relu6 => &[0.0, 6.0],
        };
        let [near, ..] = self.magnitude();
        let unit = 2.0 * self.naive() * f64::from(f32::EPSILON);
        let layer = Layer {
            clamp: Clamp::None,
            ..self.layer()
        };
        let before = layer.forward(&self.x).output;
        for (i, grad) in self.grad.iter_mut().enumerate() {
            for kink in kinks {
                if (before[i] - kink).abs() <= unit * near[i] {
                    *grad = 0.0;
                }
            }
        }
        self
    }
}

/// Random layers: channels that are and are not multiples of a vector, one pixel to several partial results, inputs around 0
/// and around ten times their deviation.
pub fn cases() -> impl Strategy<Value = Case> {
    let channels = prop::sample::select(&[1usize, 3, 10, 16, 24, 32, 48, 64, 128][..]);
    let pixels = prop_oneof![1 => Just(1usize), 6 => 2usize..300, 3 => 2040usize..6200];
    let scales = (-2.0..2.0, prop_oneof![Just(0.0), -10.0..10.0], -6.0..0.0);
    let flags = (
        prop::sample::select(&Clamp::ALL[..]),
        any::<bool>(),
        prop_oneof![Just(0.0), Just(1.0), 0.0..1.0],
    );
    (channels, pixels, scales, flags, any::<u32>()).prop_map(
        |(channels, pixels, (scale, offset, epsilon), (clamp, residual, momentum), seed)| {
            let seed = u64::from(seed);
            // Several partial results are a matter of pixels: few channels keep such a case short.
            let channels = if pixels > 2000 {
                channels.min(16)
            } else {
                channels
            };
            let mut case = Case::random(pixels, channels, seed);
            let scale = 10f64.powf(scale);
            for x in &mut case.x {
                *x = f64::from(((*x + offset) * scale) as f32);
            }
            if residual {
                case = case.with_residual(seed + 9);
            }
            if clamp == Clamp::Relu6 {
                // Outputs on both sides of 6.
                case.beta.iter_mut().for_each(|beta| *beta *= 8.0);
            }
            Case {
                clamp,
                momentum,
                epsilon: 10f64.powf(epsilon),
                ..case
            }
        },
    )
}

/// The gradients of a layer; without a residual, its own is an empty tensor.
fn all_of(grads: BatchNormGrads) -> [Tensor; 4] {
    let nothing = Tensor::empty(grads.input.client(), &[0], grads.input.dtype());
    let residual = grads.residual.unwrap_or(nothing);
    [grads.input, residual, grads.gamma, grads.beta]
}
