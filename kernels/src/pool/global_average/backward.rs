use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out[n, p, c] = grad[n, c] / pixels`. One unit owns a run of pixels.
#[cube(launch_unchecked)]
fn spread<F: Float, N: Size>(
    grad: &[Vector<F, N>],
    out: &mut [Vector<F, N>],
    pixels: usize,
    channel_vectors: usize,
    pixels_in_all: usize,
    run: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let count = Vector::<F, N>::cast_from(F::cast_from(pixels as u32));
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, pixels_in_all);
    for pixel in first..last {
        for c in 0..channel_vectors {
            out[pixel * channel_vectors + c] = grad[pixel / pixels * channel_vectors + c] / count;
        }
    }
}

/// Launches the spread of `grad` `[n, c]` over `out` `[n, h, w, c]`.
pub(super) fn launch_spread(grad: &Tensor, out: &Tensor, pixels: usize, channels: usize) {
    let client = grad.client();
    let width = launch::width(client, grad.dtype(), channels);
    let grid = launch::grid(client, out.len() / channels);
    // SAFETY: `out` holds `pixels` values for each one of `grad`.
    unsafe {
        spread::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            grad.arg(width),
            out.arg(width),
            pixels,
            channels / width,
            out.len() / channels,
            grid.run,
            grad.dtype().elem(),
        );
    }
    launch::pace(client);
}
