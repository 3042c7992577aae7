//! The padded patch that the tiled kernels read: a unit copies the input rows of its next few output rows once into a scratch
//! of its own, with the padding written out as zeros, so that the inner loops know no borders.

use crate::prologue::{Entrance, Prologue, copy_entered};
use crate::taps::{Axis, Taps};
use cubecl::prelude::*;

/// Copies `rows` input rows of image `n`, from row `first + up - lead` on, into `patch`: `rows` rows of `width` pixels of
/// `channels`, through the prologue, shifted by the columns' own `up - lead`. What lies outside of the image becomes zero.
#[cube]
pub(super) fn stage<S: Float, F: Float, B: Size, N: Size>(
    x: &[S],
    patch: &mut [F],
    patch_start: usize,
    n: usize,
    first: usize,
    rows: usize,
    width: usize,
    channels: usize,
    vertical: &Axis,
    horizontal: &Axis,
    v: &Taps,
    h: &Taps,
    entrance: &Entrance<F, B>,
    #[comptime] prologue: Prologue,
) {
    let zero = F::new(0.0f32);
    let left = min(max(h.lead, h.up) - h.up, width);
    let skip = max(h.lead, h.up) - h.lead;
    let copied = min(max(horizontal.source, skip) - skip, width - left);
    let line = width * channels;
    for row in 0..rows {
        let out = patch_start + row * line;
        let shifted = first + row + v.up;
        let valid = shifted >= v.lead && shifted < v.lead + vertical.source;
        if valid {
            let from =
                ((n * vertical.source + shifted - v.lead) * horizontal.source + skip) * channels;
            let begin = left * channels;
            let end = begin + copied * channels;
            for q in 0..begin {
                patch[out + q] = zero;
            }
            copy_entered::<S, F, B, N>(
                x,
                from,
                patch,
                out + begin,
                copied,
                channels,
                entrance,
                prologue,
            );
            for q in end..line {
                patch[out + q] = zero;
            }
        } else {
            for q in 0..line {
                patch[out + q] = zero;
            }
        }
    }
}
