use super::GroupedProblem;
use super::across;
use super::blueprint::Blueprint;
use super::forward::launch_tiled;
use crate::affine::EpilogueArgs;
use crate::matmul::implicit::{Pass, launch_implicit};
use crate::matmul::turn::{Weight, launch_turn};
use crate::taps::flipped_tap;
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;

/// Writes `weight[kh, kw, i, g o]` as `flipped[kh', kw', o, g i]`, the channels of each group transposed and the taps in the order
/// in which the phases of the gradient read them, as [`crate::conv::dense`] does. One unit owns a run of (tap, output channel of
/// a group) pairs, each a line of the flipped weight.
#[cube(launch_unchecked)]
fn flip_weight<S: Float>(
    weight: &[S],
    flipped: &mut [S],
    kernel_h: usize,
    kernel_w: usize,
    group_in: usize,
    group_out: usize,
    groups: usize,
    stride_h: usize,
    stride_w: usize,
    run: usize,
    #[define(S)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, kernel_h * kernel_w * group_out);
    for index in first..last {
        let o = index % group_out;
        let kw = index / group_out % kernel_w;
        let kh = index / group_out / kernel_w;
        let row = flipped_tap(kh, kernel_h, stride_h);
        let column = flipped_tap(kw, kernel_w, stride_w);
        let to = ((row * kernel_w + column) * group_out + o) * groups * group_in;
        let from = (kh * kernel_w + kw) * group_in * groups * group_out + o;
        for g in 0..groups {
            for i in 0..group_in {
                flipped[to + g * group_in + i] = weight[from + (i * groups + g) * group_out];
            }
        }
    }
}

/// Launches the flip and the transposed tiled kernel.
pub(super) fn launch_grad_input(
    problem: &GroupedProblem,
    weight: &Tensor,
    grad: &Tensor,
    out: &Tensor,
) -> Result<(), KernelError> {
    let client = grad.client();
    let [kh, kw, group_in, _] = problem.weight_shape();
    let group_out = problem.out_channels / problem.groups;
    let shape = [kh, kw, group_out, problem.in_channels];
    let flipped = Tensor::empty(client, &shape, problem.dtype);
    if !launch::is_cpu(client) {
        let of = Weight {
            kernel: problem.kernel,
            stride: problem.options.stride,
            groups: problem.groups,
            inputs: group_in,
            outputs: group_out,
        };
        launch_turn(&of, weight, &flipped);
        let gathered = problem.gathered(true);
        if across::takes(problem) {
            let epilogue_args = EpilogueArgs::default();
            across::launch_across(&gathered, grad, &flipped, out, true, epilogue_args);
            return Ok(());
        }
        launch_implicit(
            &gathered,
            Pass::Transposed,
            grad,
            &flipped,
            EpilogueArgs::default(),
            out,
        );
        return Ok(());
    }
    let grid = launch::grid(client, kh * kw * group_out);
    let stride = problem.options.stride;
    // SAFETY: the permutation of the taps is a bijection of 0..kernel, so every line is written once, in bounds.
    unsafe {
        flip_weight::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            weight.arg(1),
            flipped.arg(1),
            kh,
            kw,
            group_in,
            group_out,
            problem.groups,
            planted::or("grouped_unflipped", stride[0], kh),
            planted::or("grouped_unflipped", stride[1], kw),
            grid.run,
            problem.dtype.elem(),
        );
    }
    launch::throttle(client);
    let groups = [group_out, group_in];
    let blueprint = Blueprint::new(problem, groups, &[&flipped, out]);
    let epilogue_args = EpilogueArgs::default();
    launch_tiled(
        problem,
        &blueprint,
        &grad.into(),
        &flipped,
        out,
        true,
        epilogue_args,
    )
}
