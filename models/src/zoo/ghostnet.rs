//! GhostNet (Han et al. 2020, table 1), timm's `ghostnet_050`, `ghostnet_100` and `ghostnet_130`;
//! `docs/methods.md` section 1.3.
//!
//! The stem, a 3x3 convolution of stride 2 to 16 channels, the bottlenecks of [`BLOCKS`], a 1x1 convolution to as many channels as
//! the last bottleneck expands to, global average, a 1x1 convolution with bias to 1280, ReLU, dropout of a fifth, classes.

use super::{Architecture, Family};
use crate::nn::{
    Act, ConvNorm, ConvShape, Dropout, Flatten, GhostModule, Linear, Model, Pass, Path,
    SqueezeExcite,
};
use ghostlight_autodiff::ops::{self, GlobalAverage};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::Clamp;
use ghostlight_kernels::pointwise::activation::Activation;

pub(super) const FAMILY: Family = Family {
    names: &["ghostnet_050", "ghostnet_100", "ghostnet_130"],
    build,
};

/// The stage of each bottleneck, its depthwise kernel, expanded channels, output channels, squeeze and excitation, stride.
const BLOCKS: [(usize, usize, usize, usize, bool, usize); 16] = [
    (0, 3, 16, 16, false, 1),
    (1, 3, 48, 24, false, 2),
    (2, 3, 72, 24, false, 1),
    (3, 5, 72, 40, true, 2),
    (4, 5, 120, 40, true, 1),
    (5, 3, 240, 80, false, 2),
    (6, 3, 200, 80, false, 1),
    (6, 3, 184, 80, false, 1),
    (6, 3, 184, 80, false, 1),
    (6, 3, 480, 112, true, 1),
    (6, 3, 672, 112, true, 1),
    (7, 5, 672, 160, true, 2),
    (8, 5, 960, 160, false, 1),
    (8, 5, 960, 160, true, 1),
    (8, 5, 960, 160, false, 1),
    (8, 5, 960, 160, true, 1),
];
const STEM: usize = 16;
const LAST: usize = 960;
const HEAD: usize = 1280;
const DROPOUT: f64 = 0.2;

/// The multiple of 4 nearest to `channels`, at least 4, and not below nine tenths of them.
fn divisible(channels: f64) -> usize {
    let nearest = 4.0f64.max(((channels + 2.0) / 4.0).floor() * 4.0);
    let nearest = if nearest < 0.9 * channels {
        nearest + 4.0
    } else {
        nearest
    };
    nearest as usize
}

struct Block {
    first: GhostModule,
    depthwise: Option<ConvNorm>,
    squeeze: Option<SqueezeExcite>,
    second: GhostModule,
    shortcut: Option<[ConvNorm; 2]>,
}

impl Block {
    fn new(
        mut path: Path,
        kernel: usize,
        [input, hidden, output]: [usize; 3],
        squeezes: bool,
        stride: usize,
    ) -> Self {
        let first = GhostModule::new(path.at("ghost1"), [input, hidden], Clamp::Relu);
        let depthwise = (stride > 1).then(|| {
            let shape = ConvShape::depthwise(hidden, kernel).stride(stride);
            ConvNorm::new(&mut path, ["conv_dw", "bn_dw"], shape)
        });
        let squeeze = squeezes.then(|| {
            let reduced = divisible(0.25 * hidden as f64);
            SqueezeExcite::new(path.at("se"), hidden, reduced, Activation::HardSigmoid)
        });
        let second = GhostModule::new(path.at("ghost2"), [hidden, output], Clamp::None);
        let shortcut = (stride > 1 || input != output).then(|| {
            let mut path = path.at("shortcut");
            let depthwise = ConvShape::depthwise(input, kernel).stride(stride);
            let pointwise = ConvShape::new([input, output], 1);
            [
                ConvNorm::new(&mut path, ["0", "1"], depthwise),
                ConvNorm::new(&mut path, ["2", "3"], pointwise),
            ]
        });
        Self {
            first,
            depthwise,
            squeeze,
            second,
            shortcut,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.first.forward(pass, x)?;
        if let Some(depthwise) = &self.depthwise {
            y = depthwise.forward(pass, &y, Act::None)?;
        }
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.forward(pass, &y)?;
        }
        y = self.second.forward(pass, &y)?;
        match &self.shortcut {
            None => pass.tape.apply(ops::Add, &[&y, x]),
            // The sum is the shortcut's norm's own residual.
            Some([depthwise, pointwise]) => {
                let short = depthwise.open(pass, x, Act::None)?;
                pointwise.forward_plus(pass, short, &y, Act::None)
            }
        }
    }
}

struct GhostNet {
    stem: ConvNorm,
    blocks: Vec<(usize, Block)>,
    last: ConvNorm,
    head: Linear,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let Architecture { name, classes, .. } = arch;
    let multiplier = match name {
        "ghostnet_050" => 0.5,
        "ghostnet_100" => 1.0,
        "ghostnet_130" => 1.3,
        _ => return None,
    };
    let width = |channels: usize| divisible(multiplier * channels as f64);
    let mut input = width(STEM);
    let stem = ConvShape::new([3, input], 3).stride(2);
    let stem = ConvNorm::new(&mut path, ["conv_stem", "bn1"], stem);
    let mut blocks = Vec::new();
    let (mut last_stage, mut index) = (0, 0);
    for (stage, kernel, hidden, output, squeezes, stride) in BLOCKS {
        index = if stage == last_stage { index } else { 0 };
        last_stage = stage;
        let channels = [input, width(hidden), width(output)];
        let place = path.at(format_args!("blocks.{stage}.{index}"));
        blocks.push((stage, Block::new(place, kernel, channels, squeezes, stride)));
        (input, index) = (width(output), index + 1);
    }
    let last = ConvShape::new([input, width(LAST)], 1);
    let last = ConvNorm::new(&mut path.at("blocks.9.0"), ["conv", "bn1"], last);
    Some(Box::new(GhostNet {
        stem,
        blocks,
        last,
        head: Linear::of(path.at("conv_head"), Flatten::Pixel, width(LAST), HEAD),
        classifier: Linear::new(path.at("classifier"), HEAD, classes),
    }))
}

impl Model for GhostNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, Act::Relu)?;
        for (i, (stage, block)) in self.blocks.iter().enumerate() {
            y = block.forward(pass, &y)?;
            let ends = self.blocks.get(i + 1).is_none_or(|(next, _)| next != stage);
            if ends {
                pass.keep(format_args!("blocks.{stage}"), &y);
            }
        }
        y = self.last.forward(pass, &y, Act::Relu)?;
        pass.keep("blocks.9", &y);
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        let relu = ops::Activation {
            kind: Activation::Relu,
        };
        let head = self.head.forward(pass, &pooled)?;
        let head = pass.tape.apply(relu, &[&head])?;
        let head = Dropout::new(DROPOUT).forward(pass, &head)?;
        self.classifier.forward(pass, &head)
    }
}
