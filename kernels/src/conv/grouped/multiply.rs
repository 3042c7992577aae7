//! The inner loops of the tiled kernel: the products of one kernel row with a tile.

use super::patch::{GroupPacking, broadcast, broadcast_in_groups};
use crate::affine::Epilogue;
use crate::prologue::Prologue;
use cubecl::prelude::*;

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    /// Neighbouring outputs of one row held in registers.
    pub pixels: usize,
    /// `[kernel width, horizontal stride]` where each column of the patch is loaded once for all the taps that read it.
    pub multiply_columns: Option<[usize; 2]>,
    pub packing: GroupPacking,
    /// Lanes of a vector that hold channels of its chunk.
    pub used: usize,
    pub transposed: bool,
    pub prologue: Prologue,
    pub epilogue: Epilogue,
}

/// Adds one kernel row's products to the tile.
#[cube]
pub(super) fn multiply<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    packed: &[Vector<F, N>],
    acc: &mut Array<Vector<F, N>>,
    xb: usize,
    wb: usize,
    inputs: usize,
    taps: usize,
    step: usize,
    pitch: usize,
    #[comptime] variant: Variant,
) {
    let size = comptime!(variant.packing.size());
    let (pixels, walks) = comptime!((variant.pixels, variant.multiply_columns.is_some()));
    if comptime!(walks && size > 0) {
        #[unroll]
        for i in 0..size {
            let mut w = taps_of::<F, N>(packed, wb + i, inputs, variant);
            multiply_columns::<F, I, N>(scratch, &mut w, acc, xb, pitch, i, variant);
        }
    } else if comptime!(walks) {
        for i in 0..inputs {
            let mut w = taps_of::<F, N>(packed, wb + i, inputs, variant);
            multiply_columns::<F, I, N>(scratch, &mut w, acc, xb + i, pitch, 0usize, variant);
        }
    } else if comptime!(size > 0) {
        for k in 0..taps {
            #[unroll]
            for i in 0..size {
                let w = packed[wb + k * inputs + i];
                #[unroll]
                for p in 0..pixels {
                    let offset = xb + p * step + k * pitch;
                    acc[p] = fma(
                        broadcast_in_groups::<F, I, N>(scratch, offset, i, size),
                        w,
                        acc[p],
                    );
                }
            }
        }
    } else {
        for k in 0..taps {
            for i in 0..inputs {
                let w = packed[wb + k * inputs + i];
                #[unroll]
                for p in 0..pixels {
                    let offset = xb + p * step + k * pitch + i;
                    acc[p] = fma(broadcast::<F, I, N>(scratch, offset), w, acc[p]);
                }
            }
        }
    }
}

/// The weights of a kernel row's taps for one input channel.
#[cube]
fn taps_of<F: Float, N: Size>(
    packed: &[Vector<F, N>],
    offset: usize,
    inputs: usize,
    #[comptime] variant: Variant,
) -> Array<Vector<F, N>> {
    let width = comptime!(variant.multiply_columns.map_or(1, |[width, _]| width));
    let mut w = Array::<Vector<F, N>>::new(width);
    #[unroll]
    for k in 0..width {
        w[k] = packed[offset + k * inputs];
    }
    w
}

/// Loads each column of the patch once and multiplies it with every tap whose output lies in the tile; `i` tells the input
/// channel where groups share a vector.
#[cube]
fn multiply_columns<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    w: &mut Array<Vector<F, N>>,
    acc: &mut Array<Vector<F, N>>,
    xb: usize,
    pitch: usize,
    #[comptime] i: usize,
    #[comptime] variant: Variant,
) {
    let (pixels, size) = comptime!((variant.pixels, variant.packing.size()));
    let [width, stride] = comptime!(variant.multiply_columns.unwrap_or([1, 1]));
    #[unroll]
    for column in 0..comptime!((pixels - 1) * stride + width) {
        let offset = xb + column * pitch;
        let value = if comptime!(size > 0) {
            broadcast_in_groups::<F, I, N>(scratch, offset, i, size)
        } else {
            broadcast::<F, I, N>(scratch, offset)
        };
        #[unroll]
        for k in 0..width {
            let p = comptime!(column.saturating_sub(k) / stride);
            if comptime!(column >= k && (column - k) % stride == 0 && p < pixels) {
                acc[p] = fma(value, w[k], acc[p]);
            }
        }
    }
}
