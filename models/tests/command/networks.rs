//! `models` and `forward`: what they answer, and what they refuse.

use crate::reference::network;
use crate::sandbox::Sandbox;
use ghostlight_models::run::NamedTensor;
use ghostlight_models::weights;
use ghostlight_models::zoo::{self, Architecture, Network};
use ghostlight_tests::client;
use serde_json::Value;
use std::fs;

/// A sandbox with the weights of a fresh `resnet8` of 5 classes and a batch of two images.
pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let dtype = ghostlight_autodiff::DType::F32;
    let network = Network::new(&client(), dtype, Architecture::new("resnet8", 5), 1, 0).unwrap();
    let tensors = network.store.weights().unwrap();
    weights::write(&sandbox.at("weights.safetensors"), &tensors).unwrap();
    batch(&sandbox, "x", &[2, 3, 16, 16]);
    sandbox
}

fn batch(sandbox: &Sandbox, name: &str, shape: &[usize]) {
    let x = NamedTensor {
        name: name.to_string(),
        shape: shape.to_vec(),
        data: (0..shape.iter().product())
            .map(|i| (i as f32).sin())
            .collect(),
    };
    weights::write(&sandbox.at("batch.safetensors"), &[x]).unwrap();
}

/// To be followed by an architecture.
pub const FORWARD: &str =
    "forward --weights weights.safetensors --input batch.safetensors --out out.safetensors --arch";

#[test]
fn every_network_is_listed_with_what_it_counts() {
    let outcome = Sandbox::new().ghostlight("models --json").assert_success();
    let rows: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let listed: Vec<&str> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, zoo::names().collect::<Vec<_>>());
    let row = rows.iter().find(|row| row["name"] == "resnet18").unwrap();
    assert_eq!(row["params"], 11_689_512);
    assert_eq!(row["macs"], 1_814_073_344);
    assert!(row["step_bytes"].as_u64().unwrap() > 900 << 20, "{row}");
}

#[test]
fn a_network_can_be_measured_at_a_size_of_ones_own() {
    let words = "models snt_resnet8 --classes 10 --size 16 --batch 4 --measure --json";
    let outcome = Sandbox::new().ghostlight(words).assert_success();
    let rows: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(rows[0]["params"], 103_642);
    for speed in [
        "train_images_per_s",
        "first_train_step_s",
        "infer_images_per_s",
        "first_inference_s",
        "single_median_s",
        "single_p95_s",
    ] {
        assert!(rows[0][speed].as_f64().unwrap() > 0.0, "{rows}");
    }
    for energy in ["infer_joules_per_image", "single_joules"] {
        // Not every machine has a counter, and not everybody may read it.
        let joules = rows[0].get(energy).expect("a number or null");
        assert!(joules.is_null() || joules.as_f64().unwrap() > 0.0, "{rows}");
    }
    // What was counted on a device that computes nothing, beside it values, gradients and which of them decay, and some scratch that hangs
    // on the device.
    let bytes = |key: &str| rows[0][key].as_u64().unwrap();
    let beside = bytes("peak_bytes") - bytes("step_bytes");
    let parameters = 4 * 103_642;
    let allowed = 3 * parameters..5 * parameters;
    assert!(allowed.contains(&beside), "{rows}");
    assert!(bytes("pool_bytes") >= bytes("peak_bytes"), "{rows}");
}

#[test]
fn an_unknown_network_is_refused_with_the_nearest_names() {
    Sandbox::new().refuses("models mobilenetv2", &["\"mobilenetv2\"", "mobilenet_v2"]);
    sandbox().refuses(&format!("{FORWARD} resnet9"), &["\"resnet9\"", "resnet8"]);
    // A network elsewhere, and none here.
    sandbox().refuses(&format!("{FORWARD} resnet50"), &["\"resnet50\""]);
}

#[test]
fn logits_stages_and_gradients_are_written_under_their_names() {
    let sandbox = sandbox();
    sandbox
        .ghostlight(&format!(
            "{FORWARD} resnet8 --features layer2,layer3 --train"
        ))
        .assert_success();
    let out = weights::read(&sandbox.at("out.safetensors")).unwrap();
    let shape = |name: &str| {
        let found = out.iter().find(|tensor| tensor.name == name);
        found
            .unwrap_or_else(|| panic!("{name} is missing"))
            .shape
            .clone()
    };
    assert_eq!(shape("logits"), [2, 5]);
    assert_eq!(shape("layer2"), [2, 32, 8, 8]);
    assert_eq!(shape("layer3"), [2, 64, 4, 4]);
    assert_eq!(shape("grad.conv1.weight"), [16, 3, 3, 3]);
    assert_eq!(shape("bn1.running_var"), [16]);
}

#[test]
fn a_new_head_keeps_all_but_the_classifier() {
    let sandbox = sandbox();
    sandbox
        .ghostlight(&format!("{FORWARD} resnet8 --new-head 9 --features layer3"))
        .assert_success();
    let anew = weights::read(&sandbox.at("out.safetensors")).unwrap();
    sandbox
        .ghostlight(&format!("{FORWARD} resnet8 --features layer3"))
        .assert_success();
    let before = weights::read(&sandbox.at("out.safetensors")).unwrap();
    let of = |tensors: &[NamedTensor], name: &str| {
        tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of(&anew, "logits").shape, [2, 9]);
    assert_eq!(of(&anew, "layer3"), of(&before, "layer3"));
}

#[test]
fn weights_that_do_not_fit_are_refused_with_three_lists() {
    let words = format!("{FORWARD} resnet14");
    sandbox().refuses(
        &words,
        &[
            "weights.safetensors",
            "missing (30)",
            "layer1.1.conv1.weight",
        ],
    );
    let words = format!("{FORWARD} cifar_resnet8x4");
    sandbox().refuses(
        &words,
        &[
            "of another shape",
            "conv1.weight [16, 3, 3, 3] where [32, 3, 3, 3]",
        ],
    );
    let words = format!("{FORWARD} mobilenet_v2");
    sandbox().refuses(&words, &["missing", "unexpected", "features.0.0.weight"]);
}

#[test]
fn a_nan_among_the_weights_is_named() {
    let sandbox = sandbox();
    let path = sandbox.at("weights.safetensors");
    let mut tensors = weights::read(&path).unwrap();
    let tensor = tensors
        .iter_mut()
        .find(|it| it.name == "bn1.weight")
        .unwrap();
    tensor.data[3] = f32::NAN;
    weights::write(&path, &tensors).unwrap();
    sandbox.refuses(
        &format!("{FORWARD} resnet8"),
        &["`bn1.weight` holds NaN at 3"],
    );
}

#[test]
fn a_batch_that_is_no_batch_of_images_is_refused() {
    let words = format!("{FORWARD} resnet8");
    for (name, shape, named) in [
        ("y", &[2, 3, 16, 16][..], "no tensor `x`; the file holds y"),
        ("x", &[2, 16, 16, 3], "`x` has shape [2, 16, 16, 3]"),
        ("x", &[3, 16, 16], "`x` has shape [3, 16, 16]"),
        ("x", &[0, 3, 16, 16], "`x` has shape [0, 3, 16, 16]"),
    ] {
        let sandbox = sandbox();
        batch(&sandbox, name, shape);
        sandbox.refuses(&words, &["batch.safetensors", named]);
    }
    let sandbox = sandbox();
    fs::write(sandbox.at("batch.safetensors"), "not tensors").unwrap();
    sandbox.refuses(&words, &["batch.safetensors", "no safetensors file"]);
}

#[test]
fn a_stage_that_does_not_exist_is_refused_with_those_that_do() {
    let words = format!("{FORWARD} resnet8 --features layer4");
    sandbox().refuses(&words, &["no stage \"layer4\"", "layer1, layer2, layer3"]);
}

#[test]
fn an_image_too_small_for_a_network_is_refused() {
    let words = "models vgg16 --size 16";
    Sandbox::new().refuses(words, &["vgg16", "16 x 16"]);
}

#[test]
fn a_training_on_images_too_small_for_a_network_is_refused_before_it_begins() {
    let words = "distill --data synthetic --set data.synthetic_per_class=5 --set data.synthetic_size=16 \
        --set train.batch=4 --set teacher.arch=vgg16_gap --out run";
    Sandbox::new().refuses(words, &["vgg16_gap", "16 x 16"]);
}

#[test]
fn a_g_ghost_network_learns_from_a_vgg() {
    let words = "distill --data synthetic --set data.synthetic_per_class=5 --set data.synthetic_size=32 \
        --set train.batch=8 --epochs 1 --set teacher.arch=vgg16_bn_gap --set student.arch=g_ghost_regnetx_002 --json";
    let outcome = Sandbox::new().ghostlight(words).assert_success();
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(network(&summary, "teacher")["params"], 14_728_266);
    assert_eq!(network(&summary, "student_dkd")["params"], 1_460_130);
}
