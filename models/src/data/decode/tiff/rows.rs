//! A TIFF from above to below, one row of its strips or tiles at a time, so that an image of any size passes through a small memory.

use super::super::{Band, Header};
use super::{CalledGrey, Decoder, JpegStreams, Layout, Samples, open, reason};
use crate::data::stretch::Stretch;
use std::io::{Read, Seek};
use tiff::TiffError;

/// The first image of a TIFF as rows.
pub(in crate::data) struct TiffRows<R: Read + Seek> {
    pub(super) layout: Layout,
    decoder: Decoder<CalledGrey<R>>,
    streams: Option<JpegStreams>,
    /// Rows that were read.
    read: usize,
}

impl<R: Read + Seek> TiffRows<R> {
    pub(in crate::data) fn new(file: R) -> Result<Self, String> {
        let (layout, decoder, streams) = open(file)?;
        Ok(Self {
            layout,
            decoder,
            streams,
            read: 0,
        })
    }

    /// What its tags say.
    pub(in crate::data) fn header(&self) -> Header {
        let layout = &self.layout;
        Header::new(
            layout.size,
            layout.orientation,
            layout.is_deep(),
            layout.describe(),
        )
    }

    /// Bytes that the next call of [`next`](Self::next) takes, about.
    pub(in crate::data) fn band_bytes(&self) -> u64 {
        let (chunk_width, chunk_height) = self.decoder.chunk_dimensions();
        let (height, width) = self.layout.size;
        let rows = u64::from(chunk_height).min(height as u64);
        let sample = if self.layout.is_deep() { 12 } else { 2 };
        let pixel = self.layout.bands as u64 * sample + 12;
        let chunk = (rows * u64::from(chunk_width)).saturating_mul(pixel);
        chunk.saturating_add((rows * width as u64).saturating_mul(4))
    }

    /// The next rows, those of one row of strips or tiles; `None` below the last.
    pub(in crate::data) fn next(
        &mut self,
        stretch: Option<&Stretch>,
    ) -> Result<Option<Band>, String> {
        let (height, width) = self.layout.size;
        if self.read >= height {
            return Ok(None);
        }
        let (chunk_width, chunk_height) = self.decoder.chunk_dimensions();
        let (chunk_width, chunk_height) = (chunk_width as usize, chunk_height as usize);
        let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
        let rows = chunk_height.min(height - self.read);
        let mut band = Band::blank(rows, width);
        for column in 0..across {
            let left = column * chunk_width;
            let part = Layout {
                size: (rows, chunk_width.min(width - left)),
                ..self.layout.clone()
            };
            let first = self.read / chunk_height * across + column;
            let planes = if part.planar { part.bands } else { 1 };
            let chunks = (0..planes).map(|plane| first + plane * across * down);
            let samples = self.samples(&part, chunks)?;
            let missing = part.missing(&samples);
            let picture = part.picture(&samples)?.into_bytes(stretch)?;
            band.put(left, &picture, missing);
        }
        self.read += rows;
        Ok(Some(band))
    }

    /// The samples of `part` of the image, of which each plane is one of `chunks`.
    fn samples(
        &mut self,
        part: &Layout,
        chunks: impl Iterator<Item = usize>,
    ) -> Result<Samples, String> {
        let (rows, columns) = part.size;
        let together = if part.planar { 1 } else { part.bands };
        let mut samples = Samples::zeros(part.is_deep(), rows * columns * part.bands);
        for (plane, chunk) in chunks.enumerate() {
            if let Some(streams) = &self.streams {
                if chunk >= streams.count() {
                    return Err(reason(TiffError::LimitsExceeded));
                }
                streams.check(self.decoder.inner(), chunk)?;
            }
            let index = u32::try_from(chunk).map_err(|_| reason(TiffError::LimitsExceeded))?;
            let read = self.decoder.read_chunk(index).map_err(reason)?;
            let read_columns = self.decoder.chunk_data_dimensions(index).0 as usize;
            let read = Samples::new(read, read_columns, part.bits, part.nodata);
            let lines = (read_columns * together, columns * together);
            samples.put(&read, part.place(0, plane), rows, lines);
        }
        Ok(samples)
    }
}

impl Layout {
    /// Whether nothing was measured, for each pixel; `None` where the file knows no such pixels. It is where all bands of the colours lack a
    /// value, and where nothing is opaque.
    fn missing(&self, samples: &Samples) -> Option<Vec<bool>> {
        let pixels = self.size.0 * self.size.1;
        let knows = matches!(samples, Samples::Deep(_)) || self.nodata.is_some();
        let lacks = |place: usize| match samples {
            Samples::Deep(samples) => samples[place].is_nan(),
            Samples::Bytes(samples) => Some(f32::from(samples[place])) == self.nodata,
        };
        let is_clear = |place: usize| match samples {
            Samples::Deep(samples) => samples[place] == 0.0,
            Samples::Bytes(samples) => samples[place] == 0,
        };
        let missing = |pixel: usize| {
            let mut colours = self.colours.bands();
            let alpha = self.alpha.map(|band| self.place(pixel, band));
            alpha.is_some_and(is_clear)
                || (knows && colours.all(|band| lacks(self.place(pixel, band))))
        };
        (knows || self.alpha.is_some()).then(|| (0..pixels).map(missing).collect())
    }
}
