use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out[n, p, c] = grad[n, c] / divisor`. One unit owns a share of the pixels.
#[cube(launch_unchecked)]
fn spread<S: Float, F: Float, B: Size, N: Size>(
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    grad_view: View,
    out_view: View,
    share: Share,
    pixels: usize,
    channels: usize,
    divisor: InputScalar,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let count = Vector::<F, N>::new(divisor.get::<F>());
    for pixel in share.first()..share.end() {
        let (from, to) = (grad_view.at(pixel / pixels), out_view.at(pixel));
        for v in share.from()..share.to() {
            let c = channel::<N>(v, channels);
            store::<S, F, B, N>(out, to + c, load::<S, F, B, N>(grad, from + c) / count);
        }
    }
}

/// Launches the spread of `grad` `[n, c]`, over `divisor`, to the pixels of `out` `[n, .., c]`; both may be windows.
pub(super) fn launch_spread(grad: &Tensor, out: &Tensor, pixels: usize, divisor: f64) {
    let (client, dtype) = (grad.client(), grad.dtype());
    let channels = out.len() / out.pixels();
    let lanes = Lanes::of(client, dtype, channels, &[grad, out]);
    let shares = Shares::of(client, out.pixels(), &lanes, 1);
    // SAFETY: `out` holds `pixels` values for each one of `grad`.
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
            out.view(),
            shares.arg(),
            pixels,
            channels,
            dtype.scalar(divisor),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
