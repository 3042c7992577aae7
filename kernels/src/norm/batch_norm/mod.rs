//! Batch normalisation fused with a residual add and a clamp, ReLU or ReLU6, training and inference.
//!
//! **Computes** `y = clamp((x - mean) / sqrt(var + epsilon) gamma + beta + residual)`, with residual and [`Clamp`] optional. In training,
//! mean and biased variance are the batch's, over all pixels of a channel, and the running statistics move by `momentum` towards
//! them (the variance unbiased, as PyTorch's); in inference they are the running ones.
//!
//! **Layout** `x`, `residual`, `y` `[.., c]`, channels innermost; everything else `[c]`.
//!
//! **One unit owns** a run of pixels; for the sums, a run of partial results, each over at least 32,768 elements, at most 64 of them
//! unless that would make them longer than 32,768 pixels: a function of the problem, added in a fixed order. On a GPU a unit owns two
//! pixels of one vector of channels; for the sums, a cube owns a run of pixels of 32 vectors of channels or fewer (`cubes`).
//!
//! **Saved for the backward pass**: `x`, mean, inverse deviation, and `y` only when a residual was added; without one the
//! clamp's side is recomputed from `x` in the same operations, which saves reading `y` twice.
//!
//! **Why this shape.** Memory-bound: 3 passes forward and 5 backward is what the statistics' dependence allows. Pixels are walked
//! outside and channels inside, in the order of memory: 8 pixels of a vector of channels are summed in registers and added to the sum of
//! a block of 512 pixels, which stays in the first-level cache; blocks are added to a partial sum, so that no chain of additions is longer
//! than 64. The squares are those of 8 pixels around their own mean, and moments are merged with the distance of their means at each
//! level (`stats.rs`), so that the variance is a sum of terms that are at least 0, whatever pixel is far from the others. With a residual the first backward phase writes the gradient before the
//! activation, which is the residual's gradient and the second's input.
//!
//! **Open**: where a convolution alone reads `y`, nobody writes it. [`open`] leaves the statistics, and the convolution computes `y` from `x` in a
//! [prologue](crate::Source), forward and for its weight's gradient: 1 pass forward instead of 3, and as many backward.
//!
//! **Not finite**: a NaN or an infinity makes its channel NaN throughout in training; in a residual it stays where it is. A clamp lets
//! a NaN through, and its gradient (`clamp.rs`).
//!
//! The gradient takes the place of `x` where nobody else holds `x`: what it writes was just read, where memory of its own would
//! first be fetched. A step of ResNet-8 (batch 128, 64 px), in turns with and without, this and the tape's sums in place: 1.03 to 1.06.
//!
//! **Measured** (2 cores, AVX-512, f32, hot caches): every pass moves 57 to 62 GB/s of the bytes that it needs, near what a copy moves
//! there. A step of 128 x 64 x 64 x 16 takes 4.9 to 5.9 ms, one of 32 x 14 x 14 x 512 takes 1.9 to 2.6 ms: eight passes over 12.8 MB take
//! 1.7 ms at that bandwidth. **Lost**: strips of four vectors over a run of pixels, 40 GB/s at 512 channels against 50 in the order of
//! memory. **Wrong**: squares around a run's first pixel, less the square of their sum. Where that pixel is far from all others the
//! difference is nothing but rounding: a first pixel of 300 among 32,767 zeros had a variance of -1.6, and NaN throughout.
//!
//! **The map**: `stats.rs` moments and what is made of them; `forward.rs` normalises; `sums.rs` the sums of the gradient; `backward.rs` the
//! gradient of `x`, and all of its phases in order; `cubes` moments and sums again, in a GPU's shape.

mod backward;
pub mod cost;
mod cubes;
mod forward;
pub mod reference;
pub(super) mod stats;
mod sums;

pub(crate) use forward::launch_affine;

use super::check_epsilon;
use crate::affine::Affine;
use crate::{Clamp, DType, KernelError, Tensor, launch};

const OP: &str = "batch_norm";
/// Elements below which a partial result is not worth its merge, and the most partial results.
const ELEMENTS_OF_PARTIAL: usize = 1 << 15;
const MOST_PARTIALS: usize = 64;
/// Pixels of a partial result at most: 64 blocks.
const PIXELS_OF_PARTIAL: usize = 64 * PIXELS_OF_BLOCK;
/// Rows of a partial result: two sums, and those of the block at hand.
const ROWS_OF_PARTIAL: usize = 4;
/// Pixels of a block: 64 groups of [`PIXELS_AT_ONCE`].
const PIXELS_OF_BLOCK: usize = 64 * PIXELS_AT_ONCE;
/// Pixels whose values of one vector of channels are summed in registers before they meet the partial sum in memory.
const PIXELS_AT_ONCE: usize = 8;

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
    /// Element type of the maps; what belongs to a channel is in its accumulator.
    pub dtype: DType,
}

/// Mean, inverse deviation, and the latter times gamma, of each channel, `[c]`.
#[derive(Clone, Debug)]
struct Statistics {
    mean: Tensor,
    inv_std: Tensor,
    scale: Tensor,
}

/// What [`train`] keeps for [`backward`].
#[derive(Clone, Debug)]
pub struct Saved {
    input: Tensor,
    output: Option<Tensor>,
    statistics: Statistics,
    clamp: Clamp,
}

/// What [`backward`] returns.
pub struct BatchNormGrads {
    /// With respect to `x`, of its shape.
    pub input: Tensor,
    /// With respect to the residual, when there was one, of `x`'s shape: for one row an image, before the sum over its pixels.
    pub residual: Option<Tensor>,
    /// With respect to `gamma`, `[c]`.
    pub gamma: Tensor,
    /// With respect to `beta`, `[c]`.
    pub beta: Tensor,
}

/// What follows the affine map, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Epilogue {
    clamp: Clamp,
    residual: bool,
}

impl BatchNormProblem {
    /// The problem of normalising `x` `[.., c]`.
    ///
    /// # Errors
    /// In this order: an `x` past [`Tensor::MOST_ELEMENTS`], without channels or of more than 2^32 - 1 pixels; an `x` that is a window; shapes and element types of `gamma`, `beta`, the
    /// running statistics and the residual; `epsilon` not finite and above 0 in the accumulator; `momentum` outside of 0 to 1.
    pub fn new(
        x: &Tensor,
        norm: &BatchNorm,
        residual: Option<&Tensor>,
    ) -> Result<Self, KernelError> {
        x.check_addressable(OP, "x")?;
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
            tensor.check(OP, name, &[channels], x.dtype().accumulator())?;
        }
        if let Some(residual) = residual {
            residual.check(OP, "residual", x.shape(), x.dtype())?;
        }
        check_epsilon(OP, x.dtype().accumulator(), norm.epsilon)?;
        KernelError::check_float(OP, "momentum", norm.momentum, "0 to 1", |m| {
            (0.0..=1.0).contains(&m)
        })?;
        Ok(Self {
            pixels,
            channels,
            dtype: x.dtype(),
        })
    }

    /// Checks a tensor of `x`'s pixels and of some of its channels.
    fn check_kept(&self, name: &'static str, kept: &Tensor, x: &Tensor) -> Result<(), KernelError> {
        let mut shape = x.shape().to_vec();
        if let Some(channels) = shape.last_mut() {
            *channels = kept
                .shape()
                .last()
                .map_or(self.channels, |&kept| kept.clamp(1, self.channels));
        }
        kept.check_view(OP, name, &shape, self.dtype)
    }

    /// Passes when a training step writes nothing that it reads: the running statistics and `y` are apart from all else.
    fn check_apart(
        x: &Tensor,
        norm: &BatchNorm,
        residual: Option<&Tensor>,
        y: Option<&Tensor>,
    ) -> Result<(), KernelError> {
        let mut others = vec![("x", x)];
        others.extend(residual.map(|residual| ("residual", residual)));
        others.extend([("gamma", &norm.gamma), ("beta", &norm.beta)]);
        let written = [
            y.map(|y| ("y", y)),
            Some(("running_mean", &norm.running_mean)),
            Some(("running_var", &norm.running_var)),
        ];
        for (name, tensor) in written.into_iter().flatten() {
            tensor.check_apart(OP, name, &others)?;
            others.push((name, tensor));
        }
        Ok(())
    }

    fn per_partial(&self) -> usize {
        let least = ELEMENTS_OF_PARTIAL.div_ceil(self.channels);
        let pixels = self.pixels.div_ceil(MOST_PARTIALS).max(least);
        let pixels = pixels.min(PIXELS_OF_PARTIAL);
        pixels.next_multiple_of(PIXELS_AT_ONCE)
    }

    fn partials(&self) -> usize {
        self.pixels.div_ceil(self.per_partial())
    }
}

/// The training forward pass: `y` of `x`'s shape, and what the backward pass needs. Moves the running statistics. 3 launches; none
/// for an empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`]; then running statistics that share memory with each other or with anything that is read; a scratch
/// past [`Tensor::MOST_ELEMENTS`].
pub fn train(
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    clamp: Clamp,
) -> Result<(Tensor, Saved), KernelError> {
    let problem = BatchNormProblem::new(x, norm, residual)?;
    BatchNormProblem::check_apart(x, norm, residual, None)?;
    let y = Tensor::empty(x.client(), x.shape(), problem.dtype);
    let statistics = launch_train(&problem, x, norm, residual, clamp, &y)?;
    let saved = Saved {
        input: x.clone(),
        output: residual.map(|_| y.clone()),
        statistics,
        clamp,
    };
    Ok((y, saved))
}

/// [`train`] into `y`, which may be a window. The residual may be one as well, and may be `[n, c]` for an `x` `[n, .., c]` of two axes or
/// more: one row for all pixels of an image. Without a residual `y` may have fewer channels than `x`: the last ones are then normalised by nobody, but
/// their running statistics move, which is how a Ghost module of an odd width drops its last cheap channels. 3 launches; none for an
/// empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`] but for the residual; shape (`x`'s; without a residual, 1 to as many channels) and element type of
/// `y`; shape and element type of the residual; a `y`, or running statistics, that share memory with each other or with anything that is
/// read, `x` among it, which the backward pass reads again; a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn train_into(
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    clamp: Clamp,
    y: &Tensor,
) -> Result<Saved, KernelError> {
    let problem = BatchNormProblem::new(x, norm, None)?;
    match residual {
        None => problem.check_kept("y", y, x)?,
        Some(residual) => {
            y.check_view(OP, "y", x.shape(), problem.dtype)?;
            let per_image = [x.shape()[0], problem.channels];
            // A vector is one pixel, and has no images whose rows a residual could hold.
            let shape = match (residual.shape().len(), x.shape().len()) {
                (2, 2..) => &per_image[..],
                _ => x.shape(),
            };
            residual.check_view(OP, "residual", shape, problem.dtype)?;
        }
    }
    BatchNormProblem::check_apart(x, norm, residual, Some(y))?;
    let statistics = launch_train(&problem, x, norm, residual, clamp, y)?;
    Ok(Saved {
        input: x.clone(),
        output: residual.map(|_| y.clone()),
        statistics,
        clamp,
    })
}

fn launch_train(
    problem: &BatchNormProblem,
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    clamp: Clamp,
    y: &Tensor,
) -> Result<Statistics, KernelError> {
    let statistics = launch_statistics(problem, x, norm)?;
    if x.is_empty() {
        return Ok(statistics);
    }
    launch_affine(x, &statistics.affine(norm, residual, clamp), y);
    Ok(statistics)
}

/// The statistics of a batch, which may be empty.
fn launch_statistics(
    problem: &BatchNormProblem,
    x: &Tensor,
    norm: &BatchNorm,
) -> Result<Statistics, KernelError> {
    if x.is_empty() {
        Ok(stats::launch_running_statistics(norm))
    } else if launch::is_cpu(x.client()) {
        stats::launch_batch_statistics(problem, x, norm)
    } else {
        cubes::launch_batch_statistics(problem, x, norm)
    }
}

/// The training forward pass of a norm whose result nobody writes: who reads `x` computes it on the way, by [`Saved::affine`]. Moves the
/// running statistics. 2 launches; none for an empty batch.
///
/// # Errors
/// Those of [`train`].
pub fn open(x: &Tensor, norm: &BatchNorm, clamp: Clamp) -> Result<Saved, KernelError> {
    let problem = BatchNormProblem::new(x, norm, None)?;
    BatchNormProblem::check_apart(x, norm, None, None)?;
    Ok(Saved {
        input: x.clone(),
        output: None,
        statistics: launch_statistics(&problem, x, norm)?,
        clamp,
    })
}

impl Statistics {
    fn affine<'a>(
        &'a self,
        norm: &'a BatchNorm,
        residual: Option<&'a Tensor>,
        clamp: Clamp,
    ) -> Affine<'a> {
        Affine {
            centre: &self.mean,
            scale: &self.scale,
            shift: &norm.beta,
            residual,
            clamp,
        }
    }
}

impl Saved {
    /// What was normalised, `[.., c]`.
    pub fn input(&self) -> &Tensor {
        &self.input
    }

    /// What takes the input to the result, but for a residual; `norm` is the layer that it was saved for.
    pub fn affine<'a>(&'a self, norm: &'a BatchNorm) -> Affine<'a> {
        self.statistics.affine(norm, None, self.clamp)
    }
}

/// The inference forward pass: `y` of `x`'s shape, normalised by the running statistics. 2 launches, the first over `[c]`.
///
/// # Errors
/// Those of [`BatchNormProblem::new`].
pub fn infer(
    x: &Tensor,
    norm: &BatchNorm,
    residual: Option<&Tensor>,
    clamp: Clamp,
) -> Result<Tensor, KernelError> {
    BatchNormProblem::new(x, norm, residual)?;
    if x.is_empty() {
        return Ok(Tensor::empty(x.client(), x.shape(), x.dtype()));
    }
    let scale = running_scale(&norm.gamma, &norm.running_var, norm.epsilon)?;
    infer_by(x, norm, &scale, residual, clamp)
}

/// [`infer`] by the norm's [`running_scale`], for who has it already. One launch; none for an empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`], then shape and element type of `scale`.
pub fn infer_by(
    x: &Tensor,
    norm: &BatchNorm,
    scale: &Tensor,
    residual: Option<&Tensor>,
    clamp: Clamp,
) -> Result<Tensor, KernelError> {
    let problem = BatchNormProblem::new(x, norm, residual)?;
    scale.check(
        OP,
        "scale",
        &[problem.channels],
        problem.dtype.accumulator(),
    )?;
    let y = Tensor::empty(x.client(), x.shape(), problem.dtype);
    if !x.is_empty() {
        let affine = Affine {
            centre: &norm.running_mean,
            scale,
            shift: &norm.beta,
            residual,
            clamp,
        };
        launch_affine(x, &affine, &y);
    }
    Ok(y)
}

/// `gamma / sqrt(running_var + epsilon)` `[c]`: with the running mean and `beta` what another kernel's epilogue needs to apply the
/// norm itself. Channels of several norms may lie side by side. One launch.
///
/// # Errors
/// In this order: a `gamma` that is no vector, empty, or of 16 bits; shape and element type of `running_var`; `epsilon` not finite and above 0 in that type.
pub fn running_scale(
    gamma: &Tensor,
    running_var: &Tensor,
    epsilon: f64,
) -> Result<Tensor, KernelError> {
    let [channels] = gamma.dims(OP, "gamma", "[c], c > 0")?;
    let dtype = gamma.dtype().accumulator();
    gamma.check(OP, "gamma", &[channels.max(1)], dtype)?;
    running_var.check(OP, "running_var", &[channels], dtype)?;
    check_epsilon(OP, dtype, epsilon)?;
    let [_, scale] = stats::launch_running_scale(gamma, running_var, epsilon);
    Ok(scale)
}

/// The gradients of [`train`] or [`train_into`] from `grad`, of `y`'s shape, which may be a window. Where `saved` is the last to hold
/// `x`, the gradient takes its place in memory. 3 launches; none for an empty batch.
///
/// # Errors
/// Those of [`BatchNormProblem::new`], then shape and element type of `grad`, and a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn backward(
    norm: &BatchNorm,
    saved: Saved,
    grad: &Tensor,
) -> Result<BatchNormGrads, KernelError> {
    let problem = BatchNormProblem::new(&saved.input, norm, None)?;
    match saved.output {
        Some(_) => grad.check_view(OP, "grad", saved.input.shape(), problem.dtype)?,
        None => problem.check_kept("grad", grad, &saved.input)?,
    }
    if grad.is_empty() {
        let accumulator = problem.dtype.accumulator();
        let zeros = || Tensor::zeros(grad.client(), &[problem.channels], accumulator);
        let residual = saved.output.clone();
        return Ok(BatchNormGrads {
            input: saved.input.clone(),
            residual,
            gamma: zeros(),
            beta: zeros(),
        });
    }
    backward::launch_backward(&problem, norm, &saved, grad)
}
