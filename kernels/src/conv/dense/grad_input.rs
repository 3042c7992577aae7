use super::forward::launch_tiled;
use super::{ConvProblem, Strategy};
use crate::affine::EpilogueArgs;
use crate::matmul::turn::{Weight, launch_turn};
use crate::taps::flipped_tap;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Output channels of a line of the weight that a core of a CPU turns at a time: their inputs' cache lines are written together. One by
/// one, 3 x 3 x 512 x 512 took 1.6 ms, as long as Winograd's filtering of 16 images of 4 x 4 with it.
const TURNED: usize = 16;

/// Writes `weight[kh, kw, ci, co]` as `flipped[kh', kw', co, ci]`: taps grouped by their residue modulo the stride and reversed
/// within a group, so that each phase of the gradient reads its taps one after another. One unit owns a run of blocks of `block` lines
/// `flipped[kh', kw', co]` of `in_channels` each.
#[cube(launch_unchecked)]
fn flip_weight<S: Float>(
    weight: &[S],
    flipped: &mut [S],
    kernel_h: usize,
    kernel_w: usize,
    in_channels: usize,
    out_channels: usize,
    stride_h: usize,
    stride_w: usize,
    block: usize,
    run: usize,
    #[define(S)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let blocks = (out_channels + block - 1) / block;
    for item in first..min(first + run, kernel_h * kernel_w * blocks) {
        let (tap, o0) = (item / blocks, item % blocks * block);
        let o1 = min(o0 + block, out_channels);
        let row = flipped_tap(tap / kernel_w, kernel_h, stride_h);
        let column = flipped_tap(tap % kernel_w, kernel_w, stride_w);
        let to = (row * kernel_w + column) * out_channels;
        for c in 0..in_channels {
            let from = (tap * in_channels + c) * out_channels;
            for o in o0..o1 {
                flipped[(to + o) * in_channels + c] = weight[from + o];
            }
        }
    }
}

/// Launches the flip and the transposed tiled kernel, which adds `plus`; that may be `out` where [`writes_once`] says so.
///
/// [`writes_once`]: super::forward::writes_once
pub(super) fn launch_grad_input(
    problem: &ConvProblem,
    weight: &Tensor,
    grad: &Tensor,
    plus: Option<&Tensor>,
    strategy: Strategy,
    out: &Tensor,
) -> Result<(), KernelError> {
    let client = grad.client();
    let [kh, kw, ci, co] = problem.weight_shape();
    let flipped = Tensor::empty(client, &[kh, kw, co, ci], problem.dtype);
    if launch::is_cpu(client) {
        let grid = launch::grid(client, kh * kw * co.div_ceil(TURNED));
        // SAFETY: the permutation of the taps is a bijection of 0..kernel, so every element is written once, in bounds.
        unsafe {
            flip_weight::launch_unchecked(
                client,
                grid.count,
                grid.dim,
                weight.arg(1),
                flipped.arg(1),
                kh,
                kw,
                ci,
                co,
                problem.options.stride[0],
                problem.options.stride[1],
                TURNED,
                grid.run,
                problem.dtype.elem(),
            );
        }
        launch::throttle(client);
    } else {
        let of = Weight {
            kernel: problem.kernel,
            stride: problem.options.stride,
            groups: 1,
            inputs: ci,
            outputs: co,
        };
        launch_turn(&of, weight, &flipped);
    }
    let epilogue_args = EpilogueArgs {
        residual: plus,
        ..EpilogueArgs::default()
    };
    launch_tiled(
        problem,
        &grad.into(),
        &flipped,
        out,
        true,
        strategy,
        epilogue_args,
    )
}
