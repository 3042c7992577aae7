use crate::loss::dkd::DkdOptions;
use crate::loss::kd::KdOptions;
use crate::loss::{check_classes, check_labels, check_smoothing, holds};
use crate::{DType, KernelError, Labels, Tensor};

/// The cross-entropy's part in a sum of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropyOptions {
    /// The probability that is spread evenly over all classes, in `[0, 1)`.
    pub smoothing: f64,
    /// Multiplies the term.
    pub weight: f64,
}

impl Default for CrossEntropyOptions {
    /// No smoothing, weight 1.
    fn default() -> Self {
        Self {
            smoothing: 0.0,
            weight: 1.0,
        }
    }
}

/// Which losses are summed, and how each is weighted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DistillOptions {
    /// Cross-entropy against the labels.
    pub cross_entropy: Option<CrossEntropyOptions>,
    /// Classical distillation.
    pub kd: Option<KdOptions>,
    /// Decoupled distillation.
    pub dkd: Option<DkdOptions>,
}

impl DistillOptions {
    /// Whether a term compares the student with a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.kd.is_some() || self.dkd.is_some()
    }

    /// Whether a term knows the true classes.
    pub fn needs_labels(&self) -> bool {
        self.cross_entropy.is_some() || self.dkd.is_some()
    }

    /// The number of terms.
    pub fn terms(&self) -> usize {
        usize::from(self.cross_entropy.is_some())
            + usize::from(self.kd.is_some())
            + usize::from(self.dkd.is_some())
    }
}

/// Validated extents and options of one sum of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistillProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// The terms.
    pub options: DistillOptions,
    /// Element type of the logits of both networks, losses and gradient.
    pub dtype: DType,
}

/// Which row of the losses each term that shares a temperature's exponentials writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Uses {
    pub cross_entropy: Option<usize>,
    pub kd: Option<usize>,
    pub dkd: Option<usize>,
}

impl Uses {
    /// Whether the teacher's softmax is needed.
    pub fn teacher(&self) -> bool {
        self.kd.is_some() || self.dkd.is_some()
    }
}

impl DistillProblem {
    /// The problem of the losses of `student` `[n, c]` that `options` names.
    ///
    /// # Errors
    /// In this order: no term at all; the rank of `student`; a missing teacher; its shape, then its element type; missing labels;
    /// their number and their number of classes; fewer than two classes; then each term's own, in the order of [`DistillOptions`]:
    /// a smoothing outside of `[0, 1)`, then a weight below 0 or that the element type does not hold; those of
    /// [`KdProblem::new`](crate::loss::kd::KdProblem::new); those of [`DkdProblem::new`](crate::loss::dkd::DkdProblem::new).
    pub fn new(
        student: &Tensor,
        teacher: Option<&Tensor>,
        labels: Option<&Labels>,
        options: &DistillOptions,
    ) -> Result<Self, KernelError> {
        const OP: &str = "distill";
        if options.terms() == 0 {
            return Err(KernelError::range(OP, "number of terms", 0, "at least 1"));
        }
        let [batch, classes] = student.dims(OP, "student", "[n, c]")?;
        let dtype = student.dtype();
        if options.needs_teacher() {
            let wanted = "the teacher's logits, for the terms that distil";
            let absent = || KernelError::range(OP, "teacher", "absent", wanted);
            let teacher = teacher.ok_or_else(absent)?;
            teacher.check(OP, "teacher", student.shape(), dtype)?;
        }
        if options.needs_labels() {
            let wanted = "the true classes, for the terms that know them";
            let absent = || KernelError::range(OP, "labels", "absent", wanted);
            check_labels(OP, labels.ok_or_else(absent)?, batch, classes)?;
        }
        check_classes(OP, classes)?;
        if let Some(term) = options.cross_entropy {
            check_smoothing(OP, term.smoothing)?;
            let wanted = "at least 0, a number that the element type holds";
            KernelError::check_float(
                OP,
                "weight of the cross-entropy",
                term.weight,
                wanted,
                |w| w >= 0.0 && holds(dtype, w),
            )?;
        }
        if let Some(term) = options.kd {
            term.check(OP, dtype)?;
        }
        if let Some(term) = options.dkd {
            term.check(OP, dtype)?;
        }
        Ok(Self {
            batch,
            classes,
            options: *options,
            dtype,
        })
    }

    /// The temperatures at which softmaxes are taken, each with the terms that share them.
    pub(super) fn temperatures(&self) -> Vec<(f64, Uses)> {
        let mut found: Vec<(f64, Uses)> = Vec::new();
        let mut row = 0;
        let mut place = |temperature: f64, set: fn(&mut Uses, usize)| {
            let known = found.iter().position(|&(t, _)| t == temperature);
            let layout = known.unwrap_or_else(|| {
                let none = Uses {
                    cross_entropy: None,
                    kd: None,
                    dkd: None,
                };
                found.push((temperature, none));
                found.len() - 1
            });
            set(&mut found[layout].1, row);
            row += 1;
        };
        if self.options.cross_entropy.is_some() {
            place(1.0, |uses, row| uses.cross_entropy = Some(row));
        }
        if let Some(term) = self.options.kd {
            place(term.temperature, |uses, row| uses.kd = Some(row));
        }
        if let Some(term) = self.options.dkd {
            place(term.temperature, |uses, row| uses.dkd = Some(row));
        }
        found
    }
}
