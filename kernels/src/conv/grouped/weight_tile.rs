//! The inner loops of the gradient with respect to the weight: the products of a patch's rows with rows of the output's gradient, a
//! tile of the weight's gradient in registers.

use super::blueprint::Blueprint;
use super::patch::{GroupPacking, Patch, broadcast, broadcast_in_groups};
use crate::prologue::Prologue;
use crate::taps::Axis;
use cubecl::prelude::*;

/// Pixels whose products are summed in registers one by one, at most: fewer rows are staged of wider images, and a row that is wider
/// still is taken in parts.
pub(super) const MOST_PIXELS: usize = 1024;
/// The widest kernel whose taps of a row share a tile.
const WIDEST_TILE: usize = 5;

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    /// A tile of the weight's gradient: neighbouring taps of one kernel row, neighbouring input channels.
    pub tile: [usize; 2],
    /// Whether each column of the patch is loaded once for all taps, which takes a stride of 1 and all taps in the tile.
    pub walks: bool,
    pub packing: GroupPacking,
    /// Lanes of a vector that hold channels of its chunk.
    pub used: usize,
    /// What the input goes through as it is staged.
    pub prologue: Prologue,
}

impl Variant {
    /// For kernels `width` taps wide.
    pub fn of(width: usize, stride: usize, blueprint: &Blueprint, prologue: Prologue) -> Self {
        let tile = tile(width, blueprint.inputs, blueprint.packing);
        Self {
            tile,
            walks: tile[0] == width && stride == 1,
            packing: blueprint.packing,
            used: blueprint.used,
            prologue,
        }
    }

    /// Zeros on either side of a row of gradients: a column of the patch meets taps whose outputs are not there.
    pub fn edge(&self) -> usize {
        if self.walks { self.tile[0] - 1 } else { 0 }
    }
}

/// The tile `[taps, input channels]` of a kernel `width` taps wide: at most 24 accumulators, which leave registers for operands.
fn tile(width: usize, inputs: usize, packing: GroupPacking) -> [usize; 2] {
    let across = if width <= WIDEST_TILE { width } else { 1 };
    if packing.size() > 0 {
        return [across, packing.size()];
    }
    let deep = (1..=24 / across)
        .rev()
        .min_by_key(|&deep| inputs.div_ceil(deep) * (deep * across + 4))
        .unwrap_or(1);
    [across, deep]
}

/// Adds the products of one kernel row's taps with `rows` rows of the gradient to the sums from `sum` on.
#[cube]
pub(super) fn multiply<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    gathered: &[Vector<F, N>],
    sums: &mut [Vector<F, N>],
    xb: usize,
    gb: usize,
    sum: usize,
    rows: usize,
    line: usize,
    inputs: usize,
    patch: &Patch,
    vertical: &Axis,
    horizontal: &Axis,
    #[comptime] variant: Variant,
) {
    let [across, deep] = comptime!(variant.tile);
    let size = comptime!(variant.packing.size());
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let columns = comptime!(MOST_PIXELS);
    let mut width = horizontal.target;
    if comptime!(variant.walks) {
        width += comptime!(across - 1);
    }
    let parts = (width + columns - 1) / columns;
    for tile in 0..(inputs + comptime!(deep - 1)) / deep {
        for part in 0..parts {
            let begin = part * columns;
            let end = min(begin + columns, width);
            let mut acc = Array::<Vector<F, N>>::new(comptime!(across * deep));
            #[unroll]
            for q in 0..comptime!(across * deep) {
                acc[q] = zero;
            }
            for t in 0..rows {
                let xt = xb + t * vertical.stride * patch.width * patch.pitch + tile * deep;
                let gt = gb + t * line;
                if comptime!(variant.walks) {
                    for column in begin..end {
                        let mut g = Array::<Vector<F, N>>::new(across);
                        #[unroll]
                        for k in 0..across {
                            g[k] = gathered[gt + column + comptime!(across - 1 - k)];
                        }
                        #[unroll]
                        for i in 0..deep {
                            let value =
                                operand::<F, I, N>(scratch, xt + column * patch.pitch, i, size);
                            #[unroll]
                            for k in 0..across {
                                acc[k * deep + i] = fma(value, g[k], acc[k * deep + i]);
                            }
                        }
                    }
                } else {
                    for ow in begin..end {
                        let g = gathered[gt + ow];
                        #[unroll]
                        for k in 0..across {
                            let offset = xt + (ow * horizontal.stride + k) * patch.pitch;
                            #[unroll]
                            for i in 0..deep {
                                let value = operand::<F, I, N>(scratch, offset, i, size);
                                acc[k * deep + i] = fma(value, g, acc[k * deep + i]);
                            }
                        }
                    }
                }
            }
            #[unroll]
            for i in 0..deep {
                if tile * deep + i < inputs {
                    #[unroll]
                    for k in 0..across {
                        sums[sum + k * inputs + tile * deep + i] += acc[k * deep + i];
                    }
                }
            }
        }
    }
}

/// The `i`-th input channel of a tile, in every lane.
#[cube]
fn operand<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    offset: usize,
    #[comptime] i: usize,
    #[comptime] size: usize,
) -> Vector<F, N> {
    if comptime!(size > 0) {
        broadcast_in_groups::<F, I, N>(scratch, offset, i, size)
    } else {
        broadcast::<F, I, N>(scratch, offset + i)
    }
}
