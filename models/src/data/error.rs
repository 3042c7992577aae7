//! Everything that can be wrong with a data set, each error naming the place and the way out.

use super::{Layout, LeftOut};
use std::path::PathBuf;

/// Why a data set could not be loaded, split or batched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path names nothing.
    #[error(
        "data folder `{}` does not exist; give a folder that holds one subfolder of images per class", dir.display()
    )]
    Missing {
        /// The path given.
        dir: PathBuf,
    },
    /// The path names a file.
    #[error(
        "`{}` is not a folder; give a folder that holds one subfolder of images per class", dir.display()
    )]
    NotAFolder {
        /// The path given.
        dir: PathBuf,
    },
    /// The folder has no subfolder.
    #[error(
        "`{}` holds no class folders (and {files} loose files); put the images of each class into a subfolder named after it",
        dir.display()
    )]
    NoClasses {
        /// The data folder.
        dir: PathBuf,
        /// Files that lie directly in it.
        files: usize,
    },
    /// The folder has one subfolder only.
    #[error(
        "`{}` holds one class only, `{class}`; a classifier needs two or more: is the folder of classes one level further down?",
        dir.display()
    )]
    OneClass {
        /// The data folder.
        dir: PathBuf,
        /// Its only subfolder.
        class: String,
    },
    /// A class folder without an image.
    #[error(
        "class folder `{class}` holds no image ({ignored} other files); accepted are {accepted}: add images or remove the folder"
    )]
    EmptyClass {
        /// The class folder's name.
        class: String,
        /// Files in it that are no images by their extension.
        ignored: usize,
        /// The extensions that are read.
        accepted: &'static str,
    },
    /// A class too small to be split.
    #[error(
        "class `{class}` has {images} usable image(s); it needs at least 2, one to train on and one to test on: add images or remove the class"
    )]
    ClassTooSmall {
        /// The class.
        class: String,
        /// Its images that can be used, unreadable ones not counted.
        images: usize,
    },
    /// Files that cannot be decoded, met without `skip_bad`.
    #[error(
        "`{file}` cannot be used: {reason}{}; repair or remove it, or pass --skip-bad to go on without it",
        and_more(*.others)
    )]
    BadFile {
        /// The first such file, relative to the data folder.
        file: String,
        /// What is wrong with it.
        reason: String,
        /// How many further files are bad.
        others: usize,
    },
    /// A single image that cannot be decoded.
    #[error("`{file}` cannot be used: {reason}")]
    BadImage {
        /// The image.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder or file that the system would not let us read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// An image side outside the accepted range.
    #[error("image size {size} is out of range; give {min} to {max} pixels")]
    Size {
        /// The size given.
        size: usize,
        /// The smallest accepted.
        min: usize,
        /// The largest accepted.
        max: usize,
    },
    /// The decoded images do not fit into memory.
    #[error(
        "{images} images of {height} x {width} pixels need {:.1} GB of memory, {}; set data.image_size to {}, or lower data.memory_mb (0 takes half of what is left)",
        *.images as f64 * *.height as f64 * *.width as f64 * 3e-9, left(*.available), smaller(*.images, *.available)
    )]
    TooLarge {
        /// Number of images.
        images: usize,
        /// Rows of each.
        height: usize,
        /// Columns of each.
        width: usize,
        /// Bytes of memory left, where the system says so.
        available: Option<u64>,
    },
    /// Images with more than 8 bits a sample that are not to be stretched.
    #[error(
        "`{file}`{} holds samples of more than 8 bits, from {low} to {high}; {}",
        and_other_files(*.others), deep_advice(*.in_run)
    )]
    Deep {
        /// The first such file.
        file: String,
        /// How many further files there are.
        others: usize,
        /// The least sample of all of them.
        low: f32,
        /// The greatest sample of all of them.
        high: f32,
        /// Whether they are given to a run that was trained on images of 8 bits.
        in_run: bool,
    },
    /// Folders of classes in place of classes: the data set has been divided already.
    #[error(
        "`{}` holds `{first}` and `{second}` with class folders in them; give one of the two, or put the images of each class into one folder",
        dir.display()
    )]
    SplitFolders {
        /// The data folder.
        dir: PathBuf,
        /// One of the folders.
        first: String,
        /// Another.
        second: String,
    },
    /// A folder that is not laid out as it was said to be.
    #[error(
        "`{}` is laid out as {found}, not as {asked}; set data.layout to \"auto\", or give another folder", dir.display()
    )]
    OtherLayout {
        /// The data folder.
        dir: PathBuf,
        /// What the recipe says.
        asked: Layout,
        /// What its folders' names say.
        found: Layout,
    },
    /// Whole scenes asked for where a scene has no class.
    #[error(
        "`{}` is laid out as {}, whose scenes hold objects of many classes: they have none of their own; set data.objects to \"upright\" or \"axis\"",
        dir.display(), Layout::Dota
    )]
    NoScenes {
        /// The data folder.
        dir: PathBuf,
    },
    /// Objects asked for where none are annotated.
    #[error(
        "`{}` holds a folder of images for each class and no annotated objects; set data.objects to \"auto\", or give a folder laid out as {} or as {}",
        dir.display(), Layout::Rsod, Layout::Dota
    )]
    NoObjects {
        /// The data folder.
        dir: PathBuf,
    },
    /// No object of any image is wanted.
    #[error(
        "no object is left of the {scenes} annotated images in `{}`: {left_out} were left out; lower data.least_size or set data.difficult",
        dir.display()
    )]
    NoObjectsLeft {
        /// The data folder.
        dir: PathBuf,
        /// Images with annotations.
        scenes: usize,
        /// Objects that are not wanted.
        left_out: LeftOut,
    },
    /// Objects to be cut out at no size.
    #[error("crops of objects have no size of their own; set data.image_size (64 is usual)")]
    CropSize,
    /// Images to evaluate, of classes that the networks do not know.
    #[error(
        "`{}` holds images of classes that the run does not know: {}; it knows {}. Name the folders alike, or leave these out",
        dir.display(), unknown.join(", "), known.join(", ")
    )]
    UnknownClasses {
        /// The data folder.
        dir: PathBuf,
        /// Classes of the folder that the run does not have.
        unknown: Vec<String>,
        /// The run's classes.
        known: Vec<String>,
    },
    /// Reading, drawing or taking statistics was stopped from outside.
    #[error("stopped while images were being prepared; nothing was written")]
    Stopped,
    /// The parts of a [`Dataset`](super::Dataset) do not belong together.
    #[error("inconsistent data set: {what} is {value}, expected {expected}")]
    Inconsistent {
        /// The part.
        what: &'static str,
        /// What it is.
        value: usize,
        /// What it must be.
        expected: String,
    },
    /// A share of test images outside the open interval (0, 1).
    #[error("test_fraction is {value}; it must lie between 0 and 1, both excluded (0.2 is usual)")]
    TestFraction {
        /// The value given.
        value: f64,
    },
    /// A share of validation images outside of [0, 1).
    #[error(
        "validation_fraction is {value}; it must be 0 or more and below 1 (0.1 is usual, 0 validates on nothing)"
    )]
    ValidationFraction {
        /// The value given.
        value: f64,
    },
    /// A class with fewer images than were asked of each.
    #[error(
        "class `{class}` has {images} usable image(s), but {needed} of each are asked for; lower data.train_per_class, \
         data.validation_per_class or data.test_per_class"
    )]
    TooFewForSplit {
        /// The class.
        class: String,
        /// Its images.
        images: usize,
        /// How many the numbers come to, with one to train on.
        needed: usize,
    },
    /// A list of files that does not say how to divide the data set.
    #[error("{}{}: {reason}", list.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    SplitList {
        /// The list.
        list: PathBuf,
        /// The line, from 1, where it is one that is wrong.
        line: Option<usize>,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// An operation over images was given none.
    #[error("no images to {purpose}")]
    NoImages {
        /// What they were wanted for.
        purpose: &'static str,
    },
    /// An image index beyond the data set.
    #[error("image index {index} is out of range: the data set holds {images} images")]
    Index {
        /// The index.
        index: u32,
        /// Number of images.
        images: usize,
    },
    /// A batch size of zero.
    #[error("batch_size is 0; it must be 1 or more")]
    BatchSize,
    /// The system gave no thread to prepare batches on.
    #[error(
        "cannot start the thread that prepares batches: {source}; are too many processes running?"
    )]
    Thread {
        /// The system's answer.
        source: std::io::Error,
    },
    /// A shift that is no smaller than the image.
    #[error("augment.shift is {shift} pixels; images of {height} x {width} allow 0 to {max}")]
    Shift {
        /// The shift given.
        shift: usize,
        /// Image rows.
        height: usize,
        /// Image columns.
        width: usize,
        /// The largest shift that mirrored borders can fill.
        max: usize,
    },
}

impl DataError {
    /// [`Deep`](Self::Deep) for a range of samples.
    pub(super) fn deep(file: String, others: usize, (low, high): (f32, f32), in_run: bool) -> Self {
        Self::Deep {
            file,
            others,
            low,
            high,
            in_run,
        }
    }
}

fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and 1 more file is bad)".to_string(),
        n => format!(" (and {n} more files are bad)"),
    }
}

fn and_other_files(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (as 1 other file)".to_string(),
        n => format!(" (as {n} other files)"),
    }
}

fn deep_advice(in_run: bool) -> &'static str {
    if in_run {
        "the run was trained on images of 8 bits: give images made as those were"
    } else {
        "set data.deep_images = \"stretch\" to make this range black to white, or write them with 8 bits"
    }
}

fn left(available: Option<u64>) -> String {
    match available {
        Some(bytes) => format!("of which {:.1} GB are left", bytes as f64 * 1e-9),
        None => "which is not to be had".to_string(),
    }
}

/// The side with which square images would take half of what is left.
fn smaller(images: usize, available: Option<u64>) -> String {
    let side =
        available.map(|bytes| (bytes as f64 / 2.0 / 3.0 / images.max(1) as f64).sqrt() as usize);
    match side.filter(|&side| side >= 8) {
        Some(side) => format!("{side} or less"),
        None => "a smaller side".to_string(),
    }
}
