//! A PNG from above to below, so that an image of any size passes through a small memory.

use super::{Band, Header, Picture, Stretch};
use image::metadata::Orientation;
use image::{Rgb32FImage, RgbImage};
use png::{BitDepth, ColorType, DecodingError, Reader, Transformations};
use std::io::{BufRead, Seek};

/// Bytes of samples that are decoded at a time.
const BAND: usize = 1 << 20;

/// A PNG as rows.
pub(in crate::data) struct PngRows<R: BufRead + Seek> {
    reader: Reader<R>,
    /// Rows that were read.
    read: usize,
}

impl<R: BufRead + Seek> PngRows<R> {
    pub(in crate::data) fn new(file: R) -> Result<Self, String> {
        let mut decoder = png::Decoder::new(file);
        // Palettes become RGB, fewer than 8 bits become 8, as in the images of a folder.
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().map_err(reason)?;
        Ok(Self { reader, read: 0 })
    }

    fn size(&self) -> (usize, usize) {
        let info = self.reader.info();
        (info.height as usize, info.width as usize)
    }

    /// What its first chunks say.
    pub(in crate::data) fn header(&self) -> Header {
        let deep = self.reader.output_color_type().1 == BitDepth::Sixteen;
        let exif = self.reader.info().exif_metadata.as_deref();
        let orientation = exif.and_then(Orientation::from_exif_chunk);
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        let (colour, depth) = self.reader.output_color_type();
        let colours = format!("{colour:?} {} bit", depth as u8);
        Header::new(self.size(), orientation, deep, colours)
    }

    /// Whether its rows come in order.
    pub(in crate::data) fn is_in_order(&self) -> bool {
        !self.reader.info().interlaced
    }

    /// The next rows; `None` below the last.
    pub(in crate::data) fn next(
        &mut self,
        stretch: Option<&Stretch>,
    ) -> Result<Option<Band>, String> {
        let (height, width) = self.size();
        if self.read >= height {
            return Ok(None);
        }
        let (colour, depth) = self.reader.output_color_type();
        let samples = match colour {
            ColorType::Grayscale | ColorType::Indexed => 1,
            ColorType::GrayscaleAlpha => 2,
            ColorType::Rgb => 3,
            ColorType::Rgba => 4,
        };
        let bands = if samples < 3 { [0; 3] } else { [0, 1, 2] };
        let deep = depth == BitDepth::Sixteen;
        let line = width * samples * if deep { 2 } else { 1 };
        let rows = (BAND / line).clamp(1, height - self.read);
        let mut bytes = Vec::with_capacity(rows * line);
        for _ in 0..rows {
            let row = self.reader.next_row().map_err(reason)?;
            bytes.extend_from_slice(row.ok_or("its rows are fewer than it says")?.data());
        }
        self.read += rows;
        if self.read == height {
            self.reader.finish().map_err(reason)?;
        }
        let (columns, lines) = (width as u32, rows as u32);
        let picture = if deep {
            let values: Vec<f32> = bytes
                .as_chunks::<2>()
                .0
                .chunks_exact(samples)
                .flat_map(|pixel| bands.map(|band| f32::from(u16::from_be_bytes(pixel[band]))))
                .collect();
            Rgb32FImage::from_vec(columns, lines, values).map(Picture::Deep)
        } else {
            let values: Vec<u8> = bytes
                .chunks_exact(samples)
                .flat_map(|pixel| bands.map(|band| pixel[band]))
                .collect();
            RgbImage::from_vec(columns, lines, values).map(Picture::Bytes)
        };
        let picture = picture.ok_or("its samples do not fill its image")?;
        let mut band = Band::of(picture, stretch)?;
        if samples % 2 == 0 {
            let pixels = bytes.chunks_exact(samples * if deep { 2 } else { 1 });
            let alpha = if deep { 2 } else { 1 };
            let clear = |pixel: &[u8]| pixel[pixel.len() - alpha..].iter().all(|&byte| byte == 0);
            band.miss(pixels.map(clear).collect());
        }
        Ok(Some(band))
    }
}

/// The decoder's error for a person.
fn reason(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the file is cut short: its end marker is missing".to_string()
        }
        other => format!("the PNG is damaged: {other}"),
    }
}
