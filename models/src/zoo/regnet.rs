//! RegNetX (Radosavovic et al. 2020), timm's, and G-Ghost-RegNetX (Han et al. 2022), the form of Huawei's released code;
//! `docs/methods.md` section 1.4 and `docs/methods.md` section 7.5.
//!
//! A stem, a 3x3 convolution of stride 2 to 32 channels, four stages of stride 2 with the depths and widths of [`VARIANTS`], global
//! average, classes. A plain stage is a row of bottlenecks; a G-Ghost stage makes some of its channels with thinner ones and the
//! others from its first block alone. A network of those drops a fifth of the averages.

use super::{Architecture, Family};
use crate::nn::{Act, ConvNorm, ConvShape, Dropout, GhostMix, Linear, Model, Pass, Path};
use ghostlight_autodiff::ops::GlobalAverage;
use ghostlight_autodiff::{KernelError, Tensor, Var};

pub(super) const FAMILY: Family = Family {
    names: &[
        "regnetx_002",
        "regnetx_004",
        "regnetx_006",
        "regnetx_008",
        "regnetx_016",
        "regnetx_032",
        "regnetx_040",
        "regnetx_064",
        "regnetx_080",
        "regnetx_120",
        "regnetx_160",
        "regnetx_320",
        "g_ghost_regnetx_002",
        "g_ghost_regnetx_004",
        "g_ghost_regnetx_006",
        "g_ghost_regnetx_008",
        "g_ghost_regnetx_016",
        "g_ghost_regnetx_032",
        "g_ghost_regnetx_040",
        "g_ghost_regnetx_064",
        "g_ghost_regnetx_080",
        "g_ghost_regnetx_120",
        "g_ghost_regnetx_160",
        "g_ghost_regnetx_320",
    ],
    build,
};

const STEM: usize = 32;
const DROPOUT: f64 = 0.2;

/// Size, depths, widths, group width.
type Variant = (&'static str, [usize; 4], [usize; 4], usize);
const VARIANTS: [Variant; 12] = [
    ("002", [1, 1, 4, 7], [24, 56, 152, 368], 8),
    ("004", [1, 2, 7, 12], [32, 64, 160, 384], 16),
    ("006", [1, 3, 5, 7], [48, 96, 240, 528], 24),
    ("008", [1, 3, 7, 5], [64, 128, 288, 672], 16),
    ("016", [2, 4, 10, 2], [72, 168, 408, 912], 24),
    ("032", [2, 6, 15, 2], [96, 192, 432, 1008], 48),
    ("040", [2, 5, 14, 2], [80, 240, 560, 1360], 40),
    ("064", [2, 4, 10, 1], [168, 392, 784, 1624], 56),
    ("080", [2, 5, 15, 1], [80, 240, 720, 1920], 120),
    ("120", [2, 5, 11, 1], [224, 448, 896, 2240], 112),
    ("160", [2, 6, 13, 1], [256, 512, 896, 2048], 128),
    ("320", [2, 7, 13, 1], [336, 672, 1344, 2520], 168),
];

/// The names of a bottleneck's layers, each a convolution and its norm.
struct Names {
    layers: [[&'static str; 2]; 3],
    downsample: [&'static str; 2],
}

const TIMM: Names = Names {
    layers: [
        ["conv1.conv", "conv1.bn"],
        ["conv2.conv", "conv2.bn"],
        ["conv3.conv", "conv3.bn"],
    ],
    downsample: ["downsample.conv", "downsample.bn"],
};
const HUAWEI: Names = Names {
    layers: [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]],
    downsample: ["downsample.0", "downsample.1"],
};

/// A bottleneck of ratio 1: 1x1, grouped 3x3, 1x1, and a shortcut.
struct Block {
    layers: [ConvNorm; 3],
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(
        mut path: Path,
        names: &Names,
        channels: [usize; 2],
        group: usize,
        stride: usize,
    ) -> Self {
        let [input, output] = channels;
        let groups = output / output.min(group);
        let shapes = [
            ConvShape::new(channels, 1),
            ConvShape::new([output; 2], 3).stride(stride).groups(groups),
            ConvShape::new([output; 2], 1),
        ];
        let [first, second, third] = names.layers;
        let layers = [
            ConvNorm::new(&mut path, first, shapes[0]),
            ConvNorm::new(&mut path, second, shapes[1]),
            ConvNorm::new(&mut path, third, shapes[2]),
        ];
        let downsample = (stride != 1 || input != output).then(|| {
            let shape = ConvShape::new(channels, 1).stride(stride);
            ConvNorm::new(&mut path, names.downsample, shape)
        });
        Self { layers, downsample }
    }

    /// `into` takes the result where there is one, a channel window.
    fn forward(&self, pass: &Pass, x: &Var, into: Option<&Tensor>) -> Result<Var, KernelError> {
        let [first, second, third] = &self.layers;
        let y = first.open(pass, x, Act::Relu)?;
        let y = second.open(pass, y, Act::Relu)?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(pass, x, Act::None)?,
            None => x.clone(),
        };
        third.forward_into(pass, y, Some(&shortcut), Act::Relu, into)
    }
}

/// A stage whose thin blocks make `raw` channels, and whose mix makes the rest.
struct GhostStage {
    base: Block,
    thin: Vec<Block>,
    mix: GhostMix,
    end: Block,
    raw: usize,
    width: usize,
}

impl GhostStage {
    fn new(mut path: Path, [input, width]: [usize; 2], group: usize, depth: usize) -> Self {
        // Three quarters of the group width, and the largest multiple of it in half of the width.
        let thin_group = group * 3 / 4;
        let raw = width / 2 / thin_group * thin_group;
        let mut block = |name: &str, channels, group, stride| {
            Block::new(path.at(name), &HUAWEI, channels, group, stride)
        };
        let base = block("base", [input, width], group, 2);
        let end = block("end", [width; 2], group, 1);
        let thin: Vec<Block> = (0..depth - 2)
            .map(|i| block(&format!("layers.{i}"), [raw; 2], thin_group, 1))
            .collect();
        let pooled = width + raw * thin.len();
        Self {
            mix: GhostMix::new(&mut path, width - raw, pooled),
            base,
            thin,
            end,
            raw,
            width,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let x0 = self.base.forward(pass, x, None)?;
        let mut shape = x0.tensor().shape().to_vec();
        *shape.last_mut().expect("a map has channels") = self.width;
        let whole = Tensor::empty(x0.tensor().client(), &shape, x0.tensor().dtype());
        let (raw, ghosts) = (
            whole.window(0, self.raw)?,
            whole.window(self.raw, self.width - self.raw)?,
        );
        let mut y = pass.tape.window(&x0, 0, self.raw)?;
        let mut features = Vec::new();
        for (i, block) in self.thin.iter().enumerate() {
            let into = (i + 1 == self.thin.len()).then_some(&raw);
            y = block.forward(pass, &y, into)?;
            features.push(y.clone());
        }
        let ghosts = self.mix.forward(pass, &x0, &features, ghosts)?;
        let joined = pass.tape.join(&whole, &[&y, &ghosts])?;
        self.end.forward(pass, &joined, None)
    }
}

enum Stage {
    Plain(Vec<Block>),
    Ghost(Box<GhostStage>),
}

struct RegNet {
    stem: ConvNorm,
    /// The stages with their names.
    stages: Vec<(Stage, String)>,
    dropout: Option<Dropout>,
    fc: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let Architecture { name, classes, .. } = arch;
    let (size, ghosts) = match name.strip_prefix("g_ghost_regnetx_") {
        Some(size) => (size, true),
        None => (name.strip_prefix("regnetx_")?, false),
    };
    let &(_, depths, widths, group) = VARIANTS.iter().find(|variant| variant.0 == size)?;
    let stem = ConvNorm::new(
        &mut path,
        match ghosts {
            true => ["conv1", "bn1"],
            false => ["stem.conv", "stem.bn"],
        },
        ConvShape::new([3, STEM], 3).stride(2),
    );
    let mut stages = Vec::new();
    let mut input = STEM;
    for (stage, (depth, width)) in (1..).zip(depths.into_iter().zip(widths)) {
        let name = match ghosts {
            true => format!("layer{stage}"),
            false => format!("s{stage}"),
        };
        // The first stage is plain always, another where it has no block to thin.
        let layers = if ghosts && stage > 1 && depth > 2 {
            let place = path.at(&name);
            Stage::Ghost(Box::new(GhostStage::new(
                place,
                [input, width],
                group,
                depth,
            )))
        } else {
            let block = |index: usize| {
                let (names, place) = match ghosts {
                    true => (&HUAWEI, format!("{name}.{index}")),
                    false => (&TIMM, format!("{name}.b{}", index + 1)),
                };
                let (input, stride) = if index == 0 { (input, 2) } else { (width, 1) };
                Block::new(path.at(place), names, [input, width], group, stride)
            };
            Stage::Plain((0..depth).map(block).collect())
        };
        stages.push((layers, name));
        input = width;
    }
    let fc = path.at(if ghosts { "fc" } else { "head.fc" });
    Some(Box::new(RegNet {
        stem,
        stages,
        dropout: ghosts.then(|| Dropout::new(DROPOUT)),
        fc: Linear::new(fc, input, classes),
    }))
}

impl Model for RegNet {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, Act::Relu)?;
        for (stage, name) in &self.stages {
            match stage {
                Stage::Ghost(stage) => y = stage.forward(pass, &y)?,
                Stage::Plain(blocks) => {
                    for block in blocks {
                        y = block.forward(pass, &y, None)?;
                    }
                }
            }
            pass.keep(name, &y);
        }
        let mut pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        if let Some(dropout) = &self.dropout {
            pooled = dropout.forward(pass, &pooled)?;
        }
        self.fc.forward(pass, &pooled)
    }
}
