use super::*;
use image::{DynamicImage, ImageBuffer, Luma, Rgb, Rgba};

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Tiff,
    ImageFormat::Bmp,
    ImageFormat::WebP,
    ImageFormat::Pnm,
];

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
    decode(bytes.to_vec())?.into_bytes(None)
}

#[test]
fn all_formats_are_read_by_content() {
    let image = picture();
    for format in FORMATS.into_iter().filter(|&f| f != ImageFormat::Jpeg) {
        assert_eq!(decoded(&encoded(&image, format)).unwrap(), image.to_rgb8());
    }
    let jpeg = decoded(&encoded(&image, ImageFormat::Jpeg)).unwrap();
    assert_eq!(jpeg.dimensions(), (40, 30));
}

#[test]
fn a_file_cut_short_anywhere_is_refused_in_every_format() {
    for format in FORMATS {
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
fn grey_becomes_rgb_alpha_is_left_out_and_sixteen_bits_stay() {
    let grey: DynamicImage =
        ImageBuffer::<Luma<u16>, _>::from_pixel(4, 3, Luma([0x8180u16])).into();
    let alpha: DynamicImage =
        ImageBuffer::<Rgba<u8>, _>::from_pixel(4, 3, Rgba([10, 20, 30, 99])).into();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let Ok(Picture::Deep(image)) = decode(encoded(&grey, format)) else {
            panic!("{format:?} lost its depth");
        };
        assert!(image.pixels().all(|pixel| pixel.0 == [33152.0; 3]));
        let image = decoded(&encoded(&alpha, format)).unwrap();
        assert_eq!(image, RgbImage::from_pixel(4, 3, Rgb([10, 20, 30])));
    }
}

#[test]
fn an_image_is_turned_the_right_side_up() {
    let turned = decoded(include_bytes!("../../../tests/files/exif6.jpg")).unwrap();
    let right = decoded(include_bytes!("../../../tests/files/exif_applied.png")).unwrap();
    assert_eq!(turned.dimensions(), right.dimensions());
    // Decoders differ by a grey level or two; the stored order differs by hundreds.
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 3;
    assert!(turned.iter().zip(right.iter()).all(near));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/exif6.jpg");
    let header = Header::read(Path::new(path)).unwrap();
    let (width, height) = right.dimensions();
    assert_eq!(header.size, (height as usize, width as usize));
    assert!(!header.deep);
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
