//! RGB from the samples of a TIFF.

use super::super::Picture;
use image::{Rgb32FImage, RgbImage};
use tiff::decoder::DecodingResult;
use tiff::tags::PhotometricInterpretation;

/// What the samples of a pixel mean (TIFF 6.0, PhotometricInterpretation).
#[derive(Clone)]
pub(super) enum Colours {
    /// One band, whether 0 is white, and perhaps alpha.
    Grey {
        inverted: bool,
    },
    /// Red, green and blue first, then whatever else.
    Rgb,
    /// Indices into red, green and blue of each colour.
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

/// The samples as the decoder gives them.
pub(super) enum Samples {
    /// Whole numbers of up to 8 bits.
    Bytes(Vec<u8>),
    /// All others.
    Deep(Vec<f32>),
}

impl Samples {
    /// Samples that are all 0.
    pub(super) fn zeros(deep: bool, count: usize) -> Self {
        if deep {
            Self::Deep(vec![0.0; count])
        } else {
            Self::Bytes(vec![0; count])
        }
    }

    /// The samples of one strip or tile, with `columns` pixels in a row; those that equal `nodata` become NaN.
    pub(super) fn new(
        decoded: DecodingResult,
        columns: usize,
        bits: u16,
        nodata: Option<f32>,
    ) -> Self {
        use DecodingResult as D;
        let mut deep: Vec<f32> = match decoded {
            D::U8(packed) if bits < 8 => return Self::Bytes(unpacked(&packed, columns, bits)),
            D::U8(samples) => return Self::Bytes(samples),
            D::U16(samples) => samples.into_iter().map(f32::from).collect(),
            D::U32(samples) => samples.into_iter().map(|s| s as f32).collect(),
            D::U64(samples) => samples.into_iter().map(|s| s as f32).collect(),
            D::I8(samples) => samples.into_iter().map(f32::from).collect(),
            D::I16(samples) => samples.into_iter().map(f32::from).collect(),
            D::I32(samples) => samples.into_iter().map(|s| s as f32).collect(),
            D::I64(samples) => samples.into_iter().map(|s| s as f32).collect(),
            D::F16(samples) => samples.into_iter().map(f32::from).collect(),
            D::F32(samples) => samples,
            D::F64(samples) => samples.into_iter().map(|s| s as f32).collect(),
        };
        let missing = deep.iter_mut().filter(|sample| Some(**sample) == nodata);
        missing.for_each(|sample| *sample = f32::NAN);
        Self::Deep(deep)
    }

    /// Copies `rows` rows of a strip or tile to where its `first` sample belongs. Rows are `lines.0` samples long there, `lines.1` here.
    pub(super) fn put(&mut self, chunk: &Self, first: usize, rows: usize, lines: (usize, usize)) {
        fn copy<T: Copy>(to: &mut [T], from: &[T], rows: usize, (length, stride): (usize, usize)) {
            let lines = to
                .chunks_mut(stride)
                .zip(from.chunks_exact(length))
                .take(rows);
            for (to, from) in lines {
                to[..length].copy_from_slice(from);
            }
        }
        match (self, chunk) {
            (Self::Bytes(to), Self::Bytes(from)) => copy(&mut to[first..], from, rows, lines),
            (Self::Deep(to), Self::Deep(from)) => copy(&mut to[first..], from, rows, lines),
            // The depth of the image is that of all its chunks.
            _ => {}
        }
    }
}

impl Colours {
    /// The error says what the samples are.
    pub(super) fn new(
        interpretation: Option<PhotometricInterpretation>,
        bands: usize,
        map: Option<Vec<u16>>,
    ) -> Result<Self, String> {
        use PhotometricInterpretation as P;
        match (interpretation, bands) {
            (Some(P::BlackIsZero), 1 | 2) => Ok(Self::Grey { inverted: false }),
            (Some(P::WhiteIsZero), 1 | 2) => Ok(Self::Grey { inverted: true }),
            // Three bands of more than 8 bits are what GDAL writes for RGB when it is not told that it is.
            (Some(P::BlackIsZero), 3) | (Some(P::RGB), 3..) => Ok(Self::Rgb),
            (Some(P::CMYK), 4..) => Ok(Self::Cmyk),
            (Some(P::YCbCr), 3..) => Ok(Self::YCbCr),
            (Some(P::RGBPalette), 1) => {
                let map = map.ok_or("palette indices without a palette")?;
                Ok(Self::Palette(palette(&map)))
            }
            (Some(P::BlackIsZero | P::WhiteIsZero), _) => Err(format!(
                "{bands} bands without saying which are red, green and blue: choose them, as with gdal_translate -b 4 -b 3 -b 2"
            )),
            (Some(other), _) => Err(format!(
                "{other:?} colours in {bands} band(s), which are not read"
            )),
            (None, _) => Err("colours of an unknown kind".to_string()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Grey { inverted: true } => "grey samples with 0 as white",
            Self::Grey { inverted: false } => "grey samples",
            Self::Rgb => "RGB samples",
            Self::Palette(_) => "palette indices",
            Self::Cmyk => "CMYK samples",
            Self::YCbCr => "YCbCr samples",
        }
    }

    /// The bands that the colours are made of.
    pub(super) fn bands(&self) -> std::ops::Range<usize> {
        match self {
            Self::Grey { .. } | Self::Palette(_) => 0..1,
            Self::Rgb | Self::YCbCr => 0..3,
            Self::Cmyk => 0..4,
        }
    }

    /// Whether they are read with more than 8 bits.
    pub(super) fn take_depth(&self) -> bool {
        matches!(self, Self::Rgb | Self::Grey { inverted: false })
    }

    /// The picture of (height, width) pixels; `place` says where the sample of (pixel, band) lies. `None` if there are too few.
    pub(super) fn picture(
        &self,
        size: (usize, usize),
        bits: u16,
        samples: &Samples,
        place: impl Fn(usize, usize) -> usize,
    ) -> Option<Picture> {
        match samples {
            Samples::Deep(samples) => {
                let bands = if matches!(self, Self::Rgb) {
                    [0, 1, 2]
                } else {
                    [0; 3]
                };
                let pixels = rows(size, |i| {
                    let [r, g, b] = bands.map(|band| samples.get(place(i, band)).copied());
                    Some([r?, g?, b?])
                })?;
                let (height, width) = (size.0 as u32, size.1 as u32);
                Rgb32FImage::from_vec(width, height, pixels).map(Picture::Deep)
            }
            Samples::Bytes(samples) => {
                let largest = if bits < 8 { (1 << bits) - 1 } else { u8::MAX };
                let pixels = rows(size, |i| {
                    let at = |band| samples.get(place(i, band)).copied();
                    Some(match self {
                        Self::Grey { inverted } => {
                            let grey = (u16::from(at(0)?) * 255 / u16::from(largest)) as u8;
                            [if *inverted { 255 - grey } else { grey }; 3]
                        }
                        Self::Rgb => [at(0)?, at(1)?, at(2)?],
                        Self::Palette(colours) => *colours.get(usize::from(at(0)?))?,
                        Self::Cmyk => {
                            let light = u16::from(255 - at(3)?);
                            let under = |ink: u8| (u16::from(255 - ink) * light / 255) as u8;
                            [under(at(0)?), under(at(1)?), under(at(2)?)]
                        }
                        Self::YCbCr => rgb([at(0)?, at(1)?, at(2)?]),
                    })
                })?;
                let (height, width) = (size.0 as u32, size.1 as u32);
                RgbImage::from_vec(width, height, pixels).map(Picture::Bytes)
            }
        }
    }
}

fn rows<T: Copy>(
    (height, width): (usize, usize),
    pixel: impl Fn(usize) -> Option<[T; 3]>,
) -> Option<Vec<T>> {
    let mut pixels = Vec::with_capacity(height * width * 3);
    for i in 0..height * width {
        pixels.extend(pixel(i)?);
    }
    Some(pixels)
}

/// The colours of a map of 16-bit values, all red ones first. Some programs write 8-bit values in their place.
fn palette(map: &[u16]) -> Vec<[u8; 3]> {
    let shift = if map.iter().all(|&value| value < 256) {
        0
    } else {
        8
    };
    let colours = map.len() / 3;
    let value = |i: usize| (map[i] >> shift) as u8;
    (0..colours)
        .map(|i| [value(i), value(colours + i), value(2 * colours + i)])
        .collect()
}

/// YCbCr with the coefficients of ITU-R BT.601 over the full range, as JPEG has it (T.871, section 7) and TIFF by default.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let green = y - 0.344_136_3 * cb - 0.714_136_3 * cr;
    [y + 1.402 * cr, green, y + 1.772 * cb].map(|value| value.round() as u8)
}

/// One byte for each sample of `bits` bits; each row begins with a new byte.
fn unpacked(packed: &[u8], width: usize, bits: u16) -> Vec<u8> {
    let per_byte = 8 / usize::from(bits);
    let row_bytes = width.div_ceil(per_byte);
    let mask = (1u16 << bits) as u8 - 1;
    let sample = |row: &[u8], x: usize| {
        let shift = 8 - usize::from(bits) * (x % per_byte + 1);
        row[x / per_byte] >> shift & mask
    };
    let rows = packed.chunks_exact(row_bytes);
    rows.flat_map(|row| (0..width).map(move |x| sample(row, x)))
        .collect()
}
