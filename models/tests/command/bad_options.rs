//! Recipes and options that make no sense.

use crate::sandbox::{Sandbox, TINY};
use std::fs;

/// Writes `text` as `mine.toml` and requires that a run with it is refused, naming `named`.
fn refused(text: &str, named: &[&str]) {
    let sandbox = Sandbox::new();
    fs::write(sandbox.at("mine.toml"), text).unwrap();
    sandbox.refuses(
        "distill --recipe mine.toml --out out",
        &[&["mine.toml"], named].concat(),
    );
}

#[test]
fn an_unknown_key_of_a_recipe_is_named_with_its_neighbour() {
    refused("[train]\nbacth = 64", &["`train.bacth`", "`train.batch`"]);
}

#[test]
fn a_value_out_of_range_is_named_with_the_range() {
    refused(
        "[train]\nbatch = 1",
        &["`train.batch` is 1", "from 2 to 4096"],
    );
    refused(
        "[distill.dkd]\ntemperature = nan",
        &["`distill.dkd.temperature` is nan", "0.1 to 100"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_the_right_one() {
    refused(
        "[train]\nbatch = 'many'",
        &["`train.batch`", "many", "a whole number"],
    );
    refused(
        "[augment]\ndihedral = 1",
        &["`augment.dihedral` is 1", "true or false"],
    );
}

#[test]
fn a_recipe_that_is_not_toml_is_refused_with_its_line() {
    refused("[train]\nbatch 64", &["not valid TOML", "line 2"]);
}

#[test]
fn a_missing_recipe_is_named_beside_those_there_are() {
    Sandbox::new().refuses(
        "distill --recipe mine.toml --out out",
        &["`mine.toml`", "`default`", "`synthetic`"],
    );
}

#[test]
fn an_assignment_is_refused_like_a_recipe() {
    for (assignment, named) in [
        ("train.bacth=64", ["`train.bacth`", "`train.batch`"]),
        ("train.batch", ["--set train.batch", "key=value"]),
        ("train.batch=0", ["`train.batch` is 0", "from 2 to 4096"]),
        (
            "distill.ce_weight=-1",
            ["`distill.ce_weight` is -1", "from 0 to 100"],
        ),
    ] {
        Sandbox::new().refuses(&format!("distill --set {assignment} --out out"), &named);
    }
}

#[test]
fn an_unknown_architecture_is_named_with_those_there_are() {
    for (key, arch) in [
        ("teacher.arch", "vgg17"),
        ("student.arch", "resnet9"),
        ("student.arch", "resnet99999998"),
    ] {
        let words = format!("distill --set {key}={arch} --out out");
        Sandbox::new().refuses(
            &words,
            &[key, arch, "the nearest names are", "`ghostlight models`"],
        );
    }
}

#[test]
fn epochs_and_seeds_that_are_no_counts_are_refused() {
    for (option, named) in [
        ("--epochs 0", "from 1 to 10000"),
        ("--epochs -1", "is -1"),
        ("--epochs two", "\"two\""),
        ("--seed -1", "is -1"),
        ("--seed 9223372036854775808", "2^63-1"),
    ] {
        let (name, _) = option.split_once(' ').unwrap();
        Sandbox::new().refuses(&format!("distill {option} --out out"), &[name, named]);
    }
}

#[test]
fn a_series_of_seeds_is_refused_as_a_run_is_and_leaves_nothing_behind() {
    for (options, named) in [
        ("--set train.bacth=64", ["`train.bacth`", "`train.batch`"]),
        ("--seed -1", ["--seed", "is -1"]),
        ("--seed 9223372036854775807", ["--seeds 2", "2^63-1"]),
        ("--set teacher.arch=vgg17", ["teacher.arch", "vgg17"]),
        (
            "--set augment.shift=32 --set data.synthetic_size=16",
            ["augment.shift is 32", "16 x 16"],
        ),
    ] {
        for out in ["--out out", ""] {
            Sandbox::new().refuses(&format!("distill --seeds 2 {options} {out}"), &named);
        }
    }
    for count in ["0", "101", "two"] {
        Sandbox::new().refuses(
            &format!("distill --seeds {count} --out out"),
            &["--seeds", count],
        );
    }
}

#[test]
fn values_that_contradict_each_other_or_the_images_are_refused() {
    let nothing = "--set distill.dkd.alpha=0 --set distill.dkd.beta=0 --set distill.ce_weight=0";
    Sandbox::new().refuses(
        &format!("distill {nothing} --out out"),
        &["distill.ce_weight", "raise one"],
    );
    let far =
        "--set augment.shift=16 --set data.synthetic_size=16 --set data.synthetic_per_class=5";
    Sandbox::new().refuses(
        &format!("distill {far} --out out"),
        &["augment.shift is 16", "16 x 16", "0 to 15"],
    );
}

#[test]
fn an_option_or_command_that_does_not_exist_is_named() {
    Sandbox::new().refuses("distill --epoch 3", &["--epoch"]);
    Sandbox::new().refuses("destill", &["destill"]);
}

#[test]
fn a_folder_that_holds_something_is_not_written_to() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.at("thesis")).unwrap();
    fs::write(sandbox.at("thesis/chapter.tex"), "").unwrap();
    sandbox.refuses(
        &format!("distill {TINY} --out thesis"),
        &["thesis is not empty", "another folder with --out\n"],
    );
    sandbox.refuses(
        &format!("distill {TINY} --out thesis/chapter.tex"),
        &["thesis/chapter.tex"],
    );
}
