//! One large image, read from above to below.
//!
//! Of a TIFF no more is held than a row of its strips or tiles, of a PNG a few rows. What can only be decoded whole (JPEG, BMP, WebP, PNM; a
//! PNG that is interlaced; what a camera turned) is, if there is memory for it.

use super::decode::{self, Band, Header, PngRows, TiffRows};
use super::{DataError, Stretch, memory};
use image::{ImageFormat, RgbImage};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Bytes that a pixel takes while it is decoded whole: its samples as they lie in the file, with an alpha among them, and as RGB.
const SHALLOW: u64 = 4 + 3;
/// The same for samples of 16 bits, which become `f32` on the way.
const DEEP: u64 = 8 + 6 + 12 + 3;

/// An image that is read row by row.
pub struct Scene {
    path: PathBuf,
    size: (usize, usize),
    deep: bool,
    upright: bool,
    rows: Rows,
}

enum Rows {
    Tiff(TiffRows<BufReader<File>>),
    Png(PngRows<BufReader<File>>),
    /// To be decoded whole, unless it was.
    Whole(bool),
}

/// Some whole rows of a scene.
pub struct SceneRows {
    /// RGB, `[rows, width, 3]`.
    pub pixels: Vec<u8>,
    /// Whether nothing was measured, `[rows, width]`; empty where something was in all of them.
    pub missing: Vec<bool>,
}

impl Scene {
    /// Opens the image and reads what it says of itself.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for what is no image, or one that can only be decoded whole and for which there is too little memory.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::within(path, memory::available())
    }

    /// [`Scene::open`] where `available` bytes of memory are known to be left.
    fn within(path: &Path, available: Option<u64>) -> Result<Self, DataError> {
        let bad = |reason| bad(path, reason);
        let file = File::open(path).map_err(|e| bad(e.to_string()))?;
        let length = file.metadata().map_err(|e| bad(e.to_string()))?.len();
        let mut file = BufReader::new(file);
        let begin = file.fill_buf().map_err(|e| bad(e.to_string()))?;
        if begin.is_empty() {
            return Err(bad("the file is empty (0 bytes)".to_string()));
        }
        let (header, rows) = match decode::format(begin).map_err(bad)? {
            ImageFormat::Tiff => {
                let rows = TiffRows::new(file).map_err(bad)?;
                (rows.header(), Rows::Tiff(rows))
            }
            ImageFormat::Png => {
                let rows = PngRows::new(file).map_err(bad)?;
                (rows.header(), Rows::Png(rows))
            }
            _ => {
                let header = Header::read(path)
                    .ok_or_else(|| bad("its header is damaged or cut short".to_string()))?;
                (header, Rows::Whole(false))
            }
        };
        let Header {
            size,
            deep,
            upright,
            ..
        } = header;
        let (in_order, band) = match &rows {
            Rows::Tiff(rows) => (true, rows.band_bytes()),
            Rows::Png(rows) => (rows.is_in_order(), 0),
            Rows::Whole(_) => (false, 0),
        };
        let (rows, needed) = if in_order && upright {
            (rows, band)
        } else {
            let pixels = (size.0 as u64).saturating_mul(size.1 as u64);
            let decoded = pixels.saturating_mul(if deep { DEEP } else { SHALLOW });
            (Rows::Whole(false), length.saturating_add(decoded))
        };
        if let Some(left) = available.filter(|available| needed > *available) {
            let (height, width) = size;
            return Err(bad(format!(
                "its {width} x {height} pixels can only be decoded in pieces that take {:.1} GB of memory, of which {:.1} GB are left; write it as a \
                 TIFF in tiles, as with gdal_translate -co TILED=YES, which is read piece by piece",
                needed as f64 * 1e-9,
                left as f64 * 1e-9,
            )));
        }
        Ok(Self {
            path: path.to_path_buf(),
            size,
            deep,
            upright,
            rows,
        })
    }

    /// Height and width in pixels, the right side up.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Whether it has more than 8 bits a sample.
    pub fn is_deep(&self) -> bool {
        self.deep
    }

    /// Whether its rows lie in the file as they are to be seen: no camera turned it.
    pub fn is_upright(&self) -> bool {
        self.upright
    }

    /// The next rows, seen as the images of a run with `stretch` were; `None` below the last.
    ///
    /// # Errors
    /// [`DataError::BadImage`] for what cannot be decoded, or has more than 8 bits a sample where no stretch is given.
    pub fn next_rows(&mut self, stretch: Option<&Stretch>) -> Result<Option<SceneRows>, DataError> {
        let path = &self.path;
        if self.deep && stretch.is_none() {
            let reason = "it has samples of more than 8 bits, but the run was trained on images of 8 bits; give a scene made as those were";
            return Err(bad(path, reason.to_string()));
        }
        let band = match &mut self.rows {
            Rows::Tiff(rows) => rows.next(stretch),
            Rows::Png(rows) => rows.next(stretch),
            Rows::Whole(true) => Ok(None),
            Rows::Whole(decoded) => {
                *decoded = true;
                fs::read(path)
                    .map_err(|e| e.to_string())
                    .and_then(decode::decode)
                    .and_then(|picture| Band::of(picture, stretch))
                    .and_then(|band| match band.size() == self.size {
                        true => Ok(Some(band)),
                        false => Err("its header gives another size than its pixels".to_string()),
                    })
            }
        };
        let band = band.map_err(|reason| bad(path, reason))?;
        Ok(band.map(
            |Band {
                 pixels, missing, ..
             }| SceneRows { pixels, missing },
        ))
    }
}

/// A tile of (height, width) `from`, RGB, as the images of a folder are resized to `to`.
pub(crate) fn fit_tile(tile: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let image = RgbImage::from_vec(from.1 as u32, from.0 as u32, tile.to_vec());
    decode::fit(&image.unwrap_or_default(), to).into_raw()
}

fn bad(path: &Path, reason: String) -> DataError {
    DataError::BadImage {
        file: path.display().to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests;
