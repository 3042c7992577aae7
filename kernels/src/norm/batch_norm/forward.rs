use super::Epilogue;
use crate::affine::Affine;
use crate::clamp::clamped;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Client, Tensor, launch};
use cubecl::prelude::*;

/// Pixels of a group on a CPU.
const PIXELS: usize = 4;

/// The pixels for which a unit loads a channel's statistics once, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub pixels: usize,
    /// Whether they lie as far apart as there are groups, and not side by side.
    pub spread: bool,
}

impl Group {
    /// Neighbours on a CPU, which walks memory in order. On a GPU neighbouring units have neighbouring pixels.
    pub(super) fn of(client: &Client) -> Self {
        if launch::is_cpu(client) {
            let pixels = PIXELS;
            Self {
                pixels,
                spread: false,
            }
        } else {
            Self {
                pixels: 2,
                spread: true,
            }
        }
    }
}

/// Pixel `u` of group `i`. Past the end it is the last one.
#[cube]
pub(super) fn pixel_of(i: usize, u: usize, pixels: usize, #[comptime] group: Group) -> usize {
    let at_once = comptime!(group.pixels);
    if comptime!(group.spread) {
        let groups = (pixels + comptime!(group.pixels - 1)) / at_once;
        min(i + u * groups, pixels - 1)
    } else {
        min(i * at_once + u, pixels - 1)
    }
}

/// `y = act((x - mean) scale + beta + residual)` for the first channels of `x`, as many as `y` has. One unit owns a share of the groups
/// of pixels; pixels past the end are the last one again, written twice with the same value.
#[cube(launch_unchecked)]
fn normalise<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    residual: &[Vector<S, B>],
    mean: &[Vector<F, B>],
    scale: &[Vector<F, B>],
    beta: &[Vector<F, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    residual_view: View,
    span: usize,
    pixels: usize,
    kept: usize,
    share: Share,
    #[comptime] group: Group,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let at_once = comptime!(group.pixels);
    let (first, last) = (share.first(), share.end());
    for i in first..last {
        // Backwards: what the pass before read last is still in the cache.
        let i = first + last - 1 - i;
        for v in share.from()..share.to() {
            let c = channel::<N>(v, kept);
            let centre = load::<F, F, B, N>(mean, c);
            let slope = load::<F, F, B, N>(scale, c);
            let shift = load::<F, F, B, N>(beta, c);
            #[unroll]
            for u in 0..at_once {
                let pixel = pixel_of(i, u, pixels, group);
                let offset = x_view.at(pixel) + c;
                let mut value = fma(load::<S, F, B, N>(x, offset) - centre, slope, shift);
                if comptime!(epilogue.residual) {
                    value += load::<S, F, B, N>(residual, residual_view.at(pixel / span) + c);
                }
                value = clamped::<F, N>(value, comptime!(epilogue.clamp));
                store::<S, F, B, N>(y, y_view.at(pixel) + c, value);
            }
        }
    }
}

/// Launches `clamp((x - centre) scale + shift + residual)` into `y`, which may be a window, of at most as many channels as `x`.
pub(crate) fn launch_affine(x: &Tensor, affine: &Affine, y: &Tensor) {
    let (client, dtype) = (x.client(), x.dtype());
    let channels = x.shape().last().copied().unwrap_or(1);
    let pixels = x.len() / channels;
    let kept = y.len() / pixels;
    let residual = affine.residual.unwrap_or(x);
    let lanes = Lanes::of(client, dtype, kept, &[x, y, residual]);
    let group = Group::of(client);
    let shares = Shares::of(client, pixels.div_ceil(group.pixels), &lanes, 1);
    // SAFETY: callers relate the extents; without a residual the kernel never reads that argument.
    unsafe {
        normalise::launch_unchecked(
            client,
            shares.count.clone(),
            shares.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(residual),
            lanes.arg(affine.centre),
            lanes.arg(affine.scale),
            lanes.arg(affine.shift),
            lanes.arg(y),
            lanes.unaligned(x),
            x.view(),
            y.view(),
            residual.view(),
            affine
                .residual
                .map_or(1, |residual| pixels / residual.pixels()),
            pixels,
            kept,
            shares.arg(),
            group,
            Epilogue {
                clamp: affine.clamp,
                residual: affine.residual.is_some(),
            },
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
