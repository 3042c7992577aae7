//! The stratified division into training, validation and test images.

use super::DataError;
use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// How much of each class is kept from training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// The share of the images that tests, above 0 and below 1.
    pub test: f64,
    /// The share that validates of what the tests leave, from 0 and below 1.
    pub validation: f64,
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
    /// Of the n images of each class `round(n test)` test, never none and never all of them. Of the r that are left
    /// `round(r validation)` validate, at least one where r is 2 or more, never all; with a share of 0 none do. The validation images
    /// are taken from what would train without them: which images test does not depend on their share.
    ///
    /// # Errors
    /// [`DataError::TestFraction`], [`DataError::ValidationFraction`], [`DataError::Inconsistent`] for a label without a class,
    /// [`DataError::ClassTooSmall`] for a class of fewer than two images.
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
            let tested = ((n as f64 * shares.test).round() as usize).clamp(1, n - 1);
            let rest = n - tested;
            let validated = match shares.validation > 0.0 {
                true => ((rest as f64 * shares.validation).round() as usize)
                    .max(1)
                    .min(rest - 1),
                false => 0,
            };
            let first = planted::or("split_overlaps", tested, tested - 1);
            let end = planted::or("validation_is_trained_on", n - validated, n);
            split.test.extend_from_slice(&images[..tested]);
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

    fn classes(n: usize) -> Vec<String> {
        (0..n).map(|c| format!("class{c}")).collect()
    }

    fn drawn(labels: &[u32], test: f64, validation: f64, seed: u64) -> Result<Split, DataError> {
        let shares = Shares { test, validation };
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
