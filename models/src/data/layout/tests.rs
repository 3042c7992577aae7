use super::*;
use crate::data::folder::{LoadOptions, Loaded, load};
use crate::data::{LeftOut, ObjectOptions};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fs;
use tempfile::{TempDir, tempdir};

fn put(dir: &TempDir, name: &str, contents: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

/// An image of 40 x 30 pixels, white where one of `boxes` (left, top, right, bottom) lies.
fn scene(dir: &TempDir, name: &str, boxes: &[[u32; 4]]) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let within = |x, y| move |b: &&[u32; 4]| (b[0]..b[2]).contains(&x) && (b[1]..b[3]).contains(&y);
    let grey = |x, y| {
        if boxes.iter().any(|b| within(x, y)(&b)) {
            250
        } else {
            10
        }
    };
    if name.contains("grey") {
        GrayImage::from_fn(40, 30, |x, y| Luma([grey(x, y)])).save(path)
    } else {
        RgbImage::from_fn(40, 30, |x, y| Rgb([grey(x, y), 60, 60])).save(path)
    }
    .unwrap();
}

/// What annotation tools write, with an owner's name, a part's name, and a box's sides out of order.
pub(super) fn voc(objects: &[(&str, [u32; 4])]) -> String {
    let object = |(class, [left, top, right, bottom]): &(&str, [u32; 4])| {
        format!(
            "<object><pose>Left</pose>\n<part><name>wing</name><bndbox><xmin>1</xmin></bndbox></part>\n\
             <bndbox>\n<ymax> {bottom}</ymax><xmin>{}</xmin><xmax>{right}.0</xmax><ymin>{}</ymin></bndbox>\n\
             <name>\n {class} </name></object>",
            left + 1,
            top + 1
        )
    };
    let objects: Vec<String> = objects.iter().map(object).collect();
    format!(
        "\u{feff}<?xml version=\"1.0\"?>\r\n<annotation><owner><name>somebody</name></owner>\n\
         <size><depth>3</depth><height>30</height><width>40</width></size>\n{}</annotation>",
        objects.join("\n")
    )
}

/// Two classes of two scenes, as RSOD lies on a disk; the scene of one tank holds an aircraft as well.
fn rsod() -> TempDir {
    let dir = tempdir().unwrap();
    let boxes = [[4, 4, 14, 14], [20, 10, 32, 16]];
    for (class, scenes) in [("aircraft", 2), ("oiltank", 2)] {
        for number in 0..scenes {
            let name = |inner: &str, end: &str| format!("{class}/{inner}/{class}_{number}.{end}");
            scene(&dir, &name("JPEGImages", "png"), &boxes);
            let second = if number == 0 { class } else { "aircraft" };
            let text = voc(&[(class, boxes[0]), (second, boxes[1])]);
            put(&dir, &name("Annotation/xml", "xml"), text);
            put(&dir, &name("Annotation/labels", "txt"), "not read");
        }
    }
    dir
}

const HEADER: &str = "imagesource:GoogleEarth\r\ngsd:0.146343590398\r\n";

/// Two scenes as DOTA lies on a disk: one with a header and CRLF, the other grey, without a header, with a corner outside.
fn dota() -> TempDir {
    let dir = tempdir().unwrap();
    scene(
        &dir,
        "images/P0001.png",
        &[[4, 4, 14, 14], [20, 10, 32, 16]],
    );
    scene(&dir, "images/P0002_grey.png", &[[0, 4, 6, 14]]);
    let lines = [
        "4 4 14 4 14 14 4 14 plane 0",
        "20.0 10.0 32.0 10.0 32.0 16.0 20.0 16.0 small-vehicle 0",
        "1 1 5 1 5 5 1 5 small-vehicle 0",
        "4 4 14 4 14 14 4 14 plane 1",
    ];
    put(
        &dir,
        "labelTxt/P0001.txt",
        format!("{HEADER}{}\r\n\r\n", lines.join("\r\n")),
    );
    let lines = "-6 4 6 4 6 14 -6 14 plane 0\n20 10 32 10 32 16 20 16 small-vehicle";
    put(&dir, "labelTxt/P0002_grey.txt", lines);
    dir
}

fn options(how: Objects) -> LoadOptions<'static> {
    LoadOptions {
        size: Some((10, 10)),
        objects: ObjectOptions {
            how,
            margin: 0.0,
            ..ObjectOptions::default()
        },
        ..LoadOptions::default()
    }
}

fn read(dir: &TempDir, options: &LoadOptions) -> Loaded {
    load(dir.path(), options).unwrap()
}

fn refusal(dir: &TempDir, options: &LoadOptions) -> String {
    load(dir.path(), options).unwrap_err().to_string()
}

#[test]
fn rsod_is_recognised_and_read_as_scenes_by_folder() {
    let dir = rsod();
    put(&dir, "runs/one/recipe.toml", "");
    let loaded = read(&dir, &options(Objects::Auto));
    assert_eq!((loaded.layout, loaded.objects), (Layout::Rsod, false));
    assert_eq!(loaded.dataset.classes, ["aircraft", "oiltank"]);
    assert_eq!(loaded.dataset.files[2], "oiltank/JPEGImages/oiltank_0.png");
    assert_eq!(loaded.dataset.labels, [0, 0, 1, 1]);
    assert_eq!(loaded.passed_over.total(), 0, "{}", loaded.passed_over);
}

#[test]
fn rsods_objects_have_their_own_class_and_their_own_pixels() {
    let dir = rsod();
    let loaded = read(&dir, &options(Objects::Axis));
    let data = &loaded.dataset;
    assert!(loaded.objects);
    assert_eq!(data.classes, ["aircraft", "oiltank"]);
    assert_eq!(data.labels, [0, 0, 0, 0, 1, 1, 1, 0]);
    assert_eq!(data.files[7], "oiltank/JPEGImages/oiltank_1.png#2");
    // The first object fills its crop; the second is half as high as it is wide, and the crop shows what is above and below.
    assert!(
        data.image(0)
            .unwrap()
            .as_chunks::<3>()
            .0
            .iter()
            .all(|p| *p == [250, 60, 60])
    );
    let second = data.image(1).unwrap();
    assert_eq!([second[0], second[3 * 55], second[3 * 99]], [10, 250, 10]);
    // Each object is an image of its own to those that look for copies.
    assert_ne!(data.digests[0], data.digests[1]);
}

#[test]
fn dota_is_recognised_and_read_as_objects_with_every_trap() {
    let dir = dota();
    let loaded = read(&dir, &options(Objects::Auto));
    let data = &loaded.dataset;
    assert_eq!((loaded.layout, loaded.objects), (Layout::Dota, true));
    assert_eq!(data.classes, ["plane", "small-vehicle"]);
    let names = [
        "P0001.png#1",
        "P0001.png#2",
        "P0002_grey.png#1",
        "P0002_grey.png#2",
    ];
    assert_eq!(data.files, names.map(|name| format!("images/{name}")));
    assert_eq!(data.labels, [0, 1, 0, 1]);
    assert_eq!(
        loaded.left_out,
        LeftOut {
            small: 1,
            difficult: 1
        }
    );
    // The corner outside: the image mirrored, which is white as far as it goes.
    assert_eq!(data.image(2).unwrap()[3 * 55..3 * 55 + 3], [250, 250, 250]);
    let mut all = options(Objects::Upright);
    all.objects.difficult = true;
    all.objects.least_size = 0;
    let all = read(&dir, &all);
    assert_eq!((all.dataset.len(), all.left_out.total()), (6, 0));
    // Names do not depend on what is left out.
    assert_eq!(all.dataset.files[3], "images/P0001.png#4");
}

#[test]
fn other_files_are_counted_and_named_and_images_and_annotations_meet_by_name() {
    let dir = dota();
    scene(&dir, "images/part2/P0003.png", &[]);
    put(&dir, "labelTxt/P0009.txt", "");
    put(&dir, "labelTxt/readme.md", "");
    put(&dir, "labelTxt/Z/P0001.txt", "of another version");
    put(&dir, "images/list.csv", "");
    let loaded = read(&dir, &options(Objects::Auto));
    let said = loaded.passed_over.to_string();
    for part in [
        "1 images without annotations (images/part2/P0003.png)",
        "1 annotations without an image (labelTxt/P0009.txt)",
        "1 .md (labelTxt/readme.md)",
        "1 further annotations of one name (labelTxt/Z/P0001.txt)",
        "1 .csv (images/list.csv)",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn broken_annotations_name_their_file_and_line_and_can_be_skipped() {
    for (line, reason) in [
        ("1 2 3 4 5 6 plane 0", "8 fields"),
        ("1 2 3 4 5 6 7 plane 0", "`plane` is no number"),
        ("4 4 14 4 14 14 4 x plane 0", "`x` is no number"),
        ("4 4 14 4 14 14 4 nan plane 0", "`nan` is no number"),
        ("4 4 14 4 14 14 4 14 0", "where the category belongs"),
        ("4 4 14 4 14 14 4 14 plane maybe", "`maybe`"),
        ("4 4 4 4 4 4 4 4 plane 0", "no area"),
        (
            "50 4 60 4 60 14 50 14 plane 0",
            "outside of its image of 40 x 30",
        ),
        ("gsd:0.5", "1 fields"),
    ] {
        let dir = dota();
        let good = "4 4 14 4 14 14 4 14 plane 0\n20 10 32 10 32 16 20 16 small-vehicle 0\n";
        put(
            &dir,
            "labelTxt/P0001.txt",
            format!("{HEADER}{good}{line}\n"),
        );
        let said = refusal(&dir, &options(Objects::Auto));
        for part in ["`labelTxt/P0001.txt, line 5`", reason, "--skip-bad"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        let skipping = LoadOptions {
            skip_bad: true,
            ..options(Objects::Auto)
        };
        let loaded = read(&dir, &skipping);
        assert_eq!(loaded.dataset.len(), 4);
        assert_eq!(loaded.skipped[0].file, "labelTxt/P0001.txt, line 5");
    }
    for (text, line, reason) in [
        ("<annotation>\n<object></annotation>", 2, "no valid XML"),
        ("<html/>", 1, "<html>"),
        ("", 1, "no valid XML"),
        (
            "<annotation>\n\n<object><name>a</name></object></annotation>",
            3,
            "<bndbox>",
        ),
        (
            "<annotation>\n<object><bndbox/></object></annotation>",
            2,
            "no <name>",
        ),
        (
            "<annotation>\n<object><name>a</name>\n<bndbox><xmin>1</xmin></bndbox></object></annotation>",
            3,
            "<ymin>",
        ),
        (
            "<annotation><object><name>a</name>\n<bndbox><xmin>9</xmin><ymin>1</ymin><xmax>3</xmax><ymax>z</ymax></bndbox></object></annotation>",
            2,
            "`z`",
        ),
        (
            "<annotation><object><name>a</name>\n<bndbox><xmin>9</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>",
            2,
            "from (9, 1) to (3, 3)",
        ),
    ] {
        let dir = rsod();
        put(&dir, "aircraft/Annotation/xml/aircraft_1.xml", text);
        let said = refusal(&dir, &options(Objects::Upright));
        let place = format!("`aircraft/Annotation/xml/aircraft_1.xml, line {line}`");
        for part in [place.as_str(), reason] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        // Nothing but broken annotations: that is what is said, not that there are no objects.
        for number in 0..2 {
            for class in ["aircraft", "oiltank"] {
                put(
                    &dir,
                    &format!("{class}/Annotation/xml/{class}_{number}.xml"),
                    text,
                );
            }
        }
        let said = refusal(&dir, &options(Objects::Upright));
        assert!(said.contains("(and 3 more files are bad)"), "{said}");
        // Scenes by folder need no annotation.
        assert_eq!(read(&dir, &options(Objects::Scenes)).dataset.len(), 4);
    }
}

#[test]
fn an_annotation_of_an_image_of_another_size_is_refused() {
    let dir = rsod();
    let text = voc(&[("aircraft", [1, 1, 9, 9])]).replace("<height>30", "<height>400");
    put(&dir, "aircraft/Annotation/xml/aircraft_1.xml", text);
    let said = refusal(&dir, &options(Objects::Axis));
    assert!(
        said.contains("40 x 400") && said.contains("has 40 x 30"),
        "{said}"
    );
}

#[test]
fn a_scene_that_cannot_be_decoded_is_named_once() {
    let dir = dota();
    let path = dir.path().join("images/P0001.png");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let said = refusal(&dir, &options(Objects::Auto));
    assert!(
        said.contains("`images/P0001.png` cannot be used") && !said.contains("more file"),
        "{said}"
    );
}

#[test]
fn what_does_not_go_together_is_refused_with_the_way_out() {
    let said = refusal(&dota(), &options(Objects::Scenes));
    assert!(
        said.contains("data.objects") && said.contains("upright"),
        "{said}"
    );
    let plain = tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
        scene(&plain, name, &[]);
    }
    let said = refusal(&plain, &options(Objects::Axis));
    assert!(said.contains("no annotated objects"), "{said}");
    let other = LoadOptions {
        layout: Layout::Dota,
        ..options(Objects::Auto)
    };
    let said = refusal(&rsod(), &other);
    assert!(
        said.contains("laid out as RSOD") && said.contains("data.layout"),
        "{said}"
    );
    let sizeless = LoadOptions {
        size: None,
        ..options(Objects::Auto)
    };
    assert!(refusal(&dota(), &sizeless).contains("data.image_size"));
    let mut large = options(Objects::Auto);
    large.objects.least_size = 100;
    let said = refusal(&dota(), &large);
    assert!(
        said.contains("2 annotated images") && said.contains("data.least_size"),
        "{said}"
    );
}

#[test]
fn objects_of_a_runs_classes_are_evaluated_whatever_else_is_there() {
    let dir = dota();
    let known = ["plane", "ship", "small-vehicle"].map(String::from);
    let evaluated = LoadOptions {
        classes: Some(&known),
        ..options(Objects::Auto)
    };
    let loaded = read(&dir, &evaluated);
    assert_eq!(loaded.dataset.labels, [0, 2, 0, 2]);
    let few = LoadOptions {
        classes: Some(&known[..1]),
        ..options(Objects::Auto)
    };
    assert!(refusal(&dir, &few).contains("does not know: small-vehicle"));
}
