//! Whole networks: a small ResNet under each loss, its parameters and its sizes.

use ghostlight_autodiff::check::values;
use ghostlight_autodiff::{DType, Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::sgd::SgdOptions;
use ghostlight_kernels::pointwise::add_into;
use ghostlight_models::methods::{Answers, Lesson, Way};
use ghostlight_models::nn::Mode;
use ghostlight_models::recipe::Distill;
use ghostlight_models::zoo::{Architecture, Network, Size};
use ghostlight_tests::{client, download, has_f64, has_f64_exp};

const CLASSES: usize = 3;
const BATCH: usize = 4;

fn constant(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_f64(
        &client(),
        &values(seed, shape.iter().product()),
        shape,
        dtype,
    )
    .unwrap()
}

/// The loss of one batch, and its gradient added to the network's when `record`.
fn loss(network: &Network, way: &Way, record: bool) -> f64 {
    let client = client();
    let tape = Tape::new();
    let dtype = network.store.values().dtype();
    let images = Var::constant(constant(1, &[BATCH, 8, 8, 3], dtype));
    let labels = Labels::new(&client, &[0, 1, 2, 1], CLASSES).unwrap();
    let teacher = constant(2, &[BATCH, CLASSES], dtype);
    let student = Answers {
        logits: network.forward(&tape, Mode::Train, &images).unwrap(),
        stages: Vec::new(),
    };
    let teacher = Answers {
        logits: teacher,
        stages: Vec::new(),
    };
    let lesson = Lesson {
        tape: &tape,
        student: &student,
        teachers: &[Some(teacher)],
        labels: &labels,
        mixed: None,
        epoch: 1,
        seed: 1,
    };
    let outputs = way.loss(&lesson, 2).unwrap().outputs;
    let value = outputs
        .iter()
        .map(|(value, weight)| weight * download(value.tensor())[0])
        .sum();
    if record {
        let outputs: Vec<(&Var, f64)> = outputs
            .iter()
            .map(|(value, weight)| (value, *weight))
            .collect();
        tape.backward(&outputs).unwrap();
    }
    value
}

/// Moves all parameters at once along random directions and compares the loss' change with the gradient.
fn check_gradient(way: &Way) {
    if !has_f64_exp() {
        return;
    }
    let client = client();
    let network = Network::new(
        &client,
        DType::F64,
        Architecture::new("resnet8", CLASSES),
        3,
        0,
    )
    .unwrap();
    let store = &network.store;
    loss(&network, way, true);
    let gradient = download(store.grads());
    assert!(gradient.iter().any(|g| g.abs() > 1e-3));
    for direction in 0..6 {
        let along = values(10 + direction, gradient.len());
        // Small, so that no ReLU of the thousands changes its side for more than a trace.
        let step = 1e-7;
        let moved = |by: f64| {
            let shift: Vec<f64> = along.iter().map(|d| by * d).collect();
            let shift = Tensor::from_f64(&client, &shift, &[shift.len()], DType::F64).unwrap();
            add_into(store.values(), &shift).unwrap();
            loss(&network, way, false)
        };
        let (up, down) = (moved(step), moved(-2.0 * step));
        moved(step);
        let numeric = (up - down) / (2.0 * step);
        let analytic: f64 = gradient.iter().zip(&along).map(|(g, d)| g * d).sum();
        let error = (numeric - analytic).abs() / numeric.abs().max(1.0);
        assert!(
            error < 1e-5,
            "direction {direction}: {analytic}, differences give {numeric}"
        );
    }
}

#[test]
fn the_gradient_of_a_small_resnet_under_cross_entropy_is_its_derivative() {
    check_gradient(&Way::alone(0.0));
    check_gradient(&Way::alone(0.1));
}

#[test]
fn the_gradient_of_a_small_resnet_under_dkd_is_its_derivative() {
    let distill = Distill {
        warmup_epochs: 2,
        ..Distill::default()
    };
    let arch = Architecture::new("resnet8", CLASSES).images(8, 8);
    check_gradient(&Way::new(&client(), &distill, 0.0, arch, &[arch], (0, 1)).unwrap());
}

#[test]
fn parameters_and_macs_equal_the_published_counts() {
    // `docs/methods.md` section 7.10: (architecture, side, classes, parameters, MACs).
    let published = [
        ("resnet8", 64, 10, 78_042, 50_004_608),
        ("resnet8", 32, 100, 83_892, 12_507_392),
        ("resnet14", 32, 10, 175_258, 26_657_408),
        ("resnet20", 64, 10, 272_474, 163_250_816),
        ("resnet20", 32, 1000, 336_824, 40_876_544),
        ("resnet56", 32, 10, 855_770, 125_747_840),
    ];
    for (arch, side, classes, params, macs) in published {
        let network = Network::new(
            &client(),
            DType::F32,
            Architecture::new(arch, classes).images(side, side),
            0,
            0,
        )
        .unwrap();
        let size = network.size().unwrap();
        assert_eq!(size, Size { params, macs }, "{arch}");
    }
}

#[test]
fn weights_carry_the_keys_and_shapes_of_a_pytorch_state_dict() {
    let network = Network::new(
        &client(),
        DType::F32,
        Architecture::new("resnet20", 10),
        0,
        0,
    )
    .unwrap();
    let weights = network.store.weights().unwrap();
    let shape = |key: &str| {
        let found = weights.iter().find(|tensor| tensor.name == key);
        found
            .unwrap_or_else(|| panic!("{key} is missing"))
            .shape
            .clone()
    };
    assert_eq!(shape("conv1.weight"), [16, 3, 3, 3]);
    assert_eq!(shape("bn1.running_var"), [16]);
    assert_eq!(shape("layer1.2.conv2.weight"), [16, 16, 3, 3]);
    assert_eq!(shape("layer2.0.conv1.weight"), [32, 16, 3, 3]);
    assert_eq!(shape("layer2.0.downsample.0.weight"), [32, 16, 1, 1]);
    assert_eq!(shape("layer3.0.downsample.1.bias"), [64]);
    assert_eq!(shape("fc.weight"), [10, 64]);
    // 128 tensors in PyTorch, 21 of which count batches.
    assert_eq!(weights.len(), 128 - 21);
}

#[test]
fn weights_survive_the_way_to_pytorchs_layout_and_back() {
    let client = client();
    let source = Network::new(&client, DType::F32, Architecture::new("resnet8", 10), 1, 0).unwrap();
    let mut target =
        Network::new(&client, DType::F32, Architecture::new("resnet8", 10), 2, 0).unwrap();
    let weights = source.store.weights().unwrap();
    assert_ne!(
        download(source.store.values()),
        download(target.store.values())
    );
    target.store.set_weights(&weights).unwrap();
    assert_eq!(
        download(source.store.values()),
        download(target.store.values())
    );
    assert_eq!(weights, target.store.weights().unwrap());
}

#[test]
fn weights_of_another_architecture_are_refused_by_name() {
    let client = client();
    let small = Network::new(&client, DType::F32, Architecture::new("resnet8", 10), 1, 0).unwrap();
    let mut large =
        Network::new(&client, DType::F32, Architecture::new("resnet14", 10), 1, 0).unwrap();
    let refused = large
        .store
        .set_weights(&small.store.weights().unwrap())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("missing (30): layer1.1.conv1.weight, "),
        "{refused}"
    );
    let mut other =
        Network::new(&client, DType::F32, Architecture::new("resnet8", 7), 1, 0).unwrap();
    let refused = other
        .store
        .set_weights(&small.store.weights().unwrap())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("fc.weight [10, 64] where [7, 64] is wanted"),
        "{refused}"
    );
}

#[test]
fn a_weight_that_is_not_a_number_leaves_no_image_an_answer() {
    let client = client();
    let mut network = Network::new(
        &client,
        DType::F32,
        Architecture::new("resnet8", CLASSES),
        3,
        0,
    )
    .unwrap();
    let clean = network.store.weights().unwrap();
    let images = Var::constant(constant(1, &[BATCH, 8, 8, 3], DType::F32));
    let spoiled_keys = [
        "conv1.weight",
        "bn1.weight",
        "layer1.0.bn1.bias",
        "layer2.0.conv1.weight",
        "layer2.0.downsample.1.weight",
        "layer3.0.conv2.weight",
        "layer3.0.bn2.bias",
        "fc.weight",
    ];
    for key in spoiled_keys {
        let mut weights = clean.clone();
        let spoiled = weights.iter_mut().find(|tensor| tensor.name == key);
        // The centre of a kernel, which no padding meets.
        let spoiled = &mut spoiled.expect(key).data;
        let centre = if key.contains("conv") { 4 } else { 0 };
        spoiled[centre] = f32::NAN;
        network.store.set_weights(&weights).unwrap();
        for mode in [Mode::Infer, Mode::Train] {
            let logits = network.forward(&Tape::new(), mode, &images).unwrap();
            for row in download(logits.tensor()).chunks(CLASSES) {
                assert!(row.iter().any(|z| z.is_nan()), "{key} in {mode:?}: {row:?}");
            }
        }
        let loss = loss(&network, &Way::alone(0.0), false);
        assert!(loss.is_nan(), "{key}: {loss}");
    }
}

#[test]
fn a_name_that_is_no_architecture_is_refused() {
    for name in [
        "resnet9",
        "resnet",
        "resnet08",
        "resnet+8",
        "vgg",
        "",
        "resnet2",
        "resnet99999999999999999999",
    ] {
        let refused = Network::new(&client(), DType::F32, Architecture::new(name, 10), 0, 0);
        let message = refused.err().expect(name).to_string();
        assert!(message.contains(&format!("{name:?}")), "{message}");
    }
}

#[test]
fn a_few_steps_learn_a_batch_by_heart() {
    if !has_f64_exp() {
        return;
    }
    let client = client();
    let network = Network::new(
        &client,
        DType::F64,
        Architecture::new("resnet8", CLASSES),
        5,
        0,
    )
    .unwrap();
    let store = &network.store;
    let mut optimiser = Sgd::new(store.values());
    let way = Way::alone(0.0);
    let options = SgdOptions {
        learning_rate: 0.05,
        momentum: 0.9,
        weight_decay: 0.0,
        nesterov: true,
    };
    let first = loss(&network, &way, false);
    for _ in 0..25 {
        loss(&network, &way, true);
        optimiser
            .step(store.values(), store.grads(), store.decayed(), &options)
            .unwrap();
    }
    let last = loss(&network, &way, false);
    assert!(last < 0.1 * first, "from {first} to {last}");
}

#[test]
fn the_fused_inference_pass_is_the_training_layers_with_running_statistics() {
    if !has_f64() {
        return;
    }
    let client = client();
    let network = Network::new(
        &client,
        DType::F64,
        Architecture::new("resnet8", CLASSES),
        7,
        0,
    )
    .unwrap();
    let images = Var::constant(constant(1, &[BATCH, 8, 8, 3], DType::F64));
    // Once the running statistics have become the batch's (but for the variance's n / (n - 1)), both passes agree.
    for _ in 0..300 {
        network.forward(&Tape::new(), Mode::Train, &images).unwrap();
    }
    let train = download(
        network
            .forward(&Tape::new(), Mode::Train, &images)
            .unwrap()
            .tensor(),
    );
    let infer = download(
        network
            .forward(&Tape::new(), Mode::Infer, &images)
            .unwrap()
            .tensor(),
    );
    for (a, b) in train.iter().zip(&infer) {
        // 4 images of 2 x 2 pixels in the last stage: n / (n - 1) is 16 / 15.
        assert!(
            (a - b).abs() < 0.15 * (1.0 + a.abs()),
            "{train:?} and {infer:?}"
        );
    }
}
