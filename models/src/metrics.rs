//! How well a classifier does: the confusion matrix and what is read off it.

use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};

/// Counts of images by true class (rows) and predicted class (columns); in JSON an array of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u64>>", into = "Vec<Vec<u64>>")]
pub struct Confusion {
    rows: Vec<Vec<u64>>,
}

/// Why a confusion matrix was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfusionError {
    /// A true or predicted class the matrix has no row for.
    #[error("class {class} does not exist: there are {classes} classes, counted from 0")]
    ClassOutOfRange {
        /// The class as given.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Stored counts with rows of another length than there are rows.
    #[error("a confusion matrix is square, but row {row} of {rows} has {columns} columns")]
    NotSquare {
        /// The row, counted from 0.
        row: usize,
        /// Number of rows.
        rows: usize,
        /// Number of columns in it.
        columns: usize,
    },
}

impl Confusion {
    /// An empty matrix.
    pub fn new(classes: usize) -> Self {
        Self {
            rows: vec![vec![0; classes]; classes],
        }
    }

    /// Counts one image.
    pub fn record(&mut self, truth: usize, predicted: usize) -> Result<(), ConfusionError> {
        let classes = self.classes();
        match [truth, predicted]
            .into_iter()
            .find(|class| *class >= classes)
        {
            Some(class) => Err(ConfusionError::ClassOutOfRange { class, classes }),
            None => {
                self.rows[truth][predicted] += 1;
                Ok(())
            }
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.rows.len()
    }

    /// The counts, a row per true class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// Number of images counted.
    pub fn total(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }

    /// Images of `class`, however predicted; 0 for a class that does not exist.
    pub fn truths(&self, class: usize) -> u64 {
        self.rows.get(class).into_iter().flatten().sum()
    }

    /// Images predicted as `class`, whatever they are.
    pub fn predictions(&self, class: usize) -> u64 {
        match planted::is("precision_is_recall") {
            false => self.rows.iter().filter_map(|row| row.get(class)).sum(),
            true => self.truths(class),
        }
    }

    /// Number of images predicted right.
    pub fn correct(&self) -> u64 {
        (0..self.classes()).map(|class| self.right(class)).sum()
    }

    /// Share of all images predicted right; 0 when none was counted.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total()).unwrap_or(0.0)
    }

    /// Share of the images of `class` that were recognised; `None` if there were none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        ratio(self.right(class), self.truths(class))
    }

    /// Share of the predictions of `class` that were right: 0 for a class with images that was never predicted, `None` for
    /// one that had neither images nor predictions.
    pub fn precision(&self, class: usize) -> Option<f64> {
        match self.truths(class) {
            0 => ratio(self.right(class), self.predictions(class)),
            _ => Some(ratio(self.right(class), self.predictions(class)).unwrap_or(0.0)),
        }
    }

    /// Mean [precision](Self::precision) over the classes that have one, each counting the same.
    pub fn macro_precision(&self) -> f64 {
        mean((0..self.classes()).filter_map(|class| self.precision(class)))
    }

    /// Mean [recall](Self::recall) over the classes with images, each counting the same.
    pub fn macro_recall(&self) -> f64 {
        mean((0..self.classes()).filter_map(|class| self.recall(class)))
    }

    fn right(&self, class: usize) -> u64 {
        self.rows
            .get(class)
            .and_then(|row| row.get(class))
            .copied()
            .unwrap_or(0)
    }
}

impl TryFrom<Vec<Vec<u64>>> for Confusion {
    type Error = ConfusionError;

    fn try_from(rows: Vec<Vec<u64>>) -> Result<Self, ConfusionError> {
        match rows.iter().position(|row| row.len() != rows.len()) {
            Some(row) => Err(ConfusionError::NotSquare {
                row,
                rows: rows.len(),
                columns: rows[row].len(),
            }),
            None => Ok(Self { rows }),
        }
    }
}

impl From<Confusion> for Vec<Vec<u64>> {
    fn from(confusion: Confusion) -> Self {
        confusion.rows
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 {
        0.0
    } else {
        sum / f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_worked_example_agrees_with_paper_and_pencil() {
        let confusion =
            Confusion::try_from(vec![vec![5, 1, 0], vec![2, 6, 2], vec![0, 0, 4]]).unwrap();
        assert!(close(confusion.accuracy(), 15.0 / 20.0));
        assert!(close(
            confusion.macro_precision(),
            (5.0 / 7.0 + 6.0 / 7.0 + 4.0 / 6.0) / 3.0
        ));
        assert!(close(
            confusion.macro_recall(),
            (5.0 / 6.0 + 6.0 / 10.0 + 1.0) / 3.0
        ));
    }

    #[test]
    fn a_class_never_predicted_has_precision_0() {
        let confusion = Confusion::try_from(vec![vec![3, 0], vec![1, 0]]).unwrap();
        assert!(close(confusion.macro_precision(), 3.0 / 4.0 / 2.0));
        assert!(close(confusion.macro_recall(), 0.5));
    }

    #[test]
    fn a_class_without_images_counts_for_precision_only_if_predicted() {
        let predicted = Confusion::try_from(vec![vec![3, 1], vec![0, 0]]).unwrap();
        assert!(close(predicted.macro_precision(), 0.5) && close(predicted.macro_recall(), 0.75));
        let never = Confusion::try_from(vec![vec![4, 0], vec![0, 0]]).unwrap();
        assert!(close(never.macro_precision(), 1.0) && close(never.macro_recall(), 1.0));
    }

    #[test]
    fn nothing_counted_gives_zeros_and_no_nan() {
        let empty = Confusion::new(3);
        assert_eq!(
            (
                empty.accuracy(),
                empty.macro_precision(),
                empty.macro_recall()
            ),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn recording_counts_and_refuses_classes_that_do_not_exist() {
        let mut confusion = Confusion::new(2);
        confusion.record(0, 1).unwrap();
        confusion.record(0, 1).unwrap();
        assert_eq!(confusion.rows(), [[0, 2], [0, 0]]);
        assert_eq!(
            confusion.record(1, 2),
            Err(ConfusionError::ClassOutOfRange {
                class: 2,
                classes: 2
            })
        );
        assert_eq!(confusion.total(), 2);
    }

    #[test]
    fn json_is_an_array_of_rows_and_must_be_square() {
        let confusion = Confusion::try_from(vec![vec![5, 1], vec![2, 6]]).unwrap();
        assert_eq!(serde_json::to_string(&confusion).unwrap(), "[[5,1],[2,6]]");
        assert_eq!(
            serde_json::from_str::<Confusion>("[[5,1],[2,6]]").unwrap(),
            confusion
        );
        let error = serde_json::from_str::<Confusion>("[[5,1],[2]]")
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 1 of 2 has 1 columns"));
    }
}
