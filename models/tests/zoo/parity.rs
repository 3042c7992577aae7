//! One network of each family against PyTorch, whose figures `parity.py` wrote down.

use ghostlight_autodiff::{DType, Tape, Tensor, Var};
use ghostlight_models::nn::Mode;
use ghostlight_models::run::NamedTensor;
use ghostlight_models::zoo::{Architecture, Network};
use ghostlight_tests::{client, download, has_f64_exp};
use serde_json::Value;

const CLASSES: usize = 7;
const BATCH: usize = 3;

/// Numbers in [0, 1) that follow from `name`: splitmix64 from the FNV-1a of its bytes, as in `parity.py`.
fn drawn(name: &str, count: usize) -> Vec<f64> {
    let hash = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64)
        .map(|i| {
            let z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
        })
        .collect()
}

/// Norms of EfficientViT-M that would let forty residuals grow past all bounds, and softmaxes choose one token alone.
const QUIET: [&str; 5] = [".m.bn.", ".pw2.bn.", ".proj.1.bn.", ".qkvs.", ".dws."];

/// The values of a tensor by its name and extents in PyTorch's layout.
fn value(name: &str, shape: &[usize]) -> Vec<f64> {
    let u = drawn(name, shape.iter().product()).into_iter();
    if shape.len() > 1 {
        let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        return u.map(|u| (2.0 * u - 1.0) * bound).collect();
    }
    if name.ends_with("bn.weight") && QUIET.iter().any(|part| name.contains(part)) {
        return u.map(|u| 0.2 * u + 0.1).collect();
    }
    if name.ends_with("running_var") || name.ends_with("weight") {
        return u.map(|u| u + 0.5).collect();
    }
    u.map(|u| 0.4 * u - 0.2).collect()
}

fn network(name: &str, side: usize, dtype: DType) -> Network {
    let arch = Architecture::new(name, CLASSES).images(side, side);
    let mut network = Network::new(&client(), dtype, arch, 0, 0).expect(name);
    let weights: Vec<NamedTensor> = network
        .store
        .specs()
        .iter()
        .map(|spec| {
            let shape = spec.torch_shape();
            let data = value(&spec.path, &shape).into_iter().map(|v| v as f32);
            NamedTensor {
                name: spec.path.clone(),
                data: data.collect(),
                shape,
            }
        })
        .collect();
    network.store.set_weights(&weights).expect(name);
    network
}

fn images(side: usize, dtype: DType) -> Var {
    let drawn = drawn("x", BATCH * 3 * side * side);
    let pixels = side * side;
    let values: Vec<f64> = (0..drawn.len())
        .map(|i| {
            let (image, rest) = (i / (3 * pixels), i % (3 * pixels));
            let (pixel, channel) = (rest / 3, rest % 3);
            4.0 * drawn[(image * 3 + channel) * pixels + pixel] - 2.0
        })
        .collect();
    let shape = [BATCH, side, side, 3];
    Var::constant(Tensor::from_f64(&client(), &values, &shape, dtype).expect("it fills its shape"))
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// Compares logits, allowing `share` of their range.
fn assert_logits(what: &str, ours: &[f64], theirs: &Value, share: f64) {
    let theirs = numbers(theirs);
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let (low, high) = theirs
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    for (a, b) in ours.iter().zip(&theirs) {
        let error = (a - b).abs() / (high - low);
        assert!(
            error <= share,
            "{what}: {a} where PyTorch has {b}, {error} of the range"
        );
    }
}

/// Compares each tensor's product with the direction of its name with PyTorch's.
fn assert_along(what: &str, ours: &[NamedTensor], theirs: &Value, share: f64) {
    let theirs = theirs.as_object().expect("an object");
    let norms = theirs.values().map(|pair| numbers(pair)[1]);
    // Gradients that are 0 but for rounding, as those of biases under a batch norm.
    let floor = 1e-3 * norms.fold(0.0, f64::max);
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for tensor in ours {
        let pair = numbers(&theirs[&tensor.name]);
        let direction = drawn(&format!("along {}", tensor.name), tensor.data.len());
        let product: f64 = direction
            .iter()
            .zip(&tensor.data)
            .map(|(u, &v)| (2.0 * u - 1.0) * f64::from(v))
            .sum();
        let error = (product - pair[0]).abs() / pair[1].max(floor);
        assert!(
            error <= share,
            "{what} of {}: {product} where PyTorch has {}, {error} of its norm",
            tensor.name,
            pair[0]
        );
    }
}

fn fixtures() -> Vec<Value> {
    serde_json::from_str(include_str!("parity.json")).expect("the file is JSON")
}

fn named(fixture: &Value) -> (&str, usize) {
    let side = fixture["side"].as_u64().expect("a side") as usize;
    (fixture["name"].as_str().expect("a name"), side)
}

#[test]
fn inference_gives_the_logits_of_pytorch() {
    for fixture in fixtures() {
        let (name, side) = named(&fixture);
        let network = network(name, side, DType::F32);
        let images = images(side, DType::F32);
        let logits = network
            .forward(&Tape::new(), Mode::Infer, &images)
            .expect(name);
        let ours = download(logits.tensor());
        assert_logits(name, &ours, &fixture["evaluated"], 1e-4);
    }
}

#[test]
fn a_training_step_has_the_gradients_and_running_statistics_of_pytorch() {
    if !has_f64_exp() {
        return;
    }
    for fixture in fixtures() {
        let (name, side) = named(&fixture);
        let network = network(name, side, DType::F64);
        let (tape, images) = (Tape::new(), images(side, DType::F64));
        let logits = network.forward(&tape, Mode::Train, &images).expect(name);
        let ours = download(logits.tensor());
        assert_logits(name, &ours, &fixture["trained"], 1e-4);
        let seed: Vec<f64> = ours.iter().map(|z| 2.0 * z / ours.len() as f64).collect();
        let shape = logits.tensor().shape();
        let seed = Tensor::from_f64(&client(), &seed, shape, DType::F64).expect("it fits");
        tape.backward_from(&[(&logits, seed)]).expect(name);
        let store = &network.store;
        let grads = store.named(store.grads()).expect(name);
        assert_along(
            &format!("{name}: gradient"),
            &grads,
            &fixture["grads"],
            1e-3,
        );
        let mut running = store.weights().expect(name);
        running.retain(|tensor| tensor.name.contains(".running_"));
        if !running.is_empty() {
            assert_along(
                &format!("{name}: statistics"),
                &running,
                &fixture["running"],
                1e-3,
            );
        }
    }
}
