//! MobileViTv2 (Mehta and Rastegari 2022), timm's `mobilevitv2_050`, `mobilevitv2_075` and `mobilevitv2_100`;
//! `docs/methods.md` section 7.7.
//!
//! | stage | channels, times the width | inverted residuals | stride | layers of attention |
//! |---|---|---|---|---|
//! | stem 3x3 | 32 | | 2 | |
//! | 0 | 64 | 1 | 1 | |
//! | 1 | 128 | 2 | 2 | |
//! | 2 | 256 | 1 | 2 | 2 |
//! | 3 | 384 | 1 | 2 | 4 |
//! | 4 | 512 | 1 | 2 | 3 |
//!
//! Then the global average and the classes. What attends has half of its stage's channels.

use super::mobilevit::{PATCH, SILU, Stage, even, inverted_residuals};
use super::{Architecture, Family};
use crate::nn::{
    Act, Conv, ConvNorm, ConvShape, Flatten, LayerNorm, Linear, Mlp, Model, Pass, Path, reshape,
};
use ghostlight_autodiff::ops::{self, GlobalAverage, SeparableAttention};
use ghostlight_autodiff::{KernelError, Var};
use ghostlight_kernels::attention::partition::PartitionKind;
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::resize::bilinear::Alignment;

pub(super) const FAMILY: Family = Family {
    names: &["mobilevitv2_050", "mobilevitv2_075", "mobilevitv2_100"],
    build,
};

/// Channels at width 1, inverted residuals, stride, layers.
const ROWS: [[usize; 4]; 5] = [
    [64, 1, 1, 0],
    [128, 2, 2, 0],
    [256, 1, 2, 2],
    [384, 1, 2, 4],
    [512, 1, 2, 3],
];
const STEM: usize = 32;
const EXPANSION: usize = 2;

/// Attention and an MLP, each behind a norm and with the tokens added.
struct Layer {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    mlp: Mlp,
}

impl Layer {
    fn new(mut path: Path, dim: usize) -> Self {
        let norms = ["norm1", "norm2"].map(|name| LayerNorm::new(path.at(name), dim).over_images());
        let pixel = Flatten::Pixel;
        let mut attention = path.at("attn");
        Self {
            qkv: Linear::of(attention.at("qkv_proj"), pixel, dim, 1 + 2 * dim),
            out: Linear::of(attention.at("out_proj"), pixel, dim, dim),
            mlp: Mlp::new(path.at("mlp"), pixel, [dim, 2 * dim], Activation::Silu),
            norms,
        }
    }

    /// `x` `[n, patches in their four places, dim]`.
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let [first, second] = &self.norms;
        let qkv = self.qkv.forward(pass, &first.forward(pass, x)?)?;
        let shape = x.tensor().shape();
        let (images, tokens, dim) = (shape[0], shape[1], shape[2]);
        let places = PATCH * PATCH;
        let samples = [images * places, tokens / places, 1 + 2 * dim];
        let qkv = reshape(pass, &qkv, &samples)?;
        let y = pass.tape.apply(SeparableAttention, &[&qkv])?;
        let y = self.out.forward(pass, &reshape(pass, &y, shape)?)?;
        let x = pass.tape.apply(ops::Add, &[&y, x])?;
        let y = self.mlp.forward(pass, &second.forward(pass, &x)?)?;
        pass.tape.apply(ops::Add, &[&y, &x])
    }
}

/// A MobileViTv2 block.
struct Block {
    local: ConvNorm,
    reduce: Conv,
    layers: Vec<Layer>,
    norm: LayerNorm,
    project: ConvNorm,
}

impl Block {
    fn new(mut path: Path, channels: usize, layers: usize) -> Self {
        let dim = channels / 2;
        let names = ["conv", "bn"];
        Self {
            local: ConvNorm::new(
                &mut path.at("conv_kxk"),
                names,
                ConvShape::depthwise(channels, 3),
            ),
            reduce: Conv::new(path.at("conv_1x1"), ConvShape::new([channels, dim], 1)),
            layers: (0..layers)
                .map(|i| Layer::new(path.at(format_args!("transformer.{i}")), dim))
                .collect(),
            norm: LayerNorm::new(path.at("norm"), dim).over_images(),
            project: ConvNorm::new(
                &mut path.at("conv_proj"),
                names,
                ConvShape::new([dim, channels], 1),
            ),
        }
    }

    /// The map `x` `[n, h, w, channels]`, or the next larger one of even sides.
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let x = even(pass, x, Alignment::Corners)?;
        let y = self.local.forward(pass, &x, SILU)?;
        let y = self.reduce.forward(pass, &y)?;
        let &[n, h, w, dim] = y.tensor().shape() else {
            unreachable!("a convolution gives a map")
        };
        let (kind, size) = (PartitionKind::Grid, [PATCH; 2]);
        let y = pass.tape.apply(ops::Partition { kind, size }, &[&y])?;
        let samples = y.tensor().shape().to_vec();
        let mut y = reshape(pass, &y, &[n, h * w, dim])?;
        for layer in &self.layers {
            y = layer.forward(pass, &y)?;
        }
        let y = self.norm.forward(pass, &y)?;
        let y = reshape(pass, &y, &samples)?;
        let map = [h, w];
        let y = pass.tape.apply(ops::Merge { kind, size, map }, &[&y])?;
        self.project.forward(pass, &y, Act::None)
    }
}

struct MobileVitV2 {
    stem: ConvNorm,
    stages: Vec<Stage<Block>>,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let percent = match arch.name {
        "mobilevitv2_050" => 50,
        "mobilevitv2_075" => 75,
        "mobilevitv2_100" => 100,
        _ => return None,
    };
    let width = |channels: usize| channels * percent / 100;
    let mut input = width(STEM);
    let stem = ConvShape::new([3, input], 3).stride(2);
    let stem = ConvNorm::new(&mut path.at("stem"), ["conv", "bn"], stem);
    let mut stages = Vec::new();
    for (stage, [channels, repeats, stride, layers]) in ROWS.into_iter().enumerate() {
        let mut path = path.at(format_args!("stages.{stage}"));
        let output = width(channels);
        let residuals = inverted_residuals(&mut path, [input, output], repeats, stride, EXPANSION);
        let block = (layers > 0).then(|| Block::new(path.at(repeats), output, layers));
        stages.push(Stage { residuals, block });
        input = output;
    }
    Some(Box::new(MobileVitV2 {
        stem,
        stages,
        classifier: Linear::new(path.at("head.fc"), input, arch.classes),
    }))
}

impl Model for MobileVitV2 {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, SILU)?;
        for (i, stage) in self.stages.iter().enumerate() {
            y = stage.residuals(pass, &y)?;
            if let Some(block) = &stage.block {
                y = block.forward(pass, &y)?;
            }
            pass.keep(format_args!("stages.{i}"), &y);
        }
        // timm's name for the last features, whether or not a convolution stands there.
        pass.keep("final_conv", &y);
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        self.classifier.forward(pass, &pooled)
    }
}
