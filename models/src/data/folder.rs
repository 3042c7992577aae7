//! A folder of labelled images, read.

use super::decode::{self, Header, Picture};
use super::identity::ImageDigest;
use super::layout;
use super::passed_over::PassedOver;
use super::scan::{Listing, Source, check_class_sizes, name_of};
use super::store::{MemoryLimit, Store, fit_into};
use super::stretch::{Histogram, Stretch};
use super::work::Work;
use super::{BadFile, DataError, Dataset, Layout, LeftOut, ObjectOptions, Summary, memory, stop};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// How the folder is laid out.
    pub layout: Layout,
    /// What is made of annotated objects.
    pub objects: ObjectOptions,
    /// How much memory decoded images may take; those beyond it are decoded whenever they are asked for.
    pub memory: MemoryLimit,
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
            layout: Layout::Auto,
            objects: ObjectOptions::default(),
            memory: MemoryLimit::Share,
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
    /// How they lay in the folder; never [`Layout::Auto`].
    pub layout: Layout,
    /// Whether they are objects, cut out of larger images.
    pub objects: bool,
    /// Files and annotations left out with `skip_bad`, each with the reason.
    pub skipped: Vec<BadFile>,
    /// Images that had another size and were resized.
    pub resized: usize,
    /// Images with more than 8 bits a sample.
    pub deep: usize,
    /// Files that are no images by their name, or lie in no class.
    pub passed_over: PassedOver,
    /// Annotated objects that are not wanted.
    pub left_out: LeftOut,
}

/// Reads the images of `dir`, whatever its [`Layout`]: classes and files in the byte order of their names, hidden entries and runs left
/// out, images decoded in parallel on rayon's pool straight to where they are kept, so that memory stays near the size of those. What is
/// not kept is decoded once all the same: every file is known to be sound before a run begins.
///
/// # Errors
/// In this order: [`DataError::Size`]; [`DataError::Missing`], [`DataError::NotAFolder`], [`DataError::Io`], [`DataError::OtherLayout`],
/// [`DataError::NoScenes`], [`DataError::NoObjects`]; [`DataError::BadFile`] for an annotation; with classes given
/// [`DataError::NoImages`], [`DataError::UnknownClasses`], otherwise [`DataError::NoClasses`], [`DataError::NoObjectsLeft`],
/// [`DataError::OneClass`], [`DataError::SplitFolders`], [`DataError::EmptyClass`], [`DataError::ClassTooSmall`];
/// [`DataError::CropSize`]; [`DataError::TooLarge`]; [`DataError::Deep`]; [`DataError::BadFile`] for the first file in order that cannot be decoded or, with `skip_bad`,
/// [`DataError::ClassTooSmall`] for a class of which too little is left. [`DataError::Stopped`] at any time.
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
    let Listing {
        layout,
        classes,
        mut sources,
        passed_over,
        left_out,
        broken: mut skipped,
    } = layout::list(dir, options)?;
    if options.classes.is_none() {
        check_class_sizes(&classes, &sources)?;
    }
    let work = Work::new(options);
    let files: Vec<&[Source]> = sources.chunk_by(|a, b| a.path == b.path).collect();
    let headers = work.each(&files, |file| Header::read(&file[0].path))?;
    let crops = sources.iter().any(|source| source.crop.is_some());
    let size = match options.size {
        Some(size) => size,
        None if crops => return Err(DataError::CropSize),
        None => most_common_size(&headers),
    };
    let mut pixels = options
        .memory
        .room(sources.len(), size, memory::available())?;

    let is_deep = |header: &Option<Header>| header.as_ref().is_some_and(|h| h.deep);
    let deep_files: Vec<&Source> = files
        .iter()
        .zip(&headers)
        .filter(|(_, header)| is_deep(header))
        .map(|(file, _)| &file[0])
        .collect();
    let deep = files
        .iter()
        .zip(&headers)
        .filter(|(_, header)| is_deep(header));
    let deep = deep.map(|(file, _)| file.len()).sum();
    let again = match work.needs_range(&deep_files) {
        true => deep_files.len(),
        false => 0,
    };
    work.total.store(files.len() + again, Ordering::Relaxed);
    let stretch = work.stretch(&deep_files)?;
    let image_bytes = size.0 * size.1 * 3;
    let outcomes: Vec<Result<Vec<Decoded>, String>> = jobs(&files, &mut pixels, image_bytes)
        .into_par_iter()
        .map(|(file, kept)| work.one(|| decode_file(file, kept, size, stretch.as_ref())))
        .map(|outcome| outcome.unwrap_or_else(|| Err(String::new())))
        .collect();
    work.check()?;

    for (file, outcome) in files.iter().zip(&outcomes) {
        if let Err(reason) = outcome {
            skipped.push(BadFile {
                file: file[0].file().to_string(),
                reason: reason.clone(),
            });
        }
    }
    options.refuse(&skipped)?;
    let sound = files.iter().zip(&outcomes);
    let keep: Vec<bool> = sound
        .flat_map(|(file, outcome)| std::iter::repeat_n(outcome.is_ok(), file.len()))
        .collect();
    retain(&keep, &mut sources, &mut pixels, image_bytes);
    if options.classes.is_none() {
        check_class_sizes(&classes, &sources)?;
    } else if sources.is_empty() {
        return Err(DataError::NoImages {
            purpose: "evaluate",
        });
    }

    let decoded: Vec<Decoded> = outcomes.into_iter().flatten().flatten().collect();
    let kept = pixels.len() / image_bytes;
    let labels = sources.iter().map(|s| s.label).collect();
    let names = sources.iter().map(|s| s.name.clone()).collect();
    let rest = sources.into_iter().zip(&decoded).skip(kept);
    let rest = rest.map(|(source, image)| (source, image.digest)).collect();
    let mut dataset = Dataset::assemble(
        name_of(dir),
        classes,
        Store::new(size, pixels, rest, stretch),
        decoded.iter().map(|image| image.pixels).collect(),
        labels,
        names,
    );
    dataset.digests = decoded.iter().map(|image| image.digest).collect();
    dataset.stretch = stretch;
    Ok(Loaded {
        dataset,
        layout,
        objects: crops,
        skipped,
        resized: decoded.iter().filter(|image| image.resized).count(),
        deep,
        passed_over,
        left_out,
    })
}

impl LoadOptions<'_> {
    /// Passes where there is nothing that cannot be used, or where that is to be skipped.
    pub(super) fn refuse(&self, unusable: &[BadFile]) -> Result<(), DataError> {
        match unusable {
            [BadFile { file, reason }, others @ ..] if !self.skip_bad => Err(DataError::BadFile {
                file: file.clone(),
                reason: reason.clone(),
                others: others.len(),
            }),
            _ => Ok(()),
        }
    }
}

/// Each file's images with the room for those of them that are kept.
fn jobs<'a>(
    files: &[&'a [Source]],
    mut pixels: &'a mut [u8],
    image_bytes: usize,
) -> Vec<(&'a [Source], &'a mut [u8])> {
    let mut jobs = Vec::with_capacity(files.len());
    for file in files {
        let kept = pixels.len().min(file.len() * image_bytes);
        let (own, rest) = pixels.split_at_mut(kept);
        jobs.push((*file, own));
        pixels = rest;
    }
    jobs
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

/// What is known of an image that was decoded.
struct Decoded {
    digest: ImageDigest,
    /// What its pixels come to.
    pixels: Summary,
    resized: bool,
}

/// Decodes one file, and each of its images to its place among those that are kept; the others are seen once and forgotten.
fn decode_file(
    file: &[Source],
    kept: &mut [u8],
    size: (usize, usize),
    stretch: Option<&Stretch>,
) -> Result<Vec<Decoded>, String> {
    let bytes = std::fs::read(&file[0].path).map_err(|e| e.to_string())?;
    let digest = ImageDigest::of(&bytes);
    let image = decode::decode(bytes)?.into_bytes(stretch)?;
    let mut places = kept.chunks_exact_mut(size.0 * size.1 * 3);
    let mut once = Vec::new();
    let decoded = file.iter().map(|source| {
        let out = match places.next() {
            Some(place) => place,
            None => {
                once.resize(size.0 * size.1 * 3, 0);
                &mut once
            }
        };
        let resized = source.write(&image, size, out);
        Decoded {
            digest: source.digest(digest),
            pixels: Summary::of(out),
            resized,
        }
    });
    Ok(decoded.collect())
}

/// Takes out the images not kept, and closes the gaps that they leave among the pixels of the first ones.
fn retain(keep: &[bool], sources: &mut Vec<Source>, pixels: &mut Vec<u8>, bytes: usize) {
    let (mut first, mut kept) = (0, 0);
    for i in (0..pixels.len() / bytes).filter(|&i| keep[i]) {
        pixels.copy_within(i * bytes..(i + 1) * bytes, first * bytes);
        first += 1;
    }
    pixels.truncate(first * bytes);
    for i in (0..keep.len()).filter(|&i| keep[i]) {
        sources.swap(i, kept);
        kept += 1;
    }
    sources.truncate(kept);
}

#[cfg(test)]
mod tests;
