//! Mean and spread of each colour channel, and the normalisation they define.

use super::{DataError, Dataset, stop};
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Floor of a channel's standard deviation, one grey level: a constant channel must not be blown up into noise.
pub const MIN_STD: f64 = 1.0 / 255.0;

/// Per-channel mean and standard deviation, with pixel values in 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelStats {
    /// Means of red, green and blue.
    pub mean: [f32; 3],
    /// Standard deviations of red, green and blue, at least [`MIN_STD`].
    pub std: [f32; 3],
}

impl ChannelStats {
    /// The statistics of the images `indices`. Sums are exact integers, so neither order nor thread count shows.
    ///
    /// # Errors
    /// [`DataError::NoImages`], [`DataError::Index`]; [`DataError::Stopped`] once `stop` is set.
    pub fn of(dataset: &Dataset, indices: &[u32], stop: &AtomicBool) -> Result<Self, DataError> {
        if indices.is_empty() {
            return Err(DataError::NoImages {
                purpose: "take channel statistics of",
            });
        }
        dataset.check_indices(indices)?;
        let add = |a: [u64; 6], b: [u64; 6]| std::array::from_fn(|i| a[i] + b[i]);
        stop::check(stop)?;
        let each = indices.iter().map(|&i| dataset.sums[i as usize]);
        let sums = each.fold([0; 6], add);
        let count = (indices.len() * dataset.height * dataset.width) as f64;
        let mean = std::array::from_fn(|c| sums[c] as f64 / count);
        let std = std::array::from_fn(|c| {
            let centre = planted::or("variance_about_zero", mean[c], 0.0);
            let variance = (sums[3 + c] as f64 / count - centre * centre).max(0.0);
            (variance.sqrt() / 255.0).max(MIN_STD) as f32
        });
        Ok(Self {
            mean: mean.map(|m: f64| (m / 255.0) as f32),
            std,
        })
    }
}

/// Sums of red, green, blue and of their squares. An image's side is at most 65,535 in every format read here, so a u64
/// holds the squares of millions of the largest.
pub(super) fn channel_sums(image: &[u8]) -> [u64; 6] {
    let mut sums = [0; 6];
    for pixel in image.as_chunks::<3>().0 {
        for c in 0..3 {
            let value = u64::from(pixel[c]);
            sums[c] += value;
            sums[3 + c] += value * value;
        }
    }
    sums
}

/// `(value / 255 - mean) / std` for each of the 256 values of each channel, as a table.
#[derive(Debug, Clone)]
pub struct Normaliser {
    table: [[f32; 256]; 3],
}

impl Normaliser {
    /// The table of `stats`.
    pub fn new(stats: &ChannelStats) -> Self {
        let value = |c: usize, v: usize| (v as f32 / 255.0 - stats.mean[c]) / stats.std[c];
        Self {
            table: std::array::from_fn(|c| std::array::from_fn(|v| value(c, v))),
        }
    }

    /// One pixel, normalised.
    pub fn pixel(&self, rgb: [u8; 3]) -> [f32; 3] {
        std::array::from_fn(|c| self.table[c][usize::from(rgb[c])])
    }

    /// Writes `image` (`[height, width, 3]`) into `out` of the same length, normalised.
    pub fn write(&self, image: &[u8], out: &mut [f32]) {
        let pixels = image.as_chunks::<3>().0.iter();
        for (out, &rgb) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *out = self.pixel(rgb);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stop::NEVER;
    use super::*;

    fn two_images(pixels: Vec<u8>) -> Dataset {
        let names = || vec!["a".to_string(), "b".to_string()];
        Dataset::new("t".into(), names(), (1, 2), pixels, vec![0, 1], names()).unwrap()
    }

    #[test]
    fn statistics_follow_the_definition_and_only_the_given_images() {
        let data = two_images(vec![0, 51, 7, 255, 153, 7, 200, 200, 200, 200, 200, 200]);
        let stats = ChannelStats::of(&data, &[0], &NEVER).unwrap();
        assert_eq!(stats.mean, [0.5, 0.4, (7.0 / 255.0) as f32]);
        assert_eq!(stats.std, [0.5, 0.2, MIN_STD as f32]);
        assert!(matches!(
            ChannelStats::of(&data, &[], &NEVER),
            Err(DataError::NoImages { .. })
        ));
        assert!(matches!(
            ChannelStats::of(&data, &[2], &NEVER),
            Err(DataError::Index { index: 2, .. })
        ));
    }

    #[test]
    fn normalised_pixels_have_mean_zero_and_deviation_one() {
        let pixels = vec![3, 50, 255, 90, 120, 0, 14, 200, 77, 31, 2, 90];
        let data = two_images(pixels.clone());
        let normaliser = Normaliser::new(&ChannelStats::of(&data, &[0, 1], &NEVER).unwrap());
        let mut out = [0.0; 12];
        normaliser.write(&pixels, &mut out);
        for c in 0..3 {
            let values: Vec<f32> = out.iter().skip(c).step_by(3).copied().collect();
            let mean = values.iter().sum::<f32>() / 4.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 4.0;
            assert!(
                mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5,
                "{mean} {variance}"
            );
        }
    }

    #[test]
    fn statistics_take_in_every_row_of_every_image() {
        let names = || vec!["a".to_string(), "b".to_string()];
        let pixels: Vec<u8> = (0..2 * 3 * 2 * 3).map(|i| 5 * i).collect();
        let channel = |c: usize| {
            pixels
                .iter()
                .skip(c)
                .step_by(3)
                .map(|&v| f64::from(v) / 255.0)
        };
        let (mut mean, mut std) = ([0.0; 3], [0.0; 3]);
        for c in 0..3 {
            mean[c] = channel(c).sum::<f64>() / 12.0;
            std[c] = (channel(c).map(|v| (v - mean[c]).powi(2)).sum::<f64>() / 12.0).sqrt();
        }
        let size = (3, 2);
        let data = Dataset::new(
            "t".into(),
            names(),
            size,
            pixels.clone(),
            vec![0, 1],
            names(),
        );
        let stats = ChannelStats::of(&data.unwrap(), &[0, 1], &NEVER).unwrap();
        for c in 0..3 {
            assert!((f64::from(stats.mean[c]) - mean[c]).abs() < 1e-6);
            assert!((f64::from(stats.std[c]) - std[c]).abs() < 1e-6);
        }
    }
}
