//! The stratified division into training and test images.

use super::DataError;
use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Which images train and which test, with what made the choice. Written into the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The share of each class that was to be tested on.
    pub test_fraction: f64,
    /// The seed of the choice.
    pub seed: u64,
    /// Indices of the training images, ascending.
    pub train: Vec<u32>,
    /// Indices of the test images, ascending.
    pub test: Vec<u32>,
}

impl Split {
    /// Takes `round(n * test_fraction)` of the n images of each class for testing, never none and never all of them.
    ///
    /// # Errors
    /// [`DataError::TestFraction`], [`DataError::Inconsistent`] for a label without a class,
    /// [`DataError::ClassTooSmall`] for a class of fewer than two images.
    pub fn stratified(
        labels: &[u32],
        classes: &[String],
        test_fraction: f64,
        seed: u64,
    ) -> Result<Self, DataError> {
        if !(test_fraction > 0.0 && test_fraction < 1.0) {
            return Err(DataError::TestFraction {
                value: test_fraction,
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
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (class, mut images) in members.into_iter().enumerate() {
            let n = images.len();
            if n < 2 {
                return Err(DataError::ClassTooSmall {
                    class: classes[class].clone(),
                    images: n,
                });
            }
            images.shuffle(&mut stream(seed, Purpose::Split, 0, class as u64));
            let tested = ((n as f64 * test_fraction).round() as usize).clamp(1, n - 1);
            test.extend_from_slice(&images[..tested]);
            train.extend_from_slice(&images[planted::or("split_overlaps", tested, tested - 1)..]);
        }
        train.sort_unstable();
        test.sort_unstable();
        Ok(Self {
            test_fraction,
            seed,
            train,
            test,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(n: usize) -> Vec<String> {
        (0..n).map(|c| format!("class{c}")).collect()
    }

    #[test]
    fn every_class_keeps_its_share_and_every_image_lands_in_one_part() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 4 == 0)).collect();
        let split = Split::stratified(&labels, &classes(2), 0.2, 7).unwrap();
        let of = |part: &[u32], c| part.iter().filter(|&&i| labels[i as usize] == c).count();
        assert_eq!((of(&split.test, 0), of(&split.test, 1)), (15, 5));
        let mut all = [split.train.clone(), split.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(split.train.is_sorted() && split.test.is_sorted());
        assert_eq!(
            split,
            Split::stratified(&labels, &classes(2), 0.2, 7).unwrap()
        );
        assert_ne!(
            split.test,
            Split::stratified(&labels, &classes(2), 0.2, 8)
                .unwrap()
                .test
        );
    }

    #[test]
    fn a_tiny_class_keeps_an_image_in_each_part() {
        for fraction in [0.01, 0.99] {
            let split = Split::stratified(&[0, 0, 1, 1], &classes(2), fraction, 0).unwrap();
            assert_eq!((split.train.len(), split.test.len()), (2, 2));
        }
    }

    #[test]
    fn a_single_image_a_stray_label_and_a_bad_fraction_are_refused() {
        let refused = |labels: &[u32], f| Split::stratified(labels, &classes(2), f, 0).unwrap_err();
        assert!(
            refused(&[0, 0, 1], 0.5)
                .to_string()
                .contains("`class1` has 1 usable")
        );
        assert!(matches!(
            refused(&[0, 0, 2], 0.5),
            DataError::Inconsistent { value: 2, .. }
        ));
        for fraction in [0.0, 1.0, f64::NAN, -0.1] {
            assert!(matches!(
                refused(&[0, 0, 1, 1], fraction),
                DataError::TestFraction { .. }
            ));
        }
    }
}
