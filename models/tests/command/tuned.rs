//! `--tuned`: the same results by a table of choices, and what stands in its way.

use crate::networks::{FORWARD, sandbox};
use crate::sandbox::{Outcome, Sandbox};
use ghostlight_kernels::conv::dense::{ConvOptions, conv};
use ghostlight_kernels::tune::{Chosen, Table, watch};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::client;
use std::fs;

/// A table with another tile than the rule's for the first convolution of a CIFAR network at 16 px.
fn write_table(sandbox: &Sandbox) {
    let zeros = |shape: &[usize]| Tensor::zeros(&client(), shape, DType::F32);
    let (x, weight) = (zeros(&[1, 16, 16, 3]), zeros(&[3, 3, 3, 16]));
    let (_, questions) = watch(|| conv(&x, &weight, ConvOptions::square(1, 1)));
    let mut table = Table::new(&client());
    for question in questions {
        let chosen = Chosen {
            op: question.key.op.clone(),
            dtype: question.key.dtype.name().into(),
            class: question.key.class.clone(),
            sizes: question.candidates[0].clone(),
            on: "conv/forward/a test".into(),
            gain: 1.5,
        };
        table.keep(&question.key, Some(chosen));
    }
    assert_eq!(table.choices.len(), 1);
    table.write(&sandbox.at("table.json")).unwrap();
}

#[test]
fn a_table_leaves_results_as_they_are_and_says_that_it_is_used() {
    let sandbox = sandbox();
    write_table(&sandbox);
    let words = format!("{FORWARD} resnet8 --train");
    let by_rule = sandbox.ghostlight(&words).assert_success();
    assert!(!by_rule.stderr.contains("tuned"), "{by_rule:#?}");
    let read = || fs::read(sandbox.at("out.safetensors")).unwrap();
    let before = read();
    let tuned = sandbox.ghostlight(&format!("{words} --tuned=table.json"));
    assert!(tuned.assert_success().stderr.contains("tuned: 1 choices"));
    assert!(read() == before);
    let mut asked = sandbox.command(&words);
    asked.env("GHOSTLIGHT_TUNED", "table.json");
    let tuned = Outcome::of(&mut asked).assert_success();
    assert!(tuned.stderr.contains("tuned: 1 choices"), "{tuned:#?}");
    assert!(read() == before);
}

#[test]
fn a_table_that_is_not_there_or_another_devices_is_refused() {
    let sandbox = sandbox();
    let words = format!("{FORWARD} resnet8");
    sandbox.refuses(
        &format!("{words} --tuned=none.json"),
        &["--tuned", "none.json"],
    );
    let mut asked = sandbox.command(&words);
    // Whatever the system's folder for caches is, it lies below one of these.
    asked
        .env("GHOSTLIGHT_TUNED", "1")
        .env("XDG_CACHE_HOME", sandbox.at("cache"))
        .env("HOME", sandbox.at("home"));
    Outcome::of(&mut asked)
        .assert_refused(&["there is no table for this device", "bench tune FILTER"]);
    write_table(&sandbox);
    let path = sandbox.at("table.json");
    let text = fs::read_to_string(&path).unwrap();
    let other = text.replacen("\"device\": \"", "\"device\": \"Another than ", 1);
    fs::write(&path, other).unwrap();
    sandbox.refuses(
        &format!("{words} --tuned=table.json"),
        &["table.json", "field device", "Another than "],
    );
}
