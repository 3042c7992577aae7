//! Labelled images: read from a folder or generated, split, described, augmented and batched.
//!
//! A [`Dataset`] holds its images decoded, as u8 RGB, as far as there is memory for them, and decodes the others when they are asked for
//! (`store.rs`); normalisation and augmentation happen while a batch is written. Every random choice is a pure function of (seed, purpose, epoch, image), see `random.rs`, so a run that resumes
//! in the middle of an epoch sees the bytes it would have seen.

pub mod augment;
pub mod batches;
mod crop;
mod decode;
mod error;
pub mod folder;
mod identity;
pub mod inspect;
mod layout;
pub mod memory;
mod passed_over;
mod scan;
mod scene;
pub mod sheet;
mod skipped;
pub mod split;
pub mod stats;
pub mod stop;
mod store;
mod stretch;
pub mod synthetic;
mod work;

pub use augment::{Augment, AugmentSeed};
pub use batches::{Batch, Loader, LoaderOptions, MixedIn};
pub use error::DataError;
pub use folder::{DeepImages, LoadOptions, Loaded};
pub use identity::{Duplicates, ImageDigest};
pub use layout::{Layout, LeftOut, ObjectOptions, Objects};
pub use passed_over::PassedOver;
pub(crate) use scene::fit_tile;
pub use scene::{Scene, SceneRows};
pub use skipped::{BadFile, Skipped};
pub use split::{Division, Labelled, PerClass, Shares, Split};
pub use stats::{ChannelStats, Normaliser};
pub use store::MemoryLimit;
pub use stretch::Stretch;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use store::Store;

/// Labelled RGB images of one size.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder's name, or `synthetic`.
    pub name: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    pixels: Store,
    /// Sums of each image's channels and of their squares.
    sums: Vec<[u64; 6]>,
    /// One label per image, below `classes.len()`.
    pub labels: Vec<u32>,
    /// One name per image: its path relative to the data folder, with `/` between the parts.
    pub files: Vec<String>,
    /// Hexadecimal SHA-256 over class names, size, labels and pixels: equal exactly when training would see the same data.
    pub fingerprint: String,
    /// One digest per image, by which it is recognised elsewhere: of its file or, for images that have none, of its pixels.
    pub digests: Vec<ImageDigest>,
    /// How samples of more than 8 bits became the pixels, if there were any.
    pub stretch: Option<Stretch>,
}

impl Dataset {
    /// Puts a data set together and takes its fingerprint and the digests of its pixels.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] for fewer than two classes, a side of zero, pixel or file counts that do not match the
    /// labels, or a label without a class.
    pub fn new(
        name: String,
        classes: Vec<String>,
        size: (usize, usize),
        pixels: Vec<u8>,
        labels: Vec<u32>,
        files: Vec<String>,
    ) -> Result<Self, DataError> {
        Self::new_until(&stop::NEVER, name, classes, size, pixels, labels, files)
    }

    /// [`Dataset::new`], which for gigabytes of pixels takes seconds, unless `stop` is set before it is done.
    ///
    /// # Errors
    /// Those of [`Dataset::new`]; [`DataError::Stopped`].
    pub fn new_until(
        stop: &AtomicBool,
        name: String,
        classes: Vec<String>,
        (height, width): (usize, usize),
        pixels: Vec<u8>,
        labels: Vec<u32>,
        files: Vec<String>,
    ) -> Result<Self, DataError> {
        let require = |what, value, holds: bool, expected: String| match holds {
            true => Ok(()),
            false => Err(DataError::Inconsistent {
                what,
                value,
                expected,
            }),
        };
        let (n, c) = (labels.len(), classes.len());
        require("the number of classes", c, c >= 2, "2 or more".into())?;
        require("the image height", height, height > 0, "1 or more".into())?;
        require("the image width", width, width > 0, "1 or more".into())?;
        let bytes = n.checked_mul(height * width * 3);
        let expected = format!("{n} images x {height} x {width} x 3");
        require(
            "the number of pixel bytes",
            pixels.len(),
            bytes == Some(pixels.len()),
            expected,
        )?;
        require(
            "the number of file names",
            files.len(),
            files.len() == n,
            format!("{n}"),
        )?;
        if let Some(&label) = labels.iter().find(|&&l| l as usize >= c) {
            require("a label", label as usize, false, format!("below {c}"))?;
        }
        let summaries = pixels
            .par_chunks_exact(height * width * 3)
            .map(|image| stop::check(stop).map(|()| Summary::of(image)))
            .collect::<Result<_, _>>()?;
        let store = Store::in_memory((height, width), pixels);
        Ok(Self::assemble(
            name, classes, store, summaries, labels, files,
        ))
    }

    /// The data set of parts that belong together, with what the pixels of each image come to.
    fn assemble(
        name: String,
        classes: Vec<String>,
        pixels: Store,
        summaries: Vec<Summary>,
        labels: Vec<u32>,
        files: Vec<String>,
    ) -> Self {
        let (digests, sums): (Vec<_>, Vec<_>) = summaries
            .into_iter()
            .map(|image| (image.digest, image.sums))
            .unzip();
        let (height, width) = pixels.size();
        let fingerprint = fingerprint(&classes, (height, width), &digests, &labels);
        Self {
            name,
            classes,
            height,
            width,
            pixels,
            sums,
            labels,
            files,
            fingerprint,
            digests: digests.iter().map(ImageDigest::from_sha256).collect(),
            stretch: None,
        }
    }

    /// Its images by name and class.
    pub fn labelled(&self) -> Labelled<'_> {
        Labelled {
            files: &self.files,
            labels: &self.labels,
            classes: &self.classes,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of image `i`, `[height, width, 3]`, RGB, row-major: lent where they are in memory, decoded where they are not.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for an image that is not in memory and whose file is gone, cannot be read, or is no longer the one that it
    /// was.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, DataError> {
        self.pixels.image(i)
    }

    /// Images whose pixels are in memory; the others are decoded whenever they are asked for.
    pub fn in_memory(&self) -> usize {
        self.pixels.in_memory_len()
    }

    /// Bytes of one image, `height * width * 3`.
    pub fn image_bytes(&self) -> usize {
        self.height * self.width * 3
    }

    /// Checks that every index names an image.
    ///
    /// # Errors
    /// [`DataError::Index`] for the first that does not.
    pub fn check_indices(&self, indices: &[u32]) -> Result<(), DataError> {
        match indices.iter().find(|&&i| i as usize >= self.len()) {
            Some(&index) => Err(DataError::Index {
                index,
                images: self.len(),
            }),
            None => Ok(()),
        }
    }
}

/// What the pixels of an image come to, taken once while they are at hand.
#[derive(Debug, Clone, Copy)]
struct Summary {
    digest: [u8; 32],
    sums: [u64; 6],
}

impl Summary {
    fn of(image: &[u8]) -> Self {
        Self {
            digest: Sha256::digest(image).into(),
            sums: stats::channel_sums(image),
        }
    }
}

/// Images are hashed on their own, in parallel, and the digests hashed in order: without SHA instructions a single pass over
/// a few hundred megabytes takes seconds.
fn fingerprint(
    classes: &[String],
    (height, width): (usize, usize),
    digests: &[[u8; 32]],
    labels: &[u32],
) -> String {
    let mut hash = Sha256::new();
    for number in [classes.len(), height, width, labels.len()] {
        hash.update((number as u64).to_le_bytes());
    }
    for class in classes {
        hash.update((class.len() as u64).to_le_bytes());
        hash.update(class);
    }
    for (label, digest) in labels.iter().zip(digests) {
        hash.update(label.to_le_bytes());
        hash.update(digest);
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(classes: &[&str], labels: Vec<u32>, pixels: Vec<u8>) -> Result<Dataset, DataError> {
        let classes = classes.iter().map(|c| c.to_string()).collect();
        let files = labels.iter().map(|l| l.to_string()).collect();
        Dataset::new("tiny".into(), classes, (1, 2), pixels, labels, files)
    }

    #[test]
    fn the_fingerprint_changes_with_pixels_labels_and_class_names() {
        let base = tiny(&["a", "b"], vec![0, 1], (0..12).collect()).unwrap();
        assert_eq!(base.fingerprint.len(), 64);
        assert_eq!(*base.image(1).unwrap(), [6, 7, 8, 9, 10, 11]);
        let again = tiny(&["a", "b"], vec![0, 1], (0..12).collect()).unwrap();
        assert_eq!(base.fingerprint, again.fingerprint);
        for other in [
            tiny(&["a", "c"], vec![0, 1], (0..12).collect()),
            tiny(&["a", "b"], vec![1, 0], (0..12).collect()),
            tiny(&["a", "b"], vec![0, 1], (1..13).collect()),
            tiny(&["a", "b", "c"], vec![0, 1], (0..12).collect()),
        ] {
            assert_ne!(base.fingerprint, other.unwrap().fingerprint);
        }
    }

    #[test]
    fn digests_and_statistics_are_not_taken_once_the_work_is_stopped() {
        let data = tiny(&["a", "b"], vec![0, 1], (0..12).collect()).unwrap();
        let stop = AtomicBool::new(true);
        let statistics = ChannelStats::of(&data, &[0, 1], &stop);
        assert!(matches!(statistics, Err(DataError::Stopped)));
        let size = (data.height, data.width);
        let (classes, labels) = (data.classes, data.labels);
        let again = Dataset::new_until(
            &stop,
            data.name,
            classes,
            size,
            (0..12).collect(),
            labels,
            data.files,
        );
        assert!(matches!(again, Err(DataError::Stopped)));
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused_by_name() {
        let message = |d: Result<Dataset, DataError>| d.unwrap_err().to_string();
        assert!(message(tiny(&["a"], vec![0], vec![0; 6])).contains("number of classes is 1"));
        assert!(message(tiny(&["a", "b"], vec![0], vec![0; 5])).contains("pixel bytes is 5"));
        assert!(message(tiny(&["a", "b"], vec![2], vec![0; 6])).contains("a label is 2"));
        let index = tiny(&["a", "b"], vec![1], vec![0; 6])
            .unwrap()
            .check_indices(&[0, 1]);
        assert!(matches!(
            index,
            Err(DataError::Index {
                index: 1,
                images: 1
            })
        ));
    }
}
