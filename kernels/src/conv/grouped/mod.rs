//! Grouped convolution, any number of groups, kernel, stride and padding, with both gradients.
//!
//! **Computes** `y[n, oy, ox, o] = sum over ky, kx, i of x[n, oy s + ky - p, ox s + kx - p, g gi + i] w[ky, kx, i, o]`, where `g` is
//! the group of output channel `o` and `gi` the input channels of a group; no bias, as every convolution here is followed by a
//! batch norm. In inference [`conv_affine`] applies that norm, a residual and a ReLU as well.
//!
//! **Layout** `x [n, h, w, ci]`, `w [kh, kw, ci / groups, co]`, `y [n, oh, ow, co]`, the channels of a group side by side.
//!
//! All groups go in one launch.

pub mod cost;
mod forward;
mod grad_input;
mod grad_weight;
mod patch;
mod problem;
pub mod reference;

pub use crate::conv::dense::{Affine, ConvOptions};
pub use problem::GroupedProblem;

use crate::lanes::Lanes;
use crate::{KernelError, Tensor, launch};
use patch::Spread;

/// How the output channels are cut into vectors and chunks: a chunk is what one patch serves.
struct Blueprint {
    lanes: Lanes,
    /// Channels of one group in the tensor that is read and in the one that is written.
    group: [usize; 2],
    /// Channels of all groups in the tensor that is written.
    channels: usize,
    spread: Spread,
    /// Elements that filling a patch stores at a time.
    copied: usize,
}

impl Blueprint {
    /// For `problem` with groups of `[source, target]` channels; `tensors` are read and written in vectors of target channels.
    fn new(problem: &GroupedProblem, group: [usize; 2], tensors: &[&Tensor]) -> Self {
        let client = tensors[0].client();
        let dtype = problem.dtype;
        let [source, target] = group;
        let channels = target * problem.groups;
        let widest = Lanes::of(client, dtype, channels, tensors);
        let unaligned = client.properties().features.unaligned_io;
        if unaligned && target < widest.width {
            let shuffled = source == target && widest.width.is_multiple_of(target);
            let (spread, copied) = match shuffled {
                true => (Spread::Shuffled(target), widest.width),
                false => (Spread::Stored, target.next_power_of_two()),
            };
            return Self {
                lanes: widest,
                group,
                channels,
                spread,
                copied,
            };
        }
        let copied = match unaligned {
            true => launch::widest(client, dtype).min(1 << source.ilog2()),
            false => 1,
        };
        Self {
            lanes: Lanes::of(client, dtype, target, tensors),
            group,
            channels,
            spread: Spread::Plain,
            copied,
        }
    }

    /// Patches that it takes to compute all output channels of a pixel.
    fn chunks(&self) -> usize {
        match self.spread.is_vector() {
            true => self.lanes.vectors(),
            false => self.channels / self.group[1],
        }
    }

    /// Vectors of output channels of one chunk.
    fn vectors(&self) -> usize {
        match self.spread.is_vector() {
            true => 1,
            false => self.lanes.vectors(),
        }
    }

    /// Vectors of output channels in all.
    fn slots(&self) -> usize {
        self.chunks() * self.vectors()
    }

    /// Whether two vectors share channels.
    fn overlaps(&self) -> bool {
        let channels = match self.spread.is_vector() {
            true => self.channels,
            false => self.group[1],
        };
        !channels.is_multiple_of(self.lanes.width)
    }

    /// Elements of one item of a patch.
    fn unit(&self) -> usize {
        match self.spread.is_vector() {
            true => self.lanes.width,
            false => 1,
        }
    }

    /// Elements of a patch of `pixels`, with room for the last store to reach past it.
    fn patch_len(&self, pixels: usize) -> usize {
        (pixels * self.group[0] * self.unit() + self.copied).next_multiple_of(16)
    }
}

/// Convolves `input` `[n, h, w, ci]`, which may be a window, with `weight` `[kh, kw, ci / groups, co]` to `[n, oh, ow, co]`. One
/// launch.
///
/// # Errors
/// Those of [`GroupedProblem::new`].
pub fn conv(
    input: &Tensor,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    Ok(apply(&problem, input, weight, None))
}

/// [`conv`] with what follows it, which then costs no pass over memory of its own (but for reading the residual, which may be a
/// window). One launch.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shapes and element types of `centre`, `scale`, `shift` (no windows) and the residual.
pub fn conv_affine(
    input: &Tensor,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
    affine: &Affine,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv_affine";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    for (name, tensor) in [
        ("centre", affine.centre),
        ("scale", affine.scale),
        ("shift", affine.shift),
    ] {
        tensor.check(OP, name, &[problem.out_channels], problem.dtype)?;
    }
    if let Some(residual) = affine.residual {
        residual.check_view(OP, "residual", &problem.output_shape(), problem.dtype)?;
    }
    Ok(apply(&problem, input, weight, Some(affine)))
}

fn apply(
    problem: &GroupedProblem,
    input: &Tensor,
    weight: &Tensor,
    affine: Option<&Affine>,
) -> Tensor {
    let output = Tensor::empty(input.client(), &problem.output_shape(), problem.dtype);
    if !output.is_empty() {
        let residual = affine.and_then(|affine| affine.residual);
        let beside = residual.unwrap_or(weight);
        let blueprint = Blueprint::new(problem, problem.group(), &[weight, &output, beside]);
        forward::launch_tiled(problem, &blueprint, input, weight, &output, false, affine);
    }
    output
}

/// The gradient `[n, h, w, ci]` of [`conv`] with respect to its input, from `grad` `[n, oh, ow, co]`, which may be a window. Two
/// launches, the first over the weight alone.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shape and element type of `grad`.
pub fn grad_input(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv grad_input";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let out = Tensor::empty(input.client(), &problem.input_shape(), problem.dtype);
    if !out.is_empty() {
        grad_input::launch_grad_input(&problem, weight, grad, &out);
    }
    Ok(out)
}

/// The gradient `[kh, kw, ci / groups, co]` of [`conv`] with respect to its weight, from `grad` `[n, oh, ow, co]`, which may be a
/// window. One launch, or two where the weight is light enough for several partial sums.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shape and element type of `grad`.
pub fn grad_weight(
    input: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv grad_weight";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let (client, shape) = (input.client(), problem.weight_shape());
    if grad.is_empty() {
        return Ok(Tensor::zeros(client, &shape, problem.dtype));
    }
    let out = Tensor::empty(client, &shape, problem.dtype);
    grad_weight::launch_grad_weight(&problem, input, grad, &out);
    Ok(out)
}
