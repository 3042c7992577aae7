use super::{Lesson, Loss, Method, Reading, Stages, Values};
use crate::nn::{BatchNorm, Conv, ConvShape, Pass, Path};
use crate::recipe::{Align, AlignGroup, AlignNorm, Select};
use ghostlight_autodiff::ops::{AdaptiveAverage, Bilinear, FlipAlign};
use ghostlight_autodiff::{KernelError, Tape, Var};
use ghostlight_kernels::loss::flip_align::{
    Chosen, FlipOptions, Group, Normalisation, Selection, Transform,
};
use ghostlight_kernels::resize::bilinear::Alignment;
use std::cell::RefCell;
use std::rc::Rc;

/// Feature maps compared under the best of the grid's symmetries (Ma et al. 2026, of which only the abstract could be read:
/// `docs/methods.md` section 3.2 is an interpretation).
pub struct AlignMethod {
    /// Group, selection and norm.
    pub align: Align,
    /// The stages that are met.
    pub stages: Vec<AlignedStage>,
}

/// A stage of the student and what brings its maps to the teacher's.
pub struct AlignedStage {
    /// The student's stage.
    pub student: String,
    /// The teacher's stage.
    pub teacher: String,
    /// Height and width of the teacher's maps.
    pub size: [usize; 2],
    adaptor: Conv,
    norm: Option<BatchNorm>,
}

impl AlignedStage {
    /// Declares the adaptor of a stage of the student, whose maps have `channels`, at `path`; `of_teacher` is the height, the width and
    /// the channels of the teacher's maps.
    pub fn new(
        mut path: Path,
        align: &Align,
        (student, channels): (&str, usize),
        (teacher, of_teacher): (&str, [usize; 3]),
    ) -> Self {
        let [height, width, wanted] = of_teacher;
        Self {
            student: student.to_string(),
            teacher: teacher.to_string(),
            size: [height, width],
            adaptor: Conv::new(path.at("conv"), ConvShape::new([channels, wanted], 1)),
            norm: align
                .batch_norm
                .then(|| BatchNorm::new(path.at("norm"), wanted)),
        }
    }

    /// The student's map `[n, h, w, c]` in the extents of the teacher's.
    fn adapted(&self, tape: &Tape, pass: &Pass, map: &Var) -> Result<Var, KernelError> {
        let adapted = self.adaptor.forward(pass, map)?;
        let adapted = match &self.norm {
            Some(norm) => norm.forward(pass, &adapted)?,
            None => adapted,
        };
        resized(tape, &adapted, self.size)
    }
}

/// `map` `[n, h, w, c]` in another size: averaged where it shrinks, bilinear where it grows. Both commute with the transforms.
fn resized(tape: &Tape, map: &Var, output: [usize; 2]) -> Result<Var, KernelError> {
    let [_, height, width, _] = map.tensor().dims("align", "student", "[n, h, w, c]")?;
    let shrunk = [output[0].min(height), output[1].min(width)];
    let map = match shrunk == [height, width] {
        true => map.clone(),
        false => tape.apply(AdaptiveAverage { output: shrunk }, &[map])?,
    };
    if output == shrunk {
        return Ok(map);
    }
    let alignment = Alignment::HalfPixel;
    tape.apply(Bilinear { output, alignment }, &[&map])
}

/// The transforms of a group; `seed` is of the step, for the one that chance chooses.
pub fn group(group: AlignGroup, seed: u64) -> Group {
    match group {
        AlignGroup::D4 => Group::D4,
        AlignGroup::Flips => Group::Flips,
        AlignGroup::Rotations => Group::Rotations,
        AlignGroup::Identity => Group::Identity,
        AlignGroup::Random => Group::Random { seed },
        AlignGroup::HorizontalFlip => Group::Fixed(Transform::HORIZONTAL),
        AlignGroup::HalfTurn => Group::Fixed(Transform::HALF_TURN),
    }
}

impl AlignMethod {
    fn options(&self, seed: u64) -> FlipOptions {
        let tau = self.align.tau;
        FlipOptions {
            group: group(self.align.group, seed),
            selection: match self.align.select {
                Select::Hard => Selection::Hard,
                Select::SoftMin => Selection::SoftMin { tau },
                Select::Attention => Selection::Attention {
                    tau,
                    detached: false,
                },
                Select::AttentionDetached => Selection::Attention {
                    tau,
                    detached: true,
                },
                Select::Mixed => Selection::Mixed { tau },
            },
            normalisation: match self.align.norm {
                AlignNorm::None => Normalisation::None,
                AlignNorm::Sample => Normalisation::Sample,
                AlignNorm::Position => Normalisation::Position,
            },
        }
    }

    /// The transforms that may be chosen.
    fn choices(&self) -> Vec<Transform> {
        match group(self.align.group, 0).choices() {
            Some(choices) => choices.to_vec(),
            None if self.align.group == AlignGroup::Random => Transform::ALL.to_vec(),
            None => Vec::new(),
        }
    }

    /// The share of each choice among the samples of all stages.
    fn watch(&self, chosen: Vec<Chosen>) -> Reading {
        let choices = self.choices();
        let begin = move || {
            let later: Vec<_> = chosen.iter().map(Chosen::to_transforms_later).collect();
            let values: Values = Box::new(move || {
                let mut counts = vec![0.0; choices.len()];
                let mut samples = 0.0;
                for later in later {
                    for transform in later.wait()? {
                        samples += 1.0;
                        if let Some(choice) = choices.iter().position(|&it| it == transform) {
                            counts[choice] += 1.0;
                        }
                    }
                }
                Ok(counts
                    .into_iter()
                    .map(|count| count / f64::max(samples, 1.0))
                    .collect())
            });
            Ok(values)
        };
        Reading {
            names: self.watches(),
            begin: Box::new(begin),
        }
    }
}

impl Method for AlignMethod {
    fn stages(&self) -> Stages {
        let names = |name: fn(&AlignedStage) -> &String| self.stages.iter().map(name).cloned();
        let theirs = names(|stage| &stage.teacher).collect();
        Stages {
            student: names(|stage| &stage.student).collect(),
            teacher: Some((self.align.teacher - 1, theirs)),
        }
    }

    fn on_features(
        &self,
        lesson: &Lesson,
        weight: f64,
        pass: &Pass,
        loss: &mut Loss,
    ) -> Result<(), KernelError> {
        let teacher = lesson.teacher(self.align.teacher - 1)?;
        let share = self.align.weight * weight / self.stages.len() as f64;
        let found = Rc::new(RefCell::new(Vec::new()));
        for (stage, name) in self.stages.iter().zip(self.feature_terms()) {
            let map = lesson.student.stage(&stage.student)?;
            let map = stage.adapted(lesson.tape, pass, map)?;
            let seen = found.clone();
            let aligned = FlipAlign {
                teacher: teacher.stage(&stage.teacher)?.clone(),
                options: self.options(lesson.seed),
                report: Some(Rc::new(move |found| {
                    seen.borrow_mut().push(found.chosen.clone())
                })),
            };
            let value = lesson.tape.apply(aligned, &[&map])?;
            loss.add(&name, value, share);
        }
        if !self.choices().is_empty() {
            loss.watched.push(self.watch(found.take()));
        }
        Ok(())
    }

    fn feature_terms(&self) -> Vec<String> {
        match &self.stages[..] {
            [_] => vec!["align".to_string()],
            several => several
                .iter()
                .map(|stage| {
                    let same = several
                        .iter()
                        .filter(|other| other.student == stage.student);
                    match same.count() {
                        1 => format!("align {}", stage.student),
                        _ => format!("align {} to {}", stage.student, stage.teacher),
                    }
                })
                .collect(),
        }
    }

    fn watches(&self) -> Vec<String> {
        self.choices().iter().map(Transform::to_string).collect()
    }
}
