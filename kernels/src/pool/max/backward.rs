use super::MaxPoolProblem;
use super::axis::{Axis, AxisLaunch};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are summed side by side.
const TOGETHER: usize = 4;

/// `out = sum of grad over the windows whose maximum came from here`. One unit owns a share of the input pixels.
#[cube(launch_unchecked)]
fn route<S: Float, F: Float, B: Size, N: Size>(
    argmax: &[Vector<F, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    grad_view: View,
    vertical: Axis,
    horizontal: Axis,
    share: Share,
    channels: usize,
    #[comptime] block: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let width = horizontal.input;
    let (first, last) = (share.first(), share.end());
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.input;
        let py = row % vertical.input + vertical.padding;
        let first_y = vertical.first_over(py);
        let end_y = vertical.end_over(py);
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let px = pixel - row * width + horizontal.padding;
            let first_x = horizontal.first_over(px);
            let end_x = horizontal.end_over(px);
            for b in share.from()..share.to() {
                let mut sum = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    sum[j] = zero;
                }
                for oy in first_y..end_y {
                    let line = (n * vertical.output + oy) * horizontal.output;
                    let dy = (py - oy * vertical.stride) * horizontal.reach;
                    for ox in first_x..end_x {
                        let here = dy + px - ox * horizontal.stride;
                        let here = Vector::<F, N>::new(F::cast_from(here as u32));
                        #[unroll]
                        for j in 0..block {
                            let c = channel::<N>(b * block + j, channels);
                            let tap_index = load::<F, F, B, N>(argmax, (line + ox) * channels + c);
                            let g = load::<S, F, B, N>(grad, grad_view.at(line + ox) + c);
                            sum[j] += select_many(tap_index.equal(&here), g, zero);
                        }
                    }
                }
                #[unroll]
                for j in 0..block {
                    let c = channel::<N>(b * block + j, channels);
                    store::<S, F, B, N>(out, pixel * channels + c, sum[j]);
                }
            }
        }
    }
}

/// Launches the routing of `grad` to the `argmax` of the maxima in `out`.
pub(super) fn launch_route(problem: &MaxPoolProblem, argmax: &Tensor, grad: &Tensor, out: &Tensor) {
    let (client, dtype) = (grad.client(), grad.dtype());
    let [.., channels] = problem.input_shape();
    let lanes = Lanes::of(client, dtype, channels, &[grad, out]);
    let shares = Shares::of(client, out.pixels(), &lanes, TOGETHER);
    // SAFETY: the windows over a pixel are windows of the problem, for which `argmax` and `grad` hold one pixel each.
    unsafe {
        route::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(argmax),
            lanes.arg(grad),
            lanes.arg(out),
            lanes.unaligned(grad),
            grad.view(),
            AxisLaunch::of(problem, 0),
            AxisLaunch::of(problem, 1),
            shares.arg(),
            channels,
            shares.block,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
