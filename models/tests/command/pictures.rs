//! Small folders of images.

use image::{Rgb, RgbImage};
use std::fs;
use std::path::Path;

/// Writes an image whose texture depends on `number`; the extension of `path` chooses the format. Makes the folders it needs.
pub fn picture(path: &Path, (width, height): (u32, u32), number: u32) {
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder to make");
    let pixel = |x: u32, y: u32| {
        let stripes = (x * (1 + number % 3) + y * (number % 2)) * 40;
        Rgb([stripes, stripes / 2 + number * 9, number * 17].map(|value| (value % 256) as u8))
    };
    RgbImage::from_fn(width, height, pixel)
        .save(path)
        .expect("an image to write");
}

/// Writes `each` PNG images of 12 x 12 pixels for every one of `classes`, in a folder of its name.
pub fn classes(data: &Path, classes: &[&str], each: u32) {
    for (label, class) in (0..).zip(classes) {
        for number in 0..each {
            let path = data.join(class).join(format!("{number}.png"));
            picture(&path, (12, 12), label * 50 + number);
        }
    }
}
