//! A folder with one subfolder of images per class.

use super::decode::{self, Header, Picture};
use super::identity::ImageDigest;
use super::scan::{PassedOver, Scan, Source, check_class_sizes, name_of, scan};
use super::stretch::{Histogram, Stretch};
use super::{DataError, Dataset, memory, stop};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Sides accepted for resizing.
pub const SIZES: std::ops::RangeInclusive<usize> = 8..=4096;

/// What becomes of images with more than 8 bits a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DeepImages {
    /// Their own range becomes 0 to 255.
    Stretch,
    /// They are refused, with their range.
    Refuse,
    /// They are seen as those of a run were: by its stretch, or refused if it had none.
    AsInRun(Option<Stretch>),
}

/// How to read a folder.
pub struct LoadOptions<'a> {
    /// Go on without files that cannot be decoded.
    pub skip_bad: bool,
    /// Resize every image to this (height, width); `None` takes the most common size in the folder.
    pub size: Option<(usize, usize)>,
    /// The classes that labels refer to, of which the folder may hold any, in any number: for evaluation. `None` takes the folders
    /// for classes, and requires two of two images each.
    pub classes: Option<&'a [String]>,
    /// What becomes of images with more than 8 bits a sample.
    pub deep: DeepImages,
    /// Set from outside to stop at once.
    pub stop: &'a AtomicBool,
    /// Called from many threads with (files decoded, files in all). Files that are decoded twice, once to learn their range, count twice.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            skip_bad: false,
            size: None,
            classes: None,
            deep: DeepImages::Stretch,
            stop: &stop::NEVER,
            progress: &|_, _| (),
        }
    }
}

/// A data set and what had to be done to get it.
#[derive(Debug)]
pub struct Loaded {
    /// The images.
    pub dataset: Dataset,
    /// Files left out with `skip_bad`, each with the reason.
    pub skipped: Vec<(String, String)>,
    /// Images that had another size and were resized.
    pub resized: usize,
    /// Images with more than 8 bits a sample.
    pub deep: usize,
    /// Files that are no images by their name, or lie in no class.
    pub passed_over: PassedOver,
}

/// Reads `dir/CLASS/**/IMAGE`: classes and files in the byte order of their names, hidden entries and runs left out, images decoded in
/// parallel on rayon's pool straight into the data set, so that memory stays near the size of the pixels.
///
/// # Errors
/// In this order: [`DataError::Size`]; [`DataError::Missing`], [`DataError::NotAFolder`], [`DataError::Io`];
/// with classes given [`DataError::NoImages`], [`DataError::UnknownClasses`], otherwise [`DataError::NoClasses`],
/// [`DataError::OneClass`], [`DataError::SplitFolders`], [`DataError::EmptyClass`], [`DataError::ClassTooSmall`];
/// [`DataError::TooLarge`]; [`DataError::Deep`]; [`DataError::BadFile`] for the first file in order that cannot be decoded or, with
/// `skip_bad`, [`DataError::ClassTooSmall`] for a class of which too little is left. [`DataError::Stopped`] at any time.
pub fn load(dir: &Path, options: &LoadOptions) -> Result<Loaded, DataError> {
    let sides = options
        .size
        .into_iter()
        .flat_map(|(height, width)| [height, width]);
    if let Some(size) = sides.into_iter().find(|side| !SIZES.contains(side)) {
        return Err(DataError::Size {
            size,
            min: *SIZES.start(),
            max: *SIZES.end(),
        });
    }
    let Scan {
        classes,
        mut sources,
        passed_over,
    } = scan(dir, options.classes, options.stop)?;
    let work = Work::new(options);
    let headers = work.each(&sources, |source| Header::read(&source.path))?;
    let size = options.size.unwrap_or_else(|| most_common_size(&headers));
    let mut pixels = room(sources.len(), size, memory::available())?;

    let deep: Vec<&Source> = sources
        .iter()
        .zip(&headers)
        .filter(|(_, header)| header.as_ref().is_some_and(|h| h.deep))
        .map(|(source, _)| source)
        .collect();
    let passes = sources.len()
        + if work.needs_range(&deep) {
            deep.len()
        } else {
            0
        };
    work.total.store(passes, Ordering::Relaxed);
    let stretch = work.stretch(&deep)?;
    let (deep, image_bytes) = (deep.len(), size.0 * size.1 * 3);
    let outcomes: Vec<Result<Decoded, String>> = sources
        .par_iter()
        .zip(pixels.par_chunks_exact_mut(image_bytes))
        .map(|(source, out)| work.one(|| decode_into(&source.path, size, stretch.as_ref(), out)))
        .map(|outcome| outcome.unwrap_or_else(|| Err(String::new())))
        .collect();
    work.check()?;

    let bad = |(source, outcome): (&Source, &Result<Decoded, String>)| {
        outcome
            .as_ref()
            .err()
            .map(|reason| (source.name.clone(), reason.clone()))
    };
    let skipped: Vec<_> = sources.iter().zip(&outcomes).filter_map(bad).collect();
    if let (false, [(file, reason), others @ ..]) = (options.skip_bad, skipped.as_slice()) {
        let (file, reason) = (file.clone(), reason.clone());
        return Err(DataError::BadFile {
            file,
            reason,
            others: others.len(),
        });
    }
    let keep: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    retain(&keep, &mut sources, &mut pixels, image_bytes);
    if options.classes.is_none() {
        check_class_sizes(&classes, &sources)?;
    } else if sources.is_empty() {
        return Err(DataError::NoImages {
            purpose: "evaluate",
        });
    }

    let decoded: Vec<Decoded> = outcomes.into_iter().flatten().collect();
    let labels = sources.iter().map(|s| s.label).collect();
    let files = sources.into_iter().map(|s| s.name).collect();
    let name = name_of(dir);
    let mut dataset = Dataset::new_until(options.stop, name, classes, size, pixels, labels, files)?;
    dataset.digests = decoded.iter().map(|image| image.digest).collect();
    dataset.stretch = stretch;
    Ok(Loaded {
        dataset,
        skipped,
        resized: decoded.iter().filter(|image| image.resized).count(),
        deep,
        passed_over,
    })
}

/// An image read on its own.
#[derive(Debug)]
pub struct Single {
    /// RGB bytes, `[height, width, 3]`.
    pub pixels: Vec<u8>,
    /// Whether it had more than 8 bits a sample.
    pub deep: bool,
}

/// Reads one image as RGB bytes `[height, width, 3]`, resized to `size` (height, width) if it has another, and seen as the images of
/// a run with `stretch` were.
///
/// # Errors
/// [`DataError::Deep`] for one of more than 8 bits a sample without a stretch, [`DataError::BadImage`] when it cannot be decoded.
pub fn image(
    path: &Path,
    size: (usize, usize),
    stretch: Option<&Stretch>,
) -> Result<Single, DataError> {
    let bad = |reason| DataError::BadImage {
        file: path.display().to_string(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let picture = decode::decode(bytes).map_err(bad)?;
    let deep = match &picture {
        Picture::Deep(samples) if stretch.is_none() => {
            let mut histogram = Histogram::new();
            histogram.add(samples);
            let file = path.display().to_string();
            return Err(DataError::deep(file, 0, histogram.extremes(), true));
        }
        Picture::Deep(_) => true,
        Picture::Bytes(_) => false,
    };
    let image = picture.into_bytes(stretch).map_err(bad)?;
    let mut pixels = vec![0; size.0 * size.1 * 3];
    fit_into(&image, size, &mut pixels);
    Ok(Single { pixels, deep })
}

/// Many files on many threads, with progress, until it is stopped.
struct Work<'a> {
    options: &'a LoadOptions<'a>,
    done: AtomicUsize,
    /// Files to be decoded, each as often as it is.
    total: AtomicUsize,
}

impl<'a> Work<'a> {
    fn new(options: &'a LoadOptions<'a>) -> Self {
        Self {
            options,
            done: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
        }
    }

    fn check(&self) -> Result<(), DataError> {
        stop::check(self.options.stop)
    }

    /// Does one file and reports it; `None` once stopped.
    fn one<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        self.check().ok()?;
        let outcome = act();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.options.progress)(done, self.total.load(Ordering::Relaxed));
        Some(outcome)
    }

    /// `act` for each file, not reported.
    fn each<T: Send>(
        &self,
        sources: &[Source],
        act: impl Fn(&Source) -> T + Sync,
    ) -> Result<Vec<T>, DataError> {
        let act = |source| self.check().map(|()| act(source));
        sources.par_iter().map(act).collect()
    }

    /// Whether the range of the `deep` images must be found.
    fn needs_range(&self, deep: &[&Source]) -> bool {
        !deep.is_empty() && !matches!(self.options.deep, DeepImages::AsInRun(Some(_)))
    }

    /// What the `deep` images are to be stretched by.
    fn stretch(&self, deep: &[&Source]) -> Result<Option<Stretch>, DataError> {
        if !self.needs_range(deep) {
            return Ok(match self.options.deep {
                DeepImages::AsInRun(stretch) => stretch,
                _ => None,
            });
        }
        // A file that cannot be decoded has no range; it is refused, or skipped, when it is decoded for good.
        let histogram = deep
            .par_iter()
            .fold(Histogram::new, |mut histogram, source| {
                self.one(|| {
                    let picture = std::fs::read(&source.path).ok().map(decode::decode);
                    if let Some(Ok(Picture::Deep(samples))) = picture {
                        histogram.add(&samples);
                    }
                });
                histogram
            })
            .reduce(Histogram::new, Histogram::merge);
        self.check()?;
        if self.options.deep == DeepImages::Stretch {
            return Ok(Some(histogram.stretch()));
        }
        let in_run = self.options.deep != DeepImages::Refuse;
        let (first, others) = (deep[0].name.clone(), deep.len() - 1);
        Err(DataError::deep(first, others, histogram.extremes(), in_run))
    }
}

/// Room for the pixels of `images` images, where `available` bytes of memory are known to be left.
fn room(
    images: usize,
    (height, width): (usize, usize),
    available: Option<u64>,
) -> Result<Vec<u8>, DataError> {
    let too_large = || DataError::TooLarge {
        images,
        height,
        width,
        available,
    };
    let bytes = images.saturating_mul(height * width * 3);
    if available.is_some_and(|available| bytes as u64 > available) {
        return Err(too_large());
    }
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(bytes).map_err(|_| too_large())?;
    pixels.resize(bytes, 0);
    Ok(pixels)
}

/// The size that most headers give, the smaller of equals. When none can be read, decoding will fail for every file and any
/// size will do.
fn most_common_size(headers: &[Option<Header>]) -> (usize, usize) {
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    for header in headers.iter().flatten() {
        *counts.entry(header.size).or_default() += 1;
    }
    let rank = |(&(h, w), &n): (&(usize, usize), &usize)| {
        (n, std::cmp::Reverse(h * w), std::cmp::Reverse(h))
    };
    counts
        .iter()
        .max_by_key(|&entry| rank(entry))
        .map_or((1, 1), |(&size, _)| size)
}

/// What is known of an image whose pixels are in place.
struct Decoded {
    digest: ImageDigest,
    resized: bool,
}

/// Decodes one file to its place.
fn decode_into(
    path: &Path,
    size: (usize, usize),
    stretch: Option<&Stretch>,
    out: &mut [u8],
) -> Result<Decoded, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let digest = ImageDigest::of(&bytes);
    let image = decode::decode(bytes)?.into_bytes(stretch)?;
    let resized = fit_into(&image, size, out);
    Ok(Decoded { digest, resized })
}

/// Puts an image in place; true when it had to be resized.
fn fit_into(image: &image::RgbImage, size: (usize, usize), out: &mut [u8]) -> bool {
    let other_size = (image.height() as usize, image.width() as usize) != size;
    match other_size {
        true => out.copy_from_slice(&decode::fit(image, size)),
        false => out.copy_from_slice(image),
    }
    other_size
}

/// Closes the gaps that the images not kept leave, in place.
fn retain(keep: &[bool], sources: &mut Vec<Source>, pixels: &mut Vec<u8>, bytes: usize) {
    let mut kept = 0;
    for i in (0..keep.len()).filter(|&i| keep[i]) {
        pixels.copy_within(i * bytes..(i + 1) * bytes, kept * bytes);
        sources.swap(i, kept);
        kept += 1;
    }
    sources.truncate(kept);
    pixels.truncate(kept * bytes);
}

#[cfg(test)]
mod tests;
