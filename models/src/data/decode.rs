//! One image file to u8 RGB, refusing files that are cut short.

use image::imageops::{FilterType, resize};
use image::{ImageFormat, ImageReader, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// Extensions of files that are taken for images, in any case.
pub(super) const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "tif", "tiff"];

/// [`EXTENSIONS`] as a phrase for messages.
pub(super) const ACCEPTED: &str = ".jpg, .jpeg, .png, .tif and .tiff";

/// Type and checksum of a PNG's last chunk.
const PNG_END: &[u8; 8] = b"IEND\xAE\x42\x60\x82";

/// Whether the name says that the file is an image.
pub(super) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Height and width from the header alone; `None` where it cannot be read (decoding will say why).
pub(super) fn size(path: &Path) -> Option<(usize, usize)> {
    let reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    Some((height as usize, width as usize))
}

/// Decodes a file by its content, whatever its extension claims; 16-bit, grey, palette and alpha images become 8-bit RGB.
pub(super) fn decode(path: &Path) -> Result<RgbImage, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    if bytes.is_empty() {
        return Err("the file is empty (0 bytes)".to_string());
    }
    let format = image::guess_format(&bytes)
        .map_err(|_| "the content is neither JPEG, PNG nor TIFF".to_string())?;
    let complete = match format {
        ImageFormat::Jpeg => jpeg_is_complete(&bytes),
        ImageFormat::Png => bytes.windows(8).rev().any(|w| w == PNG_END),
        ImageFormat::Tiff => true,
        other => return Err(format!("the content is {other:?}, not JPEG, PNG or TIFF")),
    };
    if !complete {
        return Err("the file is cut short: its end marker is missing".to_string());
    }
    let image = ImageReader::with_format(Cursor::new(bytes), format).decode();
    let image = image.map_err(|e| e.to_string())?.into_rgb8();
    match image.is_empty() {
        true => Err("the image has no pixels".to_string()),
        false => Ok(image),
    }
}

/// Fits an image to `height` x `width`. The filter widens with the reduction, so that nothing aliases.
pub(super) fn fit(image: &RgbImage, (height, width): (usize, usize)) -> RgbImage {
    resize(image, width as u32, height as u32, FilterType::CatmullRom)
}

/// Walks the segments of a JPEG to its end-of-image marker. The decoder fills what is missing from a truncated file with grey
/// and reports success; searching for the marker's two bytes alone would find the one of an embedded thumbnail.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xD9;
    const START_OF_SCAN: u8 = 0xDA;
    let mut at = 2;
    let mut in_scan = false;
    while let Some(&[first, marker]) = bytes.get(at..at + 2).and_then(|b| b.first_chunk()) {
        let is_marker = first == 0xFF && !matches!(marker, 0x00 | 0xFF);
        let stands_alone = matches!(marker, 0x01 | 0xD0..=0xD8);
        match (is_marker, marker) {
            (true, END_OF_IMAGE) => return true,
            (true, _) if !stands_alone => {
                let Some(length) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                in_scan = marker == START_OF_SCAN;
            }
            (true, _) => at += 2,
            // Entropy-coded data, or fill bytes before a marker.
            (false, _) if in_scan || first == 0xFF => at += 1,
            (false, _) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageBuffer, Luma, Rgb, Rgba};

    fn picture() -> DynamicImage {
        let textured = |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, (x * y * 31 % 256) as u8]);
        RgbImage::from_fn(40, 30, textured).into()
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn decoded(bytes: &[u8]) -> Result<RgbImage, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        decode(file.path())
    }

    #[test]
    fn all_three_formats_are_read_by_content() {
        let image = picture();
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            assert_eq!(decoded(&encoded(&image, format)).unwrap(), image.to_rgb8());
        }
        let jpeg = decoded(&encoded(&image, ImageFormat::Jpeg)).unwrap();
        assert_eq!(jpeg.dimensions(), (40, 30));
    }

    #[test]
    fn a_file_cut_short_anywhere_is_refused_in_every_format() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff] {
            let whole = encoded(&picture(), format);
            assert!(decoded(&whole).is_ok());
            let end = whole.len();
            let cuts = (0..end).step_by(7).chain(end.saturating_sub(20)..end);
            for length in cuts {
                let outcome = decoded(&whole[..length]);
                assert!(
                    outcome.is_err(),
                    "{format:?} cut to {length} of {} bytes",
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn an_end_marker_inside_a_segment_is_not_the_end() {
        let mut jpeg = encoded(&picture(), ImageFormat::Jpeg);
        // A comment segment, as an embedded thumbnail would lie in an APP1 one.
        jpeg.splice(2..2, [0xFF, 0xFE, 0x00, 0x06, 0xFF, 0xD9, 0xFF, 0xD9]);
        assert!(decoded(&jpeg).is_ok());
        jpeg.truncate(jpeg.len() / 2);
        assert!(decoded(&jpeg).unwrap_err().contains("cut short"));
    }

    #[test]
    fn grey_alpha_and_sixteen_bits_become_rgb8() {
        let grey: DynamicImage =
            ImageBuffer::<Luma<u16>, _>::from_pixel(4, 3, Luma([0x8080u16])).into();
        let alpha: DynamicImage =
            ImageBuffer::<Rgba<u8>, _>::from_pixel(4, 3, Rgba([10, 20, 30, 99])).into();
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let image = decoded(&encoded(&grey, format)).unwrap();
            assert_eq!(image, RgbImage::from_pixel(4, 3, Rgb([0x80; 3])));
            let image = decoded(&encoded(&alpha, format)).unwrap();
            assert_eq!(image, RgbImage::from_pixel(4, 3, Rgb([10, 20, 30])));
        }
    }

    #[test]
    fn what_is_no_image_says_so() {
        assert!(decoded(b"").unwrap_err().contains("0 bytes"));
        assert!(
            decoded(b"hello, this is text")
                .unwrap_err()
                .contains("neither JPEG")
        );
        assert!(
            decoded(b"GIF89a\x01\x00\x01\x00\x00\x00\x00")
                .unwrap_err()
                .contains("Gif")
        );
    }
}
