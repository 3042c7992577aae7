//! TIFFs written here, in every layout, and a few that other programs wrote.

mod writer;

use super::*;
use crate::data::Stretch;
use ghostlight_tests::cases;
use image::RgbImage;
use proptest::prelude::*;
use writer::Spec;

fn spec() -> impl Strategy<Value = Spec> {
    let kinds = prop::sample::select(vec![
        (8, 1, 1),
        (8, 1, 2),
        (16, 1, 1),
        (16, 1, 2),
        (16, 2, 1),
        (32, 1, 2),
        (32, 3, 1),
        (32, 3, 2),
        (32, 3, 3),
    ]);
    let tiles = prop_oneof![Just(None), (1usize..3).prop_map(|n| Some(16 * n))];
    (
        1usize..40,
        1usize..40,
        1usize..7,
        kinds,
        any::<bool>(),
        (1usize..3, tiles),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                height,
                width,
                bands,
                (bits, format, predictor),
                planar,
                (rows, tile),
                big_endian,
                big,
            )| Spec {
                size: (height, width),
                bands,
                bits,
                format,
                interpretation: if bands < 3 { 1 } else { 2 },
                compression: 1,
                predictor,
                planar,
                chunk: (16 * rows, tile),
                big_endian,
                big,
            },
        )
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn red_green_and_blue_are_found_in_every_layout(spec in spec(), seed: u32) {
        let (height, width) = spec.size;
        let number = |y: usize, x: usize, band: usize| {
            let place = (y * width + x) * spec.bands + band;
            u64::from(seed.wrapping_mul(place as u32 | 1).wrapping_mul(2_654_435_761) >> 8) % 251
        };
        let bits = |y, x, band| match spec.format {
            3 => u64::from((number(y, x, band) as f32 / 7.0).to_bits()),
            _ => number(y, x, band),
        };
        let value = |y, x, band| match spec.format {
            3 => number(y, x, band) as f32 / 7.0,
            _ => number(y, x, band) as f32,
        };
        let file = spec.file(&spec.chunks(bits), &[]);
        let found = header(Cursor::new(&file)).unwrap();
        prop_assert_eq!(found.size, spec.size);
        let samples: Vec<f32> = match decode(file).unwrap() {
            Picture::Bytes(image) => {
                prop_assert!(!found.deep);
                image.iter().map(|&b| f32::from(b)).collect()
            }
            Picture::Deep(image) => {
                prop_assert!(found.deep);
                image.iter().copied().collect()
            }
        };
        prop_assert_eq!(samples.len(), height * width * 3);
        for (i, sample) in samples.into_iter().enumerate() {
            let band = if spec.bands < 3 { 0 } else { i % 3 };
            prop_assert_eq!(sample, value(i / 3 / width, i / 3 % width, band), "sample {}", i);
        }
    }

    #[test]
    fn rows_are_those_of_the_whole_image(spec in spec(), nodata in prop::option::of(0u64..9)) {
        let (height, width) = spec.size;
        let bits = |y, x, band| {
            let value = (y * 5 + x * 3 + band) as u64 % 9;
            if spec.format == 3 { u64::from((value as f32).to_bits()) } else { value }
        };
        let file = spec.file(&spec.chunks(bits), &[]);
        let stretch = Stretch { low: [1.0, 0.0, 2.0], high: [7.0, 8.0, 9.0] };
        let whole = decode(file.clone()).unwrap().into_bytes(Some(&stretch)).unwrap();
        let mut rows = TiffRows::new(Cursor::new(&file)).unwrap();
        prop_assert_eq!(rows.header().size, spec.size);
        rows.layout.nodata = nodata.map(|value| value as f32);
        let (mut pixels, mut missing) = (Vec::new(), Vec::new());
        while let Some(band) = rows.next(Some(&stretch)).unwrap() {
            prop_assert!(band.size().0 <= spec.chunk.0);
            pixels.extend(band.pixels);
            missing.extend(band.missing);
            missing.resize(pixels.len() / 3, false);
        }
        prop_assert_eq!(pixels.len(), height * width * 3);
        prop_assert!(nodata.is_some() || pixels == whole.into_raw());
        for (i, missing) in missing.into_iter().enumerate() {
            let bands = if spec.bands < 3 { 0..1 } else { 0..3 };
            let all = bands.clone().all(|band| {
                nodata == Some((i / width * 5 + i % width * 3 + band) as u64 % 9)
            });
            prop_assert_eq!(missing, all, "pixel {} of {} x {}", i, height, width);
        }
    }

    #[test]
    fn no_damage_makes_the_decoder_panic(spec in spec(), at: prop::sample::Index, byte: u8) {
        let mut file = spec.file(&spec.chunks(|_, _, _| 1), &[]);
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(mut rows) = TiffRows::new(Cursor::new(&file)) {
            while rows.band_bytes() < 1 << 24 && matches!(rows.next(None), Ok(Some(_))) {}
        }
        _ = decode(file);
    }
}

fn bytes(file: &[u8]) -> RgbImage {
    match decode(file.to_vec()).unwrap() {
        Picture::Bytes(image) => image,
        deep => panic!("{deep:?}"),
    }
}

#[test]
fn a_bigtiff_is_the_classic_one_with_longer_offsets() {
    let classic = bytes(include_bytes!("../../../../tests/files/classic.tif"));
    assert_eq!(
        classic,
        bytes(include_bytes!("../../../../tests/files/bigtiff.tif"))
    );
    assert_eq!(classic.get_pixel(0, 0).0, [14, 15, 22]);
}

#[test]
fn near_infrared_beside_rgb_leaves_it_as_it_is_with_a_predictor() {
    let image = bytes(include_bytes!("../../../../tests/files/rgbnir_flat_p2.tif"));
    assert!(image.pixels().all(|pixel| pixel.0 == [10, 20, 30]));
}

#[test]
fn palettes_and_ycbcr_are_read_as_other_programs_read_them() {
    let image = bytes(include_bytes!("../../../../tests/files/palette.tif"));
    assert_eq!(image.get_pixel(0, 0).0, [31, 27, 16]);
    assert_eq!(image.get_pixel(15, 15).0, [142, 193, 58]);
    let image = bytes(include_bytes!("../../../../tests/files/ycbcr_jpeg.tif"));
    for ((x, y), wanted) in [
        ((0, 0), [15, 12, 19]),
        ((1, 0), [38, 4, 3]),
        ((15, 15), [171, 195, 59]),
    ] {
        let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 2;
        let found = image.get_pixel(x, y).0;
        assert!(found.iter().zip(&wanted).all(near), "{found:?} {wanted:?}");
    }
}

#[test]
fn packed_bits_and_inverted_grey_become_bytes() {
    let spec = Spec {
        size: (2, 3),
        bits: 4,
        interpretation: 1,
        ..Spec::rgb(1, 4)
    };
    let file = spec.file(&[vec![0x0F, 0x70, 0xF0, 0x10]], &[]);
    let grey = |image: RgbImage| image.pixels().map(|p| p.0[0]).collect::<Vec<_>>();
    assert_eq!(grey(bytes(&file)), [0, 255, 119, 255, 0, 17]);
    let spec = Spec {
        interpretation: 0,
        ..spec
    };
    let file = spec.file(&[vec![0x0F, 0x70, 0xF0, 0x10]], &[]);
    assert_eq!(grey(bytes(&file)), [255, 0, 136, 0, 255, 238]);
}

#[test]
fn orientation_is_applied_and_missing_values_are_none() {
    let spec = Spec {
        size: (1, 2),
        ..Spec::rgb(3, 8)
    };
    let file = spec.file(&spec.chunks(|_, x, _| x as u64), &[(274, vec![6])]);
    assert_eq!(header(Cursor::new(&file)).unwrap().size, (2, 1));
    assert_eq!(bytes(&file).as_raw(), &[0, 0, 0, 1, 1, 1]);
    let spec = Spec::rgb(3, 16);
    // "7" and a closing zero as the text of GDAL's tag, in the one short number that holds both.
    let mut file = spec.file(
        &spec.chunks(|_, x, _| 7 + x as u64 % 2),
        &[(42113, vec![u16::from(b'7')])],
    );
    let entry = file
        .windows(4)
        .rposition(|w| w == [0x81, 0xA4, 3, 0])
        .unwrap();
    file[entry + 2..entry + 8].copy_from_slice(&[2, 0, 2, 0, 0, 0]);
    let Picture::Deep(image) = decode(file).unwrap() else {
        panic!("16 bits are deep");
    };
    assert!(image.get_pixel(0, 0).0[0].is_nan());
    assert_eq!(image.get_pixel(1, 0).0, [8.0; 3]);
}

#[test]
fn pixels_that_are_not_opaque_at_all_are_missing() {
    for (bits, kind) in [(8, 1), (8, 2), (16, 2), (8, 0)] {
        let spec = Spec::rgb(5, bits);
        let sample = |y: usize, x: usize, band| u64::from(band == 3 && (x + y) % 2 == 1);
        let mut file = spec.file(&spec.chunks(sample), &[]);
        // Of two further bands, 0 as the writer has them, the first becomes alpha.
        let entry = [0x52, 1, 3, 0, 2, 0, 0, 0];
        let place = file.windows(8).rposition(|it| it == entry).unwrap();
        file[place + 8] = kind;
        let mut rows = TiffRows::new(Cursor::new(&file)).unwrap();
        let stretch = Stretch {
            low: [0.0; 3],
            high: [1.0; 3],
        };
        let mut missing = Vec::new();
        while let Some(band) = rows.next(Some(&stretch)).unwrap() {
            missing.extend(band.missing);
        }
        let wanted: Vec<bool> = (0..35).map(|i| (i / 7 + i % 7) % 2 == 0).collect();
        assert_eq!(missing, if kind == 0 { Vec::new() } else { wanted });
    }
}

#[test]
fn what_is_not_read_is_refused_by_name_with_the_way_out() {
    let refused = |spec: Spec, parts: &[&str]| {
        let chunks = spec.chunks(|_, _, _| 1);
        let message = decode(spec.file(&chunks, &[])).unwrap_err();
        for part in parts.iter().chain(&["gdal_translate"]) {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        assert!(header(Cursor::new(spec.file(&chunks, &[]))).is_none());
    };
    let plain = || Spec::rgb(3, 8);
    refused(
        Spec {
            interpretation: 1,
            ..Spec::rgb(13, 16)
        },
        &["13 bands", "-b 4 -b 3 -b 2"],
    );
    refused(
        Spec {
            interpretation: 8,
            ..plain()
        },
        &["CIELab"],
    );
    refused(
        Spec {
            interpretation: 32803,
            ..plain()
        },
        &["unknown photometric interpretation"],
    );
    refused(
        Spec {
            compression: 50000,
            ..plain()
        },
        &["ZSTD", "COMPRESS=DEFLATE"],
    );
    refused(
        Spec {
            compression: 6,
            ..plain()
        },
        &["JPEG", "COMPRESS=DEFLATE"],
    );
    refused(
        Spec {
            interpretation: 6,
            ..plain()
        },
        &["YCbCr", "lower resolution"],
    );
    refused(
        Spec {
            interpretation: 5,
            ..Spec::rgb(4, 16)
        },
        &["CMYK samples of 16 bits"],
    );
    refused(
        Spec {
            format: 4,
            ..plain()
        },
        &["unknown samples of 8 bits"],
    );
    refused(
        Spec {
            bits: 12,
            ..Spec::rgb(3, 16)
        },
        &["12 bits"],
    );
}

#[test]
fn a_jpeg_cut_and_closed_is_found_within_a_tiff() {
    let whole = include_bytes!("../../../../tests/files/whole.jpg");
    let cut = include_bytes!("../../../../tests/files/cut_then_closed.jpg");
    let image = image::load_from_memory(whole).unwrap();
    let size = (image.height() as usize, image.width() as usize);
    let spec = Spec {
        size,
        interpretation: 6,
        compression: 7,
        chunk: (size.0, None),
        ..Spec::rgb(3, 8)
    };
    let read = bytes(&spec.file(&[whole.to_vec()], &[]));
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 3;
    assert!(read.iter().zip(image.to_rgb8().iter()).all(near));
    let message = decode(spec.file(&[cut.to_vec()], &[])).unwrap_err();
    assert!(message.contains("cut short"), "{message}");
}
