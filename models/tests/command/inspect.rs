//! What is said of a data folder before anything is trained on it, and layouts with annotations, from inspection to evaluation.

use crate::pictures::{classes, picture};
use crate::sandbox::{Outcome, Sandbox};
use serde_json::Value;
use std::fs;

/// A folder laid out as DOTA: `scenes` images of 48 x 48 pixels with two objects of each of two classes.
fn dota(sandbox: &Sandbox, folder: &str, scenes: u32) {
    for number in 0..scenes {
        let name = format!("{folder}/images/P{number:04}.png");
        picture(&sandbox.at(name), (48, 48), number);
        let text = "imagesource:GoogleEarth\r\ngsd:0.1\r\n2 2 22 2 22 12 2 12 ship 0\r\n\
                    30 4 44 12 40 20 26 12 plane 0\r\n2 30 12 30 12 44 2 44 ship 0\r\n30 30 46 30 46 46 30 46 plane 1\r\n";
        let labels = sandbox.at(format!("{folder}/labelTxt/P{number:04}.txt"));
        fs::create_dir_all(labels.parent().unwrap()).unwrap();
        fs::write(labels, text).unwrap();
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).expect("one JSON value")
}

#[test]
fn a_folder_is_inspected_in_words_and_as_json_with_a_contact_sheet() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["forest", "water"], 10);
    fs::copy(
        sandbox.at("data/forest/1.png"),
        sandbox.at("data/water/same.png"),
    )
    .unwrap();
    fs::write(sandbox.at("data/water/none.jpg"), "").unwrap();
    let said = sandbox
        .ghostlight("data inspect data --sheet sheet.png")
        .assert_success();
    for part in [
        "a folder for each class",
        "21 images of 2 classes in 22 files",
        "11 water",
        "21 12 x 12",
        "RGB, 8 bits",
        "water/none.jpg: the file is empty",
        "1 image(s) are exact copies",
        "lie in two classes, as forest/1.png and water/same.png",
        "15 training, 2 validation and 4 test images",
    ] {
        assert!(said.stdout.contains(part), "{part:?} is not in {said:#?}");
    }
    let sheet = image::open(sandbox.at("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (1004, 252));
    let found = json(
        &sandbox
            .ghostlight("data inspect data --json")
            .assert_success(),
    );
    assert_eq!(found["layout"], "folders");
    assert_eq!(found["classes"][1]["count"], 11);
    assert_eq!(found["broken"][0]["file"], "water/none.jpg");
    assert_eq!(found["duplicates"]["copies"], 1);
}

#[test]
fn what_cannot_be_inspected_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.refuses("data inspect nowhere", &["`nowhere`", "does not exist"]);
    classes(&sandbox.at("data"), &["forest"], 2);
    sandbox.refuses("data inspect data", &["one class"]);
    classes(&sandbox.at("data"), &["water"], 2);
    sandbox.refuses(
        "data inspect data --sheet sheet.jpg",
        &["sheet.jpg", "end in .png"],
    );
    sandbox.refuses(
        "data inspect data --set data.objects=axis",
        &["no annotated objects", "data.objects"],
    );
    sandbox.refuses("data inspect data --set data.layout=dota", &["data.layout"]);
    sandbox.refuses(
        "data inspect data --set data.layuot=dota",
        &["data.layuot", "`data.layout`"],
    );
}

#[test]
fn objects_of_dota_are_inspected_trained_on_and_evaluated() {
    let sandbox = Sandbox::new();
    dota(&sandbox, "data", 6);
    dota(&sandbox, "held", 9);
    let said = sandbox.ghostlight("data inspect data").assert_success();
    for part in [
        "DOTA",
        "18 objects of 2 classes in 6 files",
        "12 ship",
        "6 objects: 0 smaller",
        "6 marked as difficult",
    ] {
        assert!(said.stdout.contains(part), "{part:?} is not in {said:#?}");
    }
    const DISTILL: &str = "distill --data data --out run --set teacher.arch=resnet8 --epochs 1 --set data.difficult=true";
    sandbox.refuses(DISTILL, &["data.image_size"]);
    let distill = format!("{DISTILL} --set data.image_size=16");
    let outcome = sandbox.ghostlight(&distill).assert_success();
    assert!(
        outcome
            .stderr
            .contains("its 24 images are objects cut out of its scenes"),
        "{outcome:#?}"
    );
    // Scenes and places that were trained on are known in another folder; three scenes are new there.
    let outcome = sandbox
        .ghostlight("eval run --data held --json")
        .assert_success();
    let split: Value =
        serde_json::from_slice(&fs::read(sandbox.at("run/split.json")).unwrap()).unwrap();
    let tested = split["split"]["test"].as_array().unwrap().len();
    assert_eq!(json(&outcome)["teacher"]["images"], tested + 12);
    fs::write(sandbox.at("held/labelTxt/P0008.txt"), "1 2 3 plane\n").unwrap();
    sandbox
        .ghostlight("eval run --data held")
        .assert_refused(&["`labelTxt/P0008.txt, line 1`", "4 fields"]);
    let outcome = sandbox
        .ghostlight("eval run --data held --json --skip-bad")
        .assert_success();
    assert_eq!(json(&outcome)["teacher"]["images"], tested + 8);
    let outcome = sandbox
        .ghostlight("predict run held/images/P0001.png")
        .assert_success();
    assert!(outcome.stdout.contains("ship") && outcome.stdout.contains("plane"));
}

#[test]
fn a_run_that_streams_its_images_ends_with_the_same_bits() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 30);
    let words = |out: &str, megabytes: usize| {
        format!(
            "distill --data data --out {out} --set teacher.arch=resnet8 --epochs 1 --set train.batch=16 --set data.image_size=96 \
             --set data.memory_mb={megabytes}"
        )
    };
    let kept = sandbox.ghostlight(&words("kept", 100)).assert_success();
    assert!(!kept.stderr.contains("kept in memory"), "{kept:#?}");
    let streamed = sandbox.ghostlight(&words("streamed", 1)).assert_success();
    assert!(
        streamed
            .stderr
            .contains("36 of 60 images are kept in memory"),
        "{streamed:#?}"
    );
    assert!(
        crate::reference::checkpoints(&sandbox.at("kept"))
            == crate::reference::checkpoints(&sandbox.at("streamed"))
    );
    // How much memory there is decides nothing about a run: it may go on with more.
    fs::remove_file(sandbox.at("streamed/checkpoints/student_dkd.safetensors")).unwrap();
    sandbox
        .ghostlight("distill --out streamed --resume --set data.memory_mb=7")
        .assert_success();
}
