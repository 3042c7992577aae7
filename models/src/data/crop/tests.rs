use super::*;
use image::Rgb;
use proptest::prelude::*;

/// An image in which every pixel tells where it is.
fn numbered(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(3 * x) as u8, (5 * y) as u8, 9]))
}

fn boxed(left: f64, top: f64, right: f64, bottom: f64) -> Outline {
    Outline([[left, top], [right, top], [right, bottom], [left, bottom]])
}

fn crop(image: &RgbImage, crop: Crop, side: usize) -> Vec<[u8; 3]> {
    let mut out = vec![0; side * side * 3];
    crop.cut(image, (side, side), &mut out);
    out.as_chunks::<3>().0.to_vec()
}

#[test]
fn a_square_box_at_its_own_size_is_copied_pixel_by_pixel() {
    let (image, outline) = (numbered(20, 16), boxed(4.0, 3.0, 12.0, 11.0));
    let found = crop(&image, Crop::new(outline, outline.along_axes(), 0.0), 8);
    for (i, pixel) in found.iter().enumerate() {
        let (row, column) = (i as u32 / 8, i as u32 % 8);
        assert_eq!(*pixel, image.get_pixel(4 + column, 3 + row).0);
    }
}

#[test]
fn an_oblong_keeps_its_shape_and_a_margin_is_shown_on_each_side() {
    let outline = boxed(8.0, 10.0, 16.0, 14.0);
    let margin = Crop::new(outline, outline.along_axes(), 0.25);
    assert_eq!((margin.side, margin.centre), (12.0, [12.0, 12.0]));
    let image = numbered(40, 30);
    let found = crop(&image, margin, 12);
    assert_eq!(found[0], image.get_pixel(6, 6).0);
    assert_eq!(found[12 * 12 - 1], image.get_pixel(17, 17).0);
}

#[test]
fn an_object_stands_upright_whichever_way_it_lies() {
    // Four quarter turns of one box: its first edge is to end on top.
    let image = numbered(24, 24);
    let upright = |corners: [Point; 4]| {
        let outline = Outline(corners);
        crop(
            &image,
            Crop::new(outline, outline.upright().unwrap(), 0.0),
            6,
        )
    };
    let corners = [[9.0, 9.0], [15.0, 9.0], [15.0, 15.0], [9.0, 15.0]];
    let pixel = |x: u32, y: u32| image.get_pixel(x, y).0;
    // The pixels in the corners of the box, in its corners' order.
    let seen = [pixel(9, 9), pixel(14, 9), pixel(14, 14), pixel(9, 14)];
    for turn in 0..4 {
        let found = upright(std::array::from_fn(|i| corners[(i + turn) % 4]));
        let shown = [found[0], found[5], found[35], found[30]];
        assert_eq!(
            shown,
            std::array::from_fn(|i| seen[(i + turn) % 4]),
            "turn {turn}"
        );
    }
    // The other way round the first edge is still on top, and nothing is mirrored.
    let found = upright([corners[1], corners[0], corners[3], corners[2]]);
    assert_eq!([found[0], found[5], found[35], found[30]], seen);
}

#[test]
fn a_slanting_ship_is_turned_level() {
    // A bright bar at 45 degrees on black.
    let image = RgbImage::from_fn(64, 64, |x, y| {
        let (a, b) = (f64::from(x) - 31.5, f64::from(y) - 31.5);
        let on = ((a - b).abs() < 6.0) && ((a + b).abs() < 40.0);
        Rgb([if on { 255 } else { 0 }; 3])
    });
    let r = std::f64::consts::FRAC_1_SQRT_2;
    let corner = |a: f64, b: f64| [32.0 + a * r - b * r, 32.0 + a * r + b * r];
    let outline = Outline([
        corner(-26.0, -4.0),
        corner(26.0, -4.0),
        corner(26.0, 4.0),
        corner(-26.0, 4.0),
    ]);
    let found = crop(
        &image,
        Crop::new(outline, outline.upright().unwrap(), 0.0),
        26,
    );
    let row = |row: usize| {
        found[row * 26 + 2..row * 26 + 24]
            .iter()
            .map(|p| u32::from(p[0]))
            .sum::<u32>()
            / 22
    };
    assert!(row(12) > 200 && row(13) > 200, "{} {}", row(12), row(13));
    assert!(row(6) < 20 && row(19) < 20, "{} {}", row(6), row(19));
}

#[test]
fn what_lies_beyond_the_edge_is_the_image_mirrored() {
    let image = numbered(10, 10);
    let outline = boxed(-4.0, 2.0, 2.0, 8.0);
    let found = crop(&image, Crop::new(outline, outline.along_axes(), 0.0), 6);
    let columns: Vec<u8> = found[..6].iter().map(|p| p[0] / 3).collect();
    assert_eq!(columns, [4, 3, 2, 1, 0, 1]);
    assert_eq!(
        [0, -1, -9, 10, 11, 17, 18].map(|at| mirrored(at, 10)),
        [0, 1, 9, 8, 7, 1, 0]
    );
    assert_eq!([-3, 0, 5].map(|at| mirrored(at, 1)), [0, 0, 0]);
}

#[test]
fn a_large_object_is_averaged_and_not_sampled() {
    // A checkerboard: samples would be black or white, its mean is grey.
    let image = RgbImage::from_fn(64, 64, |x, y| {
        Rgb([if (x + y) % 2 == 0 { 0 } else { 254 }; 3])
    });
    let outline = boxed(0.0, 0.0, 64.0, 64.0);
    let found = crop(&image, Crop::new(outline, outline.along_axes(), 0.0), 8);
    assert!(found.iter().all(|pixel| *pixel == [127; 3]), "{found:?}");
}

#[test]
fn boxes_that_can_be_no_objects_are_told_with_the_reason() {
    let size = Some((30, 40));
    let fault = |outline: Outline| outline.fault(size).unwrap_or_default();
    assert!(fault(boxed(3.0, 3.0, 3.0, 9.0)).contains("no area"));
    assert!(fault(boxed(1e200, 0.0, -1e200, 1e200)).contains("no area"));
    assert!(fault(boxed(40.0, 3.0, 45.0, 9.0)).contains("outside of its image of 40 x 30"));
    assert!(fault(boxed(3.0, -9.0, 9.0, 0.0)).contains("outside"));
    assert!(fault(boxed(0.0, 0.0, 81.0, 9.0)).contains("twice as long"));
    assert_eq!(fault(boxed(-3.0, -3.0, 9.0, 31.0)), "");
    assert_eq!(boxed(500.0, 3.0, 545.0, 9.0).fault(None), None);
}

#[test]
fn an_object_is_known_by_its_file_and_its_place_however_it_is_cut() {
    let (one, other) = (ImageDigest::of(b"one"), ImageDigest::of(b"other"));
    let outline = boxed(1.0, 2.0, 3.0, 4.0);
    let of = |outline: Outline, margin| Crop::new(outline, outline.along_axes(), margin);
    let digest = of(outline, 0.0).digest(one);
    assert_eq!(digest, of(outline, 0.5).digest(one));
    assert_ne!(digest, of(outline, 0.0).digest(other));
    assert_ne!(digest, of(boxed(1.0, 2.0, 3.0, 4.5), 0.0).digest(one));
}

proptest! {
    /// Any four corners that pass the check give a crop, of whatever image, and its pixels are pixels of the image or between them.
    #[test]
    fn any_outline_that_passes_is_cut(
        corners in prop::array::uniform4(prop::array::uniform2(-30.0..60.0f64)),
        (width, height) in (1..40u32, 1..40u32),
        (rows, columns) in (1..12usize, 1..12usize),
        margin in 0.0..2.0f64,
    ) {
        let outline = Outline(corners);
        if outline.fault(Some((height as usize, width as usize))).is_some() {
            return Ok(());
        }
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([100 + ((x + y) % 3) as u8; 3]));
        for frame in [Some(outline.along_axes()), outline.upright()].into_iter().flatten() {
            let mut out = vec![0; rows * columns * 3];
            Crop::new(outline, frame, margin).cut(&image, (rows, columns), &mut out);
            prop_assert!(out.iter().all(|value| (100..=102).contains(value)), "{:?}", out);
        }
    }
}
