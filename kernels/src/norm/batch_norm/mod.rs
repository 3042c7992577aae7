//! Batch normalisation fused with a residual add and a ReLU, training and inference.
//!
//! **Computes** `y = relu((x - mean) / sqrt(var + epsilon) gamma + beta + residual)`, with residual and ReLU optional. In training,
//! mean and biased variance are the batch's, over all pixels of a channel, and the running statistics move by `momentum` towards
//! them (the variance unbiased, as PyTorch's); in inference they are the running ones.
//!
//! **Layout** `x`, `residual`, `y` `[.., c]`, channels innermost; everything else `[c]`.
//!
//! **One unit owns** a run of pixels; for the sums, a run of partial results, each over at least 2,048 pixels, at most 64 of them:
//! a function of the problem, added in a fixed order.
//!
//! **Saved for the backward pass**: `x`, mean, inverse deviation, and `y` only when a residual was added; without one the
//! ReLU's sign is recomputed from `x` in the same operations, which saves reading `y` twice.
//!
//! **Why this shape.** Memory-bound: 3 passes forward and 5 backward is what the statistics' dependence allows. The moments are
//! shifted by a run's first pixel and merged pairwise, so a mean 10,000 times the deviation costs
//! the variance 2e-5 of itself in f32, not all of it. With a residual the
//! first backward phase writes the gradient before the activation, which is the residual's gradient and the second's input.

mod backward;
pub mod cost;
mod forward;
pub mod reference;
mod stats;

use crate::{DType, KernelError, Tensor};

const OP: &str = "batch_norm";
/// Pixels below which a partial result is not worth its merge, and the most partial results.
const PIXELS_OF_PARTIAL: usize = 2048;
const MOST_PARTIALS: usize = 64;

/// The parameters and running statistics of one layer, each `[c]`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Scale.
    pub gamma: Tensor,
    /// Shift.
    pub beta: Tensor,
    /// Moved in place by [`train`].
    pub running_mean: Tensor,
    /// Moved in place by [`train`].
    pub running_var: Tensor,
    /// Added to the variance; above 0.
    pub epsilon: f64,
    /// How far the running statistics move towards the batch's; 0 to 1.
    pub momentum: f64,
}

/// Validated extents of one batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchNormProblem {
    /// Pixels over which a channel is normalised.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Element type of every tensor.
    pub dtype: DType,
}

/// Mean and inverse deviation of each channel, `[c]`.
#[derive(Clone, Debug)]
struct Statistics {
    mean: Tensor,
    inv_std: Tensor,
}

/// What [`train`] keeps for [`backward`].
#[derive(Clone, Debug)]
pub struct Saved {
    input: Tensor,
    output: Option<Tensor>,
    statistics: Statistics,
    relu: bool,
}

/// What [`backward`] returns.
pub struct BatchNormGrads {
    /// With respect to `x`, of its shape.
    pub input: Tensor,
    /// With respect to the residual, when there was one.
    pub residual: Option<Tensor>,
    /// `[2, c]`: with respect to `beta`, then to `gamma`.
    sums: Tensor,
}

impl BatchNormGrads {
    /// With respect to `gamma`, `[c]`.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn gamma(&self) -> Result<Tensor, KernelError> {
        let channels = self.sums.shape()[1];
        self.sums.slice(channels, &[channels])
    }

    /// With respect to `beta`, `[c]`.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn beta(&self) -> Result<Tensor, KernelError> {
        self.sums.slice(0, &[self.sums.shape()[1]])
    }
}

/// What follows the affine map, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Epilogue {
    relu: bool,
    residual: bool,
}

/// The registers of one pass over a strip of channels: `vectors` of them side by side, `ahead` pixels at a time, 4 sums in all,
/// enough to cover the latency of an add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Strip {
    vectors: usize,
    ahead: usize,
}

impl Strip {
    fn new(channel_vectors: usize) -> Self {
        let vectors = [4, 2, 1]
            .into_iter()
            .find(|&v| channel_vectors.is_multiple_of(v))
            .unwrap_or(1);
        Self {
            vectors,
            ahead: 4 / vectors,
        }
    }
}

impl BatchNormProblem {
    /// The problem of normalising `x` `[.., c]`.
    ///
    /// # Errors
    /// In this order: an `x` without channels or of more than 2^32 - 1 pixels; an `x` that is a window; shapes and element types of `gamma`, `beta`, the
    /// running statistics and the residual; `epsilon` not above 0; `momentum` outside of 0 to 1.
    pub fn new(
        x: &Tensor,
        norm: &BatchNorm,
        residual: Option<&Tensor>,
    ) -> Result<Self, KernelError> {
        let channels = x.shape().last().copied().unwrap_or(0);
        let pixels = x.len().checked_div(channels).unwrap_or(0);
        if channels == 0 || u32::try_from(pixels).is_err() {
            let (got, wanted) = (
                x.shape().to_vec(),
                "[.., c], c > 0, under 2^32 pixels".into(),
            );
            return Err(KernelError::Shape {
                op: OP,
                tensor: "x",
                got,
                wanted,
            });
        }
        x.check_whole(OP, "x")?;
        let per_channel = [
            ("gamma", &norm.gamma),
            ("beta", &norm.beta),
            ("running_mean", &norm.running_mean),
            ("running_var", &norm.running_var),
        ];
        for (name, tensor) in per_channel {
            tensor.check(OP, name, &[channels], x.dtype())?;
        }
        if let Some(residual) = residual {
            residual.check(OP, "residual", x.shape(), x.dtype())?;
        }
        KernelError::check_float(OP, "epsilon", norm.epsilon, "above 0", |e| e > 0.0)?;
        KernelError::check_float(OP, "momentum", norm.momentum, "0 to 1", |m| {
            (0.0..=1.0).contains(&m)
        })?;
        Ok(Self {
            pixels,
            channels,
            dtype: x.dtype(),
        })
    }

    fn per_partial(&self) -> usize {
        self.pixels.div_ceil(MOST_PARTIALS).max(PIXELS_OF_PARTIAL)
    }

    fn partials(&self) -> usize {
        self.pixels.div_ceil(self.per_partial())
    }
}

/// The training forward pass: `y` of `x`'s shape, and what the backward pass needs. Moves the running statistics. 3 launches; none
/// for an empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`].
pub fn train(
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<(Tensor, Saved), KernelError> {
    let problem = BatchNormProblem::new(x, norm, residual)?;
    let y = Tensor::empty(x.client(), x.shape(), problem.dtype);
    let statistics = if x.is_empty() {
        stats::launch_running_statistics(&problem, norm)
    } else {
        let statistics = stats::launch_batch_statistics(&problem, x, norm);
        forward::launch_normalise(&problem, x, residual, norm, &statistics, relu, &y);
        statistics
    };
    let output = residual.map(|_| y.clone());
    Ok((
        y,
        Saved {
            input: x.clone(),
            output,
            statistics,
            relu,
        },
    ))
}

/// The inference forward pass: `y` of `x`'s shape, normalised by the running statistics. 2 launches, the first over `[c]`.
///
/// # Errors
/// Those of [`BatchNormProblem::new`].
pub fn infer(
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<Tensor, KernelError> {
    let problem = BatchNormProblem::new(x, norm, residual)?;
    let y = Tensor::empty(x.client(), x.shape(), problem.dtype);
    if !x.is_empty() {
        let statistics = stats::launch_running_statistics(&problem, norm);
        forward::launch_normalise(&problem, x, residual, norm, &statistics, relu, &y);
    }
    Ok(y)
}

/// `gamma / sqrt(running_var + epsilon)` `[c]`: with the running mean and `beta` what another kernel's epilogue needs to apply the
/// norm itself. One launch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`] for an empty `x` of as many channels as `gamma` has.
pub fn running_scale(norm: &BatchNorm) -> Result<Tensor, KernelError> {
    let gamma = &norm.gamma;
    let empty = Tensor::empty(gamma.client(), &[0, gamma.len()], gamma.dtype());
    let problem = BatchNormProblem::new(&empty, norm, None)?;
    Ok(stats::launch_running(&problem, norm, true))
}

/// The gradients of [`train`] from `grad`, of `y`'s shape. 3 launches; none for an empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`], then shape and element type of `grad`.
pub fn backward(
    norm: &BatchNorm,
    saved: &Saved,
    grad: &Tensor,
) -> Result<BatchNormGrads, KernelError> {
    let problem = BatchNormProblem::new(&saved.input, norm, saved.output.as_ref())?;
    grad.check(OP, "grad", saved.input.shape(), problem.dtype)?;
    if grad.is_empty() {
        let sums = Tensor::zeros(grad.client(), &[2, problem.channels], problem.dtype);
        let residual = saved.output.clone();
        return Ok(BatchNormGrads {
            input: saved.input.clone(),
            residual,
            sums,
        });
    }
    Ok(backward::launch_backward(&problem, norm, saved, grad))
}
