use super::*;
use crate::data::Shares;
use crate::data::sheet::sheet;
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fs;
use tempfile::{TempDir, tempdir};

fn put(dir: &TempDir, name: &str, side: u32, value: u8) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(side, side, Rgb([value, 1, 2]))
        .save(path)
        .unwrap();
}

/// Two classes with copies in other formats, a broken file, a grey image, odd sizes.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    for number in 0..10 {
        put(&dir, &format!("a/{number}.png"), 8, number);
        put(&dir, &format!("b/{number}.bmp"), 8, 100 + number);
    }
    put(&dir, "a/copy.tif", 8, 3);
    put(&dir, "b/copy.bmp", 8, 3);
    put(&dir, "b/odd.png", 9, 3);
    fs::write(dir.path().join("a/empty.jpg"), "").unwrap();
    fs::write(dir.path().join("a/notes.txt"), "").unwrap();
    let grey = GrayImage::from_pixel(8, 8, Luma([77]));
    grey.save(dir.path().join("b/grey.png")).unwrap();
    dir
}

const SHARES: Shares = Shares::new(0.5, 0.0);

fn look_at(dir: &TempDir, seed: u64) -> Inspection {
    inspect(
        dir.path(),
        &LoadOptions::default(),
        &Division::Drawn(SHARES),
        seed,
    )
    .unwrap()
}

fn count(name: &str, count: usize) -> Count {
    let name = name.to_string();
    Count { name, count }
}

#[test]
fn what_is_there_is_counted_and_what_is_broken_is_named() {
    let found = look_at(&folder(), 0);
    assert_eq!((found.layout, found.objects), (Layout::Folders, false));
    assert_eq!(found.classes, [count("a", 11), count("b", 13)]);
    assert_eq!((found.images, found.files), (24, 25));
    assert_eq!(found.sizes, [count("8 x 8", 23), count("9 x 9", 1)]);
    let colours = [
        count("RGB, 8 bits", 22),
        count("RGB samples in 3 band(s), 8 bits", 1),
        count("grey, 8 bits", 1),
    ];
    assert_eq!(found.colours, colours);
    assert_eq!(found.broken.len(), 1);
    assert_eq!(found.broken[0].file, "a/empty.jpg");
    assert!(found.broken[0].reason.contains("0 bytes"));
    assert_eq!(found.passed_over, BTreeMap::from([(".txt".to_string(), 1)]));
    assert_eq!(found.split.map(|parts| parts.iter().sum()), Some(24));
}

#[test]
fn copies_are_told_by_their_pixels_and_those_across_the_split_named() {
    let dir = folder();
    let mut straddled = 0;
    for seed in 0..20 {
        let copies = look_at(&dir, seed).duplicates;
        assert_eq!(copies.copies, 2);
        let classes = ("a/3.png".to_string(), "b/copy.bmp".to_string());
        assert_eq!(copies.in_two_classes, [classes]);
        let shares = Split::stratified(&labels(), &["a", "b"].map(String::from), &SHARES, seed);
        let tested = shares.unwrap().test;
        // a/3.png, a/copy.tif and b/copy.bmp among the 24 that are sound.
        let places = [3, 10, 21];
        let tests = places.iter().filter(|place| tested.contains(place)).count();
        let expected = if tests < 3 { tests } else { 0 };
        assert_eq!(copies.straddling.len(), expected, "seed {seed}");
        straddled += expected;
    }
    assert!(straddled > 0);
}

fn labels() -> Vec<u32> {
    (0..24).map(|i| u32::from(i >= 11)).collect()
}

#[test]
fn a_contact_sheet_shows_each_class_under_its_name() {
    let dir = folder();
    let drawn = sheet(dir.path(), &LoadOptions::default()).unwrap();
    assert_eq!(drawn.dimensions(), (1004, 252));
    let colours = |top: u32| {
        let pixels = (4..1000)
            .step_by(100)
            .map(|x| *drawn.get_pixel(x + 48, top));
        pixels.collect::<Vec<_>>()
    };
    // Ten of the twelve files of the first class, one of them broken; the first is nearly black, those of the second reddish.
    assert_eq!(colours(76)[0], Rgb([0, 1, 2]));
    assert_eq!(colours(200)[0], Rgb([100, 1, 2]));
    let broken = Rgb([220, 60, 60]);
    let fresh = tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        put(&fresh, name, 8, 9);
    }
    fs::write(fresh.path().join("b/2.png"), "none").unwrap();
    let other = sheet(fresh.path(), &LoadOptions::default()).unwrap();
    assert_eq!(*other.get_pixel(152, 200), broken);
    let dark = |image: &RgbImage, top: u32| {
        (0..16).any(|y| (4..300).any(|x| image.get_pixel(x, top + y)[0] == 30))
    };
    assert!(dark(&drawn, 8) && dark(&drawn, 132));
}
