//! How the channels of the input meet the `m` times as many of the output.
//!
//! Work goes in vectors of `N` input channels, which meet the `N m` channels of the output that follow each other in memory. Those
//! are taken `apart` into one vector for each of the `m` shares, and woven together again, by shuffles that are known before the
//! kernel runs: an input vector is loaded once for all of its shares, and any multiplier does. A multiplier past [`MOST_SHARES`]
//! takes vectors of one channel.

use super::DepthwiseProblem;
use crate::Tensor;
use crate::lanes::{Lanes, channel, load, store};
use cubecl::prelude::*;

/// Shares whose sums are held in registers side by side.
const MOST_SHARES: usize = 8;

/// How a vector of input channels meets its output channels, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Multiplier {
    /// All shares of a vector of input channels at once.
    Together(usize),
    /// In vectors of one channel.
    Single,
}

impl Multiplier {
    /// Of `multiplier` output channels for each input channel.
    pub fn new(multiplier: usize) -> Self {
        if multiplier <= MOST_SHARES {
            Self::Together(multiplier)
        } else {
            Self::Single
        }
    }

    /// Vectors of output channels that are computed at once.
    pub fn shares(self) -> usize {
        match self {
            Self::Together(shares) => shares,
            Self::Single => 1,
        }
    }
}

/// The vectors of a launch.
pub(super) struct Vectors {
    pub lanes: Lanes,
    channels: usize,
    multiplier: usize,
}

impl Vectors {
    /// The vectors for `problem` on the device of `tensors`, which may be windows.
    pub fn new(problem: &DepthwiseProblem, tensors: &[&Tensor]) -> Self {
        let (client, dtype) = (tensors[0].client(), problem.dtype);
        let (channels, multiplier) = (problem.channels, problem.multiplier);
        let lanes = match Multiplier::new(multiplier) {
            Multiplier::Together(_) => Lanes::of(client, dtype, channels, tensors),
            Multiplier::Single => Lanes::of(client, dtype, 1, tensors),
        };
        Self {
            lanes,
            channels,
            multiplier,
        }
    }

    /// The items of work of a pixel: vectors of the input's channels, but single channels of the output where `of_output` asks.
    pub fn count(&self, of_output: bool) -> usize {
        let vectors = self.channels.div_ceil(self.lanes.width);
        match (Multiplier::new(self.multiplier), of_output) {
            (Multiplier::Single, true) => vectors * self.multiplier,
            _ => vectors,
        }
    }
}

/// The channels of one vector: the first of the input's, and the first of the output's.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Channels {
    pub narrow: usize,
    pub wide: usize,
}

#[cube]
impl Channels {
    /// The channels of the `v`-th item of [`Vectors::count`].
    pub fn of<N: Size>(
        v: usize,
        channels: usize,
        multiplier: usize,
        #[comptime] of_output: bool,
        #[comptime] sharing: Multiplier,
    ) -> Channels {
        if comptime!(sharing == Multiplier::Single && of_output) {
            Channels {
                narrow: v / multiplier,
                wide: v,
            }
        } else {
            let narrow = channel::<N>(v, channels);
            Channels {
                narrow,
                wide: narrow * multiplier,
            }
        }
    }

    /// The same input channels with the output's that lie `share` behind.
    pub fn share(&self, share: usize) -> Channels {
        Channels {
            narrow: self.narrow,
            wide: self.wide + share,
        }
    }
}

/// Reads the vectors of the `shares` output channels of `N` input channels, which begin at `index`, to `to[first..]`: lane `l` of
/// vector `k` is element `l shares + k`.
#[cube]
pub(super) fn load_apart<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    index: usize,
    to: &mut Array<Vector<F, N>>,
    #[comptime] first: usize,
    #[comptime] shares: usize,
) {
    let width = N::value().comptime();
    if comptime!(shares == 1) {
        to[first] = load::<S, F, B, N>(x, index);
    } else {
        let mut together = Array::<Vector<F, N>>::new(shares);
        #[unroll]
        for k in 0..shares {
            together[k] = load::<S, F, B, N>(x, index + comptime!(k * width));
        }
        #[unroll]
        for k in 0..shares {
            let mut apart = Vector::<F, N>::new(F::new(0.0f32));
            #[unroll]
            for lane in 0..width {
                let position = comptime!(position(lane, k, width, shares));
                let from = together[comptime!(position / width)];
                apart.insert(lane, from.extract(comptime!(position % width)));
            }
            to[comptime!(first + k)] = apart;
        }
    }
}

/// The `k`-th of the vectors that lie side by side in memory, from those of all shares, which begin at `from[first]`.
#[cube]
pub(super) fn weave<F: Float, N: Size>(
    from: &Array<Vector<F, N>>,
    #[comptime] first: usize,
    #[comptime] k: usize,
    #[comptime] shares: usize,
) -> Vector<F, N> {
    let width = N::value().comptime();
    if comptime!(shares == 1) {
        from[first]
    } else {
        let mut woven = Vector::<F, N>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..width {
            let (share, channel_offsets) = comptime!(share_at(k * width + lane, width, shares));
            let share = from[comptime!(first + share)];
            woven.insert(lane, share.extract(channel_offsets));
        }
        woven
    }
}

/// Writes the vectors of all shares, which begin at `from[first]`, to the elements from `index` on; see [`load_apart`].
#[cube]
pub(super) fn store_woven<S: Float, F: Float, B: Size, N: Size>(
    x: &mut [Vector<S, B>],
    index: usize,
    from: &Array<Vector<F, N>>,
    #[comptime] first: usize,
    #[comptime] shares: usize,
) {
    let width = N::value().comptime();
    #[unroll]
    for k in 0..shares {
        let woven = weave::<F, N>(from, first, k, shares);
        store::<S, F, B, N>(x, index + comptime!(k * width), woven);
    }
}

/// Where among the elements of all shares lane `lane` of share `share` is.
fn position(lane: usize, share: usize, width: usize, shares: usize) -> usize {
    if crate::planted::is("depthwise_multiplier") {
        share * width + lane
    } else {
        lane * shares + share
    }
}

/// The share and the lane of the element at `position`.
fn share_at(position: usize, width: usize, shares: usize) -> (usize, usize) {
    if crate::planted::is("depthwise_multiplier") {
        (position / width, position % width)
    } else {
        (position % shares, position / shares)
    }
}
