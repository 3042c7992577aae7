//! `[distill]`: one way to teach a student. Terms that are named in the recipe are summed; those that are not are off.

use serde::{Deserialize, Serialize};

/// `[distill]`: what a student learns from teachers, and from the labels beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distill {
    /// What the way is called in files, table and report. Default: the names of its terms.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which teachers are listened to, counted from 1. Default all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<usize>,
    /// Whether several teachers teach at once or one after the other. Default `"together"`.
    pub turns: Turns,
    /// Weight of the cross-entropy with the true labels. Default 1.
    pub ce_weight: f64,
    /// Epochs over which the teachers' terms gain their full weight, linearly; 0 gives it at once. Default 2.
    pub warmup_epochs: usize,
    /// Classical distillation: the divergence of softened softmaxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kd: Option<Kd>,
    /// Decoupled distillation: target and other classes weighted apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dkd: Option<Dkd>,
    /// Two teachers, weighted by how confident they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual: Option<DualTeacher>,
    /// The angle between the answers, or between features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<Cosine>,
    /// Feature maps, compared under the best of the grid's symmetries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub align: Option<Align>,
}

/// Whether several teachers teach at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// All of them in every step, each with its share of a term's weight.
    Together,
    /// One after the other, each for as many epochs.
    InTurn,
}

/// `[distill.kd]` (`docs/methods.md` section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kd {
    /// Weight of the term. Default 1.
    pub weight: f64,
    /// Divides the logits of both networks before the softmax. Default 4.
    pub temperature: f64,
}

/// `[distill.dkd]` (`docs/methods.md` section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dkd {
    /// Weight of the term. Default 1.
    pub weight: f64,
    /// Weight of the target class (TCKD). Default 1.
    pub alpha: f64,
    /// Weight of the other classes (NCKD). Default 8.
    pub beta: f64,
    /// Divides the logits of both networks before the softmax. Default 4.
    pub temperature: f64,
}

/// `[distill.dual]` (`docs/methods.md` section 4.3): two teachers whose confidences weigh them, and the labels against both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DualTeacher {
    /// Divides the logits of all networks before the softmax, and before confidence is taken. Default 5.
    pub temperature: f64,
    /// How confidences become weights. Default `"table"`.
    pub rule: Rule,
    /// Whether each sample has weights of its own instead of the batch. Default false.
    pub per_sample: bool,
    /// Below this confidence of both, nothing is learnt from either. Default 0.4.
    pub low: f64,
    /// From this confidence on, a teacher counts as confident. Default 0.6.
    pub high: f64,
    /// Least weight of a teacher that is not confident beside another that is not. Default 0.1.
    pub minimum: f64,
    /// Weight of either teacher when both are confident. Default 0.5.
    pub even: f64,
    /// Weight of the one that is not confident beside one that is. Default 0.3.
    pub lesser: f64,
    /// Weight of the one that is. Default 0.7.
    pub greater: f64,
}

/// How the confidences of two teachers become their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The paper's table of cases.
    Table,
    /// In proportion to confidence, with a sum of 1: an extension.
    Proportional,
}

/// `[distill.cosine]` (`docs/methods.md` section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Weight of the term. Default 1.
    pub weight: f64,
    /// Between which vectors the angle is taken. Default `"logits"`.
    pub of: Compared,
    /// Divides the logits before the softmax, for `of = "probabilities"`. Default 4.
    pub temperature: f64,
    /// Whose maps are averaged, for `of = "features"`. Default the student's last stage with a map.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub student_stage: String,
    /// The teacher's stage. Default its last one with a map.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub teacher_stage: String,
}

/// Between which vectors an angle is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The logits as they are.
    Logits,
    /// The logits less their mean: one minus Pearson's correlation.
    Centred,
    /// The softened softmaxes.
    Probabilities,
    /// The averaged maps of a stage, the student's through a linear projector that is trained with it and dropped afterwards.
    Features,
}

/// `[distill.align]` (`docs/methods.md` section 3.2): the student's maps go through an adaptor, a 1x1 convolution that is trained with it
/// and dropped afterwards, are resized to the teacher's, and meet them under the group's transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Align {
    /// Weight of the term, shared evenly by the stages. Default 1.
    pub weight: f64,
    /// Whose maps are met: a teacher, counted from 1. Default 1.
    pub teacher: usize,
    /// The student's stages. Default its last one with a map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub student_stages: Vec<String>,
    /// The teacher's, one for each of those. Default its last one with a map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teacher_stages: Vec<String>,
    /// Which transforms may be chosen. Default `"d4"`.
    pub group: AlignGroup,
    /// What is made of their distances. Default `"hard"`.
    pub select: Select,
    /// Temperature of the soft selections. Default 0.1.
    pub tau: f64,
    /// By which norm both maps are divided. Default `"sample"`.
    pub norm: AlignNorm,
    /// Whether a batch norm follows the adaptor. Default false.
    pub batch_norm: bool,
}

/// The transforms that an alignment may choose; the last four are the controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignGroup {
    /// All eight flips and quarter turns.
    D4,
    /// The identity, both flips, and the half turn.
    Flips,
    /// The four quarter turns.
    Rotations,
    /// None: plain feature regression.
    Identity,
    /// One of the eight for each sample and step, by chance.
    Random,
    /// The horizontal flip, always.
    HorizontalFlip,
    /// The half turn, always.
    HalfTurn,
}

/// What is made of the distances under the transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The smallest.
    Hard,
    /// The soft minimum.
    SoftMin,
    /// Their mean, weighted by attention.
    Attention,
    /// The same, with weights that count as constants in the gradient.
    AttentionDetached,
    /// The distance of the maps' weighted mean; for `norm = "none"` only.
    Mixed,
}

/// By which norm two maps are divided before they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignNorm {
    /// By none: mean squared error.
    None,
    /// By that of the whole map.
    Sample,
    /// By that of the channels, position by position.
    Position,
}

impl Distill {
    /// Decoupled distillation with its defaults: the way of a recipe that names none.
    pub fn decoupled() -> Self {
        Self {
            dkd: Some(Dkd::default()),
            ..Self::default()
        }
    }

    /// The terms that are on, by name, in the order in which they are summed: those whose weight is above 0.
    pub fn terms(&self) -> Vec<&'static str> {
        let on = |weight: Option<f64>| weight.is_some_and(|weight| weight > 0.0);
        let dkd = |dkd: &Dkd| dkd.weight * dkd.alpha.max(dkd.beta);
        [
            ("kd", on(self.kd.as_ref().map(|kd| kd.weight))),
            ("dkd", on(self.dkd.as_ref().map(dkd))),
            ("dual", self.dual.is_some()),
            (
                "cosine",
                on(self.cosine.as_ref().map(|cosine| cosine.weight)),
            ),
            ("align", on(self.align.as_ref().map(|align| align.weight))),
        ]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect()
    }

    /// Its name, or the names of its terms.
    pub fn title(&self) -> String {
        match (self.name.is_empty(), self.terms().join("+")) {
            (false, _) => self.name.clone(),
            (true, terms) if terms.is_empty() => "labels".to_string(),
            (true, terms) => terms,
        }
    }

    /// Which of `count` teachers are listened to, counted from 0.
    pub fn listened(&self, count: usize) -> Vec<usize> {
        match self.teachers.is_empty() {
            true => (0..count).collect(),
            false => self.teachers.iter().map(|teacher| teacher - 1).collect(),
        }
    }
}

impl Default for Distill {
    /// No term of a teacher.
    fn default() -> Self {
        Self {
            name: String::new(),
            teachers: Vec::new(),
            turns: Turns::Together,
            ce_weight: 1.0,
            warmup_epochs: 2,
            kd: None,
            dkd: None,
            dual: None,
            cosine: None,
            align: None,
        }
    }
}

impl Default for Kd {
    fn default() -> Self {
        Self {
            weight: 1.0,
            temperature: 4.0,
        }
    }
}

impl Default for Dkd {
    fn default() -> Self {
        Self {
            weight: 1.0,
            alpha: 1.0,
            beta: 8.0,
            temperature: 4.0,
        }
    }
}

impl Default for DualTeacher {
    fn default() -> Self {
        Self {
            temperature: 5.0,
            rule: Rule::Table,
            per_sample: false,
            low: 0.4,
            high: 0.6,
            minimum: 0.1,
            even: 0.5,
            lesser: 0.3,
            greater: 0.7,
        }
    }
}

impl Default for Cosine {
    fn default() -> Self {
        Self {
            weight: 1.0,
            of: Compared::Logits,
            temperature: 4.0,
            student_stage: String::new(),
            teacher_stage: String::new(),
        }
    }
}

impl Default for Align {
    fn default() -> Self {
        Self {
            weight: 1.0,
            teacher: 1,
            student_stages: Vec::new(),
            teacher_stages: Vec::new(),
            group: AlignGroup::D4,
            select: Select::Hard,
            tau: 0.1,
            norm: AlignNorm::Sample,
            batch_norm: false,
        }
    }
}
