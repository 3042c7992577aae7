//! Folders as they lie on people's disks.

use crate::pictures::{classes, picture};
use crate::sandbox::{Outcome, Sandbox};
use image::{ImageBuffer, Rgb};
use std::fs;
use std::path::Path;

/// A run on the folder `data` that is as short as can be.
const DISTILL: &str = "distill --data data --out run --set teacher.arch=resnet8 --epochs 1";

/// Writes a 16-bit image whose samples lie from `first` to `first` + 399.
fn deep(path: &Path, first: u16) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let sample = |x: u32, y: u32| Rgb([first + ((x * 37 + y * 101) % 400) as u16; 3]);
    ImageBuffer::<Rgb<u16>, Vec<u16>>::from_fn(12, 12, sample)
        .save(path)
        .unwrap();
}

fn said(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        let count = outcome.stderr.matches(part).count();
        assert_eq!(count, 1, "{part:?} is said {count} times: {outcome:#?}");
    }
}

#[test]
fn subfolders_and_further_formats_are_read_and_the_rest_is_counted_and_named() {
    let sandbox = Sandbox::new();
    let data = sandbox.at("data");
    classes(&data, &["a", "b"], 2);
    for number in 0..6 {
        picture(
            &data.join(format!("a/2023/{number}.png")),
            (12, 12),
            100 + number,
        );
        picture(
            &data.join(format!("b/{number}.bmp")),
            (12, 12),
            200 + number,
        );
    }
    classes(&data.join("__MACOSX"), &["a"], 2);
    fs::write(data.join("b/scene.jp2"), "").unwrap();
    fs::write(data.join("labels.csv"), "").unwrap();
    let outcome = sandbox.ghostlight(DISTILL).assert_success();
    said(
        &outcome,
        &[
            "10 training, 2 validation and 4 test images of 2 classes",
            "2 files were passed over: 1 .csv (labels.csv), 1 .jp2 (b/scene.jp2)",
        ],
    );
}

#[test]
fn sixteen_bit_images_are_stretched_alike_in_training_evaluation_and_prediction() {
    let sandbox = Sandbox::new();
    for number in 0..5 {
        deep(
            &sandbox.at(format!("data/crop/{number}.tif")),
            600 + number * 3,
        );
        deep(
            &sandbox.at(format!("data/forest/{number}.tif")),
            1000 + number * 3,
        );
    }
    sandbox.refuses(
        &format!("{DISTILL} --set data.deep_images=refuse"),
        &[
            "`crop/0.tif` (as 9 other files)",
            "from 600 to 1409",
            "data.deep_images",
        ],
    );
    let outcome = sandbox.ghostlight(DISTILL).assert_success();
    said(
        &outcome,
        &[
            "10 images have more than 8 bits a sample",
            "[600.0, 600.0, 600.0] to [1408.0, 1408.0, 1408.0]",
        ],
    );
    // Much darker than all that was trained on: by its own range it would look like any other.
    deep(&sandbox.at("held/crop/0.tif"), 100);
    let outcome = sandbox.ghostlight("eval run --data held").assert_success();
    said(
        &outcome,
        &["[600.0, 600.0, 600.0] to [1408.0, 1408.0, 1408.0]"],
    );
    picture(&sandbox.at("tile.png"), (12, 12), 1);
    let outcome = sandbox
        .ghostlight("predict run held/crop/0.tif tile.png")
        .assert_success();
    assert_eq!(outcome.stdout.lines().count(), 2);
    said(&outcome, &["1 images have 8 bits a sample"]);
}

#[test]
fn a_run_beside_the_classes_is_not_taken_for_one() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 6);
    let words = "distill --data . --set teacher.arch=resnet8 --epochs 1";
    let within = |words: &str| Outcome::of(sandbox.command(words).current_dir(sandbox.at("data")));
    within(words).assert_success();
    let outcome = within(&format!("{words} --resume")).assert_success();
    said(
        &outcome,
        &["8 training, 2 validation and 2 test images of 2 classes"],
    );
    let run = fs::read_dir(sandbox.at("data/runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let eval = format!("eval runs/{} --data .", run.file_name().to_str().unwrap());
    said(&within(&eval).assert_success(), &["evaluating the other 2"]);
}

#[test]
fn images_that_were_trained_on_are_left_out_under_whatever_name() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 10);
    sandbox.ghostlight(DISTILL).assert_success();
    // One image more, one less, one renamed, one moved to the other class.
    picture(&sandbox.at("data/b/new.png"), (12, 12), 999);
    fs::remove_file(sandbox.at("data/a/0.png")).unwrap();
    fs::rename(sandbox.at("data/a/1.png"), sandbox.at("data/a/renamed.png")).unwrap();
    fs::rename(sandbox.at("data/a/2.png"), sandbox.at("data/b/moved.png")).unwrap();
    let outcome = sandbox
        .ghostlight("eval run --data data --json")
        .assert_success();
    let split: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.at("run/split.json")).unwrap()).unwrap();
    let part = |name: &str| -> Vec<u64> {
        let indices = split["split"][name].as_array().unwrap();
        indices.iter().map(|i| i.as_u64().unwrap()).collect()
    };
    let seen = [part("train"), part("validation")].concat();
    let removed = usize::from(seen.contains(&0));
    let trained = seen.len() - removed;
    let left = part("test").len() + removed;
    let note = format!("{trained} of 20 images were trained or validated on and are left out, as ");
    said(&outcome, &[&note, &format!("evaluating the other {left}")]);
    let found: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(found["teacher"]["images"], left);
    let only_trained = part("train")[0];
    let name = ["a", "b"][only_trained as usize / 10];
    let number = only_trained % 10;
    fs::create_dir_all(sandbox.at("seen").join(name)).unwrap();
    let picture_of =
        |folder: &Path| picture(folder, (12, 12), (only_trained / 10 * 50 + number) as u32);
    picture_of(&sandbox.at("seen").join(name).join("any.png"));
    sandbox
        .ghostlight("eval run --data seen")
        .assert_refused(&["trained or validated on all 1 images of seen"]);
}

#[test]
fn one_image_of_one_class_is_evaluated_and_unknown_classes_are_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b", "c"], 4);
    sandbox.ghostlight(DISTILL).assert_success();
    picture(&sandbox.at("held/c/x.png"), (12, 12), 777);
    fs::create_dir_all(sandbox.at("held/a")).unwrap();
    let outcome = sandbox
        .ghostlight("eval run --data held --json")
        .assert_success();
    let found: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(found["teacher"]["images"], 1);
    // Its true class is the third one: whatever is predicted, one of the two is right.
    let accuracy = found["teacher"]["accuracy"].as_f64().unwrap();
    let predicted = sandbox
        .ghostlight("predict run held/c/x.png --model teacher")
        .assert_success();
    assert_eq!(
        accuracy == 1.0,
        predicted.stdout.starts_with("held/c/x.png: c ")
    );
    picture(&sandbox.at("held/d/x.png"), (12, 12), 3);
    sandbox
        .ghostlight("eval run --data held")
        .assert_refused(&["does not know: d", "knows a, b, c"]);
}

#[test]
fn exact_copies_on_both_sides_of_the_split_are_counted_and_named() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 4);
    for copy in 0..4 {
        fs::copy(
            sandbox.at("data/a/0.png"),
            sandbox.at(format!("data/a/copy{copy}.png")),
        )
        .unwrap();
    }
    let outcome = sandbox
        .ghostlight(&format!("{DISTILL} --set data.test_fraction=0.5"))
        .assert_success();
    said(
        &outcome,
        &[
            "4 image(s) are exact copies of others",
            "are trained on as well",
        ],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn images_that_do_not_fit_into_memory_are_refused_before_anything_is_read() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 100);
    let mut limited = std::process::Command::new("sh");
    // 8 GB of addresses, which 200 images of 4096 x 4096 exceed.
    let script = format!(
        "ulimit -v 8000000; exec \"$0\" {DISTILL} --set data.image_size=4096 --set data.memory_mb=20000"
    );
    limited
        .args(["-c", &script, crate::sandbox::PROGRAM])
        .current_dir(sandbox.at(""));
    Outcome::of(&mut limited).assert_refused(&["200 images of 4096 x 4096", "data.image_size"]);
    assert!(!sandbox.at("run").exists());
}

#[test]
fn a_list_divides_the_images_and_one_that_names_no_file_is_refused() {
    let sandbox = Sandbox::new();
    classes(&sandbox.at("data"), &["a", "b"], 6);
    let lines = |parts: [&str; 6]| {
        let files = ["a", "b"].map(|class| (0..6).map(move |i| (i, format!("{class}/{i}.png"))));
        let line = |(i, name): (usize, String)| format!("{}\t{name}\n", parts[i]);
        files.into_iter().flatten().map(line).collect::<String>()
    };
    let whole = lines(["train", "train", "test", "validation", "test", "# "]);
    fs::write(sandbox.at("north.txt"), &whole).unwrap();
    fs::write(sandbox.at("wrong.txt"), format!("{whole}test\ta/9.png\n")).unwrap();
    sandbox.refuses(
        &format!("{DISTILL} --set data.split_file=wrong.txt"),
        &["wrong.txt, line 13", "`a/9.png` is no file"],
    );
    sandbox.refuses(
        &format!("{DISTILL} --set data.split_file=wrong.txt --set data.test_per_class=2"),
        &["data.split_file", "data.test_per_class"],
    );
    let outcome = sandbox
        .ghostlight(&format!("{DISTILL} --set data.split_file=north.txt"))
        .assert_success();
    said(
        &outcome,
        &[
            "4 training, 2 validation and 4 test images of 2 classes",
            "2 images neither train nor validate nor test",
        ],
    );
    let split: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.at("run/split.json")).unwrap()).unwrap();
    assert_eq!(split["split"]["test"], serde_json::json!([2, 4, 8, 10]));
    // The run keeps its list, wherever it goes on and whatever becomes of it.
    let recipe = fs::read_to_string(sandbox.at("run/recipe.toml")).unwrap();
    let list = sandbox.at("north.txt");
    assert!(recipe.contains(list.to_str().unwrap()), "{recipe}");
    fs::remove_file(&list).unwrap();
    sandbox
        .ghostlight("distill --out run --resume")
        .assert_success();
}
