use super::BilinearProblem;
use super::axis::Axis;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are mixed side by side.
const TOGETHER: usize = 4;

/// `y = mixture of the four pixels of x around it`. One unit owns a share of the output pixels.
#[cube(launch_unchecked)]
fn mix<S: Float, F: Float, B: Size, N: Size>(
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
    let width = horizontal.output;
    let (first, last) = (share.first(), share.end());
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.output;
        let y_position = vertical.position(row % vertical.output);
        let up = vertical.below(y_position);
        let down_share = vertical.share::<F>(y_position, up);
        let up_share = vertical.rest::<F>(y_position, up);
        let down = min(up + 1, vertical.input - 1);
        let up_line = (n * vertical.input + up) * horizontal.input;
        let down_line = (n * vertical.input + down) * horizontal.input;
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let x_position = horizontal.position(pixel - row * width);
            let left = horizontal.below(x_position);
            let right_share = horizontal.share::<F>(x_position, left);
            let right = min(left + 1, horizontal.input - 1);
            let to_right = Vector::<F, N>::new(right_share);
            let to_left = Vector::<F, N>::new(horizontal.rest::<F>(x_position, left));
            let to_down = Vector::<F, N>::new(down_share);
            let to_up = Vector::<F, N>::new(up_share);
            let up_left = x_view.at(up_line + left);
            let up_right = x_view.at(up_line + right);
            let down_left = x_view.at(down_line + left);
            let down_right = x_view.at(down_line + right);
            for b in share.from()..share.to() {
                #[unroll]
                for j in 0..block {
                    let c = channel::<N>(b * block + j, channels);
                    // Which product is rounded is said here: a compiler chooses one for each width of vectors.
                    let above = fma(
                        load::<S, F, B, N>(x, up_right + c),
                        to_right,
                        load::<S, F, B, N>(x, up_left + c) * to_left,
                    );
                    let beneath = fma(
                        load::<S, F, B, N>(x, down_right + c),
                        to_right,
                        load::<S, F, B, N>(x, down_left + c) * to_left,
                    );
                    let mixed = fma(beneath, to_down, above * to_up);
                    store::<S, F, B, N>(y, pixel * channels + c, mixed);
                }
            }
        }
    }
}

/// Launches the resizing of `x` into `y`.
pub(super) fn launch_mix(problem: &BilinearProblem, x: &Tensor, y: &Tensor) {
    let (client, dtype) = (x.client(), x.dtype());
    let [.., channels] = problem.output_shape();
    let lanes = Lanes::of(client, dtype, channels, &[x, y]);
    let shares = Shares::of(client, y.pixels(), &lanes, TOGETHER);
    // SAFETY: the pixels around a position are held within the image.
    unsafe {
        mix::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.unaligned(x),
            x.view(),
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
