//! The padded patch of one chunk of output channels, which the kernels read in place of the input: a unit copies the input rows
//! of its next few output rows into a scratch of its own, zero padding included, so that the inner loops know no borders.
//!
//! A chunk is either one group, or one vector of output channels that spans several groups. For a group the patch holds its
//! input channels as they are, and the kernel broadcasts them one by one. For a vector the patch holds, for the `i`-th input
//! channel of a group, a vector whose every lane has the `i`-th channel of its own group: the inner loops then run full vectors
//! at four channels a group as at sixteen, and no lane meets a channel of a group that is not its own.

use crate::conv::dense::stage::{Axis, Taps};
use crate::lanes::{View, channel, load, store};
use cubecl::prelude::*;

/// How the input channels of a chunk lie in its patch, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Spread {
    /// The chunk is a group: its channels as they are.
    Plain,
    /// The chunk is a vector across groups of this many channels, in and out, which divide the vector: one load, then shuffles.
    Shuffled(usize),
    /// The chunk is a vector across groups of any size: each group's channel is stored to the lanes from the group's first on,
    /// and the next group's store takes back what was too much.
    Stored,
}

impl Spread {
    /// Whether the patch holds vectors, not single channels.
    pub fn is_vector(self) -> bool {
        self != Self::Plain
    }

    /// The channels a group whose spreading is a shuffle; 0 where it is none.
    fn shuffled(self) -> usize {
        match self {
            Self::Shuffled(size) => size,
            Self::Plain | Self::Stored => 0,
        }
    }
}

/// Channels of one group in the tensor that is read and in the one that is written, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Group {
    pub source: usize,
    pub target: usize,
}

/// A chunk's place: the image, the first of its rows, and the first output channel of the chunk.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    pub n: usize,
    pub first: usize,
    pub channel: usize,
}

/// The elements of one pixel of a patch.
#[cube]
pub(super) fn pixel_len<N: Size>(group: &Group, #[comptime] spread: Spread) -> usize {
    if comptime!(spread.is_vector()) {
        group.source * N::value()
    } else {
        group.source
    }
}

/// The `index`-th item of a patch in every lane: a vector of it, or one of its channels.
#[cube]
pub(super) fn item<F: Float, I: Size, N: Size>(
    patch: &[Vector<F, I>],
    index: usize,
    #[comptime] spread: Spread,
) -> Vector<F, N> {
    if comptime!(spread.is_vector()) {
        load::<F, I, N>(patch, index)
    } else {
        Vector::cast_from(patch[index].extract(0usize))
    }
}

/// Fills `rows` rows of `width` pixels of the patch at `start`, from input row `place.first + v.up - v.lead` on and shifted by
/// the columns' own `up - lead`. What lies outside of the image becomes zero.
///
/// Rows and pixels are written in order, as [`Spread::Stored`] wants: its last store reaches up to `M` past the patch.
#[cube]
pub(super) fn stage<F: Float, I: Size, N: Size, M: Size>(
    x: &[Vector<F, I>],
    patch: &mut [Vector<F, I>],
    start: usize,
    place: &Place,
    rows: usize,
    width: usize,
    view: &View,
    group: &Group,
    vertical: &Axis,
    horizontal: &Axis,
    v: &Taps,
    h: &Taps,
    #[comptime] spread: Spread,
) {
    let left = min(max(h.lead, h.up) - h.up, width);
    let skip = max(h.lead, h.up) - h.lead;
    let copied = min(max(horizontal.source, skip) - skip, width - left);
    let pixel = pixel_len::<N>(group, spread);
    for row in 0..rows {
        let line = start + row * width * pixel;
        let shifted = place.first + row + v.up;
        let valid = shifted >= v.lead && shifted < v.lead + vertical.source;
        if valid {
            let from = (place.n * vertical.source + shifted - v.lead) * horizontal.source + skip;
            let begin = line + left * pixel;
            zero::<F, I>(patch, line, begin);
            for q in 0..copied {
                let at = view.at(from + q);
                copy::<F, I, N, M>(
                    x,
                    patch,
                    at,
                    begin + q * pixel,
                    place.channel,
                    group,
                    spread,
                );
            }
            zero::<F, I>(patch, begin + copied * pixel, line + width * pixel);
        } else {
            zero::<F, I>(patch, line, line + width * pixel);
        }
    }
}

#[cube]
fn zero<F: Float, I: Size>(patch: &mut [Vector<F, I>], from: usize, to: usize) {
    let zero = Vector::<F, I>::new(F::new(0.0f32));
    for q in from..to {
        patch[q] = zero;
    }
}

/// Writes one pixel of the patch at `to` from the pixel at `at`.
#[cube]
fn copy<F: Float, I: Size, N: Size, M: Size>(
    x: &[Vector<F, I>],
    patch: &mut [Vector<F, I>],
    at: usize,
    to: usize,
    target: usize,
    group: &Group,
    #[comptime] spread: Spread,
) {
    if comptime!(!spread.is_vector()) {
        let own = at + target / group.target * group.source;
        for m in 0..(group.source + M::value() - 1) / M::value() {
            let c = channel::<M>(m, group.source);
            store::<F, I, M>(patch, to + c, load::<F, I, M>(x, own + c));
        }
    } else if comptime!(spread.shuffled() > 0) {
        let size = comptime!(spread.shuffled());
        let own = load::<F, I, N>(x, at + target);
        #[unroll]
        for i in 0..size {
            let mut value = Vector::<F, N>::empty();
            #[unroll]
            for lane in 0..N::value() {
                value.insert(lane, own.extract(comptime!(lane / size * size + i)));
            }
            store::<F, I, N>(patch, to + i * N::value(), value);
        }
    } else {
        let first = target / group.target;
        let last = (target + N::value() - 1) / group.target;
        for i in 0..group.source {
            for g in first..last + 1 {
                let lane = max(g * group.target, target) - target;
                let value = x[at + g * group.source + i].extract(0usize);
                let value = Vector::<F, M>::cast_from(value);
                store::<F, I, M>(patch, to + i * N::value() + lane, value);
            }
        }
    }
}
