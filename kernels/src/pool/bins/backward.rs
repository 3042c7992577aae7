use super::{Axis, Bins};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are summed side by side.
const TOGETHER: usize = 8;

/// `out = sum of grad / count over the bins over a pixel`, row sums first. One unit owns a share of the input pixels; neighbours under the same bins get
/// one sum.
#[cube(launch_unchecked)]
fn spread<S: Float, F: Float, B: Size, N: Size>(
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
    let one = F::new(1.0f32);
    let width = horizontal.input;
    let (first, last) = (share.first(), share.end());
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.input;
        let iy = row % vertical.input;
        let first_y = vertical.first_over(iy);
        let end_y = vertical.end_over(iy);
        let start = row * width;
        let stop = min(last, start + width) - start;
        let mut ix = max(first, start) - start;
        while ix < stop {
            let first_x = horizontal.first_over(ix);
            let end_x = horizontal.end_over(ix);
            let next = min(horizontal.next_change(ix, first_x, end_x), stop);
            for b in share.from()..share.to() {
                let mut sum = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    sum[j] = zero;
                }
                for oy in first_y..end_y {
                    let line = (n * vertical.output + oy) * horizontal.output;
                    let y_count = vertical.count(oy);
                    let mut part = Array::<Vector<F, N>>::new(block);
                    #[unroll]
                    for j in 0..block {
                        part[j] = zero;
                    }
                    for ox in first_x..end_x {
                        let count = F::cast_from((y_count * horizontal.count(ox)) as u32);
                        let inverse = Vector::<F, N>::new(one / count);
                        let from = grad_view.at(line + ox);
                        #[unroll]
                        for j in 0..block {
                            let c = channel::<N>(b * block + j, channels);
                            part[j] += load::<S, F, B, N>(grad, from + c) * inverse;
                        }
                    }
                    #[unroll]
                    for j in 0..block {
                        sum[j] += part[j];
                    }
                }
                for to in ix..next {
                    #[unroll]
                    for j in 0..block {
                        let c = channel::<N>(b * block + j, channels);
                        store::<S, F, B, N>(out, (start + to) * channels + c, sum[j]);
                    }
                }
            }
            ix = next;
        }
    }
}

/// Launches the gradient of [`super::launch_mean`], from `grad` into `out` `[n, h, w, c]`.
pub(in crate::pool) fn launch_spread(bins: [Bins; 2], grad: &Tensor, out: &Tensor) {
    let (client, dtype) = (grad.client(), grad.dtype());
    let channels = out.len() / out.pixels();
    let lanes = Lanes::of(client, dtype, channels, &[grad, out]);
    let shares = Shares::of(client, out.pixels(), &lanes, TOGETHER);
    // SAFETY: the bins over a pixel are bins of the problem, for which `grad` holds one pixel each.
    unsafe {
        spread::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(grad),
            lanes.arg(out),
            lanes.unaligned(grad),
            grad.view(),
            bins[0].axis(),
            bins[1].axis(),
            shares.arg(),
            channels,
            shares.block,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
