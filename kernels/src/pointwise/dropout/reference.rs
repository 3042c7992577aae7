//! Dropout over `f64` slices, and the numbers that its mask is made of, which the kernel takes from here.

use super::DropoutOptions;

/// The two halves of the first output of SplitMix64 from `seed`: what the places of the elements are mixed with.
pub fn keys(seed: u64) -> [u32; 2] {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let z = z ^ (z >> 31);
    [(z >> 32) as u32, z as u32]
}

/// Numbers of 32 bits below this are dropped: `2^32 rate` of them, to the nearest, and not all.
pub fn threshold(rate: f64) -> u32 {
    // A conversion ends at the largest number.
    (rate * 4_294_967_296.0).round() as u32
}

/// What kept elements are multiplied by.
pub fn scale(rate: f64) -> f64 {
    1.0 / (1.0 - rate)
}

fn mixed(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Whether the element at `index` is dropped.
pub fn drops(index: usize, options: DropoutOptions) -> bool {
    let [first, second] = keys(options.seed);
    mixed(mixed(index as u32 ^ first) ^ second) < threshold(options.rate)
}

/// The result for `x`, or the gradient for the one that arrives.
pub fn forward(x: &[f64], options: DropoutOptions) -> Vec<f64> {
    if options.rate == 0.0 {
        return x.to_vec();
    }
    let factor = |i: usize| match drops(i, options) {
        true => 0.0,
        false => scale(options.rate),
    };
    x.iter().enumerate().map(|(i, x)| x * factor(i)).collect()
}
