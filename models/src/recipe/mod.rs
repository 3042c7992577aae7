//! What a run is made of: data, networks, optimiser and distillation, as one TOML file.
//!
//! A recipe lists only what differs from the defaults documented on the fields here; the values a field may take stand once,
//! in [`FIELDS`]. An unknown key or a value out of range is an error naming the file, the key and what would be allowed.
//!
//! Teachers, students and ways to teach are lists. A section by itself, `[teacher]`, is a list of one; where there are several,
//! `teacher.2.arch` on the command line means the second one's.
//!
//! ```toml
//! [train]
//! batch = 64
//!
//! [[teacher]]
//! arch = "efficientvit_m2"
//!
//! [[teacher]]
//! arch = "mobilevitv2_100"
//! train = { optimiser = "adamw", peak_lr = 1e-3 }
//! ```

mod distill;
mod error;
mod fields;
mod load;
mod merge;
mod named;
mod schedule;
mod train;

pub use distill::{
    Align, AlignGroup, AlignNorm, Compared, Cosine, Distill, Dkd, DualTeacher, Kd, Rule, Select,
    Turns,
};
pub use error::RecipeError;
pub(crate) use fields::WITHOUT_EFFECT_ON_RESULTS;
pub use fields::{Allowed, FIELDS};
pub use load::Difference;
pub use named::{headline, text};
pub use schedule::{Moment, lr_at};
pub use train::{Dropout, Optimiser, OwnRates, Schedule, Train};

use crate::data;
use serde::{Deserialize, Serialize};
use toml::Table;

/// Everything that decides the outcome of a run, with the data set itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Source of every random choice: split, initialisation, order of the images, augmentation, dropout. Default 0.
    pub seed: u64,
    /// The images and their split.
    pub data: Data,
    /// Random changes to the training images.
    pub augment: Augment,
    /// The networks that are trained first and then taught from.
    pub teacher: Vec<Teacher>,
    /// The networks that are trained alone and in each of the ways of [`Recipe::distill`].
    pub student: Vec<Student>,
    /// Optimiser and learning-rate schedule of every training that does not say otherwise.
    pub train: Train,
    /// The ways in which a student is taught, each a training of its own.
    pub distill: Vec<Distill>,
}

/// `[data]`: the images and their split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Share of each class kept for testing. Default 0.2.
    pub test_fraction: f64,
    /// Share of what testing leaves of each class by which epochs and values are chosen; 0 keeps none for that. Default 0.1.
    pub validation_fraction: f64,
    /// Training images of each class; 0 takes all that are left. Those that no part takes are in none. Default 0.
    pub train_per_class: usize,
    /// Validation images of each class, instead of a share; 0 leaves it to `validation_fraction`. Default 0.
    pub validation_per_class: usize,
    /// Test images of each class, instead of a share; 0 leaves it to `test_fraction`. Default 0.
    pub test_per_class: usize,
    /// A text file that says which images train, validate and test, instead of chance: a line `train`, `validation` or `test`, a tab, and
    /// a path relative to the data folder for each. Default `""`.
    pub split_file: String,
    /// How the folder is laid out; `"auto"` goes by the names of its folders. Default `"auto"`.
    pub layout: data::Layout,
    /// What the images of an annotated folder are; `"auto"` takes the scenes of RSOD and the upright objects of DOTA. Default `"auto"`.
    pub objects: data::Objects,
    /// What the crop of an object shows around its box on each side, in longer sides of the box. Default 0.1.
    pub margin: f64,
    /// Objects whose longer side has fewer pixels are left out. Default 8.
    pub least_size: usize,
    /// Keep objects that are marked as difficult. Default false.
    pub difficult: bool,
    /// Megabytes (of 10^6 bytes) that decoded images may take; what is beyond is decoded again in every epoch, which changes no result. 0
    /// takes half of the memory that is left. Default 0.
    pub memory_mb: usize,
    /// Side in pixels to which images are resized, or at which synthetic ones are drawn; 0 keeps the stored size or
    /// `synthetic_size`. Default 0.
    pub image_size: usize,
    /// What becomes of images with more than 8 bits a sample. Default `"stretch"`.
    pub deep_images: DeepImages,
    /// Images drawn per class of the synthetic data set. Default 300.
    pub synthetic_per_class: usize,
    /// Side in pixels of the synthetic images. Default 32.
    pub synthetic_size: usize,
}

/// What becomes of images with more than 8 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeepImages {
    /// The range of the data set's samples, channel by channel and without the outermost thousandths, becomes black to white. The
    /// run keeps it for `eval` and `predict`.
    Stretch,
    /// They are refused, with their range.
    Refuse,
}

/// `[augment]`: random changes to the training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// One of the eight flips and quarter turns, each equally likely: seen from above, no direction is up. Default true.
    pub dihedral: bool,
    /// Largest shift in pixels along each axis; what moves in is the image mirrored at its edge. Default 4.
    pub shift: usize,
    /// Mix into each image another of its batch, and into its label the other's, by a share drawn from the Beta distribution with this for both
    /// parameters (mixup; Zhang et al. 2018); 0 mixes nothing. Default 0.
    pub mixup: f64,
}

/// `[teacher]`: a network that is trained first and then taught from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// Architecture by its name in the zoo. Default `"resnet20"`.
    pub arch: String,
    /// Passes over the training images. Default 10.
    pub epochs: usize,
    /// What differs from `[train]` in this training, by its keys there. Default nothing.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub train: Table,
}

/// `[student]`: a network that is trained alone and with teachers' help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Student {
    /// Architecture by its name in the zoo. Default `"resnet8"`.
    pub arch: String,
    /// Passes over the training images, alone and taught alike. Default 10.
    pub epochs: usize,
    /// What differs from `[train]` in these trainings, by its keys there. Default nothing.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub train: Table,
}

impl Recipe {
    /// How a training goes that differs from `[train]` by `own`: [`Teacher::train`] or [`Student::train`].
    ///
    /// # Panics
    /// On keys or values that [`Recipe::validate`] refuses.
    pub fn train_with(&self, own: &Table) -> Train {
        let mut table = Table::try_from(&self.train).expect("TOML holds every training");
        table.extend(own.clone());
        table.try_into().expect("the recipe was validated")
    }
}

impl Data {
    /// How much of each class tests, validates and trains.
    pub fn shares(&self) -> data::Shares {
        data::Shares {
            test: self.test_fraction,
            validation: self.validation_fraction,
            per_class: data::PerClass {
                train: self.train_per_class,
                validation: self.validation_per_class,
                test: self.test_per_class,
            },
        }
    }

    /// How the images are divided.
    pub fn division(&self) -> data::Division {
        match self.split_file.as_str() {
            "" => data::Division::Drawn(self.shares()),
            list => data::Division::Listed(list.into()),
        }
    }
}

impl Data {
    /// Which annotated objects become images, and how.
    pub fn object_options(&self) -> data::ObjectOptions {
        data::ObjectOptions {
            how: self.objects,
            margin: self.margin,
            least_size: self.least_size,
            difficult: self.difficult,
        }
    }

    /// How much memory decoded images may take.
    pub fn memory_limit(&self) -> data::MemoryLimit {
        match self.memory_mb {
            0 => data::MemoryLimit::Share,
            megabytes => data::MemoryLimit::Bytes(megabytes as u64 * 1_000_000),
        }
    }
}

impl Augment {
    /// As images go through them.
    pub fn changes(&self) -> data::Augment {
        data::Augment {
            dihedral: self.dihedral,
            shift: self.shift,
        }
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            data: Data::default(),
            augment: Augment::default(),
            teacher: vec![Teacher::default()],
            student: vec![Student::default()],
            train: Train::default(),
            distill: vec![Distill::decoupled()],
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            test_fraction: 0.2,
            validation_fraction: 0.1,
            train_per_class: 0,
            validation_per_class: 0,
            test_per_class: 0,
            split_file: String::new(),
            layout: data::Layout::Auto,
            objects: data::Objects::Auto,
            margin: 0.1,
            least_size: 8,
            difficult: false,
            memory_mb: 0,
            image_size: 0,
            deep_images: DeepImages::Stretch,
            synthetic_per_class: 300,
            synthetic_size: 32,
        }
    }
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            dihedral: true,
            shift: 4,
            mixup: 0.0,
        }
    }
}

impl Default for Teacher {
    fn default() -> Self {
        Self {
            arch: "resnet20".into(),
            epochs: 10,
            train: Table::new(),
        }
    }
}

impl Default for Student {
    fn default() -> Self {
        Self {
            arch: "resnet8".into(),
            epochs: 10,
            train: Table::new(),
        }
    }
}
