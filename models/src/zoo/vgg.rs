//! VGG (Simonyan & Zisserman 2015): torchvision's `vgg16` and `vgg16_bn`, the same with the small-image head, and mdistiller's CIFAR
//! networks; `docs/methods.md` section 7.2.
//!
//! | | widths of the 3x3 convolutions, a max pool behind each group | norms | head |
//! |---|---|---|---|
//! | `vgg16`, `vgg16_bn` | 64 64, 128 128, 256 256 256, 512 512 512, 512 512 512 | `_bn` | 7x7 bins, 4096, 4096, classes; half dropped behind each 4096 |
//! | `vgg16_gap`, `vgg16_bn_gap` | the same | `_bn` | global average, classes |
//! | `cifar_vgg8_bn` | 64, 128, 256, 512, 512 | yes | global average, classes |
//! | `cifar_vgg13_bn` | 64 64, 128 128, 256 256, 512 512, 512 512 | yes | the same |
//! | `cifar_vgg16_bn` | as vgg16 | yes | the same |
//!
//! All convolutions have biases, also under a norm. The CIFAR networks pool before the last group only where the map is still 8 or
//! more pixels wide, and average behind it, as mdistiller's do.

use super::{Architecture, Family};
use crate::nn::{
    Act, Conv, ConvNorm, ConvShape, Dropout, Flatten, Linear, Model, Pass, Path, flatten,
};
use ghostlight_autodiff::ops::{Activation, AdaptiveAverage, GlobalAverage, MaxPool};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::pointwise::activation;
use ghostlight_kernels::pool::max::MaxPoolOptions;

pub(super) const FAMILY: Family = Family {
    names: &[
        "vgg16",
        "vgg16_bn",
        "vgg16_gap",
        "vgg16_bn_gap",
        "cifar_vgg8_bn",
        "cifar_vgg13_bn",
        "cifar_vgg16_bn",
    ],
    build,
};

const VGG16: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];
const VGG13: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 2], &[512; 2], &[512; 2]];
const VGG8: [&[usize]; 5] = [&[64], &[128], &[256], &[512], &[512]];

/// Bins along each axis, and hidden features, of the classifier.
const BINS: usize = 7;
const HIDDEN: usize = 4096;
const DROPOUT: f64 = 0.5;

enum Layer {
    Plain(Conv),
    Normed(ConvNorm),
}

impl Layer {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        match self {
            Self::Plain(conv) => conv.activated(pass, x, Act::Relu),
            Self::Normed(conv) => conv.forward(pass, x, Act::Relu),
        }
    }
}

enum Head {
    Hidden([Linear; 3]),
    Average(Linear),
}

struct Vgg {
    cifar: bool,
    /// The groups of convolutions, and the name of what follows each.
    groups: Vec<(Vec<Layer>, String)>,
    head: Head,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let Architecture { name, classes, .. } = arch;
    let (widths, norms, cifar) = match name {
        "vgg16" | "vgg16_gap" => (VGG16, false, false),
        "vgg16_bn" | "vgg16_bn_gap" => (VGG16, true, false),
        "cifar_vgg8_bn" => (VGG8, true, true),
        "cifar_vgg13_bn" => (VGG13, true, true),
        "cifar_vgg16_bn" => (VGG16, true, true),
        _ => return None,
    };
    let mut input = 3;
    // torchvision numbers all layers in one sequence, mdistiller those of each group.
    let mut index = 0;
    let mut groups = Vec::new();
    for (group, widths) in widths.iter().enumerate() {
        let prefix = if cifar {
            index = 0;
            format!("block{group}")
        } else {
            "features".to_string()
        };
        let mut layers = Vec::new();
        for &output in *widths {
            let shape = ConvShape::new([input, output], 3);
            let conv = Conv::biased(path.at(format_args!("{prefix}.{index}")), shape);
            layers.push(if norms {
                let norm = path.at(format_args!("{prefix}.{}", index + 1));
                Layer::Normed(ConvNorm::of(conv, norm))
            } else {
                Layer::Plain(conv)
            });
            // Convolution, norm where there is one, ReLU.
            index += 2 + usize::from(norms);
            input = output;
        }
        let pool = if cifar {
            prefix
        } else {
            format!("features.{index}")
        };
        index += 1;
        groups.push((layers, pool));
    }
    let head = if cifar || name.ends_with("_gap") {
        Head::Average(Linear::new(path.at("classifier"), input, classes))
    } else {
        let mut path = path.at("classifier");
        Head::Hidden([
            Linear::of(path.at("0"), Flatten::Map([BINS; 2]), input, HIDDEN),
            Linear::new(path.at("3"), HIDDEN, HIDDEN),
            Linear::new(path.at("6"), HIDDEN, classes),
        ])
    };
    Some(Box::new(Vgg {
        cifar,
        groups,
        head,
    }))
}

impl Model for Vgg {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let options = MaxPoolOptions::square(2, 2, 0);
        // mdistiller leaves the fourth pool out for 32 px images, whose map has 4 pixels a side by then.
        let pools = match x.tensor().shape() {
            [_, height, ..] if self.cifar => {
                if *height >= 64 {
                    4
                } else {
                    3
                }
            }
            _ => self.groups.len(),
        };
        let mut y = x.clone();
        for (group, (layers, name)) in self.groups.iter().enumerate() {
            for layer in layers {
                y = layer.forward(pass, &y)?;
            }
            if group < pools {
                y = pass.tape.apply(MaxPool { options }, &[&y])?;
            }
            pass.keep(name, &y);
        }
        match &self.head {
            Head::Average(linear) => {
                let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
                linear.forward(pass, &pooled)
            }
            Head::Hidden([first, second, last]) => {
                let output = [BINS; 2];
                let bins = pass.tape.apply(AdaptiveAverage { output }, &[&y])?;
                let mut y = flatten(pass, &bins)?;
                for linear in [first, second] {
                    let kind = activation::Activation::Relu;
                    y = linear.forward(pass, &y)?;
                    y = pass.tape.apply(Activation { kind }, &[&y])?;
                    y = Dropout::new(DROPOUT).forward(pass, &y)?;
                }
                last.forward(pass, &y)
            }
        }
    }
}
