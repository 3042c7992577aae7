//! A folder with one subfolder of images per class.

use super::decode;
use super::scan::{Source, check_class_sizes, name_of, scan};
use super::{DataError, Dataset};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sides accepted for resizing.
pub const SIZES: std::ops::RangeInclusive<usize> = 8..=4096;

/// How to read a folder.
pub struct LoadOptions<'a> {
    /// Go on without files that cannot be decoded.
    pub skip_bad: bool,
    /// Resize every image to this (height, width); `None` takes the most common size in the folder.
    pub size: Option<(usize, usize)>,
    /// Called from many threads with (files decoded, files in all).
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            skip_bad: false,
            size: None,
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
    /// Files passed over because their extension is not that of an image.
    pub ignored: usize,
}

/// Reads `dir/CLASS/IMAGE`: classes and files in the byte order of their names, hidden entries left out, images decoded in
/// parallel on rayon's pool straight into the data set, so that memory stays near the size of the pixels.
///
/// # Errors
/// In this order: [`DataError::Size`]; [`DataError::Missing`], [`DataError::NotAFolder`], [`DataError::Io`];
/// [`DataError::NoClasses`], [`DataError::OneClass`], [`DataError::EmptyClass`], [`DataError::ClassTooSmall`];
/// [`DataError::TooLarge`]; [`DataError::BadFile`] for the first file in order that cannot be decoded or, with `skip_bad`,
/// [`DataError::ClassTooSmall`] for a class of which too little is left.
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
    let (classes, mut sources, ignored) = scan(dir)?;
    let size = options.size.unwrap_or_else(|| most_common_size(&sources));
    let image_bytes = size.0 * size.1 * 3;
    let mut pixels = Vec::new();
    let bytes = sources.len().saturating_mul(image_bytes);
    pixels
        .try_reserve_exact(bytes)
        .map_err(|_| DataError::TooLarge {
            images: sources.len(),
            height: size.0,
            width: size.1,
        })?;
    pixels.resize(bytes, 0);

    let done = AtomicUsize::new(0);
    let outcomes: Vec<Result<bool, String>> = sources
        .par_iter()
        .zip(pixels.par_chunks_exact_mut(image_bytes))
        .map(|(source, out)| {
            let outcome = decode_into(&source.path, size, out);
            (options.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, sources.len());
            outcome
        })
        .collect();

    let bad = |(source, outcome): (&Source, &Result<bool, String>)| {
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
    check_class_sizes(&classes, &sources)?;

    let resized = outcomes.iter().filter(|o| matches!(o, Ok(true))).count();
    let labels = sources.iter().map(|s| s.label).collect();
    let files = sources.into_iter().map(|s| s.name).collect();
    let dataset = Dataset::new(name_of(dir), classes, size, pixels, labels, files)?;
    Ok(Loaded {
        dataset,
        skipped,
        resized,
        ignored,
    })
}

/// Reads one image as RGB bytes `[height, width, 3]`, resized to `size` (height, width) if it has another.
///
/// # Errors
/// [`DataError::BadFile`] when it cannot be decoded.
pub fn image(path: &Path, size: (usize, usize)) -> Result<Vec<u8>, DataError> {
    let mut pixels = vec![0; size.0 * size.1 * 3];
    match decode_into(path, size, &mut pixels) {
        Ok(_) => Ok(pixels),
        Err(reason) => Err(DataError::BadFile {
            file: path.display().to_string(),
            reason,
            others: 0,
        }),
    }
}

/// The size that most headers give, the smaller of equals. When none can be read, decoding will fail for every file and any
/// size will do.
fn most_common_size(sources: &[Source]) -> (usize, usize) {
    let sizes: Vec<_> = sources
        .par_iter()
        .filter_map(|s| decode::size(&s.path))
        .collect();
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    for size in sizes {
        *counts.entry(size).or_default() += 1;
    }
    let rank = |(&(h, w), &n): (&(usize, usize), &usize)| {
        (n, std::cmp::Reverse(h * w), std::cmp::Reverse(h))
    };
    counts
        .iter()
        .max_by_key(|&entry| rank(entry))
        .map_or((1, 1), |(&size, _)| size)
}

/// Decodes one file to its place; true when it had to be resized.
fn decode_into(path: &Path, size: (usize, usize), out: &mut [u8]) -> Result<bool, String> {
    let image = decode::decode(path)?;
    let other_size = (image.height() as usize, image.width() as usize) != size;
    match other_size {
        true => out.copy_from_slice(&decode::fit(&image, size)),
        false => out.copy_from_slice(&image),
    }
    Ok(other_size)
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
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use std::fs;
    use tempfile::{TempDir, tempdir};

    /// Writes a one-coloured image and the folder it lies in.
    fn put(dir: &TempDir, name: &str, (height, width): (u32, u32), grey: u8) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, height, Rgb([grey; 3]))
            .save(path)
            .unwrap();
    }

    fn two_classes() -> TempDir {
        let dir = tempdir().unwrap();
        for (name, grey) in [
            ("b/2.png", 20),
            ("b/1.PNG", 10),
            ("a/2.tif", 2),
            ("a/1.tiff", 1),
        ] {
            put(&dir, name, (4, 6), grey);
        }
        dir
    }

    fn read(dir: &TempDir, options: LoadOptions) -> Result<Loaded, DataError> {
        load(dir.path(), &options)
    }

    fn refusal(dir: &TempDir) -> String {
        read(dir, LoadOptions::default()).unwrap_err().to_string()
    }

    #[test]
    fn classes_and_files_come_in_order_and_everything_else_is_counted() {
        let dir = two_classes();
        fs::write(dir.path().join("a/notes.txt"), "x").unwrap();
        fs::write(dir.path().join("a/.hidden.png"), "x").unwrap();
        fs::write(dir.path().join("README"), "x").unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        let seen = AtomicUsize::new(0);
        let progress = |_, all| {
            seen.fetch_add(all, Ordering::Relaxed);
        };
        let options = LoadOptions {
            progress: &progress,
            ..LoadOptions::default()
        };
        let loaded = read(&dir, options).unwrap();
        let data = &loaded.dataset;
        assert_eq!(data.classes, ["a", "b"]);
        assert_eq!(data.files, ["a/1.tiff", "a/2.tif", "b/1.PNG", "b/2.png"]);
        assert_eq!(data.labels, [0, 0, 1, 1]);
        assert_eq!((data.height, data.width), (4, 6));
        assert_eq!([0, 1, 2, 3].map(|i| data.image(i)[0]), [1, 2, 10, 20]);
        assert_eq!(
            (loaded.ignored, loaded.resized, loaded.skipped.len()),
            (2, 0, 0)
        );
        assert_eq!(seen.into_inner(), 4 * 4);
    }

    #[test]
    fn other_sizes_are_brought_to_the_most_common_one_or_to_the_size_asked_for() {
        let dir = two_classes();
        put(&dir, "a/3.png", (9, 9), 77);
        let loaded = read(&dir, LoadOptions::default()).unwrap();
        assert_eq!(
            (loaded.dataset.height, loaded.dataset.width, loaded.resized),
            (4, 6, 1)
        );
        assert!(loaded.dataset.image(2).iter().all(|&v| v == 77));
        let options = LoadOptions {
            size: Some((9, 9)),
            ..LoadOptions::default()
        };
        let loaded = read(&dir, options).unwrap();
        assert_eq!(
            (loaded.dataset.height, loaded.dataset.width, loaded.resized),
            (9, 9, 4)
        );
        for size in [0, 5000] {
            let options = LoadOptions {
                size: Some((size, size)),
                ..LoadOptions::default()
            };
            assert!(matches!(read(&dir, options), Err(DataError::Size { .. })));
        }
    }

    #[test]
    fn of_two_equally_common_sizes_the_smaller_is_taken() {
        let dir = two_classes();
        for (name, size) in [
            ("a/3.png", (3, 3)),
            ("a/4.png", (3, 3)),
            ("b/3.png", (3, 3)),
        ] {
            put(&dir, name, size, 0);
        }
        put(&dir, "b/4.png", (3, 3), 0);
        let data = read(&dir, LoadOptions::default()).unwrap().dataset;
        assert_eq!((data.height, data.width), (3, 3));
    }

    #[test]
    fn a_bad_file_is_named_and_can_be_skipped() {
        let dir = two_classes();
        put(&dir, "a/0.png", (4, 6), 0);
        let whole = fs::read(dir.path().join("a/0.png")).unwrap();
        fs::write(dir.path().join("a/0.png"), &whole[..whole.len() / 2]).unwrap();
        fs::write(dir.path().join("b/0.jpg"), "").unwrap();
        let message = refusal(&dir);
        assert!(
            message.contains("`a/0.png`") && message.contains("1 more"),
            "{message}"
        );
        assert!(message.contains("--skip-bad"), "{message}");
        let skipping = || LoadOptions {
            skip_bad: true,
            ..LoadOptions::default()
        };
        let loaded = read(&dir, skipping()).unwrap();
        assert_eq!(loaded.skipped[1].0, "b/0.jpg");
        assert!(loaded.skipped[1].1.contains("0 bytes"));
        assert_eq!(
            loaded.dataset.files,
            ["a/1.tiff", "a/2.tif", "b/1.PNG", "b/2.png"]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|i| loaded.dataset.image(i)[0]),
            [1, 2, 10, 20]
        );
        fs::write(dir.path().join("b/1.PNG"), "not an image").unwrap();
        let message = read(&dir, skipping()).unwrap_err().to_string();
        assert!(message.contains("`b` has 1 usable"), "{message}");
    }

    #[test]
    fn a_folder_that_holds_no_classes_says_what_is_wrong() {
        let dir = tempdir().unwrap();
        let file = dir.path().join("file");
        assert!(matches!(
            load(&file, &LoadOptions::default()),
            Err(DataError::Missing { .. })
        ));
        assert!(refusal(&dir).contains("no class folders"));
        fs::write(&file, "x").unwrap();
        assert!(matches!(
            load(&file, &LoadOptions::default()),
            Err(DataError::NotAFolder { .. })
        ));
        put(&dir, "one/1.png", (4, 4), 0);
        assert!(refusal(&dir).contains("one class only, `one`"));
        fs::create_dir(dir.path().join("two")).unwrap();
        assert!(refusal(&dir).contains("`two` holds no image"));
        put(&dir, "two/1.png", (4, 4), 0);
        assert!(refusal(&dir).contains("`one` has 1 usable"));
        put(&dir, "one/2.png", (4, 4), 0);
        put(&dir, "two/2.png", (4, 4), 0);
        assert_eq!(read(&dir, LoadOptions::default()).unwrap().dataset.len(), 4);
    }
}
