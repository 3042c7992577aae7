//! CIFAR-style ResNet-d (He et al. 2016, section 4.2; `docs/methods.md` section 7.1) with 1x1-convolution shortcuts, as mdistiller's.
//!
//! | stage | blocks | channels | stride |
//! |---|---|---|---|
//! | stem 3x3 | | 16 | 1 |
//! | layer1 | n | 16 | 1 |
//! | layer2 | n | 32 | 2 |
//! | layer3 | n | 64 | 2 |
//! | global average, linear | | classes | |

use crate::nn::{ConvNorm, Linear, Model, Pass, Path};
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
    first: ConvNorm,
    second: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(mut path: Path, input: usize, output: usize, stride: usize) -> Self {
        let first = ConvNorm::new(&mut path, ["conv1", "bn1"], [input, output], 3, stride);
        let second = ConvNorm::new(&mut path, ["conv2", "bn2"], [output, output], 3, 1);
        let downsample = (stride != 1 || input != output).then(|| {
            ConvNorm::new(
                &mut path.at("downsample"),
                ["0", "1"],
                [input, output],
                1,
                stride,
            )
        });
        Self {
            first,
            second,
            downsample,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.first.forward(pass, x, None, true)?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(pass, x, None, false)?,
            None => x.clone(),
        };
        self.second.forward(pass, &y, Some(&shortcut), true)
    }
}

/// The network.
pub(super) struct CifarResNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    fc: Linear,
}

impl CifarResNet {
    /// Declares a network of `depth` = 6n + 2 layers.
    pub(super) fn new(mut path: Path, depth: usize, classes: usize) -> Self {
        let stem = ConvNorm::new(&mut path, ["conv1", "bn1"], [3, STEM], 3, 1);
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
        Self { stem, blocks, fc }
    }
}

impl Model for CifarResNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, None, true)?;
        for block in &self.blocks {
            y = block.forward(pass, &y)?;
        }
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        self.fc.forward(pass, &pooled)
    }
}
