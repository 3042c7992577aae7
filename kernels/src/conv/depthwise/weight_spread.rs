//! How the gradient with respect to the weight is spread over the cubes of a GPU: a function of the problem and of how many vectors
//! its channels make, never of how many multiprocessors there are.

use super::DepthwiseProblem;
use super::grad_weight::{MOST_TERMS, TERMS_IN_CHAIN};
use super::multiplier::Multiplier;
use super::plan::Blueprint;
use crate::launch::GPU_UNITS;

/// Sums that the units of a cube hold at most, vectors of 16 bytes: so much shared memory has every device.
const SUMS: usize = 1024;
/// Vectors of a whole line of 128 bytes, where vectors have 16.
const LINE: usize = 8;
/// Vectors that are not cut into slices: three parts of them fit a cube.
const LONGEST: usize = 42;
/// Cubes that are wished for, two waves of an H100 at half of its warps, and those below which the parts of a kernel go to cubes of
/// their own, although they read the same.
const CUBES: usize = 2048;
const FEW_CUBES: usize = 256;
/// The partial sums hold no more than one element for so many that are read, or for the multiply-adds of as much time: a 7x7 would
/// otherwise write as much as it reads.
const READ_FOR_EACH_WRITTEN: usize = 4;
/// Multiply-adds in the time of an element of 32 bits: 29.7 T and 3.35 TB a second on an H100.
const MACS_OF_READ: usize = 35;
/// Tiles of a strip at least, as far as a row has them: finding a strip costs a unit about what a tile does.
const FEWEST_TILES: usize = 2;

/// Who owns what. A cube owns a slice of the channels' vectors, a group of parts of the kernel and a partial sum; in it, a unit owns
/// one vector and one part, and walks one strip in `walkers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    /// Vectors of a slice, and slices.
    pub slice: usize,
    pub slices: usize,
    /// Parts of a kernel row, parts of the kernel, the bias counted as one more, those of a cube, and groups of them.
    pub parts_of_row: usize,
    pub parts: usize,
    pub parts_each: usize,
    pub groups: usize,
    /// Units with the same vector and the same part, who take neighbouring strips.
    pub walkers: usize,
    /// Outputs of a strip, strips of a row of outputs, and in all.
    pub strip: usize,
    pub strips_of_row: usize,
    pub strips: usize,
    /// Strips of one walker, and partial sums.
    pub each: usize,
    pub partials: usize,
}

impl Spread {
    /// For `vectors` vectors of channels, with or without the gradient of a bias.
    pub fn of(problem: &DepthwiseProblem, plan: &Blueprint, vectors: usize, bias: bool) -> Self {
        let slice = slice(vectors);
        let slices = vectors.div_ceil(slice);
        let [kh, kw] = problem.kernel;
        let parts_of_row = kw.div_ceil(plan.kernel);
        let parts = kh * parts_of_row + usize::from(bias);
        let [oh, ow] = problem.output();
        let rows = problem.batch * oh;
        let written = (kh * kw + usize::from(bias)) * problem.out_channels();
        let read: usize = problem.input_shape().iter().product::<usize>()
            + problem.output_shape().iter().product::<usize>();
        let macs = rows * ow * written;
        let affordable = (read.max(macs / MACS_OF_READ) / (READ_FOR_EACH_WRITTEN * written)).max(1);
        let groups = FEW_CUBES / (slices * affordable);
        let [parts_each, walkers] = together(slice, parts, groups, most_units(plan, problem));
        let groups = parts.div_ceil(parts_each);
        let wanted = (CUBES / (groups * slices)).clamp(1, affordable);

        let tiles_of_row = ow.div_ceil(plan.tile);
        let tiles = (rows * tiles_of_row / (walkers * wanted)).max(FEWEST_TILES);
        let longest = (TERMS_IN_CHAIN / plan.tile).min(tiles_of_row);
        let strips_of_row = tiles_of_row.div_ceil(tiles.min(longest));
        let strip = tiles_of_row.div_ceil(strips_of_row) * plan.tile;
        let strips_of_row = ow.div_ceil(strip);
        let strips = rows * strips_of_row;
        let each = strips.div_ceil(walkers * wanted).min(MOST_TERMS / strip);
        Self {
            slice,
            slices,
            parts_of_row,
            parts,
            parts_each,
            groups,
            walkers,
            strip,
            strips_of_row,
            strips,
            each,
            partials: strips.div_ceil(walkers * each),
        }
    }

    /// Cubes of the launch.
    pub fn cubes(&self) -> usize {
        self.slices * self.groups * self.partials
    }

    /// Units of a cube.
    pub fn units(&self) -> usize {
        self.slice * self.parts_each * self.walkers
    }
}

/// Units of a cube at most.
pub(super) fn most_units(plan: &Blueprint, problem: &DepthwiseProblem) -> usize {
    let held = plan.kernel * Multiplier::new(problem.multiplier).shares();
    (SUMS / held).min(GPU_UNITS as usize)
}

/// Of how many of a pixel's vectors a slice is made: of a line where pixels are whole lines, which leaves a cube the most walkers. Other
/// pixels begin within a line, of which longer slices cut fewer in two.
fn slice(vectors: usize) -> usize {
    if vectors.is_multiple_of(LINE) {
        return LINE;
    }
    if vectors <= LONGEST {
        return vectors;
    }
    let idle = |slice: usize| vectors.div_ceil(slice) * slice - vectors;
    (LINE + 1..=2 * LINE)
        .rev()
        .find(|&slice| idle(slice) * 10 <= vectors)
        .unwrap_or(LINE)
}

/// How many of `parts` parts a cube takes, and how many walkers: as many parts as leave at most a fifth of its warps' places empty,
/// since what parts read is the same, in `groups` groups at least, or the most there can be.
fn together(slice: usize, parts: usize, groups: usize, units: usize) -> [usize; 2] {
    const WARP: usize = 32;
    let most = (units / slice).clamp(1, parts);
    let full = |each: usize, walkers: usize| {
        let places = (slice * each * walkers).next_multiple_of(WARP) * parts.div_ceil(each);
        (slice * parts * walkers) as f64 / places as f64
    };
    let choice = |each: usize| {
        let walkers = (1..=units / (slice * each))
            .max_by(|&a, &b| full(each, a).total_cmp(&full(each, b)))
            .unwrap_or(1);
        [each, walkers]
    };
    (1..=most)
        .rev()
        .map(choice)
        .find(|&[each, walkers]| full(each, walkers) >= 0.8 && parts.div_ceil(each) >= groups)
        .unwrap_or_else(|| choice(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::conv::depthwise::DepthwiseOptions;

    fn square(batch: usize, side: usize, channels: usize, kernel: usize) -> DepthwiseProblem {
        DepthwiseProblem {
            batch,
            input: [side; 2],
            kernel: [kernel; 2],
            channels,
            multiplier: 1,
            options: DepthwiseOptions::square(1, kernel / 2),
            dtype: DType::F32,
        }
    }

    fn spread(problem: &DepthwiseProblem) -> Spread {
        let plan = Blueprint::of_weight_by_cubes(problem);
        Spread::of(problem, &plan, problem.channels.div_ceil(4), false)
    }

    #[test]
    fn slices_are_lines_where_pixels_are() {
        assert_eq!([32, 48, 8, 240].map(slice), [8; 4]);
        assert_eq!([1, 5, 9, 15].map(slice), [1, 5, 9, 15]);
        // Channels of 240 and 144: 4 of 16 less 4, and whole.
        assert_eq!([60, 36].map(slice), [16, 36]);
    }

    #[test]
    fn cubes_are_full_of_parts_before_they_are_of_walkers() {
        assert_eq!(together(8, 3, 1, 128), [3, 4]);
        assert_eq!(together(8, 7, 1, 128), [7, 2]);
        assert_eq!(together(8, 18, 1, 128), [6, 2]);
        assert_eq!(together(8, 18, 6, 128), [3, 4]);
        assert_eq!(together(8, 3, 9, 128), [1, 16]);
        assert_eq!(together(1, 1, 1, 128), [1, 128]);
        assert_eq!(together(128, 5, 1, 128), [1, 1]);
    }

    #[test]
    fn every_strip_has_a_walker_and_none_is_too_long() {
        for (batch, side) in [
            (1, 1),
            (1, 7),
            (3, 9),
            (8, 28),
            (8, 112),
            (1, 3000),
            (64, 224),
        ] {
            for (channels, kernel) in [
                (1, 1),
                (3, 3),
                (36, 3),
                (128, 7),
                (960, 5),
                (20, 13),
                (3, 31),
            ] {
                let problem = square(batch, side, channels, kernel);
                let it = spread(&problem);
                assert!(it.units() <= 128 && it.slice * it.slices >= channels.div_ceil(4));
                assert!(it.parts_each * it.groups >= it.parts, "{it:?}");
                assert!(
                    it.strip * it.strips_of_row >= side && it.strip <= TERMS_IN_CHAIN,
                    "{it:?}"
                );
                let walked = it.each * it.walkers * it.partials;
                assert!(
                    walked >= it.strips && walked - it.strips < it.each * it.walkers,
                    "{it:?}"
                );
                assert!(it.each >= 1 && it.each * it.strip <= MOST_TERMS, "{it:?}");
            }
        }
    }

    #[test]
    fn large_problems_have_thousands_of_cubes() {
        let it = spread(&square(8, 112, 128, 3));
        assert!((1024..4096).contains(&it.cubes()), "{it:?}");
    }
}
