//! Residual networks of basic blocks (He et al. 2016): torchvision's ResNet-18, the CIFAR networks of mdistiller (He et al., section 4.2,
//! with projections as shortcuts), and the two students of SnT-SENTRY; `docs/methods.md` section 7.1,
//! `docs/methods.md` section 7.3 and `docs/methods.md` section 4.2.
//!
//! | | stem | stages | blocks a stage | shortcut | head |
//! |---|---|---|---|---|---|
//! | `cifar_resnet<6n+2>` | 3x3, 16 | 16 32 64 | n | 1x1 | global average |
//! | `cifar_resnet<6n+2>x4` | 3x3, 32 | 64 128 256 | n | 1x1 | global average |
//! | `snt_resnet8`, `snt_resnet16` | 3x3, 16 | 16 32 64 | 1, 2 | 3x3 | average over 3x3 bins |
//! | `resnet18` | 7x7 stride 2, 64, max pool 3x3 stride 2 | 64 128 256 512 | 2 | 1x1 | global average |
//!
//! Every stage but the first halves the map.

use super::{Architecture, Family};
use crate::nn::{Act, ConvNorm, ConvShape, Flatten, Linear, Model, Pass, Path, flatten};
use ghostlight_autodiff::ops::{AdaptiveAverage, GlobalAverage, MaxPool};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::planted;
use ghostlight_kernels::pool::max::MaxPoolOptions;

pub(super) const FAMILY: Family = Family {
    names: &[
        "cifar_resnet8",
        "cifar_resnet14",
        "cifar_resnet20",
        "cifar_resnet32",
        "cifar_resnet44",
        "cifar_resnet56",
        "cifar_resnet110",
        "cifar_resnet8x4",
        "cifar_resnet32x4",
        "snt_resnet8",
        "snt_resnet16",
        "resnet18",
    ],
    build,
};

/// Averaging bins along each axis behind the last stage of [`SNT`].
const BINS: usize = 3;

/// What tells the networks apart.
#[derive(Clone, Copy)]
struct Config {
    stem: usize,
    widths: &'static [usize],
    blocks: usize,
    /// Taps of the projections.
    shortcut: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cifar,
    Snt,
    ImageNet,
}

fn config(name: &str) -> Option<Config> {
    let cifar = Config {
        stem: 16,
        widths: &[16, 32, 64],
        blocks: 0,
        shortcut: 1,
        kind: Kind::Cifar,
    };
    let snt = Config {
        shortcut: 3,
        kind: Kind::Snt,
        ..cifar
    };
    match name {
        "resnet18" => Some(Config {
            stem: 64,
            widths: &[64, 128, 256, 512],
            blocks: 2,
            shortcut: 1,
            kind: Kind::ImageNet,
        }),
        "snt_resnet8" => Some(Config { blocks: 1, ..snt }),
        "snt_resnet16" => Some(Config { blocks: 2, ..snt }),
        _ => {
            let depth = name.strip_prefix("cifar_resnet")?;
            let wide = depth.strip_suffix("x4");
            let blocks = blocks(wide.unwrap_or(depth))?;
            Some(match wide {
                None => Config { blocks, ..cifar },
                Some(_) => Config {
                    stem: 32,
                    widths: &[64, 128, 256],
                    blocks,
                    ..cifar
                },
            })
        }
    }
}

/// Blocks a stage of a depth of 6n + 2 layers; He et al. went to 1202.
fn blocks(depth: &str) -> Option<usize> {
    let digits = Some(depth).filter(|digits| !digits.starts_with(['0', '+']))?;
    let depth: usize = digits.parse().ok()?;
    ((8..=1202).contains(&depth) && depth % 6 == 2).then_some((depth - 2) / 6)
}

/// Two 3x3 convolutions and a shortcut.
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(mut path: Path, channels: [usize; 2], stride: usize, shortcut: usize) -> Self {
        let [input, output] = channels;
        let first = ConvShape::new(channels, 3).stride(stride);
        let second = ConvShape::new([output; 2], 3);
        let projection = ConvShape::new(channels, shortcut).stride(stride);
        Self {
            first: ConvNorm::new(&mut path, ["conv1", "bn1"], first),
            second: ConvNorm::new(&mut path, ["conv2", "bn2"], second),
            downsample: (stride != 1 || input != output)
                .then(|| ConvNorm::new(&mut path.at("downsample"), ["0", "1"], projection)),
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.first.open(pass, x, Act::Relu)?;
        let shortcut = match &self.downsample {
            Some(downsample) => {
                let act = planted::or("shortcut_with_relu", Act::None, Act::Relu);
                downsample.forward(pass, x, act)?
            }
            None => x.clone(),
        };
        self.second.forward_plus(pass, y, &shortcut, Act::Relu)
    }
}

struct ResNet {
    kind: Kind,
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    fc: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let Architecture { name, classes, .. } = arch;
    let Config {
        stem: width,
        widths,
        blocks,
        shortcut,
        kind,
    } = config(name)?;
    let names = match kind {
        Kind::Snt => ["conv", "bn"],
        _ => ["conv1", "bn1"],
    };
    let shape = match kind {
        Kind::ImageNet => ConvShape::new([3, width], 7).stride(2),
        _ => ConvShape::new([3, width], 3),
    };
    let stem = ConvNorm::new(&mut path, names, shape);
    let mut input = width;
    let mut stages = Vec::new();
    for (stage, &output) in (1..).zip(widths) {
        let mut stage_of = |block: usize| {
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            let path = path.at(format_args!("layer{stage}.{block}"));
            let channels = [std::mem::replace(&mut input, output), output];
            Block::new(path, channels, stride, shortcut)
        };
        stages.push((0..blocks).map(&mut stage_of).collect());
    }
    let flat = match kind {
        Kind::Snt => Flatten::Map([BINS; 2]),
        _ => Flatten::Row,
    };
    let fc = Linear::of(path.at("fc"), flat, input, classes);
    Some(Box::new(ResNet {
        kind,
        stem,
        stages,
        fc,
    }))
}

impl Model for ResNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, Act::Relu)?;
        if self.kind == Kind::ImageNet {
            let options = MaxPoolOptions::square(3, 2, 1);
            y = pass.tape.apply(MaxPool { options }, &[&y])?;
        }
        for (stage, blocks) in (1..).zip(&self.stages) {
            for block in blocks {
                y = block.forward(pass, &y)?;
            }
            pass.keep(format_args!("layer{stage}"), &y);
        }
        let pooled = if self.kind == Kind::Snt {
            let output = [BINS; 2];
            let bins = pass.tape.apply(AdaptiveAverage { output }, &[&y])?;
            flatten(pass, &bins)?
        } else {
            pass.tape.apply(GlobalAverage, &[&y])?
        };
        self.fc.forward(pass, &pooled)
    }
}
