//! CIFAR-style ResNet-d (He et al. 2016, section 4.2; methods.md section 7.1) with 1x1-convolution shortcuts, as mdistiller's.
//!
//! | stage | blocks | channels | stride |
//! |---|---|---|---|
//! | stem 3x3 | | 16 | 1 |
//! | layer1 | n | 16 | 1 |
//! | layer2 | n | 32 | 2 |
//! | layer3 | n | 64 | 2 |
//! | global average, linear | | classes | |

use crate::nn::{BatchNorm, Conv, Linear, Model, Pass, Path};
use ghostlight_autodiff::ops::GlobalAverage;
use ghostlight_autodiff::{KernelError, Var};

const STEM: usize = 16;
const STAGES: [(usize, usize); 3] = [(16, 1), (32, 2), (64, 2)];
/// He et al. went to 1202 layers.
const DEEPEST: usize = 1202;

/// The depth that a name such as `resnet20` stands for, if it is 6n + 2.
pub(super) fn depth(arch: &str) -> Option<usize> {
    let digits = arch
        .strip_prefix("resnet")
        .filter(|digits| !digits.starts_with(['0', '+']))?;
    digits
        .parse()
        .ok()
        .filter(|&d: &usize| (8..=DEEPEST).contains(&d) && d % 6 == 2)
}

/// Two 3x3 convolutions and a shortcut.
struct Block {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    downsample: Option<(Conv, BatchNorm)>,
}

impl Block {
    fn new(mut path: Path, input: usize, output: usize, stride: usize) -> Self {
        Self {
            conv1: Conv::new(path.at("conv1"), [input, output], 3, stride),
            bn1: BatchNorm::new(path.at("bn1"), output),
            conv2: Conv::new(path.at("conv2"), [output, output], 3, 1),
            bn2: BatchNorm::new(path.at("bn2"), output),
            downsample: (stride != 1 || input != output).then(|| {
                let conv = Conv::new(path.at("downsample.0"), [input, output], 1, stride);
                (conv, BatchNorm::new(path.at("downsample.1"), output))
            }),
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.conv1.forward(pass, x)?;
        let y = self.bn1.forward(pass, &y, None, true)?;
        let y = self.conv2.forward(pass, &y)?;
        let shortcut = match &self.downsample {
            Some((conv, bn)) => bn.forward(pass, &conv.forward(pass, x)?, None, false)?,
            None => x.clone(),
        };
        self.bn2.forward(pass, &y, Some(&shortcut), true)
    }
}

/// The network.
pub(super) struct CifarResNet {
    conv1: Conv,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    fc: Linear,
}

impl CifarResNet {
    /// Declares a network of `depth` = 6n + 2 layers.
    pub(super) fn new(mut path: Path, depth: usize, classes: usize) -> Self {
        let conv1 = Conv::new(path.at("conv1"), [3, STEM], 3, 1);
        let bn1 = BatchNorm::new(path.at("bn1"), STEM);
        let mut blocks = Vec::new();
        let mut input = STEM;
        for (stage, (output, stride)) in (1..).zip(STAGES) {
            for block in 0..(depth - 2) / 6 {
                let stride = if block == 0 { stride } else { 1 };
                let place = path.at(format_args!("layer{stage}.{block}"));
                blocks.push(Block::new(place, input, output, stride));
                input = output;
            }
        }
        let fc = Linear::new(path.at("fc"), input, classes);
        Self {
            conv1,
            bn1,
            blocks,
            fc,
        }
    }
}

impl Model for CifarResNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.conv1.forward(pass, x)?;
        let mut y = self.bn1.forward(pass, &y, None, true)?;
        for block in &self.blocks {
            y = block.forward(pass, &y)?;
        }
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        self.fc.forward(pass, &pooled)
    }
}
