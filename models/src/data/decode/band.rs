use super::Picture;
use image::RgbImage;

/// Some whole rows of an image, from the left to the right.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Band {
    width: usize,
    /// RGB, row by row.
    pub pixels: Vec<u8>,
    /// Whether nothing was measured, for each pixel; empty where something was in all of them.
    pub missing: Vec<bool>,
}

impl Band {
    /// Rows that [`put`](Self::put) fills.
    pub(in crate::data) fn blank(rows: usize, width: usize) -> Self {
        Self {
            width,
            pixels: vec![0; rows * width * 3],
            missing: Vec::new(),
        }
    }

    /// Height and width.
    pub(in crate::data) fn size(&self) -> (usize, usize) {
        (self.pixels.len() / 3 / self.width, self.width)
    }

    /// Fills the columns from `left` on.
    pub(super) fn put(&mut self, left: usize, picture: &RgbImage, missing: Option<Vec<bool>>) {
        let columns = picture.width() as usize;
        let lines = self.pixels.chunks_exact_mut(self.width * 3);
        for (to, from) in lines.zip(picture.chunks_exact(columns * 3)) {
            to[left * 3..(left + columns) * 3].copy_from_slice(from);
        }
        let Some(missing) = missing.filter(|missing| missing.contains(&true)) else {
            return;
        };
        self.missing.resize(self.pixels.len() / 3, false);
        let lines = self.missing.chunks_exact_mut(self.width);
        for (to, from) in lines.zip(missing.chunks_exact(columns)) {
            to[left..left + columns].copy_from_slice(from);
        }
    }

    /// Says of each pixel whether nothing was measured.
    pub(super) fn miss(&mut self, missing: Vec<bool>) {
        if missing.contains(&true) {
            self.missing = missing;
        }
    }

    /// All rows of a picture, the samples of a deep one by `stretch`.
    pub(in crate::data) fn of(
        picture: Picture,
        stretch: Option<&super::Stretch>,
    ) -> Result<Self, String> {
        let missing = match &picture {
            Picture::Bytes(_) => None,
            Picture::Deep(image) => Some(
                image
                    .pixels()
                    .map(|pixel| pixel.0.iter().all(|sample| sample.is_nan()))
                    .collect(),
            ),
        };
        let picture = picture.into_bytes(stretch)?;
        let mut band = Self::blank(picture.height() as usize, picture.width() as usize);
        band.put(0, &picture, missing);
        Ok(band)
    }
}
