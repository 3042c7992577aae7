use std::iter::zip;

/// The most rounds of loops that a unit goes through in a pass of a tiled convolution, dense or grouped, for [`crate::most_rounds`].
///
/// A round of the products holds four of them at least. The weight is packed, and the patch under a block of 8 target rows staged,
/// value by value; a transposed pass stages one for each of its phases, and the columns are those of whole tiles, of up to 16.
pub fn rounds_of_convolution(
    batch: usize,
    [input, output]: [[usize; 2]; 2],
    [kernel, stride]: [[usize; 2]; 2],
    [ci, co]: [usize; 2],
    groups: usize,
) -> usize {
    let staged = |target: [usize; 2], phases: [usize; 2], steps: [usize; 2], channels: usize| {
        let [rows, columns] = [0, 1].map(|axis| target[axis].div_ceil(phases[axis]));
        let patch = [rows.min(8), columns + 15];
        let sides = zip(patch, zip(steps, kernel)).map(|(side, (step, k))| side * step + k);
        let patches = batch * rows.div_ceil(8) * phases[0] * phases[1];
        patches * sides.product::<usize>() * channels
    };
    let forward = staged(output, [1, 1], stride, ci);
    let transposed = staged(input, stride, [1, 1], co);
    let weight = kernel[0] * kernel[1] * ci / groups * co;
    let products = batch * output[0] * output[1] * weight;
    products / 4 + weight + forward.max(transposed)
}
