use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Pixels that are added one by one: the sums of such runs are then added, so that a map of a million pixels still comes to its
/// mean (one by one in f32 it is off by 1 %), and no map of a classifier's size changes its order.
const RUN_OF_SUM: usize = 1024;

/// `y[n, c] = sum over pixels of x[n, p, c] / pixels`. One unit owns a run of (image, vector of channels) pairs.
#[cube(launch_unchecked)]
fn average<F: Float, N: Size>(
    x: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    items: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let block_len = comptime!(RUN_OF_SUM);
    let count = Vector::<F, N>::cast_from(F::cast_from(pixels as u32));
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, items);
    for item in first..last {
        let start = item / channel_vectors * pixels * channel_vectors + item % channel_vectors;
        let mut sum = Vector::<F, N>::new(F::new(0.0f32));
        for block in 0..(pixels + comptime!(RUN_OF_SUM - 1)) / block_len {
            let mut part = Vector::<F, N>::new(F::new(0.0f32));
            for pixel in block * block_len..min((block + 1) * block_len, pixels) {
                part += x[start + pixel * channel_vectors];
            }
            sum += part;
        }
        y[item] = sum / count;
    }
}

/// Launches the average of `x` `[n, h, w, c]` into `y` `[n, c]`.
pub(super) fn launch_average(x: &Tensor, y: &Tensor, pixels: usize, channels: usize) {
    let client = x.client();
    let width = launch::width(client, x.dtype(), channels);
    let items = y.len() / width;
    let grid = launch::grid(client, items);
    // SAFETY: `x` holds `pixels` values for each one of `y`.
    unsafe {
        average::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            x.arg(width),
            y.arg(width),
            pixels,
            channels / width,
            items,
            grid.run,
            x.dtype().elem(),
        );
    }
    launch::pace(client);
}
