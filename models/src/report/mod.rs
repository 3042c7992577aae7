//! `report.html`: what a run gained, in one file that needs no network.
//!
//! Fill a [`Report`] and [`render`] it. Accuracy, precision and recall are read off the confusion matrices, so that no two
//! places on the page can disagree; every comparison of students must agree with theirs.

mod chance;
pub(crate) mod chart;
pub(crate) mod classes;
mod curves;
mod error;
pub(crate) mod html;
mod page;
mod results;
mod samples;
mod watched;

pub use error::ReportError;
pub use page::render;

pub use crate::summary::{Latency, Role};

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
    /// The trained networks, teachers first, each student alone before it is taught.
    pub models: Vec<ModelReport>,
    /// What teaching changed, one for each taught student.
    pub comparisons: Vec<Comparison>,
    /// Test images with what each model says about them.
    pub samples: Vec<Sample>,
    /// How the samples were chosen, as a sentence.
    pub samples_note: String,
}

/// The images of a run.
#[derive(Clone, Debug)]
pub struct DataSummary {
    /// Folder or data set.
    pub name: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images in the training split.
    pub train_images: usize,
    /// Images in the validation split, by which epochs are chosen; 0 without one.
    pub validation_images: usize,
    /// Images in the test split.
    pub test_images: usize,
    /// Side of the images in pixels, as trained on.
    pub image_size: usize,
    /// What was left out because it could not be used.
    pub skipped: Skipped,
}

/// A taught student and the same network alone, on the same test images.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The taught student's place in [`Report::models`].
    pub taught: usize,
    /// The place of the same network alone.
    pub alone: usize,
    /// Their answers, the taught student's first.
    pub students: Paired,
}

/// One trained model.
#[derive(Clone, Debug)]
pub struct ModelReport {
    /// In files: `teacher`, `student_alone`, `student2_dkd`.
    pub name: String,
    /// For people: `snt_resnet8 by dual-teacher`.
    pub title: String,
    /// What it is in the run.
    pub role: Role,
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
    /// Test images by true and predicted class, by the weights of the chosen epoch.
    pub confusion: Confusion,
    /// One entry per epoch.
    pub curve: Vec<EpochPoint>,
    /// The epoch that did best on the validation images, or the last; counted from 1.
    pub chosen_epoch: usize,
    /// Share of the test images predicted right by the last epoch's weights.
    pub last_accuracy: f64,
    /// How long one image takes by itself, where it was measured.
    pub latency: Option<Latency>,
    /// Energy of inference, where the machine has a counter.
    pub joules_per_image: Option<f64>,
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
    /// Share of validation images predicted right after the epoch, where some were kept.
    pub validation_accuracy: Option<f64>,
    /// Mean loss over the validation images after the epoch, where some were kept.
    pub validation_loss: Option<f64>,
    /// What the method watched, by name: means over the epoch's steps.
    pub watched: Vec<(String, f64)>,
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
    /// What the models say, in the order of [`Report::models`].
    pub predictions: Vec<Prediction>,
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
