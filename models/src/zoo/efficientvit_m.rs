//! EfficientViT-M (Liu et al., CVPR 2023, Microsoft), timm's `efficientvit_m0` to `efficientvit_m5`; `docs/methods.md` section 7.9.
//!
//! Four 3x3 convolutions of stride 2 to an eighth, a quarter, half and all of the first width; three stages of the blocks of [`VARIANTS`],
//! each but the first behind a merging of patches at stride 2; global average, norm, classes.
//!
//! | | a block | between stages |
//! |---|---|---|
//! | residuals | depthwise 3x3, MLP | depthwise 3x3, MLP |
//! | | attention of a cascade of heads within windows | 1x1 to four times the width, depthwise 3x3 of stride 2, squeeze and excitation, 1x1 |
//! | residuals | depthwise 3x3, MLP | depthwise 3x3, MLP |
//!
//! A window has 7 pixels a side, or as many as the map that images of the network's size come to there, if those are fewer. Each head of a
//! block learns a bias for every offset in a window.

use super::{Architecture, Family};
use crate::nn::{
    Act, BatchNorm, ConvNorm, ConvShape, Init, Kind, Linear, Model, Param, Pass, Path,
    SqueezeExcite,
};
use ghostlight_autodiff::ops::{
    ActivationInto, Add, Attention, GlobalAverage, Merge, Partition, Reshape,
};
use ghostlight_autodiff::{KernelError, Tensor, Var};
use ghostlight_kernels::attention::partition::PartitionKind;
use ghostlight_kernels::planted;
use ghostlight_kernels::pointwise::activation::Activation;

pub(super) const FAMILY: Family = Family {
    names: &[
        "efficientvit_m0",
        "efficientvit_m1",
        "efficientvit_m2",
        "efficientvit_m3",
        "efficientvit_m4",
        "efficientvit_m5",
    ],
    build,
};

/// Name, and of each stage: width, blocks, heads; the kernels of the queries, head by head.
type Variant = (&'static str, [usize; 3], [usize; 3], [usize; 3], [usize; 4]);
const VARIANTS: [Variant; 6] = [
    ("m0", [64, 128, 192], [1, 2, 3], [4, 4, 4], [5, 5, 5, 5]),
    ("m1", [128, 144, 192], [1, 2, 3], [2, 3, 3], [7, 5, 3, 3]),
    ("m2", [128, 192, 224], [1, 2, 3], [4, 3, 2], [7, 5, 3, 3]),
    ("m3", [128, 240, 320], [1, 2, 3], [4, 3, 4], [5, 5, 5, 5]),
    ("m4", [128, 256, 384], [1, 2, 3], [4, 4, 4], [7, 5, 3, 3]),
    ("m5", [192, 288, 384], [1, 3, 4], [3, 3, 4], [7, 5, 3, 3]),
];

/// Channels of a head's queries and of its keys.
const KEY: usize = 16;
/// The side of a window on a map that has one of it.
const WINDOW: usize = 7;
/// Pixels of an image to one of the first stage.
const PATCH: usize = 16;

/// A depthwise 3x3 convolution and an MLP of ratio 2, each added to what it reads.
struct Pair {
    depthwise: ConvNorm,
    up: ConvNorm,
    down: ConvNorm,
}

impl Pair {
    /// Declares both under their names; in a block the convolution begins as nothing, as every MLP does.
    fn new(mut path: Path, [depthwise, mlp]: [&str; 2], channels: usize, resting: bool) -> Self {
        let layer = if resting {
            ConvNorm::resting
        } else {
            ConvNorm::new
        };
        let names = ["conv", "bn"];
        let shape = ConvShape::depthwise(channels, 3);
        let depthwise = layer(&mut path.at(depthwise), names, shape);
        let mut path = path.at(mlp);
        let wide = 2 * channels;
        let up = ConvShape::new([channels, wide], 1);
        let down = ConvShape::new([wide, channels], 1);
        Self {
            depthwise,
            up: ConvNorm::new(&mut path.at("pw1"), names, up),
            down: ConvNorm::resting(&mut path.at("pw2"), names, down),
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let x = self.depthwise.forward_plus(pass, x, x, Act::None)?;
        let wide = self.up.open(pass, &x, Act::Relu)?;
        self.down.forward_plus(pass, wide, &x, Act::None)
    }
}

/// Half the pixels along each axis, and another width.
struct PatchMerge {
    expand: ConvNorm,
    depthwise: ConvNorm,
    squeeze: SqueezeExcite,
    project: ConvNorm,
}

impl PatchMerge {
    fn new(mut path: Path, [input, output]: [usize; 2]) -> Self {
        let hidden = 4 * input;
        let names = ["conv", "bn"];
        let mut layer = |name: &str, shape| ConvNorm::new(&mut path.at(name), names, shape);
        let expand = layer("conv1", ConvShape::new([input, hidden], 1));
        let depthwise = layer("conv2", ConvShape::depthwise(hidden, 3).stride(2));
        let project = layer("conv3", ConvShape::new([hidden, output], 1));
        let channels = [hidden, hidden / 4];
        Self {
            expand,
            depthwise,
            squeeze: SqueezeExcite::named(
                path.at("se"),
                ["fc1", "fc2"],
                channels,
                Activation::Sigmoid,
            ),
            project,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.expand.open(pass, x, Act::Relu)?;
        let y = self.depthwise.forward(pass, y, Act::Relu)?;
        let y = self.squeeze.forward(pass, &y)?;
        self.project.forward(pass, &y, Act::None)
    }
}

/// A head: queries, keys and values side by side, and a depthwise convolution of the queries.
struct Head {
    qkv: ConvNorm,
    query: ConvNorm,
}

/// Attention within windows, in heads of which each sees what the one before it made.
struct Cascade {
    heads: Vec<Head>,
    /// `[heads, offsets in a window]`.
    biases: Param,
    project: ConvNorm,
    /// Pixels of a window's side.
    side: usize,
}

impl Cascade {
    fn new(mut path: Path, channels: usize, kernels: &[usize], side: usize) -> Self {
        let names = ["conv", "bn"];
        let share = channels / kernels.len();
        let heads = kernels.iter().enumerate().map(|(i, &kernel)| {
            let qkv = ConvShape::new([share, 2 * KEY + share], 1);
            let query = ConvShape::depthwise(KEY, kernel);
            Head {
                qkv: ConvNorm::new(&mut path.at(format_args!("qkvs.{i}")), names, qkv),
                query: ConvNorm::new(&mut path.at(format_args!("dws.{i}")), names, query),
            }
        });
        let heads: Vec<Head> = heads.collect();
        let shape = [heads.len(), side * side];
        let zero = Init::Constant(0.0);
        Self {
            heads,
            biases: path.declare("attention_biases", &shape, Kind::Offsets, zero),
            project: ConvNorm::resting(
                &mut path.at("proj.1"),
                names,
                ConvShape::new([channels; 2], 1),
            ),
            side,
        }
    }

    /// Adds to the map `x` `[n, h, w, c]` what its windows attend to; zeros fill up the last ones.
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let &[_, h, w, c] = x.tensor().shape() else {
            unreachable!("a convolution gave a map");
        };
        let (side, size) = (self.side, [self.side; 2]);
        if [h, w] == size {
            let heads = self.attend(pass, x)?;
            return self.project.forward_plus(pass, &heads, x, Act::None);
        }
        let kind = PartitionKind::Block;
        let tokens = pass.tape.apply(Partition { kind, size }, &[x])?;
        let windows = tokens.tensor().shape()[0];
        let windows = reshaped(pass, &tokens, &[windows, side, side, c])?;
        let heads = self.attend(pass, &windows)?;
        let y = self.project.forward(pass, &heads, Act::None)?;
        let y = reshaped(pass, &y, tokens.tensor().shape())?;
        let map = [h, w];
        let y = pass.tape.apply(Merge { kind, size, map }, &[&y])?;
        pass.tape.apply(Add, &[&y, x])
    }

    /// All heads' outputs, through a ReLU, for `windows` `[s, side, side, c]`.
    fn attend(&self, pass: &Pass, windows: &Var) -> Result<Var, KernelError> {
        let tape = pass.tape;
        let &[s, _, _, c] = windows.tensor().shape() else {
            unreachable!("windows are maps");
        };
        let (side, tokens, share) = (self.side, self.side * self.side, c / self.heads.len());
        let biases = pass.param_as(self.biases, &[1, self.heads.len() * tokens])?;
        let joined = windows.tensor();
        let joined = Tensor::empty(joined.client(), joined.shape(), joined.dtype());
        let mut parts = Vec::new();
        let mut before: Option<Var> = None;
        for (i, head) in self.heads.iter().enumerate() {
            let mut x = tape.window(windows, i * share, share)?;
            if let Some(before) = before.filter(|_| !planted::is("cascade_without_its_falls")) {
                x = tape.apply(Add, &[&x, &before])?;
            }
            let qkv = head.qkv.forward(pass, &x, Act::None)?;
            let query = tape.window(&qkv, 0, KEY)?;
            let query = head.query.forward(pass, &query, Act::None)?;
            let query = reshaped(pass, &query, &[s, tokens, KEY])?;
            let qkv = reshaped(pass, &qkv, &[s, tokens, 2 * KEY + share])?;
            let key = tape.window(&qkv, KEY, KEY)?;
            let value = tape.window(&qkv, 2 * KEY, share)?;
            let own = planted::or("heads_share_a_bias", i, 0);
            let bias = tape.window(&biases, own * tokens, tokens)?;
            let attention = Attention {
                heads: 1,
                scale: 1.0 / (KEY as f64).sqrt(),
                offsets: Some([side, side]),
            };
            let y = tape.apply(attention, &[&query, &key, &value, &bias])?;
            let y = reshaped(pass, &y, &[s, side, side, share])?;
            let relu = ActivationInto {
                kind: Activation::Relu,
                into: joined.window(i * share, share)?,
            };
            parts.push(tape.apply(relu, &[&y])?);
            before = Some(y);
        }
        tape.join(&joined, &parts.iter().collect::<Vec<_>>())
    }
}

fn reshaped(pass: &Pass, x: &Var, shape: &[usize]) -> Result<Var, KernelError> {
    let shape = shape.to_vec();
    pass.tape.apply(Reshape { shape }, &[x])
}

struct Block {
    first: Pair,
    cascade: Cascade,
    second: Pair,
}

impl Block {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let y = self.first.forward(pass, x)?;
        let y = self.cascade.forward(pass, &y)?;
        self.second.forward(pass, &y)
    }
}

struct Stage {
    merge: Option<(Pair, PatchMerge, Pair)>,
    blocks: Vec<Block>,
}

impl Stage {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = x.clone();
        if let Some((before, merge, behind)) = &self.merge {
            y = before.forward(pass, &y)?;
            y = merge.forward(pass, &y)?;
            y = behind.forward(pass, &y)?;
        }
        for block in &self.blocks {
            y = block.forward(pass, &y)?;
        }
        Ok(y)
    }
}

struct EfficientVit {
    patches: [ConvNorm; 4],
    stages: Vec<Stage>,
    norm: BatchNorm,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let size = arch.name.strip_prefix("efficientvit_")?;
    let &(_, widths, depths, heads, kernels) = VARIANTS.iter().find(|variant| variant.0 == size)?;
    let mut input = 3;
    let patches = [1, 2, 3, 4].map(|i| {
        let output = widths[0] >> (4 - i);
        let shape = ConvShape::new([std::mem::replace(&mut input, output), output], 3).stride(2);
        let mut path = path.at(format_args!("patch_embed.conv{i}"));
        ConvNorm::new(&mut path, ["conv", "bn"], shape)
    });
    // The shorter side decides, as in timm.
    let mut side = arch.image[0].min(arch.image[1]) / PATCH;
    let mut stages = Vec::new();
    for (stage, (width, depth)) in widths.into_iter().zip(depths).enumerate() {
        let mut path = path.at(format_args!("stages.{stage}"));
        let merge = (stage > 0).then(|| {
            side = side.div_ceil(2);
            let mut path = path.at("downsample");
            (
                Pair::new(path.at("res1"), ["0.m", "1.m"], input, false),
                PatchMerge::new(path.at("patchmerge"), [input, width]),
                Pair::new(path.at("res2"), ["0.m", "1.m"], width, false),
            )
        });
        let kernels = &kernels[..heads[stage]];
        let block = |block: usize| {
            let mut path = path.at(format_args!("blocks.{block}"));
            Block {
                first: Pair::new(path.again(), ["dw0.m", "ffn0.m"], width, true),
                cascade: Cascade::new(path.at("mixer.m.attn"), width, kernels, side.min(WINDOW)),
                second: Pair::new(path.again(), ["dw1.m", "ffn1.m"], width, true),
            }
        };
        let blocks = (0..depth).map(block).collect();
        stages.push(Stage { merge, blocks });
        input = width;
    }
    Some(Box::new(EfficientVit {
        patches,
        stages,
        norm: BatchNorm::new(path.at("head.bn"), input),
        classifier: Linear::new(path.at("head.linear"), input, arch.classes),
    }))
}

impl Model for EfficientVit {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut map = x.into();
        for (i, patches) in self.patches.iter().enumerate() {
            let act = if i + 1 < self.patches.len() {
                Act::Relu
            } else {
                Act::None
            };
            map = patches.open(pass, map, act)?;
        }
        let mut y = map.done(pass)?;
        pass.keep("patch_embed", &y);
        for (i, stage) in self.stages.iter().enumerate() {
            y = stage.forward(pass, &y)?;
            pass.keep(format_args!("stages.{i}"), &y);
        }
        let pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        let normed = self.norm.forward(pass, &pooled)?;
        self.classifier.forward(pass, &normed)
    }
}
