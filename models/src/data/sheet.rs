//! A contact sheet: some images of each class under the class's name, in one picture.

use super::folder::LoadOptions;
use super::scan::{Listing, Source};
use super::store::fit_into;
use super::{DataError, decode, layout, stop};
use font8x8::UnicodeFonts;
use image::imageops::overlay;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Images of each class.
const COLUMNS: usize = 10;
/// Side of a thumbnail in pixels.
const SIDE: u32 = 96;
/// Pixels between thumbnails.
const GAP: u32 = 4;
/// Size of a dot of the letters in pixels.
const DOT: u32 = 2;
/// Height of a class's name.
const LINE: u32 = 8 * DOT + 2 * GAP;
const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([30; 3]);
/// What stands for an image that cannot be used.
const MISSING: Rgb<u8> = Rgb([220, 60, 60]);

/// Draws up to ten images of each class, spread evenly over it, with the proportions of the files; an image that cannot be
/// decoded is a red square. Samples of more than 8 bits are shown by the
/// range of their image.
///
/// # Errors
/// Those of the layout, as in [`load`](super::folder::load); [`DataError::Stopped`].
pub fn sheet(dir: &Path, options: &LoadOptions) -> Result<RgbImage, DataError> {
    let Listing {
        classes, sources, ..
    } = layout::list(dir, options)?;
    let height = GAP + classes.len() as u32 * (LINE + SIDE + GAP);
    let width = GAP + COLUMNS as u32 * (SIDE + GAP);
    let mut sheet = RgbImage::from_pixel(width, height, PAPER);
    for (label, class) in (0..).zip(&classes) {
        let images: Vec<&Source> = sources.iter().filter(|it| it.label == label).collect();
        let top = GAP + label * (LINE + SIDE + GAP);
        write(
            &mut sheet,
            GAP,
            top + GAP,
            &format!("{class} ({})", images.len()),
        );
        let shown = images.len().min(COLUMNS);
        for place in 0..shown {
            stop::check(options.stop)?;
            let image = images[place * images.len() / shown];
            let left = GAP + place as u32 * (SIDE + GAP);
            let thumbnail =
                thumbnail(image).unwrap_or_else(|_| RgbImage::from_pixel(SIDE, SIDE, MISSING));
            let (x, y) = (
                (SIDE - thumbnail.width()) / 2,
                (SIDE - thumbnail.height()) / 2,
            );
            overlay(
                &mut sheet,
                &thumbnail,
                i64::from(left + x),
                i64::from(top + LINE + y),
            );
        }
    }
    Ok(sheet)
}

/// The image within a square of [`SIDE`].
fn thumbnail(source: &Source) -> Result<RgbImage, String> {
    let bytes = std::fs::read(&source.path).map_err(|e| e.to_string())?;
    let picture = decode::decode(bytes)?;
    let stretch = picture.own_stretch();
    let image = picture.into_bytes(stretch.as_ref())?;
    if source.crop.is_some() {
        let mut out = RgbImage::new(SIDE, SIDE);
        source.write(&image, (SIDE as usize, SIDE as usize), &mut out);
        return Ok(out);
    }
    let longer = image.width().max(image.height());
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    let mut out = RgbImage::new(scaled(image.width()), scaled(image.height()));
    let size = (out.height() as usize, out.width() as usize);
    fit_into(&image, size, &mut out);
    Ok(out)
}

/// Writes a line of text, as far as there is room; letters that the font does not have are question marks.
fn write(sheet: &mut RgbImage, left: u32, top: u32, text: &str) {
    for (place, letter) in (0..).zip(text.chars()) {
        let known = [
            &font8x8::BASIC_FONTS as &dyn UnicodeFonts,
            &font8x8::LATIN_FONTS,
            &font8x8::GREEK_FONTS,
        ];
        let dots = known
            .iter()
            .find_map(|font| font.get(letter))
            .or_else(|| font8x8::BASIC_FONTS.get('?'));
        for (row, dots) in (0..).zip(dots.unwrap_or_default()) {
            for column in (0..8).filter(|column| dots >> column & 1 == 1) {
                let (x, y) = (left + (place * 8 + column) * DOT, top + row * DOT);
                for (x, y) in (0..DOT).flat_map(|i| (0..DOT).map(move |j| (x + i, y + j))) {
                    if x < sheet.width() {
                        sheet.put_pixel(x, y, INK);
                    }
                }
            }
        }
    }
}
