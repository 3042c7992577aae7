use crate::lanes::{Lanes, View, channel, load, store};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Pixels that are added one by one: the sums of such runs are then added, so that a map of a million pixels still comes to its
/// mean (one by one in f32 it is off by 1 %), and no map of a classifier's size changes its order.
const RUN_OF_SUM: usize = 1024;

/// `y[n, c] = sum over pixels of x[n, p, c] / divisor`. One unit owns a run of (image, vector of channels) pairs.
#[cube(launch_unchecked)]
fn average<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _anywhere: &[S],
    x_view: View,
    y_view: View,
    pixels: usize,
    channels: usize,
    vectors: usize,
    items: usize,
    divisor: InputScalar,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let block_len = comptime!(RUN_OF_SUM);
    let count = Vector::<F, N>::new(divisor.get::<F>());
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, items);
    for item in first..last {
        let (image, c) = (item / vectors, channel::<N>(item % vectors, channels));
        let mut sum = Vector::<F, N>::new(F::new(0.0f32));
        for block in 0..(pixels + comptime!(RUN_OF_SUM - 1)) / block_len {
            let mut part = Vector::<F, N>::new(F::new(0.0f32));
            for pixel in block * block_len..min((block + 1) * block_len, pixels) {
                part += load::<S, F, B, N>(x, x_view.at(image * pixels + pixel) + c);
            }
            sum += part;
        }
        store::<S, F, B, N>(y, y_view.at(image) + c, sum / count);
    }
}

/// Launches the sum over the pixels of `x` `[n, .., c]`, over `divisor`, into `y` `[n, c]`; both may be windows.
pub(super) fn launch_average(x: &Tensor, y: &Tensor, pixels: usize, divisor: f64) {
    let (client, dtype) = (x.client(), x.dtype());
    let channels = y.len() / y.pixels();
    let lanes = Lanes::of(client, dtype, channels, &[x, y]);
    let items = y.pixels() * lanes.vectors();
    let grid = launch::grid(client, items);
    // SAFETY: `x` holds `pixels` values for each one of `y`.
    unsafe {
        average::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            lanes.anywhere(x),
            x.view(),
            y.view(),
            pixels,
            channels,
            lanes.vectors(),
            items,
            dtype.scalar(divisor),
            grid.run,
            dtype.elems(),
        );
    }
    launch::pace(client);
}
