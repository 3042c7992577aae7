use super::*;
use ghostlight_tests::cases;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use proptest::prelude::*;

const WHOLE: [(&str, &[u8]); 5] = [
    ("whole", include_bytes!("../../../../tests/files/whole.jpg")),
    ("exif6", include_bytes!("../../../../tests/files/exif6.jpg")),
    (
        "420",
        include_bytes!("../../../../tests/files/progressive_420.jpg"),
    ),
    (
        "444",
        include_bytes!("../../../../tests/files/progressive_444.jpg"),
    ),
    (
        "restarts",
        include_bytes!("../../../../tests/files/restarts_420.jpg"),
    ),
];

/// The first `length` bytes with an end marker behind.
fn closed(jpeg: &[u8], length: usize) -> Vec<u8> {
    [&jpeg[..length], &[0xFF, END_OF_IMAGE]].concat()
}

/// Where scans and what defines their tables begin.
fn scans(jpeg: &[u8]) -> Vec<usize> {
    let pairs = jpeg.windows(2).enumerate();
    let begins = pairs.filter(|(_, pair)| matches!(pair, [0xFF, 0xC4 | START_OF_SCAN]));
    begins.map(|(at, _)| at).collect()
}

#[test]
fn a_file_cut_anywhere_and_closed_is_refused() {
    for (name, jpeg) in WHOLE {
        assert_eq!(check(jpeg), Ok(()), "{name}");
        for length in 2..jpeg.len() - 2 {
            let outcome = check(&closed(jpeg, length));
            assert!(outcome.is_err(), "{name} cut to {length} of {}", jpeg.len());
        }
    }
    let cut = include_bytes!("../../../../tests/files/cut_then_closed.jpg");
    assert_eq!(check(cut), Err(CUT));
}

#[test]
fn a_progressive_file_that_ends_between_two_scans_lacks_its_last_details() {
    for (name, jpeg) in &WHOLE[2..4] {
        let scans = scans(jpeg);
        let (last, first) = (scans.last().unwrap(), scans[0]);
        assert_eq!(check(&closed(jpeg, *last)), Err(COARSE), "{name}");
        assert_eq!(check(&closed(jpeg, first)), Err(CUT), "{name}");
        // Each of the scans is needed, not the last one alone.
        let coarse = scans
            .iter()
            .filter(|&&at| check(&closed(jpeg, at)) == Err(COARSE));
        assert!(coarse.count() > 3, "{name}");
    }
}

#[test]
fn bytes_behind_the_end_and_fill_bytes_before_a_marker_do_no_harm() {
    for (name, jpeg) in WHOLE {
        let behind = [jpeg, b"another image, say"].concat();
        assert_eq!(check(&behind), Ok(()), "{name}");
        let filled = [&jpeg[..jpeg.len() - 2], &[0xFF, 0xFF, 0xFF, END_OF_IMAGE]].concat();
        assert_eq!(check(&filled), Ok(()), "{name}");
    }
}

#[test]
fn a_missing_table_and_a_missing_restart_marker_are_damage() {
    let (_, restarts) = WHOLE[4];
    let second = restarts
        .windows(2)
        .rposition(|w| matches!(w, [0xFF, 0xD0..=0xD7]))
        .unwrap();
    let mut jpeg = restarts.to_vec();
    jpeg.drain(second..second + 2);
    assert!(check(&jpeg).is_err());
    let (_, whole) = WHOLE[0];
    let mut jpeg = whole.to_vec();
    let tables = jpeg.windows(2).position(|w| w == [0xFF, 0xC4]).unwrap();
    // A comment in place of the first table.
    jpeg[tables + 1] = 0xFE;
    assert_eq!(check(&jpeg), Err(DAMAGED));
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_an_encoder_writes_is_whole_until_it_is_cut(
        (width, height) in (1usize..40, 1usize..40),
        grey: bool,
        quality in 1u8..=100,
        seed: u32,
        cut: prop::sample::Index,
    ) {
        let (colour, channels) = match grey {
            true => (ExtendedColorType::L8, 1),
            false => (ExtendedColorType::Rgb8, 3),
        };
        let noise = |i: usize| (seed.wrapping_mul(i as u32 | 1).wrapping_mul(2_654_435_761) >> 24) as u8;
        let pixels: Vec<u8> = (0..width * height * channels).map(noise).collect();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality)
            .write_image(&pixels, width as u32, height as u32, colour)
            .unwrap();
        prop_assert_eq!(check(&jpeg), Ok(()));
        let length = 2 + cut.index(jpeg.len() - 4);
        prop_assert!(check(&closed(&jpeg, length)).is_err(), "cut to {} of {}", length, jpeg.len());
        prop_assert!(check(&jpeg[..length]).is_err());
    }

    #[test]
    fn no_damage_makes_the_check_panic(which in 0usize..5, at: prop::sample::Index, byte: u8) {
        let mut jpeg = WHOLE[which].1.to_vec();
        let at = at.index(jpeg.len());
        jpeg[at] = byte;
        _ = check(&jpeg);
    }
}
