//! What a finished run came to: `summary.json`, written by `distill` and read by `compare`.

use crate::metrics::Confusion;
use crate::paired::Paired;
use serde::{Deserialize, Serialize};

/// A finished run, as `summary.json` holds it and `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run's folder.
    pub run: String,
    /// The seed of its random choices.
    pub seed: u64,
    /// Its images.
    pub data: DataUsed,
    /// Its networks, teachers first, each student alone before it is taught.
    pub networks: Vec<NetworkSummary>,
    /// What teaching changed, a comparison for each taught student.
    pub gains: Vec<Gain>,
}

/// The images that a run learned from and was tested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataUsed {
    /// `synthetic`, or the folder.
    pub name: String,
    /// The data set's fingerprint.
    pub fingerprint: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images trained on.
    pub train: usize,
    /// Images that epochs were chosen by; 0 where nothing was kept for that.
    pub validation: usize,
    /// Images tested on.
    pub test: usize,
    /// Height of the images in pixels, as trained on.
    pub height: usize,
    /// Width of the images in pixels, as trained on.
    pub width: usize,
}

/// What a network is in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It taught others.
    Teacher,
    /// A student that had the labels alone.
    Alone,
    /// A student that was taught.
    Taught,
}

/// How long one image takes, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the images took no longer, in milliseconds.
    pub median_ms: f64,
    /// 95 % of the images took no longer, in milliseconds.
    pub p95_ms: f64,
}

/// One network of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// In files: `teacher`, `student_alone`, `student2_dkd`.
    pub name: String,
    /// For people: `snt_resnet8 by dual-teacher`.
    pub title: String,
    /// What it is in the run.
    pub role: Role,
    /// Which student of the run, counted from 1; none for a teacher.
    pub student: Option<usize>,
    /// How it was trained: `alone`, or the method; none for a teacher.
    pub method: Option<String>,
    /// Architecture.
    pub arch: String,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Share of the test images predicted right by the weights of the chosen epoch.
    pub accuracy: f64,
    /// Mean over the classes of the share of predictions that are right.
    pub macro_precision: f64,
    /// Mean over the classes of the share of images that are found.
    pub macro_recall: f64,
    /// The epoch that did best on the validation images, or the last; counted from 1.
    pub chosen_epoch: usize,
    /// Epochs trained.
    pub epochs: usize,
    /// Share of the test images predicted right by the last epoch's weights.
    pub last_accuracy: f64,
    /// Training speed: the median over the epochs.
    pub train_images_per_s: f64,
    /// Inference speed over the test images.
    pub infer_images_per_s: f64,
    /// How long one image takes by itself, where it was measured.
    pub latency: Option<Latency>,
    /// Energy of inference, where the machine has a counter.
    pub joules_per_image: Option<f64>,
    /// Test images by true and predicted class, by the weights of the chosen epoch.
    pub confusion: Confusion,
}

/// What teaching changed in a student's accuracy on the same test images; see [`Paired`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The taught student's name in files.
    pub taught: String,
    /// The name in files of the same network alone.
    pub alone: String,
    /// Accuracy of the taught student less that of the one alone.
    pub difference: f64,
    /// The 95 % interval of that, over other images like these.
    pub interval: (f64, f64),
    /// McNemar's exact test: how often chance alone makes as much of a difference.
    pub p_value: f64,
    /// Whether that is too often to speak of a gain or a loss.
    pub may_be_chance: bool,
    /// Test images on which the taught student alone is right.
    pub only_taught: u64,
    /// Those on which the student alone is right and the taught one is not.
    pub only_alone: u64,
}

impl Gain {
    /// What `students` come to, the taught one first, under their names in files.
    pub fn of(taught: &str, alone: &str, students: &Paired) -> Self {
        Self {
            taught: taught.into(),
            alone: alone.into(),
            difference: students.difference(),
            interval: students.interval(),
            p_value: students.p_value(),
            may_be_chance: students.may_be_chance(),
            only_taught: students.only_first,
            only_alone: students.only_second,
        }
    }
}
