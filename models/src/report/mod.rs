//! `report.html`: what a run gained, in one file that needs no network.
//!
//! Fill a [`Report`] and [`render`] it. Accuracy, precision and recall are read off the confusion matrices, so that no two
//! places on the page can disagree; the students' comparison must agree with theirs.

mod chance;
mod chart;
mod classes;
mod error;
mod html;
mod page;
mod samples;

pub use error::ReportError;
pub use page::render;

use crate::data::Skipped;
use crate::metrics::Confusion;
use crate::paired::Paired;

/// Everything the page shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// The command that repeats the run.
    pub command: String,
    /// The resolved recipe.
    pub recipe_toml: String,
    /// The programs and devices that worked on the run, in order.
    pub platforms: Vec<String>,
    /// The images.
    pub data: DataSummary,
    /// The three trainings, in the order of [`ROLES`].
    pub models: [ModelReport; 3],
    /// The distilled student (first) and the student alone on the same test images.
    pub students: Paired,
    /// Test images with what each model says about them.
    pub samples: Vec<Sample>,
    /// How the samples were chosen, as a sentence.
    pub samples_note: String,
}

/// What the three models are called on the page.
pub const ROLES: [&str; 3] = ["Teacher", "Student alone", "Student distilled"];

/// The images of a run.
#[derive(Clone, Debug)]
pub struct DataSummary {
    /// Folder or data set.
    pub name: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images in the training split.
    pub train_images: usize,
    /// Images in the test split.
    pub test_images: usize,
    /// Side of the images in pixels, as trained on.
    pub image_size: usize,
    /// What was left out because it could not be used.
    pub skipped: Skipped,
}

/// One trained model.
#[derive(Clone, Debug)]
pub struct ModelReport {
    /// Name of the architecture.
    pub arch: String,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Speed of training, augmentation and optimiser included.
    pub train_images_per_s: f64,
    /// Speed of evaluation.
    pub infer_images_per_s: f64,
    /// Test images by true and predicted class.
    pub confusion: Confusion,
    /// One entry per epoch.
    pub curve: Vec<EpochPoint>,
}

/// What one epoch of a training came to.
#[derive(Clone, Debug)]
pub struct EpochPoint {
    /// Counted from 1.
    pub epoch: usize,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean loss over the training images.
    pub train_loss: f64,
    /// The loss's terms by name, as they enter the sum.
    pub loss_terms: Vec<(String, f64)>,
    /// Share of training images predicted right while learning from them.
    pub train_accuracy: f64,
    /// Share of test images predicted right after the epoch.
    pub test_accuracy: f64,
}

/// A test image with its predictions.
#[derive(Clone, Debug)]
pub struct Sample {
    /// RGB bytes, row by row.
    pub rgb: Vec<u8>,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// True class.
    pub truth: usize,
    /// What the models say, in the order of [`ROLES`].
    pub predictions: [Prediction; 3],
}

/// A model's answer for one image.
#[derive(Clone, Copy, Debug)]
pub struct Prediction {
    /// Most probable class.
    pub class: usize,
    /// Its probability, 0 to 1.
    pub confidence: f32,
}

#[cfg(test)]
mod tests;
