use super::{Axis, Bins};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are summed side by side: their chains of additions do not wait for each other.
const TOGETHER: usize = 4;

/// `y = mean over the bin of x`, row sums first. One unit owns a share of the output pixels.
#[cube(launch_unchecked)]
fn mean<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    vertical: Axis,
    horizontal: Axis,
    share: Share,
    channels: usize,
    #[comptime] block: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let width = horizontal.output;
    let (first, last) = (share.first(), share.end());
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.output;
        let oy = row % vertical.output;
        let y_from = vertical.from(oy);
        let y_to = vertical.to(oy);
        let y_count = vertical.count(oy);
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let ox = pixel - row * width;
            let x_from = horizontal.from(ox);
            let x_to = horizontal.to(ox);
            let count = F::cast_from((y_count * horizontal.count(ox)) as u32);
            let inverse = Vector::<F, N>::new(F::new(1.0f32) / count);
            for b in share.from()..share.to() {
                let mut sum = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    sum[j] = zero;
                }
                for iy in y_from..y_to {
                    let line = (n * vertical.input + iy) * horizontal.input;
                    let mut part = Array::<Vector<F, N>>::new(block);
                    #[unroll]
                    for j in 0..block {
                        part[j] = zero;
                    }
                    for ix in x_from..x_to {
                        let start = x_view.at(line + ix);
                        #[unroll]
                        for j in 0..block {
                            let c = channel::<N>(b * block + j, channels);
                            part[j] += load::<S, F, B, N>(x, start + c);
                        }
                    }
                    #[unroll]
                    for j in 0..block {
                        sum[j] += part[j];
                    }
                }
                #[unroll]
                for j in 0..block {
                    let c = channel::<N>(b * block + j, channels);
                    store::<S, F, B, N>(y, pixel * channels + c, sum[j] * inverse);
                }
            }
        }
    }
}

/// Launches the means of `x` `[n, h, w, c]` over `bins` into `y`.
pub(in crate::pool) fn launch_mean(bins: [Bins; 2], x: &Tensor, y: &Tensor) {
    let (client, dtype) = (x.client(), x.dtype());
    let channels = x.len() / x.pixels();
    let lanes = Lanes::of(client, dtype, channels, &[x, y]);
    let shares = Shares::of(client, y.pixels(), &lanes, TOGETHER);
    // SAFETY: bins are cut off at the image's edges.
    unsafe {
        mean::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.unaligned(x),
            x.view(),
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
