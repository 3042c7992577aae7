use super::scratch::Network;
use crate::loss::cosine::CosineOptions;
use crate::loss::dkd::DkdOptions;
use crate::loss::kd::KdOptions;
use crate::loss::{check_class_of_each, check_classes, check_labels, check_smoothing, holds};
use crate::{DType, KernelError, Labels, Tensor, planted};

/// A second class of each sample, that of the image that is mixed into its own (mixup; `docs/methods.md` section 2.6).
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The classes, `n` of them.
    pub labels: Labels,
    /// Their share of what is the labels' own, from 0 to 1.
    pub share: f64,
}

/// The cross-entropy's part in a sum of losses.
#[derive(Debug, Clone)]
pub struct CrossEntropyOptions {
    /// The probability that is spread evenly over all classes, in `[0, 1)`.
    pub smoothing: f64,
    /// Multiplies the term.
    pub weight: f64,
    /// A second class of each sample, for this term alone.
    pub mixed: Option<Mixed>,
}

impl Default for CrossEntropyOptions {
    /// No smoothing, weight 1, no second class.
    fn default() -> Self {
        Self {
            smoothing: 0.0,
            weight: 1.0,
            mixed: None,
        }
    }
}

impl CrossEntropyOptions {
    /// Passes when a kernel can compute with these numbers in `dtype`.
    fn check(&self, op: &'static str, dtype: DType) -> Result<(), KernelError> {
        check_smoothing(op, self.smoothing)?;
        let parameter = "weight of the cross-entropy";
        let wanted = "at least 0, a number that the element type holds";
        KernelError::check_float(op, parameter, self.weight, wanted, |w| {
            w >= 0.0 && holds(dtype, w)
        })?;
        let share = self.mixed.as_ref().map_or(0.0, |mixed| mixed.share);
        KernelError::check_float(op, "share of the mixed labels", share, "from 0 to 1", |s| {
            (0.0..=1.0).contains(&s)
        })
    }
}

/// What the student learns from one teacher.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TeacherTerms {
    /// Classical distillation.
    pub kd: Option<KdOptions>,
    /// Decoupled distillation.
    pub dkd: Option<DkdOptions>,
    /// The cosine of the logits, raw or less their means, or of the softmaxes.
    pub cosine: Option<CosineOptions>,
}

impl TeacherTerms {
    /// The number of terms.
    pub fn terms(&self) -> usize {
        usize::from(self.kd.is_some())
            + usize::from(self.dkd.is_some())
            + usize::from(self.cosine.is_some())
    }
}

/// Which losses are summed, and how each is weighted.
#[derive(Debug, Clone, Default)]
pub struct DistillOptions {
    /// Cross-entropy against the labels.
    pub cross_entropy: Option<CrossEntropyOptions>,
    /// The terms of each teacher, [`DistillOptions::MOST_TEACHERS`] at most. One without a term is checked, and not read.
    pub teachers: Vec<TeacherTerms>,
}

impl DistillOptions {
    /// Teachers of one launch.
    pub const MOST_TEACHERS: usize = 4;

    /// The terms of one teacher alone.
    pub fn of_teacher(terms: TeacherTerms) -> Self {
        Self {
            cross_entropy: None,
            teachers: vec![terms],
        }
    }

    /// Whether a term knows the true classes.
    pub fn needs_labels(&self) -> bool {
        self.cross_entropy.is_some() || self.teachers.iter().any(|terms| terms.dkd.is_some())
    }

    /// The second classes, where the cross-entropy has them.
    pub(super) fn mixed(&self) -> Option<&Mixed> {
        self.cross_entropy.as_ref()?.mixed.as_ref()
    }

    /// The number of terms.
    pub fn terms(&self) -> usize {
        let teachers = self.teachers.iter().map(TeacherTerms::terms);
        usize::from(self.cross_entropy.is_some()) + teachers.sum::<usize>()
    }

    /// The row of the losses at which the terms of `teacher` begin.
    pub(super) fn first_row(&self, teacher: usize) -> usize {
        let before = self.teachers[..teacher].iter().map(TeacherTerms::terms);
        usize::from(self.cross_entropy.is_some()) + before.sum::<usize>()
    }
}

/// Validated extents and options of one sum of losses.
#[derive(Debug, Clone)]
pub struct DistillProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// The terms.
    pub options: DistillOptions,
    /// Rows of the factors: 0 without any, 1 for those of the whole batch, or one a sample.
    pub factors: usize,
    /// Element type of the logits of all networks; losses, gradient and factors are in its accumulator.
    pub dtype: DType,
}

/// What tensors are called in errors, one a teacher.
const TEACHERS: [&str; DistillOptions::MOST_TEACHERS] = [
    "first teacher",
    "second teacher",
    "third teacher",
    "fourth teacher",
];

/// Which row of the losses each term of a pair of softmaxes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Uses {
    /// Whose softmax the student's is compared with, if any.
    pub teacher: Option<usize>,
    pub cross_entropy: Option<usize>,
    pub kd: Option<usize>,
    pub dkd: Option<usize>,
}

impl Uses {
    /// The network that the student is compared with: itself, where there is none.
    pub fn network(&self) -> Network {
        self.teacher.map_or(Network::STUDENT, Network::teacher)
    }
}

/// A cosine with a teacher, and which row of the losses it writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CosineUse {
    pub teacher: usize,
    pub row: usize,
    pub options: CosineOptions,
}

impl DistillProblem {
    /// The problem of the losses of `student` `[n, c]` that `options` names, for as many teachers as it has terms for.
    ///
    /// # Errors
    /// In this order: no term at all; more than [`DistillOptions::MOST_TEACHERS`] teachers' terms; the rank of `student`; another number
    /// of `teachers` than of their terms; the shape, then the element type of each teacher; missing labels; their number and their number
    /// of classes; fewer than two classes; the number of mixed labels and their number of classes; `factors` that are neither `[1 +
    /// teachers]` nor `[n, 1 + teachers]`, or of another element type than the accumulator of the logits'; then each term's own, in the
    /// order of [`DistillOptions`]: a smoothing outside of `[0, 1)`, then a weight below 0 or that the element type does not hold, then a
    /// share of the mixed labels outside of `[0, 1]`; those of [`KdProblem::new`](crate::loss::kd::KdProblem::new), of
    /// [`DkdProblem::new`](crate::loss::dkd::DkdProblem::new), and of [`CosineProblem::new`](crate::loss::cosine::CosineProblem::new) for
    /// each teacher.
    pub fn new(
        student: &Tensor,
        teachers: &[Tensor],
        labels: Option<&Labels>,
        factors: Option<&Tensor>,
        options: &DistillOptions,
    ) -> Result<Self, KernelError> {
        const OP: &str = "distill";
        if options.terms() == 0 {
            return Err(KernelError::range(OP, "number of terms", 0, "at least 1"));
        }
        if options.teachers.len() > DistillOptions::MOST_TEACHERS {
            let parameter = "number of teachers with terms";
            return Err(KernelError::range(
                OP,
                parameter,
                options.teachers.len(),
                "at most 4",
            ));
        }
        let [batch, classes] = student.dims(OP, "student", "[n, c]")?;
        let dtype = student.dtype();
        if teachers.len() != options.teachers.len() {
            let wanted = "as many as the options have terms for";
            let parameter = "number of teachers";
            return Err(KernelError::range(OP, parameter, teachers.len(), wanted));
        }
        for (teacher, name) in teachers.iter().zip(TEACHERS) {
            teacher.check(OP, name, student.shape(), dtype)?;
        }
        if options.needs_labels() {
            let wanted = "the true classes, for the terms that know them";
            let absent = || KernelError::range(OP, "labels", "absent", wanted);
            check_labels(OP, labels.ok_or_else(absent)?, batch, classes)?;
        }
        check_classes(OP, classes)?;
        if let Some(mixed) = options.mixed() {
            check_class_of_each(OP, "mixed labels", &mixed.labels, batch, classes)?;
        }
        let factors = match factors {
            Some(factors) => check_factors(OP, factors, batch, 1 + teachers.len(), dtype)?,
            None => 0,
        };
        if let Some(term) = &options.cross_entropy {
            term.check(OP, dtype)?;
        }
        for TeacherTerms { kd, dkd, cosine } in &options.teachers {
            kd.map_or(Ok(()), |term| term.check(OP, dtype))?;
            dkd.map_or(Ok(()), |term| term.check(OP, dtype))?;
            cosine.map_or(Ok(()), |term| term.check(OP, dtype))?;
        }
        Ok(Self {
            batch,
            classes,
            options: options.clone(),
            factors,
            dtype,
        })
    }

    /// The factors from one sample's to the next's: 0 where all samples share them.
    pub(super) fn factor_stride(&self) -> usize {
        if self.factors > 1 {
            let width = 1 + self.options.teachers.len();
            planted::or("distill_factors_of_the_first_sample", width, 0)
        } else {
            0
        }
    }

    /// The pairs of softmaxes that are taken, each at its temperature, with the terms that share it: the student's, and that of a
    /// teacher where a term compares the two.
    pub(super) fn pairs(&self) -> Vec<(f64, Uses)> {
        let mut found = Vec::new();
        if self.options.cross_entropy.is_some() {
            let uses = Uses {
                cross_entropy: Some(0),
                ..Uses::default()
            };
            found.push((1.0, uses));
        }
        for (teacher, terms) in self.options.teachers.iter().enumerate() {
            let mut row = self.options.first_row(teacher);
            if let Some(term) = terms.kd {
                pair(&mut found, term.temperature, teacher).kd = Some(row);
                row += 1;
            }
            if let Some(term) = terms.dkd {
                pair(&mut found, term.temperature, teacher).dkd = Some(row);
            }
        }
        found
    }

    /// The cosines.
    pub(super) fn cosines(&self) -> Vec<CosineUse> {
        let teachers = self.options.teachers.iter().enumerate();
        let each = teachers.filter_map(|(teacher, terms)| {
            terms.cosine.map(|options| CosineUse {
                teacher,
                row: self.options.first_row(teacher) + terms.terms() - 1,
                options,
            })
        });
        each.collect()
    }
}

/// The pair of the student's softmax and the teacher's at a temperature. A pair without a teacher is found beside any.
fn pair(found: &mut Vec<(f64, Uses)>, temperature: f64, teacher: usize) -> &mut Uses {
    let known = found.iter().position(|(t, uses)| {
        *t == temperature && uses.teacher.is_none_or(|other| other == teacher)
    });
    let place = known.unwrap_or_else(|| {
        found.push((temperature, Uses::default()));
        found.len() - 1
    });
    let uses = &mut found[place].1;
    uses.teacher = Some(teacher);
    uses
}

/// The rows of factors `[width]` or `[batch, width]`: 1, or the batch.
fn check_factors(
    op: &'static str,
    factors: &Tensor,
    batch: usize,
    width: usize,
    dtype: DType,
) -> Result<usize, KernelError> {
    let shape = factors.shape();
    if shape != [width] && shape != [batch, width] {
        return Err(KernelError::Shape {
            op,
            tensor: "factors",
            got: shape.to_vec(),
            wanted: format!(
                "[{width}] or [{batch}, {width}], of the cross-entropy, then of each teacher"
            ),
        });
    }
    factors.check(op, "factors", shape, dtype.accumulator())?;
    Ok(factors.len() / width)
}
