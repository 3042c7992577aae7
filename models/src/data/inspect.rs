//! What a data folder holds, looked at without training anything.

use super::crop::Crop;
use super::decode::{self, Header};
use super::folder::LoadOptions;
use super::identity::{Duplicates, ImageDigest};
use super::scan::{Listing, Source, name_of};
use super::{
    BadFile, DataError, Division, Labelled, Layout, LeftOut, PassedOver, Split, layout, stop,
};
use ghostlight_kernels::planted;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A data folder as it was found.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The folder's name.
    pub name: String,
    /// How it is laid out; never [`Layout::Auto`].
    pub layout: Layout,
    /// Whether the images are objects, cut out of the files' images.
    pub objects: bool,
    /// The classes in label order, with the images of each that can be used.
    pub classes: Vec<Count>,
    /// Images that can be used.
    pub images: usize,
    /// Image files, broken ones among them.
    pub files: usize,
    /// Widths and heights of the files that can be used, the most common first.
    pub sizes: Vec<Count>,
    /// Colours and bits of the files that can be used, the most common first.
    pub colours: Vec<Count>,
    /// Least, median and greatest side of the objects' crops in pixels.
    pub sides: Option<[f64; 3]>,
    /// Files and annotations that cannot be used.
    pub broken: Vec<BadFile>,
    /// Annotated objects that are not wanted.
    pub left_out: LeftOut,
    /// Files that are no images by their names, or lie in no class.
    pub passed_over: BTreeMap<String, usize>,
    /// Images of equal pixels, and those of them on both sides of the split that the options give.
    pub duplicates: Duplicates,
    /// Images that train, validate and test; `None` where a class has too few.
    pub split: Option<[usize; 3]>,
}

/// How many there are of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The class, size or colour type.
    pub name: String,
    /// How many.
    pub count: usize,
}

/// A file that was decoded.
struct Seen {
    header: Option<Header>,
    /// The digest of its pixels, or why there are none.
    pixels: Result<ImageDigest, String>,
}

/// Looks at `dir`, decoding every file once. Broken files are no error here: finding them is the purpose. Copies are told by their pixels:
/// the same picture under another compression without loss is one. The options' size and memory do not matter.
///
/// # Errors
/// Those of [`load`](super::folder::load) that concern the folder and not its files: [`DataError::Missing`], [`DataError::NotAFolder`],
/// [`DataError::Io`], those of the layout and of classes that cannot be trained on; those of [`Split::new`], but for classes that are too
/// small to be split; [`DataError::Stopped`].
pub fn inspect(
    dir: &Path,
    options: &LoadOptions,
    division: &Division,
    seed: u64,
) -> Result<Inspection, DataError> {
    let Listing {
        layout,
        classes,
        sources,
        passed_over,
        left_out,
        broken,
    } = layout::list(dir, options)?;
    let files: Vec<&[Source]> = sources.chunk_by(|a, b| a.path == b.path).collect();
    let done = AtomicUsize::new(0);
    let seen: Vec<Seen> = files
        .par_iter()
        .map(|file| {
            stop::check(options.stop)?;
            let seen = look(&file[0].path);
            (options.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, files.len());
            Ok(seen)
        })
        .collect::<Result<_, DataError>>()?;

    let unreadable = files.iter().zip(&seen).filter_map(|(file, seen)| {
        let reason = seen.pixels.as_ref().err()?;
        Some(BadFile {
            file: file[0].file().to_string(),
            reason: reason.clone(),
        })
    });
    let broken = broken.into_iter().chain(unreadable).collect();
    let sound = || {
        let sound = files.iter().zip(&seen);
        sound.filter_map(|(file, seen)| Some((*file, seen, *seen.pixels.as_ref().ok()?)))
    };
    let header = |of: fn(&Header) -> String| {
        most_common(sound().filter_map(|(_, seen, _)| seen.header.as_ref().map(of)))
    };
    let usable =
        || sound().flat_map(|(file, _, digest)| file.iter().map(move |image| (image, digest)));
    let labels: Vec<u32> = usable().map(|(image, _)| image.label).collect();
    let names: Vec<String> = usable().map(|(image, _)| image.name.clone()).collect();
    let digests: Vec<ImageDigest> = usable().map(|(image, file)| image.digest(file)).collect();
    let images = Labelled {
        files: &names,
        labels: &labels,
        classes: &classes,
    };
    let split = match Split::new(images, dir, division, seed) {
        Ok(split) => Some(split),
        Err(DataError::ClassTooSmall { .. } | DataError::TooFewForSplit { .. }) => None,
        Err(other) => return Err(other),
    };
    let everything = Split {
        train: (0..labels.len() as u32).collect(),
        ..Split::default()
    };
    let duplicates = Duplicates::of(
        &names,
        &labels,
        &digests,
        split.as_ref().unwrap_or(&everything),
    );
    let of_class = |label: usize| labels.iter().filter(|&&it| it as usize == label).count();
    Ok(Inspection {
        name: name_of(dir),
        layout,
        objects: sources.iter().any(|source| source.crop.is_some()),
        images: labels.len(),
        files: files.len(),
        sizes: header(|header| format!("{} x {}", header.size.1, header.size.0)),
        colours: header(|header| header.colours.clone()),
        sides: sides(sources.iter().filter_map(|source| source.crop)),
        classes: (0..)
            .zip(&classes)
            .map(|(label, name)| Count {
                name: name.clone(),
                count: of_class(label),
            })
            .collect(),
        broken,
        left_out,
        passed_over: passed_over_by_kind(&passed_over),
        duplicates,
        split: split.map(|split| [split.train, split.validation, split.test].map(|it| it.len())),
    })
}

fn look(path: &Path) -> Seen {
    let header = Header::read(path);
    let bytes = std::fs::read(path).map_err(|e| e.to_string());
    let pixels = bytes.and_then(|bytes| {
        let file = planted::is("copies_told_by_their_files").then(|| ImageDigest::of(&bytes));
        let picture = decode::decode(bytes)?;
        Ok(file.unwrap_or_else(|| ImageDigest::from_sha256(&picture.digest())))
    });
    Seen { header, pixels }
}

fn passed_over_by_kind(passed_over: &PassedOver) -> BTreeMap<String, usize> {
    let counts = passed_over.counts();
    counts
        .map(|(kind, count)| (kind.to_string(), count))
        .collect()
}

/// What there is, the most common first, of equals in their own order.
fn most_common(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts
        .into_iter()
        .map(|(name, count)| Count { name, count })
        .collect();
    counts.sort_by_key(|it| std::cmp::Reverse(it.count));
    counts
}

/// Least, median and greatest.
fn sides(crops: impl Iterator<Item = Crop>) -> Option<[f64; 3]> {
    let mut sides: Vec<f64> = crops.map(|crop| crop.side()).collect();
    sides.sort_by(f64::total_cmp);
    Some([*sides.first()?, sides[sides.len() / 2], *sides.last()?])
}

#[cfg(test)]
mod tests;
