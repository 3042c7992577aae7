//! MobileViT (Mehta and Rastegari 2022), timm's `mobilevit_xxs`, `mobilevit_xs` and `mobilevit_s`; `docs/methods.md` section 7.6.
//!
//! | stage | inverted residuals | stride | layers of attention |
//! |---|---|---|---|
//! | stem 3x3 to 16 | | 2 | |
//! | 0 | 1 | 1 | |
//! | 1 | 3 | 2 | |
//! | 2 | 1 | 2 | 2 |
//! | 3 | 1 | 2 | 4 |
//! | 4 | 1 | 2 | 3 |
//!
//! Then a 1x1 convolution, the global average and the classes. [`VARIANTS`] has the channels.

use super::{Architecture, Family};
use crate::nn::{
    Act, Conv, ConvNorm, ConvShape, Flatten, InvertedResidual, LayerNorm, Linear, Mlp, Model, Pass,
    Path, concat,
};
use ghostlight_autodiff::ops::{self, GlobalAverage};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::attention::partition::PartitionKind;
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::resize::bilinear::Alignment;

pub(super) const FAMILY: Family = Family {
    names: &["mobilevit_xxs", "mobilevit_xs", "mobilevit_s"],
    build,
};

/// A network's channels.
struct Variant {
    name: &'static str,
    /// Of each stage.
    channels: [usize; 5],
    /// How many times its input's an inverted residual has inside.
    expansion: usize,
    /// Of what attends, in the last three stages.
    dims: [usize; 3],
    /// Before the classes.
    last: usize,
}

const VARIANTS: [Variant; 3] = [
    Variant {
        name: "mobilevit_xxs",
        channels: [16, 24, 48, 64, 80],
        expansion: 2,
        dims: [64, 80, 96],
        last: 320,
    },
    Variant {
        name: "mobilevit_xs",
        channels: [32, 48, 64, 80, 96],
        expansion: 4,
        dims: [96, 120, 144],
        last: 384,
    },
    Variant {
        name: "mobilevit_s",
        channels: [32, 64, 96, 128, 160],
        expansion: 4,
        dims: [144, 192, 240],
        last: 640,
    },
];
const STEM: usize = 16;
/// Inverted residuals of each stage, its stride, and its layers of attention.
const STAGES: [[usize; 3]; 5] = [[1, 1, 0], [3, 2, 0], [1, 2, 2], [1, 2, 4], [1, 2, 3]];
const HEADS: usize = 4;

/// Height and width of the patches at whose places attention goes on.
pub(super) const PATCH: usize = 2;
/// What is behind every norm of both MobileViTs that is followed by anything.
pub(super) const SILU: Act = Act::Other(Activation::Silu);

/// Inverted residuals, and a block that attends in the later stages.
pub(super) struct Stage<Block> {
    pub residuals: Vec<InvertedResidual>,
    pub block: Option<Block>,
}

impl<Block> Stage<Block> {
    /// What the inverted residuals make of `x`.
    pub fn residuals(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = x.clone();
        for residual in &self.residuals {
            y = residual.forward(pass, &y)?;
        }
        Ok(y)
    }
}

/// Declares the `repeats` inverted residuals of a stage, the first with the stride.
pub(super) fn inverted_residuals(
    path: &mut Path,
    [input, output]: [usize; 2],
    repeats: usize,
    stride: usize,
    expansion: usize,
) -> Vec<InvertedResidual> {
    const NAMES: [[&str; 2]; 3] = [
        ["conv1_1x1.conv", "conv1_1x1.bn"],
        ["conv2_kxk.conv", "conv2_kxk.bn"],
        ["conv3_1x1.conv", "conv3_1x1.bn"],
    ];
    (0..repeats)
        .map(|i| {
            let (input, stride) = if i == 0 { (input, stride) } else { (output, 1) };
            let channels = [input, input * expansion, output];
            InvertedResidual::new(&mut path.at(i), NAMES, channels, stride, SILU)
        })
        .collect()
}

/// `x` `[n, h, w, c]`, resized where its sides are no multiple of a patch's to the next larger that are.
pub(super) fn even(pass: &Pass, x: &Var, alignment: Alignment) -> Result<Var, KernelError> {
    let shape = x.tensor().shape();
    let (side, output) = (
        [shape[1], shape[2]],
        [shape[1], shape[2]].map(|side| side.next_multiple_of(PATCH)),
    );
    if side == output {
        return Ok(x.clone());
    }
    pass.tape.apply(ops::Bilinear { output, alignment }, &[x])
}

/// Attention and an MLP, each behind a norm and with the tokens added.
struct Layer {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    mlp: Mlp,
    attention: ops::Attention,
}

impl Layer {
    fn new(mut path: Path, dim: usize) -> Self {
        let norms = ["norm1", "norm2"].map(|name| LayerNorm::new(path.at(name), dim));
        let mlp = Mlp::new(
            path.at("mlp"),
            Flatten::Row,
            [dim, 2 * dim],
            Activation::Silu,
        );
        let mut attention = path.at("attn");
        Self {
            qkv: Linear::new(attention.at("qkv"), dim, 3 * dim),
            out: Linear::new(attention.at("proj"), dim, dim),
            mlp,
            norms,
            attention: ops::Attention {
                heads: HEADS,
                scale: 1.0 / ((dim / HEADS) as f64).sqrt(),
                offsets: None,
            },
        }
    }

    /// `x` `[samples, tokens, dim]`.
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let [first, second] = &self.norms;
        let qkv = self.qkv.forward(pass, &first.forward(pass, x)?)?;
        let y = pass.tape.apply(self.attention, &[&qkv])?;
        let y = self.out.forward(pass, &y)?;
        let x = pass.tape.apply(ops::Add, &[&y, x])?;
        let y = self.mlp.forward(pass, &second.forward(pass, &x)?)?;
        pass.tape.apply(ops::Add, &[&y, &x])
    }
}

/// A MobileViT block.
struct Block {
    local: ConvNorm,
    widen: Conv,
    layers: Vec<Layer>,
    norm: LayerNorm,
    project: ConvNorm,
    fuse: ConvNorm,
}

impl Block {
    fn new(mut path: Path, channels: usize, dim: usize, layers: usize) -> Self {
        let mut layer =
            |name: &str, shape| ConvNorm::new(&mut path.at(name), ["conv", "bn"], shape);
        let local = layer("conv_kxk", ConvShape::new([channels; 2], 3));
        let project = layer("conv_proj", ConvShape::new([dim, channels], 1));
        let fuse = layer("conv_fusion", ConvShape::new([2 * channels, channels], 3));
        Self {
            local,
            widen: Conv::new(path.at("conv_1x1"), ConvShape::new([channels, dim], 1)),
            layers: (0..layers)
                .map(|i| Layer::new(path.at(format_args!("transformer.{i}")), dim))
                .collect(),
            norm: LayerNorm::new(path.at("norm"), dim),
            project,
            fuse,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.local.forward(pass, x, SILU)?;
        let y = self.widen.forward(pass, &y)?;
        let odd = [y.tensor().shape()[1], y.tensor().shape()[2]];
        let y = even(pass, &y, Alignment::HalfPixel)?;
        let map = [y.tensor().shape()[1], y.tensor().shape()[2]];
        let (kind, size) = (PartitionKind::Grid, [PATCH; 2]);
        let mut y = pass.tape.apply(ops::Partition { kind, size }, &[&y])?;
        for layer in &self.layers {
            y = layer.forward(pass, &y)?;
        }
        let y = self.norm.forward(pass, &y)?;
        let mut y = pass.tape.apply(ops::Merge { kind, size, map }, &[&y])?;
        if odd != map {
            let back = ops::Bilinear {
                output: odd,
                alignment: Alignment::HalfPixel,
            };
            y = pass.tape.apply(back, &[&y])?;
        }
        let y = self.project.forward(pass, &y, Act::None)?;
        let both = concat(pass, &[(x, Activation::Identity), (&y, Activation::Silu)])?;
        self.fuse.forward(pass, &both, SILU)
    }
}

struct MobileVit {
    stem: ConvNorm,
    stages: Vec<Stage<Block>>,
    last: ConvNorm,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let variant = VARIANTS.iter().find(|variant| variant.name == arch.name)?;
    let names = ["conv", "bn"];
    let stem = ConvShape::new([3, STEM], 3).stride(2);
    let stem = ConvNorm::new(&mut path.at("stem"), names, stem);
    let mut stages = Vec::new();
    let mut input = STEM;
    let mut dims = variant.dims.into_iter();
    for (stage, [repeats, stride, layers]) in STAGES.into_iter().enumerate() {
        let mut path = path.at(format_args!("stages.{stage}"));
        let output = variant.channels[stage];
        let channels = [input, output];
        let residuals = inverted_residuals(&mut path, channels, repeats, stride, variant.expansion);
        let dim = if layers > 0 { dims.next() } else { None };
        let block = dim.map(|dim| Block::new(path.at(repeats), output, dim, layers));
        stages.push(Stage { residuals, block });
        input = output;
    }
    let last = ConvShape::new([input, variant.last], 1);
    Some(Box::new(MobileVit {
        stem,
        stages,
        last: ConvNorm::new(&mut path.at("final_conv"), names, last),
        classifier: Linear::new(path.at("head.fc"), variant.last, arch.classes),
    }))
}

impl Model for MobileVit {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, SILU)?;
        for (i, stage) in self.stages.iter().enumerate() {
            y = stage.residuals(pass, &y)?;
            if let Some(block) = &stage.block {
                y = block.forward(pass, &y)?;
            }
            pass.keep(format_args!("stages.{i}"), &y);
        }
        y = self.last.forward(pass, &y, SILU)?;
        pass.keep("final_conv", &y);
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        self.classifier.forward(pass, &pooled)
    }
}
