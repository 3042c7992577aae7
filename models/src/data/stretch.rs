//! From samples of more than 8 bits to the 8 that a data set holds.
//!
//! A satellite's reflectances lie in a narrow band of their 16 bits, and floats anywhere: neither says what is black and what is
//! white. The range of the data set does, channel by channel: of all its samples, the darkest and the brightest thousandth are left
//! out, so that a dead pixel or a cloud does not take the grey levels from everything else.

use image::{Rgb32FImage, RgbImage};
use serde::{Deserialize, Serialize};

/// One in this many samples is left out at each end.
const TAIL: u64 = 1000;

/// The samples that become black and white. A run keeps it, so that later images are seen as its training images were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Samples of red, green and blue that become 0, with all below them and those that are no numbers.
    pub low: [f32; 3],
    /// Samples of red, green and blue that become 255, with all above them.
    pub high: [f32; 3],
}

impl Stretch {
    /// `(sample - low) / (high - low)` in 255 steps, rounded.
    pub(super) fn apply(&self, image: &Rgb32FImage) -> RgbImage {
        let scale: [f32; 3] = std::array::from_fn(|c| 255.0 / (self.high[c] - self.low[c]));
        let mut bytes = RgbImage::new(image.width(), image.height());
        for (out, pixel) in bytes.pixels_mut().zip(image.pixels()) {
            // A conversion to u8 saturates, and takes what is no number for 0.
            out.0 = std::array::from_fn(|c| ((pixel[c] - self.low[c]) * scale[c]).round() as u8);
        }
        bytes
    }
}

/// How often each sample occurs in a data set, channel by channel. Samples are told apart by the upper half of their bits, 7 of the
/// fraction among them: to within 1 in 128, and exact counts, which may be added in any order.
pub(super) struct Histogram {
    counts: Vec<[u64; 3]>,
    least: [f32; 3],
    greatest: [f32; 3],
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![[0; 3]; 1 << 16],
            least: [f32::INFINITY; 3],
            greatest: [f32::NEG_INFINITY; 3],
        }
    }

    /// Counts the samples of an image, infinite ones and those that are no numbers left out.
    pub(super) fn add(&mut self, image: &Rgb32FImage) {
        for pixel in image.pixels() {
            for c in 0..3 {
                let sample = pixel[c];
                if sample.is_finite() {
                    self.counts[usize::from(bin(sample))][c] += 1;
                    self.least[c] = self.least[c].min(sample);
                    self.greatest[c] = self.greatest[c].max(sample);
                }
            }
        }
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = std::array::from_fn(|c| count[c] + more[c]);
        }
        for c in 0..3 {
            self.least[c] = self.least[c].min(other.least[c]);
            self.greatest[c] = self.greatest[c].max(other.greatest[c]);
        }
        self
    }

    /// Least and greatest sample of all channels; infinite when none was counted.
    pub(super) fn extremes(&self) -> (f32, f32) {
        let least = self.least.into_iter().fold(f32::INFINITY, f32::min);
        let greatest = self.greatest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        (least, greatest)
    }

    /// The stretch from the thousandth to the last but a thousandth. A channel without samples or with equal ones becomes black.
    pub(super) fn stretch(&self) -> Stretch {
        let mut stretch = Stretch {
            low: [0.0; 3],
            high: [1.0; 3],
        };
        for c in 0..3 {
            let total: u64 = self.counts.iter().map(|count| count[c]).sum();
            let (mut below, mut above) = (0, 0);
            let low = (0..self.counts.len()).find(|&bin| {
                below += self.counts[bin][c];
                below > total / TAIL
            });
            let high = (0..self.counts.len()).rev().find(|&bin| {
                above += self.counts[bin][c];
                above > total / TAIL
            });
            if let (Some(low), Some(high)) = (low, high) {
                stretch.low[c] = sample((low as u32) << 16).max(self.least[c]);
                stretch.high[c] = sample((high as u32 + 1) << 16).min(self.greatest[c]);
                if stretch.high[c] <= stretch.low[c] {
                    stretch.high[c] = stretch.low[c].next_up().max(stretch.low[c] + 1.0);
                }
            }
        }
        stretch
    }
}

/// The upper half of a sample's bits, in the order of the samples.
fn bin(sample: f32) -> u16 {
    let bits = sample.to_bits();
    let ordered = if sample.is_sign_negative() {
        !bits
    } else {
        bits | 1 << 31
    };
    (ordered >> 16) as u16
}

/// The sample of ordered bits: of the 2^16 that share a bin, zeros below give the least and ones the greatest.
fn sample(ordered: u32) -> f32 {
    let negative = ordered >> 31 == 0;
    let value = f32::from_bits(if negative {
        !ordered
    } else {
        ordered & !(1 << 31)
    });
    // The outermost bins reach into what is no number.
    if value.is_finite() {
        value
    } else {
        f32::MAX.copysign(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ghostlight_tests::cases;
    use image::Rgb;
    use proptest::prelude::*;

    fn image(samples: &[f32]) -> Rgb32FImage {
        let mut samples = samples.iter();
        Rgb32FImage::from_fn(samples.len() as u32, 1, |_, _| {
            Rgb([*samples.next().unwrap(); 3])
        })
    }

    fn stretched(samples: &[f32]) -> (Stretch, Vec<u8>) {
        let image = image(samples);
        let mut histogram = Histogram::new();
        histogram.add(&image);
        let stretch = histogram.stretch();
        let bytes = stretch.apply(&image);
        (stretch, bytes.pixels().map(|pixel| pixel[0]).collect())
    }

    #[test]
    fn reflectances_in_a_narrow_band_use_every_grey_level() {
        let samples: Vec<f32> = (600..=1500).map(|v| v as f32).collect();
        let (stretch, bytes) = stretched(&samples);
        assert_eq!((stretch.low, stretch.high), ([600.0; 3], [1500.0; 3]));
        assert!(bytes.is_sorted());
        let levels: std::collections::BTreeSet<_> = bytes.iter().collect();
        assert_eq!(levels.len(), 256);
    }

    #[test]
    fn a_dead_pixel_and_a_missing_one_do_not_take_the_grey_levels() {
        let mut samples: Vec<f32> = (0..10_000).map(|v| 0.02 + v as f32 * 1e-5).collect();
        samples.extend([65535.0, -9999.0, f32::INFINITY, f32::NAN]);
        let (stretch, bytes) = stretched(&samples);
        assert!((stretch.low[0] - 0.02).abs() < 0.001, "{stretch:?}");
        assert!((stretch.high[0] - 0.12).abs() < 0.001, "{stretch:?}");
        assert_eq!(bytes[10_000..], [255, 0, 255, 0]);
    }

    #[test]
    fn equal_samples_become_black() {
        for value in [0.0, -3.5, 1e30] {
            assert_eq!(stretched(&[value; 9]).1, [0; 9]);
        }
        assert_eq!(stretched(&[f32::NAN; 2]).1, [0; 2]);
    }

    proptest! {
        #![proptest_config(cases(200))]

        #[test]
        fn bins_keep_the_order_of_samples_and_hold_their_own(a: f32, b: f32) {
            prop_assume!(a.is_finite() && b.is_finite());
            if a < b {
                prop_assert!(bin(a) <= bin(b));
            }
            let least = u32::from(bin(a)) << 16;
            prop_assert!(sample(least) <= a && a <= sample(least | 0xFFFF));
        }

        #[test]
        fn the_stretch_is_the_same_in_whatever_order_images_are_counted(
            samples in prop::collection::vec(-1e4f32..1e4, 2..60),
            cut in 0usize..60,
        ) {
            let cut = cut.min(samples.len());
            let of = |part: &[f32]| {
                let mut histogram = Histogram::new();
                histogram.add(&image(part));
                histogram
            };
            let there = of(&samples[..cut]).merge(of(&samples[cut..])).stretch();
            let back = of(&samples[cut..]).merge(of(&samples[..cut])).stretch();
            prop_assert_eq!(there, back);
            prop_assert_eq!(there, of(&samples).stretch());
            let least = samples.iter().copied().fold(f32::INFINITY, f32::min);
            prop_assert_eq!(there.low[0], least);
        }
    }
}
