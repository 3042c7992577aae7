//! The problems that the benches time: layers of real networks, and shapes that nobody tuned for.

mod around;
mod attention;
mod chain;
mod dense;
mod depthwise;
mod distilled;
mod ghost;
mod grouped;
mod linear_attention;
mod networks;
mod partition;
mod pool;

pub use around::{
    ActivationCase, DropoutCase, Kind, NormCase, ParametersCase, RowsCase, activated, activations,
    dropped, normed, parameters, rows,
};
pub use attention::{AttentionCase, attentions};
pub use chain::{ChainCase, chains};
pub use dense::{DenseCase, dense};
pub use depthwise::{DepthwiseCase, depthwise};
pub use distilled::{Chosen, Compared, CosineCase, FlipCase, cosines, distilled_logits, flips};
pub use ghost::{GhostCase, ghost};
pub use grouped::{GroupedCase, grouped};
pub use linear_attention::{LinearAttentionCase, linear_attentions};
pub(crate) use networks::layers;
pub use partition::{PartitionCase, SeparableCase, partitions, separables};
pub use pool::{PoolCase, ResizeCase, adaptive_averages, average_pools, bilinears, max_pools};

use crate::results::Sweep;
use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// `[n, c]` logits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogitsCase {
    /// Samples.
    pub n: usize,
    /// Classes.
    pub c: usize,
    /// The sweep that it is a point of.
    #[serde(skip)]
    pub sweep: Option<Sweep>,
}

impl Case for LogitsCase {
    fn name(&self) -> String {
        format!("n{} c{}", self.n, self.c)
    }
}

/// Logits of the losses: data sets of remote sensing, ImageNet, and vocabularies far beyond; a sweep over the classes.
pub fn logits() -> Vec<LogitsCase> {
    let layers = [
        (64, 10),
        (64, 45),
        (64, 100),
        (128, 1000),
        (4096, 100),
        (4096, 1000),
        (1024, 16_384),
        (256, 131_072),
    ];
    let mut cases = layers
        .map(|(n, c)| LogitsCase { n, c, sweep: None })
        .to_vec();
    // A million logits each, so that only the length of a row changes.
    let lengths = [2, 8, 32, 128, 512, 2048, 8192, 32_768, 131_072];
    let points = lengths.map(|c| LogitsCase {
        n: (1 << 20) / c,
        c,
        sweep: Some(point("classes", c)),
    });
    add_points(&mut cases, points, |case| &mut case.sweep);
    cases
}

/// A map `[n, h, w, c]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapCase {
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl MapCase {
    /// A case of a catalogue.
    pub fn of([n, h, w, c]: [usize; 4]) -> Self {
        Self { n, h, w, c }
    }

    /// `[n, h, w, c]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.c]
    }
}

impl Case for MapCase {
    fn name(&self) -> String {
        format!("n{} {}x{} {}", self.n, self.h, self.w, self.c)
    }
}

/// Maps of batch norms: the stems and last stages of the networks trained here.
pub fn maps() -> Vec<MapCase> {
    [
        [128, 64, 64, 16],
        [32, 56, 56, 64],
        [32, 14, 14, 512],
        [16, 28, 28, 120],
    ]
    .map(MapCase::of)
    .to_vec()
}

/// Adds the points of a sweep to `cases`; one that is a problem of the catalogue already becomes the sweep's there.
fn add_points<C: Case>(
    cases: &mut Vec<C>,
    points: impl IntoIterator<Item = C>,
    sweep: impl Fn(&mut C) -> &mut Option<Sweep>,
) {
    for mut new in points {
        match cases.iter_mut().find(|case| case.name() == new.name()) {
            Some(known) => *sweep(known) = sweep(&mut new).take(),
            None => cases.push(new),
        }
    }
}

/// The point of a sweep.
fn point(axis: &str, at: usize) -> Sweep {
    Sweep {
        axis: axis.into(),
        at: at as f64,
    }
}

/// What a stride, a dilation or a multiplier is where a file of cases leaves it out.
fn one() -> usize {
    1
}

/// What a kernel is where a file of cases leaves it out.
fn three() -> usize {
    3
}
