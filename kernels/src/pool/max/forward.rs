use super::MaxPoolProblem;
use super::axis::{Axis, AxisLaunch};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::special::minus_infinity;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Vectors of channels that are compared side by side: their chains of comparisons do not wait for each other.
const TOGETHER: usize = 4;

/// `y = max over the window of x`, and where in the window it was. One unit owns a share of the output pixels.
#[cube(launch_unchecked)]
fn largest<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    argmax: &mut [Vector<F, B>],
    _unaligned: &[S],
    x_view: View,
    vertical: Axis,
    horizontal: Axis,
    share: Share,
    channels: usize,
    #[comptime] block: usize,
    #[comptime] with_places: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let last_of_equals = comptime!(crate::planted::is("max_pool_last_of_equals"));
    let nan_is_small = comptime!(crate::planted::is("max_pool_nan_is_small"));
    let width = horizontal.output;
    let (first, last) = (share.first(), share.end());
    let step = F::cast_from(horizontal.dilation as u32);
    for row in first / width..(last + width - 1) / width {
        let n = row / vertical.output;
        let oy = row % vertical.output;
        let top = oy * vertical.stride;
        let y_from = vertical.from(oy);
        let y_to = vertical.to(oy);
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let ox = pixel - row * width;
            let left = ox * horizontal.stride;
            let x_from = horizontal.from(ox);
            let x_to = horizontal.to(ox);
            for b in share.from()..share.to() {
                let tap_index = (y_from - top) * horizontal.reach + x_from - left;
                let tap_index = Vector::<F, N>::new(F::cast_from(tap_index as u32));
                let mut high = Array::<Vector<F, N>>::new(block);
                let mut at = Array::<Vector<F, N>>::new(block);
                #[unroll]
                for j in 0..block {
                    high[j] = Vector::new(minus_infinity::<F>());
                    at[j] = tap_index;
                }
                for py in range_stepped(y_from, y_to, vertical.dilation) {
                    let line = (n * vertical.input + py - vertical.padding) * horizontal.input;
                    let tap_index = (py - top) * horizontal.reach + x_from - left;
                    let mut tap_index = F::cast_from(tap_index as u32);
                    for px in range_stepped(x_from, x_to, horizontal.dilation) {
                        let start = x_view.at(line + px - horizontal.padding);
                        #[unroll]
                        for j in 0..block {
                            let c = channel::<N>(b * block + j, channels);
                            let value = load::<S, F, B, N>(x, start + c);
                            let mut higher = value.greater_than(&high[j]);
                            if last_of_equals {
                                higher = value.greater_equal(&high[j]);
                            }
                            let mut top = select_many(higher, value, high[j]);
                            if !nan_is_small {
                                let spoiled = value.is_nan();
                                top = select_many(spoiled, value, top);
                                higher = higher.or(spoiled);
                            }
                            high[j] = top;
                            if with_places {
                                at[j] = select_many(higher, Vector::new(tap_index), at[j]);
                            }
                        }
                        tap_index += step;
                    }
                }
                #[unroll]
                for j in 0..block {
                    let c = channel::<N>(b * block + j, channels);
                    store::<S, F, B, N>(y, pixel * channels + c, high[j]);
                    if with_places {
                        store::<F, F, B, N>(argmax, pixel * channels + c, at[j]);
                    }
                }
            }
        }
    }
}

/// Launches the pooling of `x` into `y`, and of the maxima's taps into `argmax` where they are wanted.
pub(super) fn launch_largest(
    problem: &MaxPoolProblem,
    x: &Tensor,
    y: &Tensor,
    argmax: Option<&Tensor>,
) {
    let (client, dtype) = (x.client(), x.dtype());
    let [.., channels] = problem.output_shape();
    let lanes = Lanes::of(client, dtype, channels, &[x, y]);
    let shares = Shares::of(client, y.pixels(), &lanes, TOGETHER);
    let unread = Tensor::empty(client, &[lanes.item], dtype.accumulator());
    // SAFETY: windows are cut off at the image's edges, and `argmax` holds as many elements as `y` where it is written.
    unsafe {
        largest::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.arg(argmax.unwrap_or(&unread)),
            lanes.unaligned(x),
            x.view(),
            AxisLaunch::of(problem, 0),
            AxisLaunch::of(problem, 1),
            shares.arg(),
            channels,
            shares.block,
            argmax.is_some(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
