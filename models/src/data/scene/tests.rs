//! Scenes of every kind, read in pieces and whole.

use super::*;
use ghostlight_tests::cases;
use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};
use proptest::prelude::*;
use std::io::Cursor;

const STRETCH: Stretch = Stretch {
    low: [1000.0, 2000.0, 0.0],
    high: [60_000.0, 30_000.0, 65_535.0],
};

fn value(x: u32, y: u32, c: u32) -> u16 {
    (x * 2749 + y * 917 + c * 11_003 + x * y * 31) as u16
}

/// An image of each colour type that PNG and TIFF have in common, by its number.
fn image(kind: usize, (width, height): (u32, u32)) -> DynamicImage {
    let byte = |x, y, c| (value(x, y, c) >> 8) as u8;
    let v = value;
    let b = byte;
    match kind {
        0 => ImageBuffer::from_fn(width, height, |x, y| Luma([b(x, y, 0)])).into(),
        1 => ImageBuffer::from_fn(width, height, |x, y| {
            Rgb([b(x, y, 0), b(x, y, 1), b(x, y, 2)])
        })
        .into(),
        2 => ImageBuffer::from_fn(width, height, |x, y| {
            Rgba([b(x, y, 0), b(x, y, 1), b(x, y, 2), b(x, y, 3)])
        })
        .into(),
        3 => ImageBuffer::from_fn(width, height, |x, y| Luma([v(x, y, 0)])).into(),
        4 => ImageBuffer::from_fn(width, height, |x, y| {
            Rgb([v(x, y, 0), v(x, y, 1), v(x, y, 2)])
        })
        .into(),
        5 => ImageBuffer::from_fn(width, height, |x, y| LumaA([b(x, y, 0), b(x, y, 1)])).into(),
        _ => ImageBuffer::from_fn(width, height, |x, y| {
            Rgba([v(x, y, 0), v(x, y, 1), v(x, y, 2), v(x, y, 3)])
        })
        .into(),
    }
}

/// A file, the folder that goes with it, and its path.
fn saved(bytes: &[u8], name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn all(scene: &mut Scene, stretch: Option<&Stretch>) -> Result<Vec<u8>, DataError> {
    let mut pixels = Vec::new();
    while let Some(rows) = scene.next_rows(stretch)? {
        pixels.extend(rows.pixels);
    }
    Ok(pixels)
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_scene_read_in_pieces_is_the_image_that_a_folder_would_hold(
        kind in 0usize..7,
        // More samples than a band of a PNG has, now and then.
        size in prop_oneof![(1u32..60, 1u32..60), (700u32..900, 700u32..900)],
        tiff: bool,
    ) {
        let format = if tiff && kind != 5 { ImageFormat::Tiff } else { ImageFormat::Png };
        let bytes = encoded(&image(kind, size), format);
        let (_folder, path) = saved(&bytes, "scene");
        let mut scene = Scene::open(&path).unwrap();
        prop_assert_eq!(scene.size(), (size.1 as usize, size.0 as usize));
        prop_assert_eq!(scene.is_deep(), matches!(kind, 3 | 4 | 6));
        let whole = decode::decode(bytes).unwrap().into_bytes(Some(&STRETCH)).unwrap();
        prop_assert!(all(&mut scene, Some(&STRETCH)).unwrap() == whole.into_raw());
    }
}

#[test]
fn pixels_of_a_png_that_are_not_opaque_at_all_are_missing() {
    let clear = |x: u32, y: u32| if (x + y).is_multiple_of(2) { 0 } else { 1 };
    let all: [DynamicImage; 4] = [
        ImageBuffer::from_fn(7, 5, |x, y| Rgba([9u8, 9, 9, clear(x, y) as u8])).into(),
        ImageBuffer::from_fn(7, 5, |x, y| Rgba([9u16, 9, 9, clear(x, y)])).into(),
        ImageBuffer::from_fn(7, 5, |x, y| LumaA([9u8, clear(x, y) as u8])).into(),
        ImageBuffer::from_fn(7, 5, |x, y| LumaA([9u16, clear(x, y)])).into(),
    ];
    for image in all {
        let (_folder, path) = saved(&encoded(&image, ImageFormat::Png), "scene");
        let rows = Scene::open(&path)
            .unwrap()
            .next_rows(Some(&STRETCH))
            .unwrap();
        let wanted: Vec<bool> = (0..35).map(|i| (i / 7 + i % 7) % 2 == 0).collect();
        assert_eq!(rows.unwrap().missing, wanted);
    }
}

#[test]
fn a_scene_cut_short_anywhere_is_refused_and_named() {
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Jpeg] {
        let whole = encoded(&image(1, (40, 30)), format);
        for length in (0..whole.len()).step_by(11) {
            let (_folder, path) = saved(&whole[..length], "scene");
            let outcome = Scene::open(&path).and_then(|mut scene| all(&mut scene, None));
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains("scene` cannot be used"), "{message}");
        }
        let (_folder, path) = saved(&whole, "scene");
        assert!(all(&mut Scene::open(&path).unwrap(), None).is_ok());
    }
}

#[test]
fn what_can_only_be_decoded_whole_needs_the_memory_for_it() {
    let picture = image(1, (40, 30));
    for format in [ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Pnm] {
        let bytes = encoded(&picture, format);
        let (_folder, path) = saved(&bytes, "scene");
        let needed = 40 * 30 * SHALLOW + bytes.len() as u64;
        assert!(Scene::within(&path, Some(needed)).is_ok());
        let refused = Scene::within(&path, Some(needed - 1)).err().unwrap();
        let message = refused.to_string();
        assert!(
            message.contains("40 x 30") && message.contains("TILED=YES"),
            "{message}"
        );
    }
    // What is read in pieces needs a piece: a few rows, or a strip, which here is the whole.
    let picture = image(1, (400, 300));
    for (format, piece) in [(ImageFormat::Png, 0), (ImageFormat::Tiff, 22 * 400 * 300)] {
        let (_folder, path) = saved(&encoded(&picture, format), "scene");
        assert!(Scene::within(&path, Some(piece)).is_ok(), "{format:?}");
        let less = piece
            .checked_sub(1)
            .map(|less| Scene::within(&path, Some(less)));
        assert!(less.is_none_or(|scene| scene.is_err()));
    }
}

#[test]
fn an_interlaced_png_is_read_whole() {
    // Of a single pixel the first pass is the whole image, interlaced or not.
    let mut bytes = encoded(&image(1, (1, 1)), ImageFormat::Png);
    bytes[28] = 1;
    let crc = bytes[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0xEDB8_8320,
            _ => crc >> 1,
        })
    });
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    let (_folder, path) = saved(&bytes, "scene");
    let mut scene = Scene::open(&path).unwrap();
    assert!(matches!(scene.rows, Rows::Whole(false)));
    let pixels = all(&mut scene, None).unwrap();
    assert_eq!(pixels, image(1, (1, 1)).into_rgb8().into_raw());
}

#[test]
fn what_a_camera_turned_is_turned_back() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/");
    let mut scene = Scene::open(&Path::new(files).join("exif6.jpg")).unwrap();
    let right = image::open(Path::new(files).join("exif_applied.png")).unwrap();
    assert!(!scene.is_upright());
    assert_eq!(
        scene.size(),
        (right.height() as usize, right.width() as usize)
    );
    let pixels = all(&mut scene, None).unwrap();
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 3;
    assert!(pixels.iter().zip(right.into_rgb8().iter()).all(near));
}

#[test]
fn a_deep_scene_is_refused_where_the_run_saw_none() {
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let (_folder, path) = saved(&encoded(&image(4, (9, 9)), format), "scene");
        let refused = all(&mut Scene::open(&path).unwrap(), None).unwrap_err();
        let message = refused.to_string();
        assert!(
            message.contains("more than 8 bits") && message.contains("give a scene"),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_image_says_so() {
    for (bytes, named) in [
        (&b""[..], "0 bytes"),
        (b"hello, this is text", "neither JPEG"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00", "Gif"),
    ] {
        let (_folder, path) = saved(bytes, "scene");
        let message = Scene::open(&path).err().unwrap().to_string();
        assert!(message.contains(named), "{message}");
    }
    let missing = Scene::open(Path::new("nowhere.tif")).err().unwrap();
    assert!(missing.to_string().contains("nowhere.tif"));
}
