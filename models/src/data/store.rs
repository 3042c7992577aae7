//! Where the pixels of a data set are: in memory as far as there is room, else in the files, decoded again whenever they are asked for.
//!
//! The images that are kept are the first ones. An epoch visits every image once in an order of its own, so that no choice of images, nor
//! one that changes while it goes on, would be asked more often.

use super::DataError;
use super::decode;
use super::identity::ImageDigest;
use super::scan::Source;
use super::stretch::Stretch;
use ghostlight_kernels::planted;
use image::RgbImage;
use std::borrow::Cow;

/// The pixels of the images of a data set, all of one size.
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// Height and width.
    size: (usize, usize),
    /// `[kept, height, width, 3]`.
    kept: Vec<u8>,
    /// The images behind those, with the digests by which they are known.
    files: Vec<(Source, ImageDigest)>,
    stretch: Option<Stretch>,
}

/// How much memory decoded images may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Half of what is left; all there is where the system does not say.
    #[default]
    Share,
    /// This many bytes.
    Bytes(u64),
}

impl Store {
    /// All images in memory.
    pub(super) fn in_memory(size: (usize, usize), kept: Vec<u8>) -> Self {
        Self {
            size,
            kept,
            files: Vec::new(),
            stretch: None,
        }
    }

    /// The first images in memory, the others in `files`.
    pub(super) fn new(
        size: (usize, usize),
        kept: Vec<u8>,
        files: Vec<(Source, ImageDigest)>,
        stretch: Option<Stretch>,
    ) -> Self {
        Self {
            size,
            kept,
            files,
            stretch,
        }
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Images in memory.
    pub(super) fn in_memory_len(&self) -> usize {
        self.kept.len() / (self.size.0 * self.size.1 * 3)
    }

    pub(super) fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, DataError> {
        let bytes = self.size.0 * self.size.1 * 3;
        if let Some(pixels) = self.kept.get(i * bytes..(i + 1) * bytes) {
            return Ok(Cow::Borrowed(pixels));
        }
        let (source, digest) = &self.files[i - self.in_memory_len()];
        let bad = |reason| DataError::BadImage {
            file: source.path.display().to_string(),
            reason,
        };
        let contents = std::fs::read(&source.path).map_err(|e| bad(e.to_string()))?;
        let other = source.digest(ImageDigest::of(&contents)) != *digest;
        if other && !planted::is("changed_files_are_trained_on") {
            return Err(bad(
                "it is no longer the file that it was when the data were read".to_string(),
            ));
        }
        let picture = decode::decode(contents).map_err(bad)?;
        let image = picture.into_bytes(self.stretch.as_ref()).map_err(bad)?;
        let mut pixels = vec![0; bytes];
        source.write(&image, self.size, &mut pixels);
        Ok(Cow::Owned(pixels))
    }
}

impl Source {
    /// The digest by which the image is known, given that of its file.
    pub(super) fn digest(&self, file: ImageDigest) -> ImageDigest {
        self.crop.map_or(file, |crop| crop.digest(file))
    }

    /// Writes the image at `size` (height, width), given what its file holds; true where it had to be resized.
    pub(super) fn write(&self, image: &RgbImage, size: (usize, usize), out: &mut [u8]) -> bool {
        match self.crop {
            Some(crop) => {
                crop.cut(image, size, out);
                false
            }
            None => fit_into(image, size, out),
        }
    }
}

/// Puts an image in place; true where it had to be resized.
pub(super) fn fit_into(image: &RgbImage, size: (usize, usize), out: &mut [u8]) -> bool {
    let other_size = (image.height() as usize, image.width() as usize) != size;
    match other_size {
        true => out.copy_from_slice(&decode::fit(image, size)),
        false => out.copy_from_slice(image),
    }
    other_size
}

impl MemoryLimit {
    /// Room for the pixels of as many of `images` images as the limit allows, which have to fit into the `available` bytes that are known to
    /// be left.
    ///
    /// # Errors
    /// [`DataError::TooLarge`], before anything is allocated.
    pub(super) fn room(
        self,
        images: usize,
        (height, width): (usize, usize),
        available: Option<u64>,
    ) -> Result<Vec<u8>, DataError> {
        let bytes = (height * width * 3) as u64;
        let limit = match (self, available) {
            (Self::Bytes(limit), _) => limit,
            (Self::Share, Some(available)) => available / 2,
            (Self::Share, None) => u64::MAX,
        };
        let kept = (limit / bytes).min(images as u64);
        let too_large = || DataError::TooLarge {
            images: kept as usize,
            height,
            width,
            available,
        };
        if available.is_some_and(|available| kept * bytes > available) {
            return Err(too_large());
        }
        let bytes = usize::try_from(kept * bytes).map_err(|_| too_large())?;
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(bytes).map_err(|_| too_large())?;
        pixels.resize(bytes, 0);
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests;
