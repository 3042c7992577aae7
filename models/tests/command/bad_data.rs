//! Data folders and files that cannot be learnt from.

use crate::pictures::{classes, picture};
use crate::sandbox::{Outcome, Sandbox};
use std::fs;

/// Words for a run on the folder `data` that is as short as can be.
const DISTILL: &str = "distill --data data --out out --set teacher.arch=resnet8 --epochs 1";

#[test]
fn a_missing_folder_is_named() {
    Sandbox::new().refuses(DISTILL, &["`data`", "does not exist"]);
}

#[test]
fn a_file_in_place_of_a_folder_is_named() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.at("data"), "").unwrap();
    sandbox.refuses(DISTILL, &["`data`", "not a folder"]);
}

#[test]
fn an_empty_folder_is_named() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.at("data")).unwrap();
    sandbox.refuses(DISTILL, &["`data`", "no class folders"]);
}

#[test]
fn a_single_class_is_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest"], 3);
    sandbox.refuses(DISTILL, &["`data`", "`forest`", "one class"]);
}

#[test]
fn a_class_without_images_is_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 3);
    fs::create_dir(sandbox.at("data/fields")).unwrap();
    fs::write(sandbox.at("data/fields/notes.txt"), "none yet").unwrap();
    sandbox.refuses(DISTILL, &["`fields`", "no image"]);
}

#[test]
fn a_class_with_a_single_image_is_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 3);
    classes(&sandbox.at("data"), &["fields"], 1);
    sandbox.refuses(DISTILL, &["`fields`", "1 usable", "at least 2"]);
}

#[test]
fn a_class_of_which_skipping_leaves_one_image_is_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 2);
    fs::write(sandbox.at("data/water/0.png"), "").unwrap();
    sandbox.refuses(&format!("{DISTILL} --skip-bad"), &["`water`", "1 usable"]);
}

#[test]
fn images_too_small_for_the_networks_are_refused() {
    let sandbox = Sandbox::new();
    for name in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
        picture(&sandbox.at("data").join(name), (7, 12), 1);
    }
    sandbox.refuses(DISTILL, &["12 x 7", "data.image_size"]);
}

/// Ruins the file `name` of a sound folder in three ways, and requires that each is refused by name and reason.
fn refused_when_ruined(name: &str) {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 3);
    let file = sandbox.at("data").join(name);
    picture(&file, (40, 40), 7);
    let whole = fs::read(&file).unwrap();
    for (contents, reason) in [
        (&b"not an image"[..], "neither JPEG, PNG, TIFF"),
        (&whole[..whole.len() / 2], ""),
        (&[], "0 bytes"),
    ] {
        fs::write(&file, contents).unwrap();
        sandbox.refuses(
            DISTILL,
            &[&format!("`{name}` cannot be used"), reason, "--skip-bad"],
        );
    }
}

#[test]
fn a_jpeg_that_is_none_or_cut_short_or_empty_is_named() {
    refused_when_ruined("forest/odd.jpg");
}

#[test]
fn a_png_that_is_none_or_cut_short_or_empty_is_named() {
    refused_when_ruined("forest/odd.png");
}

#[test]
fn a_tiff_that_is_none_or_cut_short_or_empty_is_named() {
    refused_when_ruined("water/odd.tif");
}

#[test]
fn odd_sizes_are_resized_and_bad_files_skipped_and_each_is_said_once() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 6);
    picture(&sandbox.at("data/forest/wide.jpg"), (30, 20), 3);
    picture(&sandbox.at("data/water/tall.tif"), (9, 40), 4);
    for bad in ["forest/empty.png", "water/empty.jpg"] {
        fs::write(sandbox.at("data").join(bad), "").unwrap();
    }
    let Outcome { stdout, stderr, .. } = sandbox
        .ghostlight(&format!("{DISTILL} --skip-bad --json"))
        .assert_success();
    let said = |what: &str| stderr.matches(what).count();
    assert_eq!(
        said("2 images were resized to 12 x 12 pixels"),
        1,
        "{stderr}"
    );
    assert_eq!(said("resized"), 1, "{stderr}");
    assert_eq!(
        said("2 files that could not be read were skipped"),
        1,
        "{stderr}"
    );
    for bad in ["skipped forest/empty.png", "skipped water/empty.jpg"] {
        assert_eq!(said(bad), 1, "{stderr}");
    }
    assert_eq!(
        said("10 training, 2 validation and 2 test images of 2 classes"),
        1,
        "{stderr}"
    );
    assert!(stdout.contains("student_dkd"), "{stdout}");
    let split = fs::read_to_string(sandbox.at("out/split.json")).unwrap();
    let split: serde_json::Value = serde_json::from_str(&split).unwrap();
    assert_eq!(split["skipped"][0]["file"], "forest/empty.png");
    assert_eq!(split["skipped"][1]["reason"], "the file is empty (0 bytes)");
    // What was left out once is left out again, without a word from the person who goes on.
    let again = sandbox
        .ghostlight("distill --resume --out out")
        .assert_success();
    assert!(
        again.stderr.contains("skipped forest/empty.png"),
        "{again:#?}"
    );
    let report = fs::read_to_string(sandbox.at("out/report.html")).unwrap();
    assert!(report.contains("--skip-bad"));
    let said = "2 files could not be read and were left out (forest/empty.png and 1 other: the file is empty (0 bytes)).";
    assert!(report.contains(said), "{report}");
}
