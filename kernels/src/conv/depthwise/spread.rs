//! How the channels of the input meet the `m` times as many of the output.
//!
//! Work goes in vectors of `N` output channels, which read `M` input channels. Where the multiplier divides the width, `M = N / m`,
//! and an input vector is spread over the lanes, or folded from them in the gradient, by a shuffle. Any other multiplier takes
//! vectors of one channel.

use super::DepthwiseProblem;
use crate::Tensor;
use crate::lanes::{Lanes, channel, load};
use cubecl::prelude::*;

/// How a vector of output channels meets its input channels, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sharing {
    /// Channel by channel: the multiplier is 1.
    None,
    /// By a shuffle: the multiplier divides the width.
    Shuffled,
    /// In vectors of one channel.
    Single,
}

/// The vectors of a launch.
pub(super) struct Vectors {
    pub lanes: Lanes,
    pub sharing: Sharing,
    /// Input channels that a vector of output channels reads.
    pub narrow: usize,
    channels: usize,
    multiplier: usize,
}

impl Vectors {
    /// The vectors for `problem` on the device of `tensors`, which may be windows.
    pub fn new(problem: &DepthwiseProblem, tensors: &[&Tensor]) -> Self {
        let (client, dtype) = (tensors[0].client(), problem.dtype);
        let (channels, multiplier) = (problem.channels, problem.multiplier);
        let lanes = Lanes::of(client, dtype, problem.out_channels(), tensors);
        // Where vectors start at their multiples only, those of input and output would need buffers of two widths.
        let (lanes, sharing) = match multiplier {
            1 => (lanes, Sharing::None),
            m if lanes.item == 1 && lanes.width.is_multiple_of(m) => (lanes, Sharing::Shuffled),
            _ => (Lanes::of(client, dtype, 1, tensors), Sharing::Single),
        };
        let narrow = match sharing {
            Sharing::Shuffled => lanes.width / multiplier,
            Sharing::None | Sharing::Single => lanes.width,
        };
        Self {
            lanes,
            sharing,
            narrow,
            channels,
            multiplier,
        }
    }

    /// Vectors of the output's channels, or of the input's.
    pub fn count(&self, of_input: bool) -> usize {
        match of_input {
            true => self.channels.div_ceil(self.narrow),
            false => (self.channels * self.multiplier).div_ceil(self.lanes.width),
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
    /// The channels of vector `v` of the output's, or of the input's.
    pub fn of<N: Size, M: Size>(
        v: usize,
        channels: usize,
        multiplier: usize,
        #[comptime] of_input: bool,
        #[comptime] sharing: Sharing,
    ) -> Channels {
        if comptime!(sharing == Sharing::None) {
            let at = channel::<N>(v, channels);
            Channels {
                narrow: at,
                wide: at,
            }
        } else if comptime!(of_input) {
            let narrow = channel::<M>(v, channels);
            Channels {
                narrow,
                wide: narrow * multiplier,
            }
        } else {
            let wide = channel::<N>(v, channels * multiplier);
            let narrow = if comptime!(crate::planted::is("depthwise_multiplier")) {
                min(wide % channels, channels - M::value())
            } else {
                wide / multiplier
            };
            Channels { narrow, wide }
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

/// `N / M` lanes for each of the `M` elements from `index` on.
#[cube]
pub(super) fn spread<F: Float, B: Size, N: Size, M: Size>(
    x: &[Vector<F, B>],
    index: usize,
) -> Vector<F, N> {
    let (wide, narrow) = (N::value().comptime(), M::value().comptime());
    if comptime!(wide == narrow) {
        load::<F, B, N>(x, index)
    } else {
        let few = load::<F, B, M>(x, index);
        let mut many = Vector::<F, N>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..wide {
            many.insert(lane, few.extract(comptime!(lane * narrow / wide)));
        }
        many
    }
}

/// The sums of each `N / M` neighbouring lanes.
#[cube]
pub(super) fn fold<F: Float, N: Size, M: Size>(many: Vector<F, N>) -> Vector<F, M> {
    let (wide, narrow) = (N::value().comptime(), M::value().comptime());
    if comptime!(wide == narrow) {
        Vector::cast_from(many)
    } else {
        let share = comptime!(wide / narrow);
        let mut few = Vector::<F, M>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..narrow {
            let mut sum = many.extract(comptime!(lane * share));
            #[unroll]
            for k in 1..share {
                sum += many.extract(comptime!(lane * share + k));
            }
            few.insert(lane, sum);
        }
        few
    }
}
