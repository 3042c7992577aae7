//! Into how many parts the depth of a product is cut, so that a GPU has cubes enough: a function of the problem alone.

use super::{Gathered, Pass};

/// Cubes that a launch is to have.
const CUBES: usize = 512;
/// The depth of a part is a multiple of this, as that of a tile is.
pub(super) const GRAIN: usize = 32;
/// The depth of a part at least: a shorter one costs more to begin, and to add to the others, than it takes to multiply.
const DEPTH_OF_WEIGHT: usize = 64;
const DEPTH_OF_PIXELS: usize = 128;
/// Elements that all partial sums together hold at most, unless one alone holds more.
const MOST_ELEMENTS: usize = 1 << 24;
/// The depth of a partial sum at most, whatever the elements: f32 loses the last of more products.
const MOST_DEPTH: usize = 1 << 13;
/// The depth of a partial sum of a small result: of more equal products, one after the other, f32 loses digits. A million of them came to 100,001.4 for
/// 100,000 in sums of 2,000.
const DEPTH_OF_CHAIN: usize = 128;
/// A result is small where so many parts, written and read again, are less than one part in this of what is multiplied.
const SHARE_OF_OPERANDS: usize = 32;
/// Images that the choice is made for, whatever the batch: what a network answers to an image must not depend on the images beside it.
const IMAGES: usize = 16;

/// The parts of a weight pass over `depth` pixels, for a result of `rows` by `columns` in each of `groups`.
pub(super) fn of_weight(depth: usize, [rows, columns]: [usize; 2], groups: usize) -> usize {
    let cubes = rows.div_ceil(64) * columns.div_ceil(64) * groups;
    let by_size = MOST_ELEMENTS / (rows * columns * groups).max(1);
    let little = depth * (rows + columns) / (SHARE_OF_OPERANDS * rows * columns).max(1);
    let short = depth.div_ceil(DEPTH_OF_CHAIN).min(little);
    let parts = CUBES
        .div_ceil(cubes.max(1))
        .min(depth.div_ceil(DEPTH_OF_WEIGHT))
        .min(by_size)
        .max(depth.div_ceil(MOST_DEPTH))
        .max(short)
        .max(1);
    // None of them empty.
    let part = depth.div_ceil(parts).next_multiple_of(GRAIN);
    depth.div_ceil(part.max(1)).max(1)
}

/// The parts of the other passes of a convolution. A matrix product is not cut: its rows may be pixels, and nobody knows of how many images.
pub(super) fn of_pixels(gathered: &Gathered, pass: Pass) -> usize {
    let [h, w] = gathered.target;
    if h * w == 1 {
        return 1;
    }
    let residues = match pass {
        Pass::Transposed => gathered.stride[0] * gathered.stride[1],
        _ => 1,
    };
    let tile = if gathered.columns <= 32 { 128 } else { 64 };
    let rows = (IMAGES * h * w).div_ceil(tile);
    let cubes = rows * gathered.columns.div_ceil(64) * gathered.groups;
    let depth = gathered.kernel[0] * gathered.kernel[1] * gathered.channels / residues;
    (CUBES / cubes.max(1)).min(depth / DEPTH_OF_PIXELS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_sums_are_long_and_enough_to_fill_a_gpu_where_the_weight_does_not() {
        assert_eq!(of_weight(25_088, [1_152, 128], 1), 15);
        assert_eq!(of_weight(25_088, [9, 16], 1), 392);
        assert_eq!(of_weight(25_088, [64, 128], 1), 196);
        assert_eq!(of_weight(49, [4_608, 512], 1), 1);
        assert_eq!(of_weight(0, [9, 16], 1), 1);
        assert_eq!(of_weight(1 << 20, [4_608, 512], 1), 128);
        // A bias or a column or two of a million rows: short chains, as many as it takes.
        assert_eq!(of_weight(1 << 20, [1, 3], 1), 8192);
    }
}
