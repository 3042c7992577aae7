use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y[n, c] = sum over pixels of x[n, p, c] / divisor`. One unit owns a run of (image, vector of channels) pairs.
#[cube(launch_unchecked)]
fn average<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
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
    let count = Vector::<F, N>::new(divisor.get::<F>());
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, items);
    for item in first..last {
        let (image, c) = (item / vectors, channel::<N>(item % vectors, channels));
        let mut sum = Cascade::<F, N>::new();
        for block in 0..blocks(pixels) {
            let mut part = Vector::<F, N>::new(F::new(0.0f32));
            for pixel in block_start(block)..block_end(block, pixels) {
                part += load::<S, F, B, N>(x, x_view.at(image * pixels + pixel) + c);
            }
            sum.add(part);
        }
        store::<S, F, B, N>(y, y_view.at(image) + c, sum.total() / count);
    }
}

/// Launches the sum over the pixels of `x` `[n, .., c]`, over `divisor`, into `y` `[n, c]`; both may be windows.
pub(super) fn launch_average(x: &Tensor, y: &Tensor, pixels: usize, divisor: f64) {
    let (client, dtype) = (x.client(), x.dtype());
    if !launch::is_cpu(client) {
        return super::cube::launch_average(x, y, pixels, divisor);
    }
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
            lanes.unaligned(x),
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
    launch::throttle(client);
}
