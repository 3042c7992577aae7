//! Layer norm over the last axis, and group norm of one group: each sample normalised by its own moments.
//!
//! **Computes** `y = (x - mean) / sqrt(var + epsilon) gamma + beta`, mean and biased variance over one pixel's channels (layer norm) or
//! over all pixels and channels of an image (group norm with one group, as MobileViTv2 has it); `gamma` and `beta` are per channel
//! in both. With `n = (x - mean) inv_std` and `h = grad gamma`, backward `grad_x = inv_std (h - mean of h - n mean of h n)`, `grad_gamma = sum of
//! grad n` and `grad_beta = sum of grad`, over all pixels.
//!
//! **Layout** `x`, `y` `[.., c]` or `[n, .., c]`; a **sample** is what one mean is taken over, `pixels` of `channels` each. Moments
//! `[samples]`, partial sums `[partials, 2, c]`.
//!
//! **One unit owns** a run of samples forward; backward a run of partial sums, each over a run of samples whose length the problem alone
//! fixes (at most 64 partial sums, unless they would be longer than 1,024 pixels). On a GPU a team of units owns a pixel (`team.rs`), backward
//! a cube of teams a run of them (`rows.rs`); of an image a cube owns a run of pixels (`images`).
//!
//! **Saved for the backward pass**: `x`, mean and inverse deviation.
//!
//! **Why this shape.** A sample is walked three times forward, for its mean, its centred squares and its result, and twice backward;
//! a pixel of 192 channels stays in the first cache, an image of MobileViTv2 (64 KB) in the second, so memory sees it once. The squares are
//! centred by the finished mean: a mean 1,000 times the deviation does not swallow it. The sums for `gamma` and `beta` are taken along
//! with those for `grad_x`, in rows that stay in the first cache. All sums are made in blocks (`cascade.rs`), so that an image of a million
//! equal pixels still comes to their value. A channel's last vector is moved back to end with the channels; its
//! lanes that were counted already are left out of every sum.
//!
//! **Not finite**: a sample with a NaN or an infinity is NaN throughout; other samples are untouched.

mod backward;
pub mod cost;
mod forward;
mod images;
pub mod reference;
mod rows;
mod team;

use super::check_epsilon;
use crate::{DType, KernelError, Tensor};

/// The most partial sums of the gradients of `gamma` and `beta`, as long as they are short.
const MOST_PARTIALS: usize = 64;
/// Pixels below which a partial sum is not worth its addition.
const PIXELS_OF_PARTIAL: usize = 32;
/// Pixels of a partial sum at most, unless one sample has more: a sum of more would lose the last of them in f32.
const MOST_PIXELS: usize = 1024;

/// Which elements share a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sample {
    /// The channels of one pixel: layer norm.
    Pixel,
    /// All that belongs to one index of the first axis: group norm of one group.
    Image,
}

impl Sample {
    fn op(self) -> &'static str {
        match self {
            Self::Pixel => "layer_norm",
            Self::Image => "group_norm",
        }
    }
}

/// Validated extents of one norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormProblem {
    /// How many means are taken.
    pub samples: usize,
    /// Pixels of a sample.
    pub pixels: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Element type of `x`; what belongs to a channel or a sample is in its accumulator.
    pub dtype: DType,
}

impl LayerNormProblem {
    /// The problem of normalising `x`, `[.., c]` pixel by pixel or `[n, .., c]` image by image.
    ///
    /// # Errors
    /// In this order: an `x` past [`Tensor::MOST_ELEMENTS`], without channels, for images also one without pixels or of fewer than two axes; a sample of more than
    /// 2^32 - 1 elements; an `x` that is a window; shapes and element types of `gamma` and `beta`, windows among them; `epsilon` not
    /// finite and above 0 in the accumulator.
    pub fn new(
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        epsilon: f64,
        sample: Sample,
    ) -> Result<Self, KernelError> {
        let op = sample.op();
        x.check_addressable(op, "x")?;
        let channels = x.shape().last().copied().unwrap_or(0);
        let (samples, pixels) = match (sample, x.shape()) {
            (Sample::Pixel, _) => (x.pixels(), 1),
            (Sample::Image, [n, between @ .., _]) => (*n, between.iter().product()),
            (Sample::Image, _) => (0, 0),
        };
        let elements = pixels * channels;
        if elements == 0 || u32::try_from(elements).is_err() {
            let wanted = match sample {
                Sample::Pixel => "[.., c], c > 0 and below 2^32",
                Sample::Image => "[n, .., c], 1 to 2^32 - 1 elements a sample",
            };
            return Err(KernelError::Shape {
                op,
                tensor: "x",
                got: x.shape().to_vec(),
                wanted: wanted.to_string(),
            });
        }
        x.check_whole(op, "x")?;
        let accumulator = x.dtype().accumulator();
        gamma.check(op, "gamma", &[channels], accumulator)?;
        beta.check(op, "beta", &[channels], accumulator)?;
        check_epsilon(op, x.dtype().accumulator(), epsilon)?;
        Ok(Self {
            samples,
            pixels,
            channels,
            dtype: x.dtype(),
        })
    }

    /// Samples of one partial sum of the gradients of `gamma` and `beta`.
    fn per_partial(&self) -> usize {
        let evenly = self.samples.div_ceil(MOST_PARTIALS);
        let most = (MOST_PIXELS / self.pixels).max(1);
        evenly
            .max(PIXELS_OF_PARTIAL.div_ceil(self.pixels))
            .min(most)
    }

    /// Partial sums.
    fn partials(&self) -> usize {
        self.samples.div_ceil(self.per_partial())
    }
}

/// What a forward pass keeps for [`backward()`].
#[derive(Debug, Clone)]
pub struct Saved {
    problem: LayerNormProblem,
    sample: Sample,
    input: Tensor,
    gamma: Tensor,
    mean: Tensor,
    inv_std: Tensor,
}

impl Saved {
    /// The extents of the pass that kept this.
    pub fn problem(&self) -> &LayerNormProblem {
        &self.problem
    }
}

/// What [`backward()`] returns.
#[derive(Debug, Clone)]
pub struct LayerNormGrads {
    /// With respect to `x`, of its shape.
    pub x: Tensor,
    /// With respect to `gamma`, `[c]`.
    pub gamma: Tensor,
    /// With respect to `beta`, `[c]`.
    pub beta: Tensor,
}

/// Normalises `x` sample by sample, then scales it by `gamma` `[c]` and shifts it by `beta` `[c]`. One launch, three for images on a
/// GPU; none for an empty batch.
///
/// # Errors
/// Those of [`LayerNormProblem::new`]; a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn layer_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    sample: Sample,
) -> Result<(Tensor, Saved), KernelError> {
    let problem = LayerNormProblem::new(x, gamma, beta, epsilon, sample)?;
    let moment = || Tensor::empty(x.client(), &[problem.samples], x.dtype().accumulator());
    let saved = Saved {
        problem,
        sample,
        input: x.clone(),
        gamma: gamma.clone(),
        mean: moment(),
        inv_std: moment(),
    };
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !y.is_empty() {
        forward::launch_layer_norm(&saved, beta, epsilon, &y)?;
    }
    Ok((y, saved))
}

/// The gradients from `grad`, of the shape of `x`. Two launches, four for images on a GPU; for an empty batch those of `gamma` and `beta` are 0.
///
/// # Errors
/// In this order: shape and element type of `grad`; a `grad` that is a window; a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn backward(saved: &Saved, grad: &Tensor) -> Result<LayerNormGrads, KernelError> {
    let (x, channels) = (&saved.input, saved.problem.channels);
    grad.check(saved.sample.op(), "grad", x.shape(), x.dtype())?;
    let input = Tensor::empty(x.client(), x.shape(), x.dtype());
    let [gamma, beta] = if input.is_empty() {
        [(); 2].map(|()| Tensor::zeros(x.client(), &[channels], x.dtype().accumulator()))
    } else {
        backward::launch_backward(saved, grad, &input)?
    };
    Ok(LayerNormGrads {
        x: input,
        gamma,
        beta,
    })
}
