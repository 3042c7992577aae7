use super::{FlipProblem, Normalisation, Selection, Transform};
use crate::lanes::{View, channel, load};
use crate::special::nan;
use cubecl::prelude::*;

/// What the selection makes of the distances, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    Hard,
    SoftMin,
    Attention,
    DetachedAttention,
    Mixed,
}

/// The comptime variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    /// The transforms to choose from; `None` where each sample's is given.
    pub choices: Option<&'static [Transform]>,
    pub rule: Rule,
    pub normalisation: Normalisation,
    /// Whether the last vector of a pixel overlaps its neighbour, so that its first lanes must not be counted again.
    pub overlaps: bool,
    /// Terms of the series in the soft-min.
    pub terms: usize,
}

impl Blueprint {
    pub fn new(problem: &FlipProblem, overlaps: bool, terms: usize) -> Self {
        let choices = problem.options.group.choices();
        let rule = match problem.options.selection {
            // Of one transform, every selection makes its distance.
            _ if choices.is_none() => Rule::Hard,
            Selection::Hard => Rule::Hard,
            Selection::SoftMin { .. } => Rule::SoftMin,
            Selection::Attention { detached: true, .. } => Rule::DetachedAttention,
            Selection::Attention { .. } => Rule::Attention,
            Selection::Mixed { .. } => Rule::Mixed,
        };
        Self {
            choices,
            rule,
            normalisation: problem.options.normalisation,
            overlaps,
            terms,
        }
    }

    /// The number of distances.
    pub fn columns(&self) -> usize {
        self.choices.map_or(1, <[_]>::len)
    }

    /// The teacher's maps that the gradient is made of.
    pub fn targets(&self) -> usize {
        match self.rule {
            Rule::Hard => 1,
            _ => self.columns(),
        }
    }

    /// The code of one of the choices.
    pub fn code(&self, column: usize) -> u32 {
        self.choices.map_or(0, |choices| choices[column].code())
    }

    /// The column of `g^-1 h`, for the columns of `g` and `h`.
    pub fn quotient(&self, g: usize, h: usize) -> usize {
        let Some(choices) = self.choices else {
            return 0;
        };
        let quotient = choices[g].inverse().after(choices[h]);
        // A group holds it.
        choices.iter().position(|&t| t == quotient).unwrap_or(0)
    }
}

/// Extents of a sample's maps, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Vectors of a pixel.
    pub vectors: usize,
}

/// Where the pixels of both maps lie, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Views {
    pub student: View,
    pub teacher: View,
}

/// The code of the inverse: the quarter turns change places.
#[cube]
pub(super) fn inverse(code: u32) -> u32 {
    let swapped = 4u32 | ((code & 1u32) << 1u32) | ((code & 2u32) >> 1u32);
    let turns = (code & 4u32) != 0u32;
    if comptime!(crate::planted::is("flip_inverse")) {
        code
    } else {
        select(turns, swapped, code)
    }
}

/// The pixel of a sample's map that transform `code` reads for its pixel `(i, j)`.
#[cube]
pub(super) fn source(code: u32, i: usize, j: usize, extent: &Extent) -> usize {
    let transposed = (code & 4u32) != 0u32;
    let row = select(transposed, j, i);
    let column = select(transposed, i, j);
    let row = select((code & 2u32) != 0u32, extent.height - 1 - row, row);
    let column = select((code & 1u32) != 0u32, extent.width - 1 - column, column);
    row * extent.width + column
}

/// 1 in the lanes of vector `v` of a pixel that no vector before it holds, 0 in the others.
#[cube]
pub(super) fn fresh<F: Float, N: Size>(v: usize, extent: &Extent) -> Vector<F, N> {
    let repeated = v * N::value() - channel::<N>(v, extent.channels);
    let mut lanes = Vector::<F, N>::new(F::new(1.0f32));
    #[unroll]
    for lane in 0..N::value() {
        lanes.insert(
            lane,
            select(repeated > lane, F::new(0.0f32), F::new(1.0f32)),
        );
    }
    lanes
}

/// `1 / sqrt(square)`; 0 for a map of zeros, NaN where the sum of squares left the element type's range.
#[cube]
pub(super) fn inverse_norm<F: Float>(square: F) -> F {
    let zero = F::new(0.0f32);
    let inverse = F::new(1.0f32) / square.sqrt();
    // Only an infinite sum has no reciprocal in range.
    let inverse = select(inverse == zero, nan::<F>(), inverse);
    select(square == zero, zero, inverse)
}

/// The squares of the channels of the pixel that starts at element `at`, added up by lane.
#[cube]
fn pixel_squares<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    at: usize,
    extent: &Extent,
    #[comptime] blueprint: Blueprint,
) -> Vector<F, N> {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    for v in 0..extent.vectors {
        let mut value = load::<S, F, B, N>(x, at + channel::<N>(v, extent.channels));
        if comptime!(blueprint.overlaps) {
            value *= fresh::<F, N>(v, extent);
        }
        sum = fma(value, value, sum);
    }
    sum
}

/// What a map that starts at pixel `first` is multiplied by: 1, or the reciprocal of its norm.
#[cube]
pub(super) fn sample_scale<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    view: &View,
    first: usize,
    extent: &Extent,
    #[comptime] blueprint: Blueprint,
) -> F {
    if comptime!(blueprint.normalisation == Normalisation::Sample) {
        let mut sum = Vector::<F, N>::new(F::new(0.0f32));
        for i in 0..extent.height {
            let mut row = Vector::<F, N>::new(F::new(0.0f32));
            for j in 0..extent.width {
                let at = view.at(first + i * extent.width + j);
                row += pixel_squares::<S, F, B, N>(x, at, extent, blueprint);
            }
            sum += row;
        }
        inverse_norm::<F>(sum.vector_sum())
    } else {
        F::new(1.0f32)
    }
}

/// Writes the reciprocal of the norm of each position of a map to `scales`, from `start` on.
#[cube]
pub(super) fn write_position_scales<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    view: &View,
    first: usize,
    extent: &Extent,
    scales: &mut [F],
    start: usize,
    #[comptime] blueprint: Blueprint,
) {
    for pixel in 0..extent.height * extent.width {
        let at = view.at(first + pixel);
        let squares = pixel_squares::<S, F, B, N>(x, at, extent, blueprint);
        scales[start + pixel] = inverse_norm::<F>(squares.vector_sum());
    }
}
