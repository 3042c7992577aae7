//! Whether one classifier does better than another on the same images.
//!
//! Both answered for every image, so that only the images on which one is right and the other wrong tell them apart. With b images
//! on which the first alone is right and c on which the second alone is, of n, the difference of the accuracies is (b - c) / n.
//!
//! The interval is Tango's score interval (Tango 1998, Statistics in Medicine 17, 891-908): every difference d for which
//!
//! ```text
//! |b - c - n d| <= z sqrt(n (2 q + d (1 - d))),
//! q = (sqrt(B^2 - 4 A C) - B) / (2 A),  A = 2 n,  B = -b - c + (2 n - b + c) d,  C = -c d (1 - d)
//! ```
//!
//! where q is the most likely share of images on which the second alone is right, were the difference d. Two classifiers that agree
//! everywhere, both at 100 % say, still get the interval of +-z^2 / (n + z^2), where one made of estimated variances has no width.
//!
//! Whether chance alone explains the difference is the exact test of McNemar (1947, Psychometrika 12, 153-157): of two equally good
//! classifiers, each is as likely as the other to be the one that is right.

use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};

/// The 97.5th percentile of the normal distribution: intervals hold 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Below this, a difference is more than chance.
const LEVEL: f64 = 0.05;

/// Two classifiers' answers for the same images, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// All images.
    pub images: u64,
    /// Those on which the first alone is right.
    pub only_first: u64,
    /// Those on which the second alone is right.
    pub only_second: u64,
}

impl Paired {
    /// Counts whether each image, in the same order, was classified right by the first and by the second.
    ///
    /// # Panics
    /// If there are not as many answers of one as of the other.
    pub fn new(first: &[bool], second: &[bool]) -> Self {
        assert_eq!(first.len(), second.len(), "answers for the same images");
        let only = |right: bool| {
            let pairs = first.iter().zip(second);
            pairs
                .filter(|&(&first, &second)| first == right && second != right)
                .count() as u64
        };
        Self {
            images: first.len() as u64,
            only_first: only(true),
            only_second: only(false),
        }
    }

    /// Accuracy of the first less that of the second; 0 without images.
    pub fn difference(&self) -> f64 {
        (self.only_first as f64 - self.only_second as f64) / self.images.max(1) as f64
    }

    /// The 95 % interval of [the difference](Self::difference) over all images like these; from -1 to 1 without any.
    pub fn interval(&self) -> (f64, f64) {
        if self.images == 0 {
            return (-1.0, 1.0);
        }
        // The score falls as the difference grows, and is 0 at the one observed.
        let end = |mut inside: f64, mut outside: f64| {
            for _ in 0..f64::MANTISSA_DIGITS {
                let middle = 0.5 * (inside + outside);
                match self.score(middle).abs() <= Z {
                    true => inside = middle,
                    false => outside = middle,
                }
            }
            if self.score(outside).abs() <= Z {
                outside
            } else {
                inside
            }
        };
        let observed = self.difference();
        (end(observed, -1.0), end(observed, 1.0))
    }

    /// How many deviations lie between what was observed and what a true difference of `d` would give.
    fn score(&self, d: f64) -> f64 {
        let [n, b, c] = [self.images, self.only_first, self.only_second].map(|count| count as f64);
        let linear = -b - c + (2.0 * n - b + c) * d;
        let constant = -c * d * (1.0 - d);
        let root = (linear * linear - 8.0 * n * constant).max(0.0).sqrt();
        let q = (root - linear) / (4.0 * n);
        let variance = match planted::is("interval_without_width") {
            false => n * (2.0 * q + d * (1.0 - d)),
            true => b + c - (b - c).powi(2) / n,
        };
        let away = b - c - n * d;
        match away == 0.0 {
            true => 0.0,
            false => away / variance.max(0.0).sqrt(),
        }
    }

    /// The probability that two equally good classifiers differ as much or more, on as many images: McNemar's exact test, two-sided.
    pub fn p_value(&self) -> f64 {
        let all = self.only_first + self.only_second;
        let fewer = self.only_first.min(self.only_second);
        // Logarithms: thousands of images have probabilities below the smallest number.
        let mut log_share = -(all as f64) * std::f64::consts::LN_2;
        let mut tail = 0.0;
        for k in 0..=fewer {
            tail += log_share.exp();
            log_share += ((all - k) as f64 / (k + 1) as f64).ln();
        }
        (2.0 * tail).min(1.0)
    }

    /// Whether chance alone may explain the difference: [the p-value](Self::p_value) is 0.05 or more.
    pub fn may_be_chance(&self) -> bool {
        self.p_value() >= LEVEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(only_first: u64, only_second: u64, images: u64) -> Paired {
        Paired {
            images,
            only_first,
            only_second,
        }
    }

    #[test]
    fn worked_examples_have_their_published_intervals() {
        // Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33, 2850-2875: airway hyper-responsiveness, and complete response.
        for (counts, low, high) in [
            (paired(1, 7, 21), -0.517, -0.026),
            (paired(6, 16, 161), -0.124, -0.005),
        ] {
            let (found_low, found_high) = counts.interval();
            assert!((found_low - low).abs() < 5e-4, "{found_low}");
            assert!((found_high - high).abs() < 5e-4, "{found_high}");
        }
    }

    #[test]
    fn classifiers_that_agree_everywhere_may_still_differ_elsewhere() {
        for images in [1, 20, 5400] {
            let wanted = Z * Z / (images as f64 + Z * Z);
            let (low, high) = paired(0, 0, images).interval();
            assert!((high - wanted).abs() < 1e-12 && (low + wanted).abs() < 1e-12);
            assert!(paired(0, 0, images).may_be_chance());
        }
        assert_eq!(paired(0, 0, 0).interval(), (-1.0, 1.0));
        assert_eq!(paired(20, 0, 20).interval().1, 1.0);
    }

    #[test]
    fn an_interval_holds_what_was_observed_and_turns_with_the_order() {
        for images in 1..14 {
            for only_first in 0..=images {
                for only_second in 0..=images - only_first {
                    let counts = paired(only_first, only_second, images);
                    let (low, high) = counts.interval();
                    let seen = counts.difference();
                    assert!(-1.0 <= low && low <= seen && seen <= high && high <= 1.0);
                    assert!(high - low > 0.1, "{counts:?}");
                    let (turned_low, turned_high) =
                        paired(only_second, only_first, images).interval();
                    assert!((low + turned_high).abs() < 1e-9 && (high + turned_low).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_exact_test_counts_coin_tosses() {
        for (first, second, p) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (4, 0, 2.0 / 16.0),
            (0, 6, 2.0 / 64.0),
            (5, 1, 14.0 / 64.0),
            (3, 3, 1.0),
        ] {
            assert!((paired(first, second, 5400).p_value() - p).abs() < 1e-12);
        }
        let many = paired(2600, 2400, 5400).p_value();
        // The normal approximation with Yates' correction gives 0.00489.
        assert!((many - 0.004_89).abs() < 1e-4, "{many}");
    }

    #[test]
    fn only_answers_that_differ_are_counted() {
        let first = [true, true, false, false, true];
        let second = [true, false, true, false, false];
        assert_eq!(Paired::new(&first, &second), paired(2, 1, 5));
    }
}
