//! One image file to RGB, refusing files that are cut short.

mod band;
mod jpeg;
mod png;
mod tiff;

pub(super) use band::Band;
pub(super) use png::PngRows;
pub(super) use tiff::TiffRows;

use super::stretch::{Histogram, Stretch};
use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb32FImage, RgbImage,
};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};
use std::path::Path;

/// Extensions of files that are taken for images, in any case.
const EXTENSIONS: [&str; 14] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "tif", "tiff", "bmp", "dib", "webp", "pnm", "ppm", "pgm",
    "pbm",
];

/// [`EXTENSIONS`] as a phrase for messages.
pub(super) const ACCEPTED: &str =
    ".jpg, .jpeg, .jpe, .jfif, .png, .tif, .tiff, .bmp, .dib, .webp, .pnm, .ppm, .pgm and .pbm";

/// Type and checksum of a PNG's last chunk.
const PNG_END: &[u8; 8] = b"IEND\xAE\x42\x60\x82";

/// A decoded image, the right side up.
#[derive(Debug)]
pub(super) enum Picture {
    /// 8 bits a sample, as they are to be seen.
    Bytes(RgbImage),
    /// More bits than that, or signs, or fractions: numbers of which the file does not say what is black and what is white. NaN where
    /// nothing was measured.
    Deep(Rgb32FImage),
}

/// What a file says of its image before it is decoded.
pub(super) struct Header {
    /// Height and width, the right side up.
    pub size: (usize, usize),
    /// Whether it will be [`Picture::Deep`].
    pub deep: bool,
    /// Whether its pixels lie in the file as they are to be seen: no camera turned it.
    pub upright: bool,
    /// What its samples mean and how many bits each has, for people.
    pub colours: String,
}

impl Header {
    fn new(
        (height, width): (usize, usize),
        orientation: Orientation,
        deep: bool,
        colours: String,
    ) -> Self {
        use Orientation as O;
        let turned = matches!(
            orientation,
            O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH
        );
        let size = if turned {
            (width, height)
        } else {
            (height, width)
        };
        let upright = orientation == O::NoTransforms;
        Self {
            size,
            deep,
            upright,
            colours,
        }
    }

    /// The header of a file; `None` where it cannot be read (decoding will say why).
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut file = BufReader::new(File::open(path).ok()?);
        let format = format(file.fill_buf().ok()?).ok()?;
        if format == ImageFormat::Tiff {
            return tiff::header(file);
        }
        let mut decoder = ImageReader::with_format(file, format).into_decoder().ok()?;
        let (width, height) = decoder.dimensions();
        let orientation = decoder.orientation().ok()?;
        let colour = decoder.color_type();
        let name = match (colour.has_color(), colour.has_alpha()) {
            (false, false) => "grey",
            (false, true) => "grey and alpha",
            (true, false) => "RGB",
            (true, true) => "RGB and alpha",
        };
        let bits = colour.bits_per_pixel() / u16::from(colour.channel_count());
        let colours = format!("{name}, {bits} bits");
        let size = (height as usize, width as usize);
        Some(Self::new(size, orientation, is_deep(colour), colours))
    }
}

fn is_deep(colour: ColorType) -> bool {
    !matches!(
        colour,
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8
    )
}

/// Whether the name says that the file is an image.
pub(super) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// The format that a file begins like, whatever its extension claims.
pub(super) fn format(begin: &[u8]) -> Result<ImageFormat, String> {
    // BigTIFF, which `image` does not know.
    if begin.starts_with(b"II+\0") || begin.starts_with(b"MM\0+") {
        return Ok(ImageFormat::Tiff);
    }
    use ImageFormat as F;
    match image::guess_format(begin) {
        Ok(known @ (F::Jpeg | F::Png | F::Tiff | F::Bmp | F::WebP | F::Pnm)) => Ok(known),
        Ok(other) => Err(format!(
            "the content is {other:?}, which is not read; convert it to PNG"
        )),
        Err(_) => Err("the content is neither JPEG, PNG, TIFF, BMP, WebP nor PNM".to_string()),
    }
}

/// Decodes the contents of a file. Grey and palettes become RGB, alpha is left out, orientation is applied.
pub(super) fn decode(bytes: Vec<u8>) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty (0 bytes)".to_string());
    }
    let format = format(&bytes)?;
    match format {
        ImageFormat::Tiff => return tiff::decode(bytes),
        ImageFormat::Jpeg => jpeg::check(&bytes)?,
        ImageFormat::Png if !bytes.windows(8).rev().any(|w| w == PNG_END) => {
            return Err("the file is cut short: its end marker is missing".to_string());
        }
        ImageFormat::WebP if riff_length(&bytes).is_none_or(|length| length > bytes.len()) => {
            return Err("the file is cut short: it says that it is longer".to_string());
        }
        _ => {}
    }
    let decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder();
    let mut decoder = decoder.map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    let image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    if image.width() == 0 || image.height() == 0 {
        return Err("the image has no pixels".to_string());
    }
    let picture = if is_deep(image.color()) {
        let samples = image.into_rgb16();
        let (width, height) = samples.dimensions();
        let values = samples.iter().copied().map(f32::from).collect();
        Rgb32FImage::from_vec(width, height, values).map(Picture::Deep)
    } else {
        Some(Picture::Bytes(image.into_rgb8()))
    };
    let picture = picture.ok_or("the image has no pixels")?;
    Ok(oriented(picture, orientation))
}

/// The length that a RIFF file, as WebP is one, gives itself.
fn riff_length(bytes: &[u8]) -> Option<usize> {
    let contents = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    usize::try_from(contents).ok()?.checked_add(8)
}

/// Turns the picture the right side up.
fn oriented(picture: Picture, orientation: Orientation) -> Picture {
    let turned = |image: DynamicImage| {
        let mut image = image;
        image.apply_orientation(orientation);
        image
    };
    match picture {
        Picture::Bytes(image) => Picture::Bytes(turned(image.into()).into_rgb8()),
        Picture::Deep(image) => Picture::Deep(turned(image.into()).into_rgb32f()),
    }
}

impl Picture {
    /// The picture in 8 bits; a deep one by `stretch`.
    pub(super) fn into_bytes(self, stretch: Option<&Stretch>) -> Result<RgbImage, String> {
        match (self, stretch) {
            (Self::Bytes(image), _) => Ok(image),
            (Self::Deep(image), Some(stretch)) => Ok(stretch.apply(&image)),
            (Self::Deep(_), None) => {
                Err("it has more than 8 bits a sample, which its header hides".to_string())
            }
        }
    }
}

impl Picture {
    /// The digest of the size and of all samples: equal for pictures that no eye and no network can tell apart.
    pub(super) fn digest(&self) -> [u8; 32] {
        let (size, mut hash) = (self.size(), Sha256::new());
        for side in [size.0, size.1] {
            hash.update((side as u64).to_le_bytes());
        }
        match self {
            Self::Bytes(image) => hash.update(image.as_raw()),
            Self::Deep(image) => image
                .as_raw()
                .iter()
                .for_each(|sample| hash.update(sample.to_le_bytes())),
        }
        hash.finalize().into()
    }

    /// What makes all of a deep picture visible.
    pub(super) fn own_stretch(&self) -> Option<Stretch> {
        match self {
            Self::Bytes(_) => None,
            Self::Deep(samples) => {
                let mut histogram = Histogram::new();
                histogram.add(samples);
                Some(histogram.stretch())
            }
        }
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = match self {
            Self::Bytes(image) => image.dimensions(),
            Self::Deep(image) => image.dimensions(),
        };
        (height as usize, width as usize)
    }
}

/// Fits an image to `height` x `width`. The filter widens with the reduction, so that nothing aliases.
pub(super) fn fit(image: &RgbImage, (height, width): (usize, usize)) -> RgbImage {
    resize(image, width as u32, height as u32, FilterType::CatmullRom)
}

#[cfg(test)]
mod tests;
