use serde::{Deserialize, Serialize};
use std::fmt;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Forward pass, cross-entropy, backward pass and SGD with momentum.
    Train,
    /// The same, with a teacher's inference before it and its divergence in the loss.
    Distill,
    /// Inference.
    Infer,
}

/// Classes of all networks; they change the classifier alone.
pub const CLASSES: usize = 10;

/// One step of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is done.
    pub kind: Kind,
    /// The network, by its name in the zoo.
    pub network: String,
    /// Who teaches it.
    pub teacher: Option<String>,
    /// Images of a step.
    pub batch: usize,
    /// Their side in pixels.
    pub side: usize,
}

/// What is timed where no case is named: networks with the images of a training step. Inference is of [`INFERRED`] images.
const TRAINED: [(&str, usize); 7] = [
    ("resnet8", 128),
    ("resnet20", 128),
    ("mobilenet_v2", 64),
    ("ghostnet_100", 64),
    ("g_ghost_regnetx_002", 64),
    ("resnet18", 64),
    ("vgg16_bn", 64),
];
const INFERRED: [usize; 2] = [64, 1];
/// Students, teachers and images of a step.
const DISTILLED: [(&str, &str, usize); 2] = [
    ("resnet8", "resnet20", 128),
    ("mobilenet_v2", "vgg16_bn", 64),
];
const SIDE: usize = 64;

impl Case {
    /// Those that are timed where none is named.
    pub fn all() -> Vec<Self> {
        let case = |kind, network: &str, teacher: Option<&str>, batch| Self {
            kind,
            network: network.into(),
            teacher: teacher.map(String::from),
            batch,
            side: SIDE,
        };
        let trained = TRAINED.iter();
        let trained = trained.map(|&(name, batch)| case(Kind::Train, name, None, batch));
        let distilled = DISTILLED.iter();
        let distilled =
            distilled.map(|&(name, by, batch)| case(Kind::Distill, name, Some(by), batch));
        let inferred = INFERRED.iter().flat_map(|&batch| {
            let names = TRAINED.iter();
            names.map(move |&(name, _)| case(Kind::Infer, name, None, batch))
        });
        trained.chain(distilled).chain(inferred).collect()
    }

    /// The steps that `text` names: `train:ARCH:BATCH:SIZE`, `infer:ARCH:BATCH:SIZE`, `distill:STUDENT:TEACHER:BATCH:SIZE`, or
    /// `ARCH:BATCH:SIZE`, which is the first two.
    ///
    /// # Errors
    /// Text of another form.
    pub fn of(text: &str) -> Result<Vec<Self>, String> {
        let words = text.split_once(':');
        let (kinds, rest): (&[Kind], &str) = match words {
            Some(("train", rest)) => (&[Kind::Train], rest),
            Some(("infer", rest)) => (&[Kind::Infer], rest),
            Some(("distill", rest)) => (&[Kind::Distill], rest),
            _ => (&[Kind::Train, Kind::Infer], text),
        };
        let wrong = || {
            format!(
                "{text:?} is no case; write ARCH:BATCH:SIZE, as resnet8:128:64, train:ARCH:BATCH:SIZE, infer:ARCH:BATCH:SIZE or \
                 distill:STUDENT:TEACHER:BATCH:SIZE"
            )
        };
        let (student, rest) = match kinds {
            [Kind::Distill] => rest
                .split_once(':')
                .map(|(student, rest)| (Some(student), rest)),
            _ => Some((None, rest)),
        }
        .ok_or_else(wrong)?;
        let (name, batch, side) = parse(rest).map_err(|_| wrong())?;
        if student.is_some_and(str::is_empty) {
            return Err(wrong());
        }
        let case = |&kind: &Kind| Self {
            kind,
            network: student.unwrap_or(name).into(),
            teacher: student.map(|_| name.into()),
            batch,
            side,
        };
        Ok(kinds.iter().map(case).collect())
    }

    /// What its phase is called.
    pub fn phase(&self) -> &'static str {
        match self.kind {
            Kind::Train => "train step",
            Kind::Distill => "distillation step",
            Kind::Infer => "inference",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = match self.kind {
            Kind::Train => "train",
            Kind::Distill => "distill",
            Kind::Infer => "infer",
        };
        write!(f, "{kind}:{}:", self.network)?;
        if let Some(teacher) = &self.teacher {
            write!(f, "{teacher}:")?;
        }
        write!(f, "{}:{}", self.batch, self.side)
    }
}

/// The network, batch and side of its images that `case` names, as `ARCH:BATCH:SIZE`.
///
/// # Errors
/// Text of another form.
pub(crate) fn parse(case: &str) -> Result<(&str, usize, usize), String> {
    let wrong = || format!("{case:?} is no case; write ARCH:BATCH:SIZE, as resnet8:128:64");
    let mut parts = case.split(':');
    let arch = parts
        .next()
        .filter(|arch| !arch.is_empty())
        .ok_or_else(wrong)?;
    let mut number = || {
        parts
            .next()
            .and_then(|n| n.parse().ok())
            .filter(|&n: &usize| n > 0)
    };
    let (batch, size) = (number().ok_or_else(wrong)?, number().ok_or_else(wrong)?);
    if parts.next().is_some() {
        Err(wrong())
    } else {
        Ok((arch, batch, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        for case in Case::all() {
            assert_eq!(Case::of(&case.to_string()), Ok(vec![case]));
        }
        let both = Case::of("resnet18:2:32").expect("a network");
        let words: Vec<String> = both.iter().map(Case::to_string).collect();
        assert_eq!(words, ["train:resnet18:2:32", "infer:resnet18:2:32"]);
    }

    #[test]
    fn every_network_of_the_table_is_trained_and_answers_many_images_and_one() {
        let all = Case::all();
        for (name, _) in TRAINED {
            let of = all
                .iter()
                .filter(|case| case.network == name && case.teacher.is_none());
            let kinds: Vec<(Kind, bool)> = of.map(|case| (case.kind, case.batch == 1)).collect();
            let wanted = [
                (Kind::Train, false),
                (Kind::Infer, false),
                (Kind::Infer, true),
            ];
            assert_eq!(kinds, wanted, "{name}");
        }
    }

    #[test]
    fn what_is_no_case_is_refused_with_the_way_out() {
        for text in [
            "",
            "resnet8",
            "resnet8:1",
            "resnet8:0:64",
            "resnet8:1:64:3",
            "train:resnet8",
            "infer::1:64",
            "distill:resnet8:1:64",
            "distill::resnet20:1:64",
            "distill:a:b:c:64",
        ] {
            let error = Case::of(text).expect_err(text);
            assert!(
                error.contains(&format!("{text:?}")) && error.contains("distill:STUDENT"),
                "{error}"
            );
        }
    }
}
