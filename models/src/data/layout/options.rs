//! What is made of a folder's annotated objects.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::AddAssign;

/// What the images of an annotated folder are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objects {
    /// Scenes where each has a class (RSOD, a folder for each class), upright objects where a scene has many (DOTA).
    #[default]
    Auto,
    /// Whole scenes, by the folder they lie in.
    Scenes,
    /// Each object, turned so that the edge from its first corner to its second is on top; boxes along the axes stay as they are.
    Upright,
    /// Each object as it lies.
    Axis,
}

/// Which objects become images, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectOptions {
    /// What the images are.
    pub how: Objects,
    /// What a crop shows around the box on each side, in longer sides of the box.
    pub margin: f64,
    /// Objects whose longer side has fewer pixels are left out.
    pub least_size: usize,
    /// Whether objects that are marked as difficult are kept.
    pub difficult: bool,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self {
            how: Objects::Auto,
            margin: 0.1,
            least_size: 8,
            difficult: false,
        }
    }
}

/// Objects that are annotated and not wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Those of fewer pixels than `least_size`.
    pub small: usize,
    /// Those marked as difficult, whatever their size.
    pub difficult: usize,
}

impl LeftOut {
    /// Number of objects.
    pub fn total(&self) -> usize {
        self.small + self.difficult
    }
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, other: Self) {
        self.small += other.small;
        self.difficult += other.difficult;
    }
}

impl Sum for LeftOut {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::default(), |mut all, one| {
            all += one;
            all
        })
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { small, difficult } = self;
        write!(
            f,
            "{small} smaller than data.least_size, {difficult} marked as difficult (data.difficult = true keeps those)"
        )
    }
}
