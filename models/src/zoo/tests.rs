//! The networks against their papers, composed from plain loops over the weights as PyTorch lays them out.

use super::*;
use crate::nn::{Mode, Randomness};
use crate::run::NamedTensor;
use ghostlight_autodiff::check::values;
use ghostlight_autodiff::{DType, Event, Tape, Tensor, Var};
use ghostlight_tests::{client, download, has_f64};
use std::cell::RefCell;
use std::rc::Rc;

/// Images `[n, side, side, channels]`.
#[derive(Clone)]
struct Maps {
    side: usize,
    channels: usize,
    data: Vec<f64>,
}

impl Maps {
    fn at(&self, image: usize, y: usize, x: usize, channel: usize) -> f64 {
        self.data[((image * self.side + y) * self.side + x) * self.channels + channel]
    }

    fn images(&self) -> usize {
        self.data.len() / (self.side * self.side * self.channels)
    }
}

/// A network of He et al. 2016, section 4.2, that knows its weights by key.
struct Paper<'a> {
    weights: &'a [NamedTensor],
    mode: Mode,
}

impl Paper<'_> {
    fn tensor(&self, key: &str) -> &NamedTensor {
        let found = self.weights.iter().find(|tensor| tensor.name == key);
        found.unwrap_or_else(|| panic!("{key} is missing"))
    }

    fn vector(&self, key: &str) -> Vec<f64> {
        self.tensor(key).data.iter().map(|&v| v.into()).collect()
    }

    /// Padded by half the kernel.
    fn convolve(&self, input: &Maps, key: &str, stride: usize) -> Maps {
        let weight = self.tensor(&format!("{key}.weight"));
        let &[outputs, inputs, kernel, _] = &weight.shape[..] else {
            panic!("{key} has shape {:?}", weight.shape);
        };
        let side = input.side.div_ceil(stride);
        let mut data = Vec::new();
        for image in 0..input.images() {
            for (y, x, o) in (0..side * side * outputs)
                .map(|at| (at / (side * outputs), at / outputs % side, at % outputs))
            {
                let mut sum = 0.0;
                for (i, ky, kx) in (0..inputs * kernel * kernel)
                    .map(|at| (at / (kernel * kernel), at / kernel % kernel, at % kernel))
                {
                    let (row, column) = (y * stride + ky, x * stride + kx);
                    let inside = kernel / 2..input.side + kernel / 2;
                    if inside.contains(&row) && inside.contains(&column) {
                        let tap = weight.data[((o * inputs + i) * kernel + ky) * kernel + kx];
                        let (row, column) = (row - kernel / 2, column - kernel / 2);
                        sum += f64::from(tap) * input.at(image, row, column, i);
                    }
                }
                data.push(sum);
            }
        }
        Maps {
            side,
            channels: outputs,
            data,
        }
    }

    /// By the running statistics in inference, by the batch's in training.
    fn normalise(&self, mut maps: Maps, key: &str) -> Maps {
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|name| self.vector(&format!("{key}.{name}")));
        for channel in 0..maps.channels {
            let (mean, variance) = match self.mode {
                Mode::Infer => (mean[channel], variance[channel]),
                Mode::Train => {
                    let values = || maps.data.iter().skip(channel).step_by(maps.channels);
                    let n = values().count() as f64;
                    let mean = values().sum::<f64>() / n;
                    let squares = values().map(|v| (v - mean).powi(2));
                    (mean, squares.sum::<f64>() / n)
                }
            };
            for value in maps.data.iter_mut().skip(channel).step_by(maps.channels) {
                *value =
                    gamma[channel] * (*value - mean) / (variance + 1e-5).sqrt() + beta[channel];
            }
        }
        maps
    }

    fn relu(mut maps: Maps) -> Maps {
        maps.data.iter_mut().for_each(|v| *v = v.max(0.0));
        maps
    }

    fn block(&self, input: &Maps, key: &str, stride: usize) -> Maps {
        let part = |name: &str| format!("{key}.{name}");
        let y = self.convolve(input, &part("conv1"), stride);
        let y = Self::relu(self.normalise(y, &part("bn1")));
        let y = self.convolve(&y, &part("conv2"), 1);
        let mut y = self.normalise(y, &part("bn2"));
        let shortcut = if y.channels == input.channels {
            input.clone()
        } else {
            let projected = self.convolve(input, &part("downsample.0"), stride);
            self.normalise(projected, &part("downsample.1"))
        };
        for (value, plus) in y.data.iter_mut().zip(shortcut.data) {
            *value += plus;
        }
        Self::relu(y)
    }

    fn logits(&self, images: &Maps, blocks: usize) -> Vec<f64> {
        let mut y = Self::relu(self.normalise(self.convolve(images, "conv1", 1), "bn1"));
        for (stage, stride) in [(1, 1), (2, 2), (3, 2)] {
            for block in 0..blocks {
                let stride = if block == 0 { stride } else { 1 };
                y = self.block(&y, &format!("layer{stage}.{block}"), stride);
            }
        }
        let (weight, bias) = (self.vector("fc.weight"), self.vector("fc.bias"));
        let pixels = y.side * y.side;
        let mut logits = Vec::new();
        for image in y.data.chunks(pixels * y.channels) {
            let mean =
                |c: usize| image.iter().skip(c).step_by(y.channels).sum::<f64>() / pixels as f64;
            let means: Vec<f64> = (0..y.channels).map(mean).collect();
            let products = |row: &[f64]| row.iter().zip(&means).map(|(w, m)| w * m).sum::<f64>();
            let rows = weight.chunks(y.channels).zip(&bias);
            logits.extend(rows.map(|(row, bias)| products(row) + bias));
        }
        logits
    }
}

/// Gives norms other values than those they start with, which would hide one forgotten.
fn disturb(weights: &mut [NamedTensor]) {
    for (seed, tensor) in (1..).zip(weights) {
        let (middle, spread) = match tensor.name.rsplit('.').next() {
            Some("running_var") => (1.0, 0.7),
            Some("weight") if tensor.shape.len() == 1 => (1.0, 0.5),
            Some("bias" | "running_mean") => (0.0, 0.5),
            _ => continue,
        };
        let drawn = values(seed, tensor.data.len());
        tensor.data = drawn.iter().map(|v| (middle + spread * v) as f32).collect();
    }
}

#[test]
fn a_residual_network_computes_what_its_paper_says() {
    if !has_f64() {
        return;
    }
    let classes = 3;
    for (depth, side) in [(8, 8), (14, 9)] {
        let arch = format!("resnet{depth}");
        let mut network = Network::new(
            &client(),
            DType::F64,
            Architecture::new(&arch, classes),
            1,
            0,
        )
        .unwrap();
        let mut weights = network.store.weights().unwrap();
        disturb(&mut weights);
        network.store.set_weights(&weights).unwrap();
        let shape = [2, side, side, 3];
        let maps = Maps {
            side,
            channels: 3,
            data: values(9, shape.iter().product()),
        };
        let images = Tensor::from_f64(&client(), &maps.data, &shape, DType::F64).unwrap();
        for mode in [Mode::Infer, Mode::Train] {
            let found = network
                .forward(&Tape::new(), mode, &Var::constant(images.clone()))
                .unwrap();
            assert_eq!(found.tensor().shape(), [2, classes]);
            let paper = Paper {
                weights: &weights,
                mode,
            };
            let wanted = paper.logits(&maps, (depth - 2) / 6);
            for (found, wanted) in download(found.tensor()).iter().zip(&wanted) {
                let close = (found - wanted).abs() < 1e-9 * (1.0 + wanted.abs());
                assert!(close, "{arch}, {mode:?}: {found}, the paper says {wanted}");
            }
        }
    }
}

#[test]
fn the_depths_of_the_papers_are_known_and_no_others() {
    for depth in [8, 14, 20, 32, 44, 56, 110] {
        assert!(check(&format!("resnet{depth}")).is_ok(), "{depth}");
        assert!(check(&format!("cifar_resnet{depth}")).is_ok(), "{depth}");
    }
    assert!(check("cifar_resnet1202").is_ok());
    // The first two are networks elsewhere that no CIFAR network may be taken for.
    for name in [
        "resnet50",
        "cifar_resnet18",
        "resnet2",
        "resnet9",
        "cifar_resnet1208",
        "cifar_resnet08",
        "vgg8",
    ] {
        assert!(check(name).is_err(), "{name}");
    }
}

#[test]
fn networks_drop_where_their_papers_do_and_in_training_steps_alone() {
    let dropouts = |name: &str, randomness: Option<Randomness>| {
        let network = Network::sketch(Architecture::new(name, 10)).unwrap();
        let side = native_size(name);
        let image = Tensor::empty(
            network.store.values().client(),
            &[2, side, side, 3],
            DType::F32,
        );
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        let (tape, image) = (Tape::observed(events.clone()), Var::constant(image));
        match randomness {
            Some(randomness) => network.forward_dropping(&tape, randomness, &image),
            None => network.forward(&tape, Mode::Train, &image),
        }
        .unwrap();
        let events = events.borrow();
        events.iter().filter(|event| event.op == "dropout").count()
    };
    for name in names() {
        let wanted = match name {
            "vgg16" | "vgg16_bn" => 2,
            "mobilenet_v2" => 1,
            _ if name.starts_with("ghostnet_") || name.starts_with("g_ghost_") => 1,
            _ => 0,
        };
        let randomness = Randomness::of_step(0, 0, 0, 0, None);
        assert_eq!(dropouts(name, Some(randomness)), wanted, "{name}");
        assert_eq!(dropouts(name, None), 0, "{name}");
    }
}

#[test]
fn a_seed_decides_what_a_step_drops_and_nothing_else_does() {
    let arch = Architecture::new("mobilenet_v2", 5);
    let network = Network::new(&client(), DType::F32, arch, 1, 0).unwrap();
    let images = Tensor::from_f64(
        &client(),
        &values(1, 2 * 32 * 32 * 3),
        &[2, 32, 32, 3],
        DType::F32,
    );
    let images = Var::constant(images.unwrap());
    let under = |seed, rate| {
        let randomness = Randomness::of_step(seed, 0, 0, 0, rate);
        let logits = network.forward_dropping(&Tape::new(), randomness, &images);
        download(logits.unwrap().tensor())
    };
    let whole = network.forward(&Tape::new(), Mode::Train, &images).unwrap();
    let whole = download(whole.tensor());
    assert_eq!(under(1, None), under(1, None));
    assert_ne!(under(1, None), under(2, None));
    assert_ne!(under(1, None), whole);
    assert_eq!(under(1, Some(0.0)), whole);
}

#[test]
fn weights_for_images_of_another_size_are_refused_and_say_so() {
    let of = |side| {
        let arch = Architecture::new("efficientvit_m0", 3).images(side, side);
        Network::new(&client(), DType::F32, arch, 0, 0).unwrap()
    };
    let weights = of(224).store.weights().unwrap();
    let refused = of(64).store.set_weights(&weights).unwrap_err().to_string();
    let row = "of another shape (6): stages.0.blocks.0.mixer.m.attn.attention_biases [4, 49] where [4, 16] is wanted";
    assert!(refused.contains(row), "{refused}");
    assert!(refused.contains("images of another size"), "{refused}");
    // 7 x 7 pixels a window in both first stages, and 4 x 4 in the last: as for 224 px.
    assert!(of(208).store.set_weights(&weights).is_ok());
    let refused = Network::new(
        &client(),
        DType::F32,
        Architecture::new("cifar_resnet8", 3),
        0,
        0,
    );
    let refused = refused.unwrap().store.set_weights(&weights).unwrap_err();
    assert!(!refused.to_string().contains("another size"), "{refused}");
}

#[test]
fn windows_have_seven_pixels_a_side_or_as_many_as_there_are() {
    let sides = |height, width| -> Vec<usize> {
        let arch = Architecture::new("efficientvit_m0", 3).images(height, width);
        let network = Network::sketch(arch).unwrap();
        let tables = network.store.specs().iter();
        let tables = tables.filter(|spec| spec.path.ends_with("attention_biases"));
        tables.map(|spec| spec.shape[1].isqrt()).collect()
    };
    assert_eq!(sides(224, 224), [7, 7, 7, 4, 4, 4]);
    assert_eq!(sides(64, 64), [4, 2, 2, 1, 1, 1]);
    assert_eq!(sides(512, 96), [6, 3, 3, 2, 2, 2]);
    for image in [[512, 96], [96, 512], [72, 104], [16, 16], [17, 40]] {
        let arch = Architecture::new("efficientvit_m0", 3).images(image[0], image[1]);
        assert!(Network::step_bytes(arch, 2, true).is_ok(), "{image:?}");
    }
    let small = Architecture::new("efficientvit_m0", 3).images(15, 64);
    let refused = Network::step_bytes(small, 2, true).unwrap_err().to_string();
    assert!(refused.contains("partition"), "{refused}");
}

/// The logits of one training step, the gradients of the sum of their squares and the parameters, all as bits; and how many convolutions
/// read a map that nobody normalised.
fn step(arch: &str, side: usize, fused: bool) -> (Vec<u32>, usize) {
    let architecture = Architecture::new(arch, 5).images(side, side);
    let mut network = Network::new(&client(), DType::F32, architecture, 3, 0).unwrap();
    network.fused = fused;
    let images: Vec<f32> = values(4, 2 * side * side * 3)
        .iter()
        .map(|&v| v as f32)
        .collect();
    let images = Tensor::from_f32(&client(), &images, &[2, side, side, 3]).unwrap();
    let events = Rc::new(RefCell::new(Vec::<Event>::new()));
    let tape = Tape::observed(events.clone());
    let logits = network
        .forward(&tape, Mode::Train, &Var::constant(images))
        .unwrap();
    let chains = events.take();
    let chains = chains
        .iter()
        .filter(|event| event.op == "norm_conv")
        .count();
    tape.backward_from(&[(&logits, logits.tensor().clone())])
        .unwrap();
    let tensors = [
        logits.tensor().clone(),
        network.store.grads().clone(),
        network.store.values().clone(),
    ];
    let bits = tensors.map(|tensor| tensor.to_f32().unwrap());
    let bits = bits.concat().into_iter().map(f32::to_bits).collect();
    (bits, chains)
}

#[test]
fn a_step_that_leaves_norms_to_their_readers_has_the_bits_of_one_that_does_not() {
    for (arch, side, chains) in [
        ("resnet8", 20, 3),
        ("mobilenet_v2", 32, 33),
        ("g_ghost_regnetx_002", 32, 26),
    ] {
        let (fused, unfused) = (step(arch, side, true), step(arch, side, false));
        assert_eq!([fused.1, unfused.1], [chains, 0], "{arch}");
        assert!(fused.0 == unfused.0, "{arch}: other bits");
    }
}
