//! Every linked library computes what the f64 reference does, for a small case of every operation that it has.
#![cfg(feature = "peers")]

#[path = "../benches/ops/activation.rs"]
mod activation;
#[path = "../benches/ops/batch_norm.rs"]
mod batch_norm;
#[path = "../benches/ops/cosine.rs"]
mod cosine;
#[path = "../benches/ops/dense.rs"]
mod dense;
#[path = "../benches/ops/depthwise.rs"]
mod depthwise;
#[path = "../benches/ops/distill.rs"]
mod distill;
#[path = "../benches/ops/dkd.rs"]
mod dkd;
#[path = "../benches/ops/dual_teacher.rs"]
mod dual_teacher;
#[path = "../benches/ops/gate.rs"]
mod gate;
#[path = "../benches/ops/grouped.rs"]
mod grouped;
#[path = "../benches/ops/layer_norm.rs"]
mod layer_norm;
#[path = "../benches/ops/pool.rs"]
mod pool;
#[path = "../benches/ops/resize.rs"]
mod resize;
#[path = "../benches/ops/softmax.rs"]
mod softmax;

use ghostlight_bench::peers::{Burn, Candle, CubeK};
use ghostlight_bench::verify::verify;
use ghostlight_bench::{Extra, Family, Input, Peer, Phase, Suite, draw};
use std::collections::BTreeSet;

/// A phase with more elements than this is one of the catalogue's.
const SMALL: usize = 1000;

/// Small cases: strides, dilations, odd sides and paddings among them. candle has no gradients of strided, oblong convolutions.
const CASES: &str = r#"[
    {"op": "depthwise", "n": 2, "h": 6, "w": 6, "c": 4, "k": 3, "stride": 2},
    {"op": "depthwise", "n": 1, "h": 7, "w": 5, "c": 3, "k": 3, "dilation": 2},
    {"op": "grouped", "n": 1, "h": 5, "w": 5, "c": 8, "groups": 2},
    {"op": "dense", "n": 1, "h": 5, "w": 5, "ci": 3, "co": 8, "k": 3, "stride": 2},
    {"op": "dense", "n": 1, "h": 5, "w": 5, "ci": 4, "co": 8, "k": 1},
    {"op": "batch_norm_relu", "n": 2, "h": 3, "w": 4, "c": 5},
    {"op": "activation", "kind": "relu", "n": 1, "h": 3, "w": 4, "c": 5},
    {"op": "activation", "kind": "silu", "n": 1, "h": 3, "w": 4, "c": 5},
    {"op": "activation", "kind": "hardswish", "n": 1, "h": 3, "w": 4, "c": 5},
    {"op": "gate", "n": 2, "h": 3, "w": 4, "c": 5},
    {"op": "add_relu", "n": 2, "h": 3, "w": 4, "c": 5},
    {"op": "softmax", "rows": 3, "length": 7},
    {"op": "layer_norm", "n": 2, "pixels": 3, "c": 7},
    {"op": "max_pool", "n": 1, "h": 6, "w": 6, "c": 3, "k": 3, "s": 2, "p": 1},
    {"op": "max_pool", "n": 1, "h": 6, "w": 6, "c": 3, "k": 2, "s": 2, "p": 0},
    {"op": "average_pool", "n": 1, "h": 6, "w": 6, "c": 3, "k": 3, "s": 2, "p": 1},
    {"op": "average_pool", "n": 1, "h": 6, "w": 6, "c": 3, "k": 2, "s": 2, "p": 0},
    {"op": "adaptive_average", "n": 1, "h": 5, "w": 6, "c": 3, "oh": 2, "ow": 3},
    {"op": "bilinear", "n": 1, "h": 3, "w": 4, "c": 3, "oh": 5, "ow": 6},
    {"op": "kd", "n": 3, "c": 5},
    {"op": "dkd", "n": 3, "c": 5},
    {"op": "distill", "n": 3, "c": 5},
    {"op": "distill_two", "n": 3, "c": 5},
    {"op": "dual_teacher", "n": 3, "c": 5},
    {"op": "cosine", "between": "softmaxes", "n": 3, "c": 5},
    {"op": "cosine", "between": "centred", "n": 3, "c": 5},
    {"op": "cosine", "between": "features", "n": 3, "c": 5}
]"#;

const OPS: [&str; 19] = [
    "depthwise",
    "grouped",
    "dense",
    "batch_norm_relu",
    "activation",
    "gate",
    "add_relu",
    "softmax",
    "layer_norm",
    "max_pool",
    "average_pool",
    "adaptive_average",
    "bilinear",
    "kd",
    "dkd",
    "distill",
    "distill_two",
    "dual_teacher",
    "cosine",
];

const FAMILIES: &[Family] = &[
    depthwise::run,
    grouped::run,
    dense::run,
    batch_norm::run,
    activation::run,
    gate::gates,
    gate::sums,
    softmax::run,
    layer_norm::layer_norms,
    layer_norm::group_norms,
    pool::max_pools,
    pool::average_pools,
    pool::adaptive_averages,
    resize::run,
    distill::kd,
    distill::sum,
    distill::two_teachers,
    dkd::run,
    dual_teacher::run,
    cosine::run,
];

/// Hands the phases of the small cases to `visit`.
fn each(mut visit: impl FnMut(&Phase)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cases.json");
    std::fs::write(&path, CASES).expect("it can be written");
    let ops: Vec<String> = OPS.map(String::from).to_vec();
    let extra = Extra::read(&path, &ops).expect("they are cases");
    let mut small = |phase: Phase| {
        if phase.inputs.iter().map(Input::len).sum::<usize>() < SMALL {
            visit(&phase);
        }
        Ok(())
    };
    let mut suite = Suite::new(&extra, &mut small);
    for family in FAMILIES {
        family(&mut suite).expect("the problems can be made");
    }
}

/// `op/phase` of all that `peer` has, and what is wrong with it.
fn verified(mut peer: impl Peer) -> (BTreeSet<String>, Vec<String>) {
    let (mut has, mut wrong) = (BTreeSet::new(), Vec::new());
    each(|phase| {
        let values: Vec<Vec<f64>> = draw(&phase.inputs, 0)
            .into_iter()
            .map(|values| values.into_iter().map(f64::from).collect())
            .collect();
        let expected = (phase.reference)(&values);
        for mut contender in peer.contenders(&phase.task()) {
            let name = contender.name().to_string();
            has.insert(format!("{name}: {}/{}", phase.op, phase.phase));
            if let Err(reason) = verify(contender.as_mut(), &phase.inputs, &expected, phase.effect)
            {
                wrong.push(format!("{name}: {}: {reason}", phase.line()));
            }
        }
    });
    (has, wrong)
}

fn has_all(has: &BTreeSet<String>, name: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            has.contains(&format!("{name}: {line}")),
            "{name} has no {line}"
        );
    }
}

const CONVOLUTIONS: [&str; 9] = [
    "depthwise/forward",
    "depthwise/grad_input",
    "depthwise/grad_weight",
    "grouped/forward",
    "grouped/grad_input",
    "grouped/grad_weight",
    "dense/forward",
    "dense/grad_input",
    "dense/grad_weight",
];

#[test]
fn burn_on_the_cpu_computes_the_reference() {
    let (has, wrong) = verified(Burn::flex());
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in ["burn-flex", "burn-flex+layout"] {
        has_all(&has, name, &CONVOLUTIONS);
        has_all(
            &has,
            name,
            &[
                "batch_norm_relu/train",
                "max_pool/grad_input",
                "bilinear/forward",
            ],
        );
    }
    has_all(
        &has,
        "burn-flex",
        &["dkd/loss+grad", "softmax/backward", "layer_norm/backward"],
    );
    assert!(
        !has.contains("burn-flex+layout: dkd/loss+grad"),
        "logits have no layout"
    );
}

#[test]
fn burn_on_cubecl_computes_the_reference() {
    let (has, wrong) = verified(Burn::cubecl(cubecl::Device::default()));
    assert!(wrong.is_empty(), "{wrong:#?}");
    has_all(&has, "burn-cubecl", &CONVOLUTIONS);
    has_all(
        &has,
        "burn-cubecl",
        &["batch_norm_relu/train", "distill/loss+grad"],
    );
}

#[test]
fn candle_computes_the_reference() {
    let (has, wrong) = verified(Candle);
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in ["candle", "candle+layout"] {
        has_all(&has, name, &CONVOLUTIONS);
        has_all(&has, name, &["batch_norm_relu/train", "max_pool/inference"]);
    }
}

#[test]
fn cubek_computes_the_reference() {
    let (has, wrong) = verified(CubeK(cubecl::Device::default().client()));
    assert!(wrong.is_empty(), "{wrong:#?}");
    has_all(
        &has,
        "cubek",
        &["depthwise/forward", "grouped/forward", "dense/forward"],
    );
}
