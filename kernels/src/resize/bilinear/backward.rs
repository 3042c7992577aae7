use super::BilinearProblem;
use super::axis::Axis;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are summed side by side.
const TOGETHER: usize = 8;

/// `out = sum of weight grad over the outputs that read a pixel`, row sums first. One unit owns a share of the input pixels.
#[cube(launch_unchecked)]
fn unmix<S: Float, F: Float, B: Size, N: Size>(
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
    let no_last_row = comptime!(crate::planted::is(
        "bilinear_gradient_misses_its_last_output"
    ));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let width = horizontal.input;
    let (first, last) = (share.first(), share.end());
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.input;
        let iy = row % vertical.input;
        let first_y = vertical.first_over(iy);
        let mut end_y = vertical.end_over(iy);
        if no_last_row {
            end_y = max(end_y, first_y + 1) - 1;
        }
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let ix = pixel - row * width;
            let first_x = horizontal.first_over(ix);
            let end_x = horizontal.end_over(ix);
            for b in share.from()..share.to() {
                let mut sum = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    sum[j] = zero;
                }
                for oy in first_y..end_y {
                    let down = Vector::<F, N>::new(vertical.weight::<F>(oy, iy));
                    let line = (n * vertical.output + oy) * horizontal.output;
                    let mut part = Array::<Vector<F, N>>::new(block);
                    #[unroll]
                    for j in 0..block {
                        part[j] = zero;
                    }
                    for ox in first_x..end_x {
                        let weight = Vector::<F, N>::new(horizontal.weight::<F>(ox, ix));
                        let from = grad_view.at(line + ox);
                        #[unroll]
                        for j in 0..block {
                            let c = channel::<N>(b * block + j, channels);
                            part[j] = fma(load::<S, F, B, N>(grad, from + c), weight, part[j]);
                        }
                    }
                    #[unroll]
                    for j in 0..block {
                        sum[j] = fma(part[j], down, sum[j]);
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

/// Launches the gradient with respect to the input, from `grad` into `out`.
pub(super) fn launch_unmix(problem: &BilinearProblem, grad: &Tensor, out: &Tensor) {
    let (client, dtype) = (grad.client(), grad.dtype());
    let [.., channels] = problem.input_shape();
    let lanes = Lanes::of(client, dtype, channels, &[grad, out]);
    let shares = Shares::of(client, out.pixels(), &lanes, TOGETHER);
    // SAFETY: the outputs over a pixel are outputs of the problem, for which `grad` holds one pixel each.
    unsafe {
        unmix::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(grad),
            lanes.arg(out),
            lanes.unaligned(grad),
            grad.view(),
            problem.axis(0),
            problem.axis(1),
            shares.arg(),
            channels,
            shares.block,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
