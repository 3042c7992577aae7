//! Grouped convolution, any number of groups, kernel, stride and padding, with both gradients.
//!
//! **Computes** `y[n, oy, ox, o] = sum over ky, kx, i of x[n, oy s + ky - p, ox s + kx - p, g gi + i] w[ky, kx, i, o]`, where `g` is
//! the group of output channel `o` and `gi` the input channels of a group; no bias, as every convolution here is followed by a
//! batch norm. In inference [`conv_affine`] applies that norm, a residual and a ReLU as well.
//!
//! **Layout** `x [n, h, w, ci]`, `w [kh, kw, ci / groups, co]`, `y [n, oh, ow, co]`, the channels of a group side by side.
//!
//! **Map.** `problem.rs` validates. `blueprint.rs` chooses the vectors of a chunk and what of the input a patch holds. `patch.rs` fills
//! a patch and indexes it. `multiply.rs` multiplies the columns of a patch with the taps of a kernel row. `forward.rs` walks, stores and
//! launches the forward pass and, transposed, the gradient with respect to the input, for which `grad_input.rs` flips the weight.
//! `grad_weight.rs` walks and launches the gradient with respect to the weight, whose products are those of `weight_tile.rs`; what
//! follows a convolution is `affine.rs`. All that for a CPU. On a GPU groups of few channels go to `across.rs`, and to `across_weight.rs` for the
//! gradient with respect to the weight, others to `matmul::implicit`.
//!
//! **One unit owns** a run of (image, block of output rows, range of channels) in the forward pass and in the gradient with respect
//! to the input, or of (partial sum, range of channels) in the gradient with respect to the weight. It copies the input rows of a
//! block once into a scratch of its own, zero padding included, and then goes through the chunks of output channels in the range.
//! A chunk is one group, whose inputs are broadcast one by one; or, for groups of 1, 2, 4 or 8 channels in and out, one vector across
//! groups, whose inputs a shuffle brings to the lanes of their group. So the multiply-adds of four channels a group fill vectors of
//! sixteen, and no lane ever meets a channel of another group. A group that is narrower than a vector and no such size leaves lanes
//! idle (12 of 16 used, 6 of 8); one that is wider ends in a vector that overlaps its neighbour within the group, never past it. All
//! of that is for a CPU.
//!
//! **On a GPU** a unit owns a vector of up to four output channels, within one group, of four neighbouring outputs, and neighbouring units
//! own neighbouring vectors, whatever their groups: loads and stores lie side by side, and no lane is another group's. Each vector of inputs
//! serves up to 16 multiply-adds, each of the weight four outputs; nothing is shared, and no unit waits. In the gradient with respect to the
//! weight a unit owns a vector of outputs, up to four input channels and three taps of a kernel row, and slides along rows of pixels: two loads
//! for 48 multiply-adds; four units of a cube share that, and add up what each has of its own pixels. Groups of 48 channels and more fill tiles, see `matmul/implicit`. The tiles of one group each that small
//! groups had were cubes of one warp, whose stores touched 8 to 32 lines for one. On a card that is not there (`cargo xtask bench inspect`, an
//! H100), 8 images of 56 x 56, 128 channels, 4 a group, took 41 us at one instruction a cycle and scheduler in such tiles and the weight's
//! gradient 111, for 8 of bytes; they take 12, where a unit has to ask for the borders, and 8. Partial sums of single units instead of four
//! that share a cube: 32 us for 240 channels of 15 x 15 pixels, 40 a group, whose weight is heavy beside its maps; 5 with.
//!
//! **Saved for the backward pass**: input and weight. Nothing is recomputed.
//!
//! **Why this shape.** All groups go in one launch, as each is too little work for one. Each column of the patch is loaded once for
//! the taps of a row that read it (18 loads of inputs for 48 multiply-adds), so one vector of output channels is enough to keep
//! the multipliers busy, and no group width is awkward. The weight of a chunk is packed first: its rows lie a multiple of 1 KB
//! apart, which one set of a cache cannot hold. The pixels of a patch lie an odd multiple of 16 elements apart for the same
//! reason. The gradient with respect to the input is the same kernel over weights that a small launch transposes and flips, one
//! convolution per residue of the stride, as in [`super::dense`]. The partial sums of the gradient with respect to the weight are as
//! many as the problem says, fewer for heavier weights, with ranges of channels in their place.
//!
//! Groups of up to 8 channels at a stride of 2 stage 4 output rows instead of 8: 1.23 (1.07 to 1.40) and 1.25 (1.16 to 1.35) times as fast for 4 and 8 a group
//! over 56 x 56, their gradient with respect to the input 1.25 (1.13 to 1.38). At a stride of 1, and for wider groups, 4 and 16 rows are within
//! the noise of 8 or behind it (`cargo xtask bench tune grouped`).
//!
//! **Not numbers.** Padding is written out as zeros and multiplied: a NaN or an infinity in a gradient at the border also reaches
//! the weight's taps that lie in the padding there, and so does one in a pixel at the border; one in a weight reaches border
//! outputs. None of them leaves its group or its image.
//!
//! **Tried and lost** (2 cores, AVX-512, f32, batch 8, other work on the machine: believe the ratios; forward, in ms, fastest
//! call). Filling a patch per chunk straight from the input, with the inputs already spread over the lanes: 1.65 for 4 and 1.62
//! for 8 channels a group against 1.28 and 1.26, as 64 bytes of every pixel at a time are a cache miss each. Spreading each row
//! once for three output rows in a ring instead of shuffling in the inner loop, with 14 rows a block instead of 8: 1.55 and
//! 1.54. The gradient with respect to the weight row by row over rows spread likewise, and more, uneven partial sums: 2.24 for 8
//! channels a group against 1.68.
//!
//! Vectors of pixels instead of channels, the inputs of a block transposed to a plane per channel and the results transposed back:
//! no lane idles whatever the width of a group, and the inner loop of 24 multiply-adds ran at about 360 GFLOP/s, but writing 16
//! planes at once and reading them back took more than it gained for groups of up to 24 channels (GFLOP/s forward, against this
//! kernel in the same hour: 4 a group 69 of 144, 8 a group 107 of 141, 12 129 of 165, 24 190 of 217, 36 218 of 237, 48 266 of 306;
//! 56 274 of 263, 120 272 of 248), and doubled the time to compile. The gradient with respect to the weight over such planes, its
//! lanes added up at the end: 70 of 109 for 8 channels a group, 201 of 275 for 48, 143 of 233 for 120.

mod across;
mod across_weight;
mod blueprint;
pub mod cost;
mod forward;
mod grad_input;
mod grad_weight;
mod multiply;
mod patch;
mod problem;
pub mod reference;
mod weight_tile;

pub use crate::conv::dense::{Affine, ConvOptions};
pub use problem::GroupedProblem;

use crate::affine::EpilogueArgs;
use crate::matmul::implicit::{Pass, launch_implicit};
use crate::{KernelError, Source, Tensor, launch};
use blueprint::Blueprint;

/// Convolves `input` `[n, h, w, ci]`, which may be a window, or what it comes to behind a prologue, with `weight` `[kh, kw, ci / groups, co]` to `[n, oh, ow, co]`. One
/// launch; on a GPU another one for a prologue.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then those of the prologue's maps, then an output or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn conv<'a>(
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    let source = input.into();
    let problem = GroupedProblem::new(source.map(), weight, groups, options)?;
    source.check("grouped_conv")?;
    apply(&problem, source, weight, None)
}

/// [`conv`] with what follows it, which then costs no pass over memory of its own (but for reading the residual, which may be a
/// window). One launch.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shapes and element types of `centre`, `scale`, `shift` (no windows) and the residual, then an output
/// or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn conv_affine(
    input: &Tensor,
    weight: &Tensor,
    groups: usize,
    options: ConvOptions,
    affine: &Affine,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv_affine";
    let problem = GroupedProblem::new(input, weight, groups, options)?;
    affine.check(OP, &problem.output_shape(), problem.dtype)?;
    apply(&problem, input.into(), weight, Some(affine))
}

fn apply(
    problem: &GroupedProblem,
    source: Source,
    weight: &Tensor,
    affine: Option<&Affine>,
) -> Result<Tensor, KernelError> {
    let shape = problem.output_shape();
    let output = Tensor::room(
        "grouped_conv",
        "output",
        weight.client(),
        &shape,
        problem.dtype,
    )?;
    if output.is_empty() {
        return Ok(output);
    }
    let epilogue_args = EpilogueArgs::affine(affine);
    let source = source.ready();
    let input = source.map();
    if launch::is_cpu(input.client()) {
        let beside = epilogue_args.residual.unwrap_or(weight);
        let blueprint = Blueprint::new(problem, problem.group(), &[weight, &output, beside]);
        forward::launch_tiled(
            problem,
            &blueprint,
            &source,
            weight,
            &output,
            false,
            epilogue_args,
        )?;
    } else if across::takes(problem) {
        let gathered = problem.gathered(false);
        across::launch_across(&gathered, input, weight, &output, false, epilogue_args);
    } else {
        launch_implicit(
            &problem.gathered(false),
            Pass::Forward,
            input,
            weight,
            epilogue_args,
            &output,
        );
    }
    Ok(output)
}

/// The gradient `[n, h, w, ci]` of [`conv`] with respect to its input, from `grad` `[n, oh, ow, co]`, which may be a window. Two
/// launches, the first over the weight alone.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then shape and element type of `grad`, then a scratch past [`Tensor::MOST_ELEMENTS`].
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
        grad_input::launch_grad_input(&problem, weight, grad, &out)?;
    }
    Ok(out)
}

/// The gradient `[kh, kw, ci / groups, co]` of [`conv`] with respect to its weight, from `grad` `[n, oh, ow, co]`, which may be a
/// window. One launch, or two where the weight is light enough for several partial sums.
///
/// # Errors
/// Those of [`GroupedProblem::new`], then those of the prologue's maps, then shape and element type of `grad`, then a scratch past
/// [`Tensor::MOST_ELEMENTS`].
pub fn grad_weight<'a>(
    input: impl Into<Source<'a>>,
    weight: &Tensor,
    grad: &Tensor,
    groups: usize,
    options: ConvOptions,
) -> Result<Tensor, KernelError> {
    const OP: &str = "grouped_conv grad_weight";
    let source = input.into();
    let problem = GroupedProblem::new(source.map(), weight, groups, options)?;
    source.check(OP)?;
    grad.check_view(OP, "grad", &problem.output_shape(), problem.dtype)?;
    let (client, shape) = (grad.client(), problem.weight_shape());
    if grad.is_empty() {
        return Ok(Tensor::zeros(client, &shape, problem.dtype));
    }
    let out = Tensor::empty(client, &shape, problem.dtype);
    let source = source.ready();
    grad_weight::launch_grad_weight(&problem, &source, grad, &out)?;
    Ok(out)
}
