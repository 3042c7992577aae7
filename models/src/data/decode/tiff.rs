//! TIFF and BigTIFF, as cameras, GIS and remote-sensing archives write them.
//!
//! The decoder is asked for the samples as they lie in the file, every band of them, and colours are made of them here. It is told so by
//! naming the colours "grey" in the copy of the file that it reads: under their true name it would refuse palettes and YCbCr, and
//! undo the horizontal predictor of pixels with further bands (RGB and near infrared) with the wrong distance.

mod colours;
mod directory;
mod rows;

pub(in crate::data) use rows::TiffRows;

use super::{Header, Picture, jpeg, oriented};
use colours::{Colours, Samples};
use directory::CalledGrey;
use image::metadata::Orientation;
use std::io::{Cursor, Read, Seek, SeekFrom};
use tiff::decoder::Decoder;
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};
use tiff::{TiffError, TiffResult};

/// The tag in which GDAL writes the value of pixels without data, as text.
const GDAL_NODATA: Tag = Tag::Unknown(42113);

/// Samples that an image may have, so that a damaged size does not take the memory.
const LARGEST: usize = 1 << 29;

/// What is said of a TIFF that another program could turn into one that is read.
const REWRITE: &str = "rewrite it as RGB of 8 or 16 bits, for example with gdal_translate";

/// What the tags say of the image.
#[derive(Clone)]
struct Layout {
    size: (usize, usize),
    colours: Colours,
    bands: usize,
    bits: u16,
    /// Whether samples are whole numbers from 0.
    unsigned: bool,
    /// Whether they are floats.
    real: bool,
    planar: bool,
    compression: CompressionMethod,
    orientation: Orientation,
    nodata: Option<f32>,
    /// The band that says how opaque a pixel is.
    alpha: Option<usize>,
}

/// Size and depth, from the tags alone.
pub(super) fn header(file: impl Read + Seek) -> Option<Header> {
    let mut decoder = Decoder::new(file).ok()?;
    let layout = Layout::read(&mut decoder).ok()?;
    Some(Header::new(
        layout.size,
        layout.orientation,
        layout.is_deep(),
        layout.describe(),
    ))
}

pub(super) fn decode(bytes: Vec<u8>) -> Result<Picture, String> {
    let (layout, mut decoder, mut streams) = open(Cursor::new(&bytes))?;
    if let Some(streams) = &mut streams {
        (0..streams.count()).try_for_each(|chunk| streams.check(decoder.inner(), chunk))?;
    }
    let samples = layout.samples(&mut decoder)?;
    Ok(oriented(layout.picture(&samples)?, layout.orientation))
}

/// The first image of a TIFF: its layout, the decoder of its samples, and its chunks' streams where they are JPEGs.
type Opened<R> = (Layout, Decoder<CalledGrey<R>>, Option<JpegStreams>);

fn open<R: Read + Seek>(mut file: R) -> Result<Opened<R>, String> {
    let mut decoder = Decoder::new(&mut file).map_err(reason)?;
    let layout = Layout::read(&mut decoder)?;
    let streams = match layout.compression {
        CompressionMethod::ModernJPEG => Some(JpegStreams::of(&mut decoder).map_err(reason)?),
        _ => None,
    };
    let grey = CalledGrey::new(file).ok_or(format!("its directory is damaged; {REWRITE}"))?;
    Ok((layout, Decoder::new(grey).map_err(reason)?, streams))
}

impl Layout {
    fn is_deep(&self) -> bool {
        self.bits > 8 || !self.unsigned
    }

    /// Colours and bits, for people.
    fn describe(&self) -> String {
        let kind = match (self.unsigned, self.real) {
            (true, _) => "bits",
            (false, true) => "bits, floating-point",
            (false, false) => "bits, signed",
        };
        let (bands, bits) = (self.bands, self.bits);
        format!("{} in {bands} band(s), {bits} {kind}", self.colours.name())
    }

    /// Where the sample of a pixel's band lies.
    fn place(&self, pixel: usize, band: usize) -> usize {
        if self.planar {
            band * self.size.0 * self.size.1 + pixel
        } else {
            pixel * self.bands + band
        }
    }

    /// The picture that is made of all its samples.
    fn picture(&self, samples: &Samples) -> Result<Picture, String> {
        let place = |pixel, band| self.place(pixel, band);
        let picture = self.colours.picture(self.size, self.bits, samples, place);
        picture.ok_or("its samples do not fill its image".to_string())
    }

    /// Reads strips or tiles one by one and puts them together. The decoder could read all at once, but takes the lowest tiles of
    /// every plane but the first for whole ones.
    fn samples<R: Read + Seek>(&self, decoder: &mut Decoder<R>) -> Result<Samples, String> {
        let (height, width) = self.size;
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        let (chunk_width, chunk_height) = (chunk_width as usize, chunk_height as usize);
        let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
        let (planes, together) = if self.planar {
            (self.bands, 1)
        } else {
            (1, self.bands)
        };
        let count = (height * width).checked_mul(self.bands);
        let count = count.filter(|count| *count <= LARGEST);
        let count = count.ok_or_else(|| reason(TiffError::LimitsExceeded))?;
        let mut whole = Samples::zeros(self.is_deep(), count);
        for chunk in 0..planes * across * down {
            let index = u32::try_from(chunk).map_err(|_| reason(TiffError::LimitsExceeded))?;
            let read = decoder.read_chunk(index).map_err(reason)?;
            let (columns, _) = decoder.chunk_data_dimensions(index);
            let samples = Samples::new(read, columns as usize, self.bits, self.nodata);
            let (plane, chunk) = (chunk / (across * down), chunk % (across * down));
            let (top, left) = (chunk / across * chunk_height, chunk % across * chunk_width);
            let first = self.place(top * width + left, plane);
            let lines = (columns as usize * together, width * together);
            let rows = chunk_height.min(height - top);
            whole.put(&samples, first, rows, lines);
        }
        Ok(whole)
    }

    /// Reads the tags and refuses by name what cannot be decoded.
    fn read<R: Read + Seek>(decoder: &mut Decoder<R>) -> Result<Self, String> {
        let tags = |e| reason(e);
        let (width, height) = decoder.dimensions().map_err(tags)?;
        let mut number = |tag, default: u16| {
            let found = decoder.find_tag_unsigned_vec::<u16>(tag).map_err(tags)?;
            Ok::<_, String>(found.and_then(|v| v.first().copied()).unwrap_or(default))
        };
        let bands = usize::from(number(Tag::SamplesPerPixel, 1)?);
        let bits = number(Tag::BitsPerSample, 1)?;
        let format = number(Tag::SampleFormat, 1)?;
        let planar = number(Tag::PlanarConfiguration, 1)? == 2;
        let compression = CompressionMethod::from_u16_exhaustive(number(Tag::Compression, 1)?);
        let interpretation = number(Tag::PhotometricInterpretation, u16::MAX)?;
        let orientation = number(Tag::Orientation, 1)?;
        let subsampling = decoder
            .find_tag_unsigned_vec::<u16>(Tag::ChromaSubsampling)
            .map_err(tags)?;
        let map = decoder
            .find_tag_unsigned_vec::<u16>(Tag::ColorMap)
            .map_err(tags)?;
        let extra = decoder
            .find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)
            .map_err(tags)?
            .unwrap_or_default();
        let nodata = decoder.get_tag_ascii_string(GDAL_NODATA).ok();

        let colours = Colours::new(
            PhotometricInterpretation::from_u16(interpretation),
            bands,
            map,
        )
        .map_err(|what| format!("the TIFF holds {what}; {REWRITE}"))?;
        let readable = matches!(
            compression,
            CompressionMethod::None
                | CompressionMethod::LZW
                | CompressionMethod::Deflate
                | CompressionMethod::OldDeflate
                | CompressionMethod::PackBits
                | CompressionMethod::ModernJPEG
                | CompressionMethod::Fax4
        );
        if !readable {
            return Err(format!(
                "the TIFF is compressed by {compression:?}, which is not read; write it again, for example with gdal_translate -co COMPRESS=DEFLATE"
            ));
        }
        let whole = (1..=2).contains(&format) && matches!(bits, 8 | 16 | 32 | 64);
        let packed = format == 1 && matches!(bits, 1 | 2 | 4) && bands == 1;
        let real = format == 3 && matches!(bits, 16 | 32 | 64);
        if !(whole || packed || real) {
            let kind = ["unsigned", "signed", "floating-point"];
            let kind = kind
                .get(usize::from(format).wrapping_sub(1))
                .unwrap_or(&"unknown");
            return Err(format!(
                "the TIFF holds {kind} samples of {bits} bits in {bands} band(s), which are not read; {REWRITE}"
            ));
        }
        if !(colours.take_depth() || (format == 1 && bits <= 8)) {
            return Err(format!(
                "the TIFF holds {} of {bits} bits, which are read with 8 bits only; {REWRITE}",
                colours.name()
            ));
        }
        let upsampled = compression == CompressionMethod::ModernJPEG;
        let coarse = subsampling.as_deref().unwrap_or(&[2, 2]) != [1, 1];
        if matches!(colours, Colours::YCbCr) && coarse && !upsampled {
            return Err(format!(
                "the TIFF holds YCbCr colours of lower resolution without JPEG, which are not read; {REWRITE}"
            ));
        }
        Ok(Self {
            size: (height as usize, width as usize),
            colours,
            bands,
            bits,
            unsigned: format == 1,
            real: format == 3,
            planar: planar && bands > 1,
            compression,
            orientation: u8::try_from(orientation)
                .ok()
                .and_then(Orientation::from_exif)
                .unwrap_or(Orientation::NoTransforms),
            // Premultiplied or not.
            alpha: extra
                .iter()
                .position(|kind| matches!(kind, 1 | 2))
                .map(|place| bands.saturating_sub(extra.len()) + place)
                .filter(|&band| band < bands),
            nodata: nodata.and_then(|text| text.trim_matches(['\0', ' ']).parse().ok()),
        })
    }
}

/// The strips or tiles of a TIFF of JPEGs.
struct JpegStreams {
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    /// The tables that they share, without their end marker.
    tables: Vec<u8>,
}

impl JpegStreams {
    fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> TiffResult<Self> {
        let mut numbers = |strips, tiles| -> TiffResult<Vec<u64>> {
            let found = decoder.find_tag_unsigned_vec::<u64>(strips)?;
            found.map_or_else(|| decoder.get_tag_u64_vec(tiles), Ok)
        };
        let offsets = numbers(Tag::StripOffsets, Tag::TileOffsets)?;
        let lengths = numbers(Tag::StripByteCounts, Tag::TileByteCounts)?;
        let mut tables = match decoder.find_tag(Tag::JPEGTables)? {
            Some(tables) => tables.into_u8_vec()?,
            None => Vec::new(),
        };
        if tables.ends_with(&[0xFF, 0xD9]) {
            tables.truncate(tables.len() - 2);
        }
        Ok(Self {
            offsets,
            lengths,
            tables,
        })
    }

    fn count(&self) -> usize {
        self.offsets.len().min(self.lengths.len())
    }

    /// Checks that a chunk's JPEG, with the shared tables put back, is whole. One that reaches past the end of the file is not.
    fn check(&self, file: &mut (impl Read + Seek), chunk: usize) -> Result<(), String> {
        let (offset, length) = (self.offsets[chunk], self.lengths[chunk]);
        let mut stream = Vec::new();
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.by_ref().take(length).read_to_end(&mut stream));
        let whole = read.is_ok_and(|read| read as u64 == length);
        // Tables and stream each begin with a start marker.
        let rest = stream.get(if self.tables.is_empty() { 0 } else { 2 }..);
        let stream = rest
            .filter(|_| whole)
            .map(|rest| [&self.tables, rest].concat());
        Ok(jpeg::check(&stream.unwrap_or_default())?)
    }
}

/// The decoder's error for a person.
fn reason(error: TiffError) -> String {
    match error {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the file is cut short: its data end before its last pixel".to_string()
        }
        TiffError::LimitsExceeded => {
            "the TIFF is too large to be one image; cut it into tiles".to_string()
        }
        TiffError::UnsupportedError(what) => format!("the TIFF is not read: {what}; {REWRITE}"),
        other => format!("the TIFF is damaged: {other}"),
    }
}

#[cfg(test)]
mod tests;
