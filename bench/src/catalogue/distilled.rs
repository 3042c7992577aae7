use super::{LogitsCase, MapCase};
use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// Logits of the losses that compare a student with teachers: a step of EuroSAT, one of a large data set, and a length that is no
/// multiple of a register.
pub fn distilled_logits() -> Vec<LogitsCase> {
    [(64, 10), (128, 45), (4096, 1000)]
        .map(|(n, c)| LogitsCase { n, c, sweep: None })
        .to_vec()
}

/// A cosine between student and teacher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineCase {
    /// What is compared.
    pub between: Compared,
    /// Samples.
    pub n: usize,
    /// Elements of a sample.
    pub c: usize,
    /// The softmaxes' temperature.
    #[serde(default = "four")]
    pub temperature: f64,
}

/// What a cosine compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    /// Softened probabilities.
    Softmaxes,
    /// Logits less their mean.
    Centred,
    /// Features as they are.
    Features,
}

fn four() -> f64 {
    4.0
}

impl Case for CosineCase {
    fn name(&self) -> String {
        let between = format!("{:?}", self.between).to_lowercase();
        format!("{between} n{} c{}", self.n, self.c)
    }
}

/// Cosines between logits, and between VGG16's last maps and a pooled MobileNetV2.
pub fn cosines() -> Vec<CosineCase> {
    let case = |between, n, c| CosineCase {
        between,
        n,
        c,
        temperature: four(),
    };
    let mut cases = Vec::new();
    for between in [Compared::Softmaxes, Compared::Centred] {
        let logits = distilled_logits().into_iter();
        cases.extend(logits.map(|logits| case(between, logits.n, logits.c)));
    }
    cases.push(case(Compared::Features, 64, 7 * 7 * 512));
    cases.push(case(Compared::Features, 256, 1280));
    cases
}

/// How flips of feature maps are aligned.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlipCase {
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Which transforms count, and what is normalised.
    pub selection: Chosen,
}

/// Which transforms count, and what is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// The nearest, of normalised samples.
    Hard,
    /// The nearest, of normalised positions.
    HardByPosition,
    /// A soft minimum, of normalised samples.
    SoftMin,
    /// A mixture by attention, of maps as they are.
    Mixed,
}

impl Case for FlipCase {
    fn name(&self) -> String {
        let map = MapCase::of([self.n, self.h, self.w, self.c]);
        let selection = serde_json::to_value(self.selection).unwrap_or_default();
        format!("{} {}", map.name(), selection.as_str().unwrap_or_default())
    }
}

/// Alignments of last stages of ResNets at 64 to 448 px.
pub fn flips() -> Vec<FlipCase> {
    let chosen = [
        Chosen::Hard,
        Chosen::HardByPosition,
        Chosen::SoftMin,
        Chosen::Mixed,
    ];
    let maps = [
        [64, 2, 2, 512],
        [64, 16, 16, 64],
        [128, 7, 7, 256],
        [32, 14, 14, 512],
    ];
    let each = |[n, h, w, c]: [usize; 4]| {
        chosen.map(|selection| FlipCase {
            n,
            h,
            w,
            c,
            selection,
        })
    };
    maps.into_iter().flat_map(each).collect()
}
