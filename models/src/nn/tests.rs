use super::*;
use crate::run::NamedTensor;
use crate::zoo::{Architecture, Network};
use ghostlight_autodiff::{DType, Tensor};
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_tests::{assert_launches, client, download, has_f64};

/// What a convolution and its norm hold, in the order of [`layer`]'s values.
const KEYS: [&str; 5] = [
    "conv.weight",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
];

/// A pointwise convolution of a single channel and its norm: simple enough for paper and pencil.
fn layer(values: [f32; 5]) -> (ConvNorm, Store) {
    let mut declarations = Declarations::default();
    let layer = ConvNorm::new(
        &mut declarations.root(),
        ["conv", "norm"],
        ConvShape::new([1, 1], 1),
    );
    let mut store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
    let named = |(key, value): (&&str, f32)| NamedTensor {
        name: key.to_string(),
        shape: vec![1; if *key == "conv.weight" { 4 } else { 1 }],
        data: vec![value],
    };
    let tensors: Vec<_> = KEYS.iter().zip(values).map(named).collect();
    store.set_weights(&tensors).unwrap();
    (layer, store)
}

/// The layer's outputs for a row of pixels.
fn outputs((layer, store): &(ConvNorm, Store), mode: Mode, x: &[f32]) -> Vec<f64> {
    let tape = Tape::new();
    let pass = Pass::new(&tape, store, mode);
    let x = Tensor::from_f32(&client(), x, &[1, 1, x.len(), 1]).unwrap();
    let y = layer.forward(&pass, &Var::constant(x), Act::None);
    download(y.unwrap().tensor())
}

#[track_caller]
fn assert_close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
    assert!(
        found.iter().zip(wanted).all(close),
        "{found:?}, wanted {wanted:?}"
    );
}

#[test]
fn inference_divides_by_the_root_of_the_running_variance_and_pytorchs_epsilon() {
    let x = [0.3, -1.0, 2.5];
    // The smaller the variance, the more of the divisor is epsilon.
    for variance in [0.0f32, 1e-5, 3e-4, 0.7] {
        let (weight, gamma, beta, mean) = (2.0f32, 0.015f32, -0.25f32, 0.5f32);
        let layer = layer([weight, gamma, beta, mean, variance]);
        let [weight, gamma, beta, mean, variance] =
            [weight, gamma, beta, mean, variance].map(f64::from);
        let wanted = x
            .map(|x: f32| gamma * (weight * f64::from(x) - mean) / (variance + 1e-5).sqrt() + beta);
        assert_close(&outputs(&layer, Mode::Infer, &x), &wanted);
    }
}

#[test]
fn training_divides_by_the_root_of_the_batchs_variance_and_pytorchs_epsilon() {
    let x = [0.003f32, -0.001, 0.002, -0.004];
    let layer = layer([1.0, 1.5, -0.25, 9.0, 9.0]);
    // Mean 0, and (9 + 1 + 4 + 16) / 4 millionths.
    let wanted = x.map(|x| 1.5 * f64::from(x) / (7.5e-6f64 + 1e-5).sqrt() - 0.25);
    assert_close(&outputs(&layer, Mode::Train, &x), &wanted);
}

#[test]
fn a_training_pass_moves_the_running_statistics_a_tenth_of_the_way() {
    let layer = layer([1.0, 1.0, 0.0, 5.0, 8.0]);
    outputs(&layer, Mode::Train, &[1.0, 2.0, 3.0, 6.0]);
    let value = |param| download(&layer.1.value(param).unwrap());
    // Mean 3, unbiased variance (4 + 1 + 0 + 9) / 3.
    let [mean, variance] = [3, 4].map(|index| value(Param(index)));
    assert_close(&mean, &[0.9 * 5.0 + 0.1 * 3.0]);
    assert_close(&variance, &[0.9 * 8.0 + 0.1 * 14.0 / 3.0]);
    outputs(&layer, Mode::Infer, &[1.0, 2.0, 3.0, 6.0]);
    assert_eq!(value(Param(3)), mean, "inference leaves them alone");
}

#[test]
fn a_layer_norm_divides_by_the_root_of_a_pixels_variance_and_its_epsilon() {
    let forward = |epsilon: Option<f64>, x: &[f32]| {
        let mut declarations = Declarations::default();
        let mut norm = LayerNorm::new(declarations.root().at("norm"), 2);
        if let Some(epsilon) = epsilon {
            norm = norm.epsilon(epsilon);
        }
        let mut store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
        let named = |name: &str, data: [f32; 2]| NamedTensor {
            name: name.to_string(),
            shape: vec![2],
            data: data.to_vec(),
        };
        let (gamma, beta) = ([2.0, -3.0], [0.5, 0.25]);
        let tensors = [named("norm.weight", gamma), named("norm.bias", beta)];
        store.set_weights(&tensors).unwrap();
        let tape = Tape::new();
        let x = Tensor::from_f32(&client(), x, &[1, x.len() / 2, 2]).unwrap();
        [Mode::Train, Mode::Infer].map(|mode| {
            let x = Var::constant(x.clone());
            let y = norm.forward(&Pass::new(&tape, &store, mode), &x).unwrap();
            download(y.tensor())
        })
    };
    // Means 2 and 0, variances 1 and 1e-6, so that epsilon is most of the second divisor.
    let x = [1.0, 3.0, 0.001, -0.001];
    for (set, epsilon) in [(None, 1e-5), (Some(1e-3), 1e-3)] {
        let [large, small] = [1.0f64, 1e-6].map(|variance| (variance + epsilon).sqrt());
        let normal = [-1.0 / large, 1.0 / large, 0.001 / small, -0.001 / small];
        let wanted: Vec<f64> = normal
            .iter()
            .enumerate()
            .map(|(i, n)| [2.0, -3.0][i % 2] * n + [0.5, 0.25][i % 2])
            .collect();
        for found in forward(set, &x) {
            assert_close(&found, &wanted);
        }
    }
}

#[test]
fn dense_and_depthwise_convolutions_add_their_bias_before_what_follows() {
    let outputs = |shape: ConvShape, act: Act| {
        let mut declarations = Declarations::default();
        let conv = Conv::biased(declarations.root(), shape);
        let mut store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
        let mut weights = store.weights().unwrap();
        weights[0].data.fill(2.0);
        weights[1].data = vec![10.0, -10.0];
        store.set_weights(&weights).unwrap();
        let tape = Tape::new();
        let x = Tensor::from_f32(&client(), &[1.0, 3.0], &[1, 1, 1, 2]).unwrap();
        let pass = Pass::new(&tape, &store, Mode::Train);
        let y = conv.activated(&pass, &Var::constant(x), act)?;
        Ok::<_, KernelError>(download(y.tensor()))
    };
    let (dense, depthwise) = (ConvShape::new([2, 2], 1), ConvShape::depthwise(2, 1));
    assert_eq!(outputs(dense, Act::None).unwrap(), [18.0, -2.0]);
    assert_eq!(outputs(dense, Act::Relu).unwrap(), [18.0, 0.0]);
    assert_eq!(outputs(depthwise, Act::None).unwrap(), [12.0, -4.0]);
    assert_eq!(outputs(depthwise, Act::Relu).unwrap(), [12.0, 0.0]);
    let swish = Act::Other(Activation::HardSwish);
    assert_eq!(outputs(depthwise, swish).unwrap(), [12.0, 0.0]);
}

#[test]
fn a_grouped_convolution_with_bias_is_refused() {
    let mut declarations = Declarations::default();
    let conv = Conv::biased(declarations.root(), ConvShape::new([4, 4], 1).groups(2));
    let store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
    let tape = Tape::new();
    let x = Var::constant(Tensor::zeros(&client(), &[1, 2, 2, 4], DType::F32));
    let pass = Pass::new(&tape, &store, Mode::Infer);
    let refused = conv.forward(&pass, &x).unwrap_err();
    assert!(refused.to_string().contains("bias is given"), "{refused}");
}

#[test]
fn weights_stand_in_pytorchs_order() {
    let [kh, kw, ci, co] = [2, 3, 4, 5];
    let digits = |[y, x, i, o]: [usize; 4]| 1000 * y + 100 * x + 10 * i + o;
    let each = |extents: [usize; 4]| {
        let [a, b, c, d] = extents;
        (0..a * b * c * d).map(move |at| [at / (b * c * d), at / (c * d) % b, at / d % c, at % d])
    };
    let spec = |shape: &[usize], kind| Spec {
        path: String::new(),
        shape: shape.to_vec(),
        kind,
        init: Init::Constant(0.0),
    };
    let ours: Vec<_> = each([kh, kw, ci, co]).map(digits).collect();
    let torchs: Vec<_> = each([co, ci, kh, kw])
        .map(|[o, i, y, x]| digits([y, x, i, o]))
        .collect();
    let conv = spec(&[kh, kw, ci, co], Kind::Conv);
    let moved: Vec<_> = conv.torch_order().into_iter().map(|at| ours[at]).collect();
    assert_eq!(moved, torchs);
    assert_eq!(conv.torch_shape(), [co, ci, kh, kw]);
    let linear = spec(&[2, 3], Kind::Linear);
    assert_eq!(linear.torch_order(), [0, 3, 1, 4, 2, 5]);
    assert_eq!(linear.torch_shape(), [3, 2]);
    let vector = spec(&[4], Kind::Vector);
    assert_eq!((vector.len(), vector.is_empty()), (4, false));
    assert!(spec(&[0], Kind::Vector).is_empty());
    assert_eq!(vector.torch_order(), [0, 1, 2, 3]);
}

/// A network's tensors by their keys, as `flat` holds them.
fn named(network: &Network, flat: &Tensor) -> Vec<NamedTensor> {
    network.store.named(flat).unwrap()
}

#[test]
fn weight_decay_reaches_weights_and_neither_norms_nor_biases() {
    let network =
        Network::new(&client(), DType::F32, Architecture::new("resnet8", 5), 0, 0).unwrap();
    let decayed = named(&network, network.store.decayed());
    assert!(decayed.len() > 20);
    for tensor in decayed {
        let is_weight = tensor.shape.len() > 1;
        let wanted = if is_weight { 1.0 } else { 0.0 };
        let holds = tensor.data.iter().all(|&value| value == wanted);
        assert!(holds, "{}: {:?}", tensor.name, tensor.data);
    }
}

#[test]
fn starting_values_have_the_spread_of_their_papers() {
    let network = Network::new(
        &client(),
        DType::F32,
        Architecture::new("resnet8", 100),
        0,
        0,
    )
    .unwrap();
    let weights = network.store.weights().unwrap();
    let moments = |key: &str| {
        let tensor = weights.iter().find(|tensor| tensor.name == key).expect(key);
        let n = tensor.data.len() as f64;
        let mean = tensor.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let square = tensor.data.iter().map(|&v| f64::from(v).powi(2));
        (n, mean, (square.sum::<f64>() / n - mean * mean).sqrt())
    };
    // He et al. 2015: the root of 2 over fan-out. PyTorch's linear layer: uniform within the root of 1 over fan-in, for which the
    // deviation is a root of three less. Samples of n values miss mean and deviation by about their n-th root.
    let within = |bound: f64| bound / 3f64.sqrt();
    for (key, deviation) in [
        ("conv1.weight", (2.0 / (16.0 * 9.0f64)).sqrt()),
        ("layer2.0.conv1.weight", (2.0 / (32.0 * 9.0f64)).sqrt()),
        ("layer3.0.downsample.0.weight", (2.0 / 64.0f64).sqrt()),
        ("fc.weight", within(1.0 / 64f64.sqrt())),
        ("fc.bias", within(1.0 / 64f64.sqrt())),
    ] {
        let (n, mean, found) = moments(key);
        let allowed = 4.0 * deviation / n.sqrt();
        assert!(mean.abs() < allowed, "{key}: mean {mean}");
        let difference = (found - deviation).abs();
        assert!(difference < allowed, "{key}: {found}, not {deviation}");
    }
    for (key, value) in [
        ("bn1.weight", 1.0),
        ("bn1.bias", 0.0),
        ("bn1.running_mean", 0.0),
        ("bn1.running_var", 1.0),
    ] {
        let (_, mean, deviation) = moments(key);
        assert_eq!((mean, deviation), (value, 0.0), "{key}");
    }
}

#[test]
fn weights_that_are_taken_over_keep_the_networks_element_type() {
    if !has_f64() {
        return;
    }
    let mut network =
        Network::new(&client(), DType::F64, Architecture::new("resnet8", 3), 0, 0).unwrap();
    let weights = network.store.weights().unwrap();
    network.store.set_weights(&weights).unwrap();
    assert_eq!(network.store.values().dtype(), DType::F64);
    let velocity = named(&network, network.store.values());
    assert_eq!(network.store.flat(&velocity).unwrap().dtype(), DType::F64);
    let images = Var::constant(Tensor::zeros(&client(), &[1, 8, 8, 3], DType::F64));
    let logits = network.forward(&Tape::new(), Mode::Train, &images).unwrap();
    assert_eq!(logits.tensor().dtype(), DType::F64);
}

/// What two dropout layers of rate 0.5 make of ones, under `randomness`.
fn dropped_twice(randomness: Option<Randomness>) -> [Vec<f64>; 2] {
    let mut declarations = Declarations::default();
    BatchNorm::new(declarations.root(), 1);
    let store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
    let tape = Tape::new();
    let mut pass = Pass::new(&tape, &store, Mode::Train);
    pass.randomness = randomness;
    let ones = Var::constant(Tensor::from_f32(&client(), &[1.0; 4096], &[64, 64]).unwrap());
    let layers = [Dropout::new(0.5), Dropout::new(0.5)];
    layers.map(|layer| download(layer.forward(&pass, &ones).unwrap().tensor()))
}

#[test]
fn each_layer_of_each_step_of_each_network_has_a_mask_of_its_own() {
    let of = |seed, role, epoch, step| {
        dropped_twice(Some(Randomness::of_step(seed, role, epoch, step, None)))
    };
    let (first, second) = (1 << 32, 1 << 40);
    let arguments = [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (first, 0, 0, 0),
        (0, 1, 0, 0),
        (0, second, 0, 0),
        (0, 0, 1, 0),
        (0, 0, 0, 1),
        (0, 0, 0, 2),
        (0, 0, 1, 1),
    ];
    let masks: Vec<Vec<f64>> = arguments
        .iter()
        .flat_map(|&(seed, role, epoch, step)| of(seed, role, epoch, step))
        .collect();
    for (i, a) in masks.iter().enumerate() {
        for (j, b) in masks.iter().enumerate().skip(i + 1) {
            let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
            // Half of 4096, give or take six standard deviations of 32.
            assert!(
                (2048 - 192..=2048 + 192).contains(&same),
                "{i} and {j}: {same}"
            );
        }
    }
    assert_eq!(of(0, 0, 1, 1), of(0, 0, 1, 1), "a step repeats exactly");
}

#[test]
fn the_rate_of_a_pass_replaces_that_of_its_layers_and_without_randomness_nothing_is_dropped() {
    let share = |of: [Vec<f64>; 2]| {
        let dropped = of.concat().iter().filter(|&&y| y == 0.0).count();
        dropped as f64 / 8192.0
    };
    let at = |rate| share(dropped_twice(Some(Randomness::of_step(1, 2, 3, 4, rate))));
    for (rate, wanted) in [(None, 0.5), (Some(0.1), 0.1), (Some(0.0), 0.0)] {
        let found = at(rate);
        assert!((found - wanted).abs() <= 0.033, "{rate:?}: {found}");
    }
    assert_eq!(at(Some(0.0)), 0.0);
    assert_eq!(dropped_twice(None), [vec![1.0; 4096], vec![1.0; 4096]]);
}

/// Two norms of different widths, so that neither begins where the other does.
#[test]
fn each_norm_has_its_own_of_the_scales_that_are_made_in_one_launch() {
    let mut declarations = Declarations::default();
    let mut root = declarations.root();
    let shape = |channels| ConvShape::new(channels, 1);
    let first = ConvNorm::new(&mut root, ["a.conv", "a.norm"], shape([1, 3]));
    let second = ConvNorm::new(&mut root, ["b.conv", "b.norm"], shape([3, 2]));
    let alone = BatchNorm::new(root.at("c"), 2);
    let mut store = Store::new(&client(), DType::F32, declarations, 0, 0).unwrap();
    let mut weights = store.weights().unwrap();
    for tensor in &mut weights {
        // Ones, but for what is asked of: gammas of 2 and 3 and so on, and variances of their squares.
        let (norm, square) = match tensor.name.as_str() {
            "a.norm.weight" => (2.0, 1),
            "a.norm.running_var" => (2.0f32, 2),
            "b.norm.weight" => (5.0, 1),
            "b.norm.running_var" => (3.0, 2),
            "c.weight" => (7.0, 1),
            "c.running_var" => (5.0, 2),
            name => (
                if name.ends_with("conv.weight") {
                    1.0
                } else {
                    0.0
                },
                1,
            ),
        };
        tensor.data.fill(norm.powi(square));
    }
    store.set_weights(&weights).unwrap();
    let x = Var::constant(Tensor::from_f32(&client(), &[1.0, -2.0], &[1, 1, 2, 1]).unwrap());
    let tape = Tape::new();
    let outputs = |store: &Store| {
        let pass = Pass::new(&tape, store, Mode::Infer);
        let y = first.forward(&pass, &x, Act::None).unwrap();
        let y = second.forward(&pass, &y, Act::None).unwrap();
        alone.forward(&pass, &y).unwrap()
    };
    let what = "two convolutions, a norm alone, and the scales of all";
    let y = assert_launches(what, 4, || outputs(&store));
    // 2 / 2 times x, three of which are added up, 5 / 3 times that, and 7 / 5.
    assert_close(&download(y.tensor()), &[7.0, 7.0, -14.0, -14.0]);
    // Weights that are given anew have scales of their own.
    for tensor in &mut weights {
        if tensor.name == "b.norm.weight" {
            tensor.data.fill(10.0);
        }
    }
    store.set_weights(&weights).unwrap();
    assert_close(
        &download(outputs(&store).tensor()),
        &[14.0, 14.0, -28.0, -28.0],
    );
}

#[test]
fn an_inference_has_one_launch_for_the_scales_of_all_norms() {
    let arch = Architecture::new("resnet8", 10);
    let network = Network::new(&client(), DType::F32, arch, 0, 0).unwrap();
    let image = Var::constant(Tensor::zeros(&client(), &[1, 32, 32, 3], DType::F32));
    // Nine convolutions, the pooling, the classifier, and the scales.
    assert_launches("resnet8", 12, || {
        network.forward(&Tape::new(), Mode::Infer, &image).unwrap()
    });
}
