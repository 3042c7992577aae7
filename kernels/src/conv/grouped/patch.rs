//! The padded patch that the kernels read in place of the input: a unit copies the input rows of its next few output rows into a
//! scratch of its own, for a range of channels and with the zero padding written out, so that the inner loops know no borders.

use crate::lanes::{View, channel, load, store};
use crate::prologue::{Entrance, Prologue, enter};
use crate::taps::{Axis, Taps};
use cubecl::prelude::*;

/// Channels that one shuffle within 128 bits can bring to every lane of their group.
pub(super) const QUAD: usize = 4;

/// How the input channels of a chunk of output channels lie in a patch, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum GroupPacking {
    /// A chunk is one group: its channels as they are, to be broadcast one by one.
    Plain,
    /// A chunk is one vector across groups of this many channels, in and out: 1, 2, 4 or 8, less than a vector. A vector of the
    /// patch holds up to four channels of each group, repeated over the group's lanes, so that one shuffle within 128 bits gives
    /// every lane the `i`-th channel of its own group.
    Shuffled(usize),
}

impl GroupPacking {
    /// Channels of a group that spans less than a vector; 0 where a chunk is a group.
    pub fn size(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Shuffled(size) => size,
        }
    }

    /// Vectors of the patch that hold a chunk; 0 where a chunk is a group.
    pub fn parts(self) -> usize {
        self.size().div_ceil(QUAD)
    }
}

/// What of the input a patch holds.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Extent {
    /// The image.
    pub n: usize,
    /// The first row, before the taps' own shift.
    pub first: usize,
    /// Rows.
    pub rows: usize,
    /// The first chunk.
    pub chunk: usize,
    /// Chunks.
    pub chunks: usize,
}

/// How a patch lies in the scratch, as a kernel argument; all in elements but for `width`.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Patch {
    /// Pixels of a row.
    pub width: usize,
    /// From one pixel to the next.
    pub pitch: usize,
    /// The whole patch.
    pub len: usize,
    /// From one chunk to the next.
    pub chunk: usize,
    /// Stretches of memory that a row takes: one, or one for each chunk.
    pub parts: usize,
    /// Source channels of a chunk.
    pub share: usize,
    /// Source channels of all chunks.
    pub channels: usize,
}

/// Fills the patch at `start`, through the prologue, from the input row `extent.first + v.up - v.lead` on, shifted by the columns' own `up - lead`. What
/// lies outside of the image becomes zero.
#[cube]
pub(super) fn stage<S: Float, F: Float, I: Size, N: Size, M: Size>(
    x: &[Vector<S, I>],
    scratch: &mut [Vector<F, I>],
    start: usize,
    patch: &Patch,
    extent: &Extent,
    view: &View,
    vertical: &Axis,
    horizontal: &Axis,
    v: &Taps,
    h: &Taps,
    entrance: &Entrance<F, I>,
    #[comptime] prologue: Prologue,
    #[comptime] packing: GroupPacking,
) {
    let left = min(max(h.lead, h.up) - h.up, patch.width);
    let skip = max(h.lead, h.up) - h.lead;
    let copied = min(max(horizontal.source, skip) - skip, patch.width - left);
    for row in 0..extent.rows {
        let line = start + row * patch.width * patch.pitch;
        let end = line + patch.width * patch.pitch;
        let shifted = extent.first + row + v.up;
        let parts = min(patch.parts, extent.chunks);
        if shifted >= v.lead && shifted < v.lead + vertical.source {
            let from = (extent.n * vertical.source + shifted - v.lead) * horizontal.source + skip;
            let begin = line + left * patch.pitch;
            let copied_end = begin + copied * patch.pitch;
            for part in 0..parts {
                clear::<F, I>(
                    scratch,
                    line + part * patch.chunk,
                    begin + part * patch.chunk,
                );
                clear::<F, I>(
                    scratch,
                    copied_end + part * patch.chunk,
                    end + part * patch.chunk,
                );
            }
            for q in 0..copied {
                let (offset, to) = (view.at(from + q), begin + q * patch.pitch);
                copy::<S, F, I, N, M>(
                    x, scratch, offset, to, patch, extent, entrance, prologue, packing,
                );
            }
        } else {
            for part in 0..parts {
                clear::<F, I>(scratch, line + part * patch.chunk, end + part * patch.chunk);
            }
        }
    }
}

#[cube]
fn clear<F: Float, I: Size>(scratch: &mut [Vector<F, I>], from: usize, to: usize) {
    let zero = Vector::<F, I>::new(F::new(0.0f32));
    for q in from..to {
        scratch[q] = zero;
    }
}

/// Copies the chunks of one pixel, which starts at `offset` in the input and at `to` in the patch.
#[cube]
fn copy<S: Float, F: Float, I: Size, N: Size, M: Size>(
    x: &[Vector<S, I>],
    scratch: &mut [Vector<F, I>],
    offset: usize,
    to: usize,
    patch: &Patch,
    extent: &Extent,
    entrance: &Entrance<F, I>,
    #[comptime] prologue: Prologue,
    #[comptime] packing: GroupPacking,
) {
    if comptime!(packing.size() == 0) {
        let first = extent.chunk * patch.share;
        let count = extent.chunks * patch.share;
        for m in 0..(count + M::value() - 1) / M::value() {
            let c = channel::<M>(m, count);
            let value = load::<S, F, I, M>(x, offset + first + c);
            let value = enter::<S, F, I, M>(value, entrance, first + c, prologue);
            store::<F, F, I, M>(scratch, to + c, value);
        }
    } else {
        let (size, parts) = comptime!((packing.size(), packing.parts()));
        for k in 0..extent.chunks {
            let c = channel::<N>(extent.chunk + k, patch.channels);
            let own = load::<S, F, I, N>(x, offset + c);
            let own = enter::<S, F, I, N>(own, entrance, c, prologue);
            #[unroll]
            for part in 0..parts {
                let mut value = own;
                if comptime!(parts > 1) {
                    #[unroll]
                    for lane in 0..N::value() {
                        let from = comptime!(lane / size * size + part * QUAD + lane % QUAD);
                        value.insert(lane, own.extract(from));
                    }
                }
                store::<F, F, I, N>(scratch, to + k * patch.chunk + part * N::value(), value);
            }
        }
    }
}

/// The patch's value for the `i`-th input channel of a group, in every lane; `offset` is where the chunk's pixel starts.
///
/// `i` is a comptime index where groups share a vector.
#[cube]
pub(super) fn broadcast_in_groups<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    offset: usize,
    #[comptime] i: usize,
    #[comptime] size: usize,
) -> Vector<F, N> {
    let own = load::<F, F, I, N>(scratch, offset + comptime!(i / QUAD) * N::value());
    let quad = comptime!(size.min(QUAD));
    let mut value = own;
    #[unroll]
    for lane in 0..N::value() {
        value.insert(lane, own.extract(comptime!(lane / quad * quad + i % quad)));
    }
    value
}

/// The channel at `offset` of the patch in every lane.
#[cube]
pub(super) fn broadcast<F: Float, I: Size, N: Size>(
    scratch: &[Vector<F, I>],
    offset: usize,
) -> Vector<F, N> {
    Vector::cast_from(scratch[offset].extract(0usize))
}
