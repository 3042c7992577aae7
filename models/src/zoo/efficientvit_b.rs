//! EfficientViT-B (Cai et al. 2023, the network of MIT), timm's; `docs/methods.md` section 7.8.
//!
//! | | widths | depths | channels of a head | classifier |
//! |---|---|---|---|---|
//! | b0 | 8 16 32 64 128 | 1 2 2 2 2 | 16 | 1024 1280 |
//! | b1 | 16 32 64 128 256 | 1 2 3 3 4 | 16 | 1536 1600 |
//! | b2 | 24 48 96 192 384 | 1 3 4 4 6 | 32 | 2304 2560 |
//! | b3 | 32 64 128 256 512 | 1 4 6 6 9 | 32 | 2304 2560 |
//!
//! A stem of stride 2, and four stages of stride 2 that end at a 32nd of the image. The first two are inverted residuals; the last two have, for
//! each of their depth, a linear attention in two scales and an inverted residual. Hard-swish throughout.

use super::{Architecture, Family};
use crate::nn::{Act, Conv, ConvNorm, ConvShape, LayerNorm, Linear, Model, Pass, Path};
use ghostlight_autodiff::ops::{self, GlobalAverage};
use ghostlight_autodiff::{KernelError, Tensor, Var};
use ghostlight_kernels::pointwise::activation::Activation;

pub(super) const FAMILY: Family = Family {
    names: &[
        "efficientvit_b0",
        "efficientvit_b1",
        "efficientvit_b2",
        "efficientvit_b3",
    ],
    build,
};

/// Name, widths and depths of stem and stages, channels of a head, widths of the classifier.
type Variant = (&'static str, [usize; 5], [usize; 5], usize, [usize; 2]);
const VARIANTS: [Variant; 4] = [
    (
        "b0",
        [8, 16, 32, 64, 128],
        [1, 2, 2, 2, 2],
        16,
        [1024, 1280],
    ),
    (
        "b1",
        [16, 32, 64, 128, 256],
        [1, 2, 3, 3, 4],
        16,
        [1536, 1600],
    ),
    (
        "b2",
        [24, 48, 96, 192, 384],
        [1, 3, 4, 4, 6],
        32,
        [2304, 2560],
    ),
    (
        "b3",
        [32, 64, 128, 256, 512],
        [1, 4, 6, 6, 9],
        32,
        [2304, 2560],
    ),
];

/// What an inverted residual widens its input by.
const EXPANSION: usize = 4;
/// Taps of the convolution that gathers the second scale.
const SCALE: usize = 5;
/// Added to the divisors of the attention.
const EPSILON: f64 = 1e-5;

const SWISH: Act = Act::Other(Activation::HardSwish);
const NAMES: [&str; 2] = ["conv", "norm"];

/// A convolution under hard-swish: with a norm, or with a bias instead.
enum Layer {
    Normed(ConvNorm),
    Biased(Conv),
}

impl Layer {
    fn new(mut path: Path, shape: ConvShape, normed: bool) -> Self {
        if normed {
            Self::Normed(ConvNorm::new(&mut path, NAMES, shape))
        } else {
            Self::Biased(Conv::biased(path.at("conv"), shape))
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        match self {
            Self::Normed(layer) => layer.forward(pass, x, SWISH),
            Self::Biased(layer) => layer.activated(pass, x, SWISH),
        }
    }
}

/// An inverted residual, or without an expansion a depthwise-separable one: the input is added unless the block changes the size.
struct Inverted {
    expand: Option<Layer>,
    depthwise: Layer,
    project: ConvNorm,
    residual: bool,
}

impl Inverted {
    /// `normed` says whether all three convolutions have a norm, or the last one alone.
    fn new(
        mut path: Path,
        [input, output]: [usize; 2],
        expansion: usize,
        stride: usize,
        normed: bool,
    ) -> Self {
        let hidden = input * expansion;
        let mut layer = |name, shape| Layer::new(path.at(name), shape, normed);
        let expand =
            (expansion > 1).then(|| layer("inverted_conv", ConvShape::new([input, hidden], 1)));
        let shape = ConvShape::depthwise(hidden, 3).stride(stride);
        let depthwise = layer("depth_conv", shape);
        let shape = ConvShape::new([hidden, output], 1);
        Self {
            expand,
            depthwise,
            project: ConvNorm::new(&mut path.at("point_conv"), NAMES, shape),
            residual: stride == 1,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = x.clone();
        if let Some(expand) = &self.expand {
            y = expand.forward(pass, &y)?;
        }
        y = self.depthwise.forward(pass, &y)?;
        if self.residual {
            self.project.forward_plus(pass, &y, x, Act::None)
        } else {
            self.project.forward(pass, &y, Act::None)
        }
    }
}

/// Linear attention in two scales: that of the pixels, and that of what a 5x5 convolution gathers about each. The input is added.
struct Attention {
    qkv: Conv,
    gather: [Conv; 2],
    project: ConvNorm,
    head: usize,
}

impl Attention {
    fn new(mut path: Path, channels: usize, head: usize) -> Self {
        let wide = 3 * channels;
        let mix = ConvShape::new([wide; 2], 1).groups(wide / head);
        let project = ConvShape::new([2 * channels, channels], 1);
        Self {
            qkv: Conv::new(path.at("qkv.conv"), ConvShape::new([channels, wide], 1)),
            gather: [
                Conv::new(path.at("aggreg.0.0"), ConvShape::depthwise(wide, SCALE)),
                Conv::new(path.at("aggreg.0.1"), mix),
            ],
            project: ConvNorm::new(&mut path.at("proj"), NAMES, project),
            head,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let qkv = self.qkv.forward(pass, x)?;
        let [around, mix] = &self.gather;
        let gathered = mix.forward(pass, &around.forward(pass, &qkv)?)?;
        // Each scale attends to itself, so that what is joined is a third of what they read.
        let mut shape = x.tensor().shape().to_vec();
        let channels = *shape.last().expect("a map has channels");
        *shape.last_mut().expect("a map has channels") = 2 * channels;
        let whole = Tensor::empty(x.tensor().client(), &shape, x.tensor().dtype());
        let attend = |qkv: &Var, scale: usize| {
            let attention = ops::LinearAttention {
                head: self.head,
                epsilon: EPSILON,
                into: Some(whole.window(scale * channels, channels)?),
            };
            pass.tape.apply(attention, &[qkv])
        };
        let scales = [attend(&qkv, 0)?, attend(&gathered, 1)?];
        let joined = pass.tape.join(&whole, &scales.each_ref())?;
        self.project.forward_plus(pass, &joined, x, Act::None)
    }
}

enum Block {
    Inverted(Inverted),
    Attention(Attention),
}

/// The blocks of a stage; pairs with attention where there is a `head`.
fn stage(
    mut path: Path,
    [input, width]: [usize; 2],
    depth: usize,
    head: Option<usize>,
) -> Vec<Block> {
    let inverted = |path: Path, input, stride| {
        let normed = head.is_none();
        Block::Inverted(Inverted::new(
            path,
            [input, width],
            EXPANSION,
            stride,
            normed,
        ))
    };
    let mut blocks = vec![inverted(path.at("0.main"), input, 2)];
    match head {
        None => {
            for index in 1..depth {
                blocks.push(inverted(path.at(format_args!("{index}.main")), width, 1));
            }
        }
        Some(head) => {
            for index in 1..=depth {
                let mut path = path.at(index);
                let attention = Attention::new(path.at("context_module.main"), width, head);
                blocks.push(Block::Attention(attention));
                blocks.push(inverted(path.at("local_module.main"), width, 1));
            }
        }
    }
    blocks
}

struct EfficientVit {
    stem: ConvNorm,
    stem_blocks: Vec<Inverted>,
    stages: Vec<Vec<Block>>,
    last: ConvNorm,
    hidden: Linear,
    norm: LayerNorm,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let size = arch.name.strip_prefix("efficientvit_")?;
    let &(_, widths, depths, head, [wide, hidden]) =
        VARIANTS.iter().find(|variant| variant.0 == size)?;
    let shape = ConvShape::new([3, widths[0]], 3).stride(2);
    let stem = ConvNorm::new(&mut path.at("stem.in_conv"), NAMES, shape);
    let separable = |index: usize| {
        let place = path.at(format_args!("stem.res{index}.main"));
        Inverted::new(place, [widths[0]; 2], 1, 1, true)
    };
    let stem_blocks = (0..depths[0]).map(separable).collect();
    let stages = (0..4)
        .map(|index| {
            let channels = [widths[index], widths[index + 1]];
            let place = path.at(format_args!("stages.{index}.blocks"));
            let head = (index >= 2).then_some(head);
            stage(place, channels, depths[index + 1], head)
        })
        .collect();
    let last = ConvShape::new([widths[4], wide], 1);
    Some(Box::new(EfficientVit {
        stem,
        stem_blocks,
        stages,
        last: ConvNorm::new(&mut path.at("head.in_conv"), NAMES, last),
        hidden: Linear::unbiased(path.at("head.classifier.0"), wide, hidden),
        norm: LayerNorm::new(path.at("head.classifier.1"), hidden),
        classifier: Linear::new(path.at("head.classifier.4"), hidden, arch.classes),
    }))
}

impl Model for EfficientVit {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, SWISH)?;
        for block in &self.stem_blocks {
            y = block.forward(pass, &y)?;
        }
        pass.keep("stem", &y);
        for (stage, blocks) in self.stages.iter().enumerate() {
            for block in blocks {
                y = match block {
                    Block::Inverted(block) => block.forward(pass, &y)?,
                    Block::Attention(block) => block.forward(pass, &y)?,
                };
            }
            pass.keep(format_args!("stages.{stage}"), &y);
        }
        y = self.last.forward(pass, &y, SWISH)?;
        pass.keep("head.in_conv", &y);
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        let hidden = self.hidden.forward(pass, &pooled)?;
        let hidden = self.norm.forward(pass, &hidden)?;
        let swish = ops::Activation {
            kind: Activation::HardSwish,
        };
        let hidden = pass.tape.apply(swish, &[&hidden])?;
        self.classifier.forward(pass, &hidden)
    }
}
