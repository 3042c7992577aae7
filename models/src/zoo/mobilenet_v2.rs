//! MobileNetV2 (Sandler et al. 2018), torchvision's, and mdistiller's CIFAR network of half its width;
//! `docs/methods.md` section 7.4.
//!
//! | expansion | channels | repeats | stride | stride of `cifar_mobilenetv2_half` |
//! |---|---|---|---|---|
//! | stem 3x3 | 32 | | 2 | 2 |
//! | 1 | 16 | 1 | 1 | 1 |
//! | 6 | 24 | 2 | 2 | 1 |
//! | 6 | 32 | 3 | 2 | 2 |
//! | 6 | 64 | 4 | 2 | 2 |
//! | 6 | 96 | 3 | 1 | 1 |
//! | 6 | 160 | 3 | 2 | 2 |
//! | 6 | 320 | 1 | 1 | 1 |
//! | 1x1 | 1280 | | 1 | 1 |
//!
//! torchvision's drops a fifth of the means before the classifier. mdistiller's drops none, halves the channels but for the last ones,
//! expands by 1 where the table says so too, and has ReLUs for ReLU6s.

use super::{Architecture, Family};
use crate::nn::{Act, ConvNorm, ConvShape, Dropout, Linear, Model, Pass, Path};
use ghostlight_autodiff::ops::GlobalAverage;
use ghostlight_autodiff::{KernelError, Var};

pub(super) const FAMILY: Family = Family {
    names: &["mobilenet_v2", "cifar_mobilenetv2_half"],
    build,
};

/// Expansion, channels, repeats, stride.
const ROWS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];
const STEM: usize = 32;
const LAST: usize = 1280;
const DROPOUT: f64 = 0.2;

/// An inverted residual: 1x1 expansion, 3x3 depthwise, linear 1x1 projection, and the input added where it fits.
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: ConvNorm,
    residual: bool,
}

impl Block {
    fn new(
        mut path: Path,
        [input, output]: [usize; 2],
        expansion: usize,
        stride: usize,
        cifar: bool,
    ) -> Self {
        let hidden = input * expansion;
        let shapes = [
            ConvShape::new([input, hidden], 1),
            ConvShape::depthwise(hidden, 3).stride(stride),
            ConvShape::new([hidden, output], 1),
        ];
        let mut layer = |names: [&str; 2], shape| ConvNorm::new(&mut path, names, shape);
        let (expand, depthwise, project) = match (cifar, expansion) {
            (true, _) => (
                Some(layer(["0", "1"], shapes[0])),
                layer(["3", "4"], shapes[1]),
                layer(["6", "7"], shapes[2]),
            ),
            (false, 1) => (
                None,
                layer(["0.0", "0.1"], shapes[1]),
                layer(["1", "2"], shapes[2]),
            ),
            (false, _) => (
                Some(layer(["0.0", "0.1"], shapes[0])),
                layer(["1.0", "1.1"], shapes[1]),
                layer(["2", "3"], shapes[2]),
            ),
        };
        Self {
            expand,
            depthwise,
            project,
            residual: stride == 1 && input == output,
        }
    }

    fn forward(&self, pass: &Pass, x: &Var, act: Act) -> Result<Var, KernelError> {
        let wide = match &self.expand {
            Some(expand) => expand.open(pass, x, act)?,
            None => x.into(),
        };
        let wide = self.depthwise.open(pass, wide, act)?;
        if self.residual {
            self.project.forward_plus(pass, wide, x, Act::None)
        } else {
            self.project.forward(pass, wide, Act::None)
        }
    }
}

struct MobileNetV2 {
    act: Act,
    stem: ConvNorm,
    /// The blocks, each with the name of what it gives.
    blocks: Vec<(Block, String)>,
    last: ConvNorm,
    last_name: &'static str,
    dropout: Option<Dropout>,
    classifier: Linear,
}

fn build(arch: Architecture, mut path: Path) -> Option<Box<dyn Model>> {
    let Architecture { name, classes, .. } = arch;
    let cifar = match name {
        "mobilenet_v2" => false,
        "cifar_mobilenetv2_half" => true,
        _ => return None,
    };
    let width = |channels: usize| if cifar { channels / 2 } else { channels };
    let mut input = width(STEM);
    let stem = ConvNorm::new(
        &mut path.at(if cifar { "conv1" } else { "features.0" }),
        ["0", "1"],
        ConvShape::new([3, input], 3).stride(2),
    );
    let mut blocks = Vec::new();
    for (row, [expansion, channels, repeats, stride]) in ROWS.into_iter().enumerate() {
        // 32 px images would end as a pixel each.
        let stride = if cifar && row == 1 { 1 } else { stride };
        for repeat in 0..repeats {
            let name = match cifar {
                true => format!("blocks.{row}.{repeat}"),
                false => format!("features.{}", blocks.len() + 1),
            };
            let channels = [
                std::mem::replace(&mut input, width(channels)),
                width(channels),
            ];
            let stride = if repeat == 0 { stride } else { 1 };
            let place = path.at(format_args!("{name}.conv"));
            let block = Block::new(place, channels, expansion, stride, cifar);
            blocks.push((block, name));
        }
    }
    let last_name = if cifar { "conv2" } else { "features.18" };
    let last = ConvShape::new([input, LAST], 1);
    Some(Box::new(MobileNetV2 {
        act: match cifar {
            true => Act::Relu,
            false => Act::Relu6,
        },
        stem,
        blocks,
        last: ConvNorm::new(&mut path.at(last_name), ["0", "1"], last),
        last_name,
        dropout: (!cifar).then(|| Dropout::new(DROPOUT)),
        classifier: Linear::new(
            path.at(if cifar {
                "classifier.0"
            } else {
                "classifier.1"
            }),
            LAST,
            classes,
        ),
    }))
}

impl Model for MobileNetV2 {
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var, KernelError> {
        let mut y = self.stem.forward(pass, x, self.act)?;
        for (block, name) in &self.blocks {
            y = block.forward(pass, &y, self.act)?;
            pass.keep(name, &y);
        }
        y = self.last.forward(pass, &y, self.act)?;
        pass.keep(self.last_name, &y);
        let mut pooled = pass.tape.apply(GlobalAverage, &[&y])?;
        if let Some(dropout) = &self.dropout {
            pooled = dropout.forward(pass, &pooled)?;
        }
        self.classifier.forward(pass, &pooled)
    }
}
