//! The division into training, validation and test images: drawn class by class, or listed in a file.

mod list;

use super::DataError;
use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Images by name and class.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// One name per image; see [`Dataset::files`](super::Dataset::files).
    pub files: &'a [String],
    /// One label per image.
    pub labels: &'a [u32],
    /// The classes that the labels count.
    pub classes: &'a [String],
}

/// How images are divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Division {
    /// By chance, class by class.
    Drawn(Shares),
    /// As a file says: see [`Split::listed`].
    Listed(PathBuf),
}

/// How much of each class tests, validates and trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// The share of the images that tests, above 0 and below 1.
    pub test: f64,
    /// The share that validates of what the tests leave, from 0 and below 1.
    pub validation: f64,
    /// Numbers of images of each class instead of shares.
    pub per_class: PerClass,
}

/// Numbers of images of each class; 0 leaves a part to its share, and to training what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerClass {
    /// Training images. Those that no part takes are in none.
    pub train: usize,
    /// Validation images.
    pub validation: usize,
    /// Test images.
    pub test: usize,
}

impl Shares {
    /// Shares alone.
    pub const fn new(test: f64, validation: f64) -> Self {
        let per_class = PerClass {
            train: 0,
            validation: 0,
            test: 0,
        };
        Self {
            test,
            validation,
            per_class,
        }
    }
}

/// Which images train, which choose among what was trained, and which test. Written into the run, whose recipe says how it was drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Indices of the training images, ascending.
    pub train: Vec<u32>,
    /// Indices of the images by which epochs and values are chosen, ascending; none in a run that is older than this record.
    #[serde(default)]
    pub validation: Vec<u32>,
    /// Indices of the test images, ascending.
    pub test: Vec<u32>,
}

impl Split {
    /// The split of images from the folder `dir`. The seed is of no use to a list.
    ///
    /// # Errors
    /// Those of [`Split::stratified`] or of [`Split::listed`].
    pub fn new(
        images: Labelled,
        dir: &Path,
        division: &Division,
        seed: u64,
    ) -> Result<Self, DataError> {
        match division {
            Division::Drawn(shares) => {
                Self::stratified(images.labels, images.classes, shares, seed)
            }
            Division::Listed(list) => Self::listed(images, dir, list),
        }
    }

    /// Of the n images of each class `round(n test)` test, never none and never all of them. Of the r that are left
    /// `round(r validation)` validate, at least one where r is 2 or more, never all; with a share of 0 none do. The validation images
    /// are taken from what would train without them: which images test does not depend on their share. Where a number is given, so many
    /// are taken. The training images of a smaller number are among those of a larger one, and the others in no part.
    ///
    /// # Errors
    /// [`DataError::TestFraction`], [`DataError::ValidationFraction`], [`DataError::Inconsistent`] for a label without a class,
    /// [`DataError::ClassTooSmall`] for a class of fewer than two images, [`DataError::TooFewForSplit`] for one of fewer than the numbers
    /// come to.
    pub fn stratified(
        labels: &[u32],
        classes: &[String],
        shares: &Shares,
        seed: u64,
    ) -> Result<Self, DataError> {
        if !(shares.test > 0.0 && shares.test < 1.0) {
            return Err(DataError::TestFraction { value: shares.test });
        }
        if !(shares.validation >= 0.0 && shares.validation < 1.0) {
            return Err(DataError::ValidationFraction {
                value: shares.validation,
            });
        }
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); classes.len()];
        for (image, &label) in labels.iter().enumerate() {
            let class = members
                .get_mut(label as usize)
                .ok_or(DataError::Inconsistent {
                    what: "a label",
                    value: label as usize,
                    expected: format!("below {}", classes.len()),
                })?;
            class.push(image as u32);
        }
        let mut split = Self::default();
        for (class, mut images) in members.into_iter().enumerate() {
            let n = images.len();
            if n < 2 {
                return Err(DataError::ClassTooSmall {
                    class: classes[class].clone(),
                    images: n,
                });
            }
            images.shuffle(&mut stream(seed, Purpose::Split, 0, class as u64));
            let PerClass {
                train,
                validation,
                test,
            } = shares.per_class;
            let needed = train.max(1) + validation + test.max(1);
            if needed > n {
                return Err(DataError::TooFewForSplit {
                    class: classes[class].clone(),
                    images: n,
                    needed,
                });
            }
            let share = |of: usize, share: f64| (of as f64 * share).round() as usize;
            // What numbers ask for is not taken by a share.
            let tested = match test {
                0 => share(n, shares.test)
                    .max(1)
                    .min(n - train.max(1) - validation),
                test => test,
            };
            let rest = n - tested;
            let validated = match validation {
                0 if shares.validation > 0.0 => share(rest, shares.validation)
                    .max(1)
                    .min(rest - train.max(1)),
                validation => validation,
            };
            let first = planted::or("split_overlaps", tested, tested - 1);
            let end = planted::or("validation_is_trained_on", n - validated, n);
            split.test.extend_from_slice(&images[..tested]);
            let end = match train {
                0 => end,
                train => tested + train,
            };
            split.train.extend_from_slice(&images[first..end]);
            split.validation.extend_from_slice(&images[n - validated..]);
        }
        for part in [&mut split.train, &mut split.validation, &mut split.test] {
            part.sort_unstable();
        }
        Ok(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes(n: usize) -> Vec<String> {
        (0..n).map(|c| format!("class{c}")).collect()
    }

    fn drawn(labels: &[u32], test: f64, validation: f64, seed: u64) -> Result<Split, DataError> {
        let shares = Shares::new(test, validation);
        Split::stratified(labels, &classes(2), &shares, seed)
    }

    #[test]
    fn every_class_keeps_its_share_and_every_image_lands_in_one_part() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 4 == 0)).collect();
        let split = drawn(&labels, 0.2, 0.1, 7).unwrap();
        let of = |part: &[u32], c| part.iter().filter(|&&i| labels[i as usize] == c).count();
        assert_eq!((of(&split.test, 0), of(&split.test, 1)), (15, 5));
        assert_eq!((of(&split.validation, 0), of(&split.validation, 1)), (6, 2));
        let parts = [&split.train, &split.validation, &split.test];
        assert!(parts.iter().all(|part| part.is_sorted()));
        let mut all = parts.map(|part| part.as_slice()).concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split, drawn(&labels, 0.2, 0.1, 7).unwrap());
        assert_ne!(split.test, drawn(&labels, 0.2, 0.1, 8).unwrap().test);
    }

    #[test]
    fn validation_images_are_taken_from_the_training_images_alone() {
        let labels: Vec<u32> = (0..60).map(|i| i % 2).collect();
        let (with, without) = (
            drawn(&labels, 0.3, 0.25, 3).unwrap(),
            drawn(&labels, 0.3, 0.0, 3).unwrap(),
        );
        assert_eq!(with.test, without.test);
        assert!(without.validation.is_empty());
        let mut rest = [with.train, with.validation].concat();
        rest.sort_unstable();
        assert_eq!(rest, without.train);
    }

    #[test]
    fn a_tiny_class_keeps_an_image_to_train_and_one_to_test() {
        for fraction in [0.01, 0.99] {
            let split = drawn(&[0, 0, 1, 1], fraction, fraction, 0).unwrap();
            assert_eq!((split.train.len(), split.test.len()), (2, 2));
            assert!(split.validation.is_empty());
            let split = drawn(&[0, 0, 0, 1, 1, 1], 0.3, fraction, 0).unwrap();
            let parts = [&split.train, &split.validation, &split.test];
            assert!(parts.iter().all(|part| part.len() == 2), "{split:?}");
        }
    }

    #[test]
    fn numbers_per_class_are_kept_and_a_smaller_training_set_is_part_of_a_larger_one() {
        let labels: Vec<u32> = (0..60).map(|i| u32::from(i % 3 == 0)).collect();
        let with = |train, validation, test| {
            let per_class = PerClass {
                train,
                validation,
                test,
            };
            let shares = Shares {
                per_class,
                ..Shares::new(0.2, 0.1)
            };
            Split::stratified(&labels, &classes(2), &shares, 1)
        };
        let sizes = |s: &Split| [&s.train, &s.validation, &s.test].map(|part| part.len());
        let (few, many) = (with(3, 2, 5).unwrap(), with(8, 2, 5).unwrap());
        assert_eq!((sizes(&few), sizes(&many)), ([6, 4, 10], [16, 4, 10]));
        assert!(few.train.iter().all(|image| many.train.contains(image)));
        assert_eq!((&few.test, &few.validation), (&many.test, &many.validation));
        // Shares of 20 and 40 images: 4 and 8 test, 2 and 3 validate, 5 train of each.
        assert_eq!(sizes(&with(5, 0, 0).unwrap()), [10, 5, 12]);
        // A number goes before a share.
        assert_eq!(sizes(&with(18, 0, 0).unwrap()), [36, 3, 10]);
        assert_eq!(sizes(&with(0, 0, 19).unwrap()), [20, 2, 38]);
        let refused = with(12, 4, 5).unwrap_err().to_string();
        assert!(
            refused.contains("`class1` has 20") && refused.contains("21"),
            "{refused}"
        );
    }

    proptest! {
        /// Whatever is asked for: it is refused for a class that has too few, or every class has an image to train and one to test, no image
        /// is in two parts, and only a number of training images leaves any out.
        #[test]
        fn parts_never_overlap_and_none_that_is_needed_is_empty(
            sizes in prop::array::uniform3(2..40usize),
            (test, validation) in (0.001..0.999f64, 0.0..0.999f64),
            counts in prop::array::uniform3(prop_oneof![Just(0usize), 1..12usize]),
            seed in any::<u64>(),
        ) {
            let labels: Vec<u32> = (0..).zip(sizes).flat_map(|(label, n)| vec![label; n]).collect();
            let per_class = PerClass { train: counts[0], validation: counts[1], test: counts[2] };
            let shares = Shares { per_class, ..Shares::new(test, validation) };
            let needed = counts[0].max(1) + counts[1] + counts[2].max(1);
            let split = match Split::stratified(&labels, &classes(3), &shares, seed) {
                Ok(split) => split,
                Err(DataError::TooFewForSplit { images, .. }) => {
                    prop_assert!(images < needed);
                    return Ok(());
                }
                Err(other) => panic!("{other}"),
            };
            let parts = [&split.train, &split.validation, &split.test];
            let mut all = parts.map(|part| part.as_slice()).concat();
            all.sort_unstable();
            let taken = all.len();
            all.dedup();
            prop_assert_eq!((all.len(), counts[0] > 0 || taken == labels.len()), (taken, true));
            for label in 0..3u32 {
                let of = |part: &Vec<u32>| part.iter().filter(|&&i| labels[i as usize] == label).count();
                let found = parts.map(of);
                prop_assert!(found[0] > 0 && found[2] > 0, "{:?}", found);
                for (found, wanted) in found.into_iter().zip(counts) {
                    prop_assert!(wanted == 0 || found == wanted, "{} {}", found, wanted);
                }
            }
        }
    }

    #[test]
    fn a_split_from_before_there_was_validation_is_read() {
        let old = r#"{"test_fraction": 0.5, "seed": 3, "train": [0, 2], "test": [1]}"#;
        let read: Split = serde_json::from_str(old).unwrap();
        let wanted = Split {
            train: vec![0, 2],
            validation: Vec::new(),
            test: vec![1],
        };
        assert_eq!(read, wanted);
    }

    #[test]
    fn a_single_image_a_stray_label_and_a_bad_fraction_are_refused() {
        let refused = |labels: &[u32], f, v| drawn(labels, f, v, 0).unwrap_err();
        let single = refused(&[0, 0, 1], 0.5, 0.1).to_string();
        assert!(single.contains("`class1` has 1 usable"), "{single}");
        assert!(matches!(
            refused(&[0, 0, 2], 0.5, 0.1),
            DataError::Inconsistent { value: 2, .. }
        ));
        for fraction in [0.0, 1.0, f64::NAN, -0.1] {
            assert!(matches!(
                refused(&[0, 0, 1, 1], fraction, 0.1),
                DataError::TestFraction { .. }
            ));
        }
        for fraction in [1.0, f64::NAN, -0.1] {
            assert!(matches!(
                refused(&[0, 0, 1, 1], 0.5, fraction),
                DataError::ValidationFraction { .. }
            ));
        }
    }
}
