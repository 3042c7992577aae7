use super::MapCase;
use crate::suite::Case;
use ghostlight_kernels::norm::layer_norm::Sample;
use ghostlight_kernels::pointwise::activation::Activation;
use serde::{Deserialize, Serialize};

/// A map `[n, h, w, c]` through an activation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationCase {
    /// `relu`, `silu` or `hardswish`.
    pub kind: Kind,
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

/// The activations that are timed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`.
    Silu,
    /// `x clamp(x + 3, 0, 6) / 6`.
    HardSwish,
}

impl Kind {
    /// The kernels' own.
    pub fn activation(self) -> Activation {
        match self {
            Self::Relu => Activation::Relu,
            Self::Silu => Activation::Silu,
            Self::HardSwish => Activation::HardSwish,
        }
    }
}

impl Case for ActivationCase {
    fn name(&self) -> String {
        let map = MapCase::of([self.n, self.h, self.w, self.c]);
        format!("{} {}", self.kind.activation().name(), map.name())
    }
}

/// Maps of activations and gates: a wide early one, and the late ones of light networks.
pub fn activated() -> Vec<MapCase> {
    [[32, 56, 56, 64], [32, 14, 14, 672], [16, 28, 28, 120]]
        .map(MapCase::of)
        .to_vec()
}

/// Activations of [`activated`] maps.
pub fn activations() -> Vec<ActivationCase> {
    let kinds = [Kind::Relu, Kind::Silu, Kind::HardSwish];
    let each = |MapCase { n, h, w, c }| kinds.map(|kind| ActivationCase { kind, n, h, w, c });
    activated().into_iter().flat_map(each).collect()
}

/// Rows of features to drop some of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutCase {
    /// Rows.
    pub rows: usize,
    /// Features of a row.
    pub length: usize,
    /// How likely each is dropped.
    pub rate: f64,
}

impl DropoutCase {
    /// `[rows, length]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.length]
    }
}

impl Case for DropoutCase {
    fn name(&self) -> String {
        format!("{}x{} {}", self.rows, self.length, self.rate)
    }
}

/// Features that are dropped: before MobileNetV2's classifier, in VGG's, and far more than a cache holds.
pub fn dropped() -> Vec<DropoutCase> {
    [(128, 1280, 0.2), (128, 4096, 0.5), (16_384, 4096, 0.1)]
        .map(|(rows, length, rate)| DropoutCase { rows, length, rate })
        .to_vec()
}

/// Rows of a softmax.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsCase {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub length: usize,
}

impl Case for RowsCase {
    fn name(&self) -> String {
        format!("{}x{}", self.rows, self.length)
    }
}

/// Rows of softmaxes: classifiers, and the attention of small transformers.
pub fn rows() -> Vec<RowsCase> {
    [[4096, 1000], [16_384, 49], [64, 16_384]]
        .map(|[rows, length]| RowsCase { rows, length })
        .to_vec()
}

/// A norm over the channels of a pixel, or over an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormCase {
    /// Images.
    pub n: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

impl Case for NormCase {
    fn name(&self) -> String {
        format!("n{} {}x{}", self.n, self.pixels, self.c)
    }
}

/// Norms over a pixel or an image, as MobileViT and MobileViTv2 have them.
pub fn normed(sample: Sample) -> Vec<NormCase> {
    let shapes = match sample {
        Sample::Pixel => [[32, 256, 192], [64, 256, 144]],
        Sample::Image => [[32, 1024, 128], [64, 256, 100]],
    };
    shapes
        .map(|[n, pixels, c]| NormCase { n, pixels, c })
        .to_vec()
}

/// The parameters of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParametersCase {
    /// How many there are.
    pub len: usize,
}

impl Case for ParametersCase {
    fn name(&self) -> String {
        format!("{} parameters", self.len)
    }
}

/// Parameters of a step: a light student whose number is odd, and GhostNet.
pub fn parameters() -> Vec<ParametersCase> {
    [272_475, 5_000_000]
        .map(|len| ParametersCase { len })
        .to_vec()
}
