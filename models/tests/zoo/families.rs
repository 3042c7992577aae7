//! What holds for the networks of every family: their gradients are derivatives, and a step has the same bits wherever it runs.

use ghostlight_autodiff::check::values;
use ghostlight_autodiff::{DType, Tape, Tensor, Var};
use ghostlight_kernels::pointwise::add_into;
use ghostlight_models::nn::Mode;
use ghostlight_models::zoo::{self, Architecture, Network};
use ghostlight_tests::{
    Fingerprint, assert_same_bits, assert_same_bits_on_one_core, client, download, has_f64_exp,
};

const CLASSES: usize = 3;
const BATCH: usize = 3;

/// What the names of a family begin with, a light member of it, and the side of small images that it takes.
const FAMILIES: [(&str, &str, usize); 14] = [
    ("vgg", "vgg16_bn_gap", 64),
    ("cifar_vgg", "cifar_vgg8_bn", 16),
    ("cifar_resnet", "cifar_resnet8", 16),
    ("snt_resnet", "snt_resnet8", 16),
    ("resnet", "resnet18", 32),
    ("mobilenet", "mobilenet_v2", 64),
    ("cifar_mobilenet", "cifar_mobilenetv2_half", 32),
    ("ghostnet", "ghostnet_050", 64),
    ("regnetx", "regnetx_002", 64),
    ("g_ghost", "g_ghost_regnetx_002", 64),
    ("mobilevit_", "mobilevit_xxs", 36),
    ("mobilevitv2", "mobilevitv2_050", 36),
    ("efficientvit_b", "efficientvit_b0", 64),
    ("efficientvit_m", "efficientvit_m0", 64),
];

fn network(name: &str, side: usize, dtype: DType) -> Network {
    let arch = Architecture::new(name, CLASSES).images(side, side);
    Network::new(&client(), dtype, arch, 3, 0).expect(name)
}

fn constant(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let drawn = values(seed, shape.iter().product());
    Tensor::from_f64(&client(), &drawn, shape, dtype).expect("the values fill the shape")
}

/// The logits of a batch in training, multiplied with random numbers and added up; and, when `record`, the gradient of that in the
/// network's buffer.
fn step(network: &Network, side: usize, record: bool) -> (Tensor, f64) {
    let dtype = network.store.values().dtype();
    let images = Var::constant(constant(1, &[BATCH, side, side, 3], dtype));
    let tape = Tape::new();
    let logits = network
        .forward(&tape, Mode::Train, &images)
        .expect("a step");
    let seed = constant(2, &[BATCH, CLASSES], dtype);
    let products = download(logits.tensor()).into_iter().zip(download(&seed));
    let value = products.map(|(z, s)| z * s).sum();
    let found = logits.tensor().clone();
    if record {
        tape.backward_from(&[(&logits, seed)]).expect("a step");
    }
    (found, value)
}

#[test]
fn every_network_belongs_to_a_family_that_is_looked_at() {
    for name in zoo::names() {
        let known = FAMILIES.iter().any(|(begins, ..)| name.starts_with(begins));
        assert!(known, "no family of the list begins as {name} does");
    }
    for (begins, member, _) in FAMILIES {
        assert!(
            member.starts_with(begins) && zoo::check(member).is_ok(),
            "{member}"
        );
    }
}

#[test]
fn the_gradient_of_a_network_of_every_family_is_its_derivative() {
    if !has_f64_exp() {
        return;
    }
    for (_, name, side) in FAMILIES {
        let network = network(name, side, DType::F64);
        let store = &network.store;
        step(&network, side, true);
        let gradient = download(store.grads());
        assert!(gradient.iter().any(|g| g.abs() > 1e-3), "{name}");
        for direction in 0..2 {
            let along = values(10 + direction, gradient.len());
            // Small, so that none of a million ReLUs changes its side: at 1e-8 one of RegNet's does, which moves the difference by 2 %.
            let distance = 1e-9;
            let moved = |by: f64| {
                let shift: Vec<f64> = along.iter().map(|d| by * d).collect();
                let shift = Tensor::from_f64(&client(), &shift, &[shift.len()], DType::F64);
                add_into(store.values(), &shift.expect("it has their length")).expect(name);
                step(&network, side, false).1
            };
            let (up, down) = (moved(distance), moved(-2.0 * distance));
            moved(distance);
            let numeric = (up - down) / (2.0 * distance);
            let analytic: f64 = gradient.iter().zip(&along).map(|(g, d)| g * d).sum();
            let error = (numeric - analytic).abs() / numeric.abs().max(1.0);
            assert!(
                error < 1e-5,
                "{name}, direction {direction}: {analytic}, differences give {numeric}"
            );
        }
    }
}

#[test]
fn a_training_step_of_every_family_has_the_same_bits_again_and_on_one_core() {
    let mut fingerprint = Fingerprint::default();
    for (_, name, side) in FAMILIES {
        let run = || {
            let network = network(name, side, DType::F32);
            let (logits, _) = step(&network, side, true);
            [logits, network.store.grads().clone()]
        };
        let (first, again) = (run(), run());
        for (first, again) in first.iter().zip(&again) {
            assert_same_bits(name, first, again);
            fingerprint.add(first);
        }
    }
    let name = "families::a_training_step_of_every_family_has_the_same_bits_again_and_on_one_core";
    assert_same_bits_on_one_core(name, &fingerprint);
}
