//! Distillation from two teachers, each weighted by how confident it is of the batch, and its gradient.
//!
//! **Computes**, for student logits `z`, teacher logits `v_1`, `v_2`, the label `k` and the temperature `T`, with `p = softmax(z / T)` and
//! `q_i = softmax(v_i / T)`: the confidences `c_i = mean over the batch of max_j q_ij`, from them the weights by
//!
//! | case (the first that holds) | alpha, of the first | beta, of the second |
//! |---|---|---|
//! | both below `low` | 0 | 0 |
//! | both below `high` | `max(even - (high - c_1), minimum)` | `max(even - (high - c_2), minimum)` |
//! | `c_1` below `high` | `lesser` | `greater` |
//! | `c_2` below `high` | `greater` | `lesser` |
//! | otherwise | `even` | `even` |
//!
//! then with `W = (alpha + beta) / 2` the loss
//! `loss[n] = 1/N ((1 - W) (-ln softmax(z)_k) + W T^2 (alpha KL(q_1 || p) + beta KL(q_2 || p)))`, and the gradient of their sum
//! `1/N (1 - W) (softmax(z)_j - [j = k]) + W T / N (alpha (p_j - q_1j) + beta (p_j - q_2j))`. The weights do not depend on the student.
//! Source: `docs/methods.md` section 4.3 (dynamic weighting; the rule of the follow-up notebook, whose literals are the defaults).
//!
//! **Layout** logits and gradient `[n, c]`, loss `[n]`, the weights `[4]` as `c_1, c_2, alpha, beta`; the vectors lie along the
//! classes, of which there may be any number.
//!
//! **Map.** `confidence.rs` launches the teachers' rows and the rule, `fused.rs` the loss and its gradient, by the formulas of `row.rs`;
//! `team.rs` has the kernels over rows for GPUs.
//!
//! **One unit owns** a run of rows, but for the rule, which one unit applies after it has added the confidences in the order of the
//! rows. On a GPU a team of units owns a row (`team.rs`), and one team adds the confidences. Nothing is read on the host: the weights
//! stay on the device, for the loss to read and for whoever wants to watch them.
//!
//! **Saved**: [`Teachers::weigh`] keeps the maximum and the sum of exponentials of each teacher's row, so that the loss takes two
//! exponentials a class less. The backward pass has the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** The cross-entropy comes from the label's log-odds against the rest, as in the other losses. The divergences
//! are summed as `q (exp(r) - 1 - r)`, `r = ln p - ln q`, whose terms are at least 0: a student that equals both teachers has
//! divergences of exactly 0, and flat softmaxes (a high temperature) keep their digits.
//!
//! **Not finite**: a row with a NaN or infinite student logit has a NaN loss and a NaN gradient; other rows are untouched. A
//! confidence is a mean over the batch: a NaN or infinite teacher logit makes that teacher's confidence NaN, both weights with it, and
//! all losses and gradients of the batch. A difference of logits over `T` that overflows the element type counts as infinite.

mod confidence;
pub mod cost;
mod fused;
pub mod reference;
mod row;
mod team;

use super::{LossAndGrad, check_labels, holds};
use crate::{Cost, DType, KernelError, Labels, Tensor};

const OP: &str = "dual_teacher";

/// The temperature and the literals of the weighting rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DualTeacherOptions {
    /// Divides the logits of all three networks; above 0.
    pub temperature: f64,
    /// Two teachers whose confidences are both below this get no weight.
    pub low: f64,
    /// A teacher of at least this confidence is trusted.
    pub high: f64,
    /// The least weight of a teacher where neither is trusted.
    pub minimum: f64,
    /// The weight of each of two trusted teachers, and what a confidence short of `high` is taken from where neither is.
    pub even: f64,
    /// The weight of a teacher that is not trusted, beside one that is.
    pub lesser: f64,
    /// The weight of a trusted teacher beside one that is not.
    pub greater: f64,
}

impl Default for DualTeacherOptions {
    /// The published values: temperature 5, thresholds 0.4 and 0.6, minimum 0.1, weights 0.5, 0.3 and 0.7.
    fn default() -> Self {
        Self {
            temperature: 5.0,
            low: 0.4,
            high: 0.6,
            minimum: 0.1,
            even: 0.5,
            lesser: 0.3,
            greater: 0.7,
        }
    }
}

impl DualTeacherOptions {
    /// # Errors
    /// As [`Teachers::weigh`] lists them.
    fn check(&self, dtype: DType) -> Result<(), KernelError> {
        let wanted = "above 0, with a square and a reciprocal that the element type holds";
        KernelError::check_float(OP, "temperature", self.temperature, wanted, |t| {
            t > 0.0 && holds(dtype, t * t) && holds(dtype, 1.0 / t)
        })?;
        let shares = [
            ("low", self.low),
            ("high", self.high),
            ("minimum", self.minimum),
            ("even", self.even),
            ("lesser", self.lesser),
            ("greater", self.greater),
        ];
        for (parameter, value) in shares {
            KernelError::check_float(OP, parameter, value, "from 0 to 1", |v| {
                (0.0..=1.0).contains(&v)
            })?;
        }
        KernelError::check_float(OP, "low", self.low, "at most high", |low| low <= self.high)
    }
}

/// Validated extents and options of one batch under two teachers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DualTeacherProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// Temperature and rule.
    pub options: DualTeacherOptions,
    /// Element type of all logits and of the gradient; weights and losses are in its accumulator.
    pub dtype: DType,
}

impl DualTeacherProblem {
    /// The cost of weighing the teachers; see [`cost::weigh`].
    pub fn cost_of_weighing(&self) -> Cost {
        cost::weigh(self)
    }

    /// The cost of loss and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// Two teachers' logits of one batch with the weights that the rule gives them.
#[derive(Debug, Clone)]
pub struct Teachers {
    problem: DualTeacherProblem,
    logits: [Tensor; 2],
    /// `[n, 4]`: the largest logit of the first teacher's row and the sum of `exp((v - max) / T)`, then the second's.
    rows: Tensor,
    weights: Tensor,
}

impl Teachers {
    /// Weighs the teachers' logits `first` and `second`, both `[n, c]`. Two launches, the confidences of the rows and the rule; none
    /// for an empty batch, whose confidences and weights are 0.
    ///
    /// # Errors
    /// In this order: the rank of `first`, or a window; shape, element type, then window of `second`; fewer than two classes; a
    /// temperature that is not above 0, or whose square or reciprocal the element type does not hold; `low`, `high`, `minimum`, `even`, `lesser`, then
    /// `greater` outside of `[0, 1]`; `low` above `high`.
    pub fn weigh(
        first: &Tensor,
        second: &Tensor,
        options: &DualTeacherOptions,
    ) -> Result<Self, KernelError> {
        let [batch, classes] = first.dims(OP, "first", "[n, c]")?;
        let (client, dtype) = (first.client(), first.dtype());
        second.check(OP, "second", first.shape(), dtype)?;
        if classes < 2 {
            let parameter = "number of classes";
            return Err(KernelError::range(OP, parameter, classes, "at least 2"));
        }
        options.check(dtype)?;
        let problem = DualTeacherProblem {
            batch,
            classes,
            options: *options,
            dtype,
        };
        let logits = [first.clone(), second.clone()];
        let accumulator = dtype.accumulator();
        let rows = Tensor::room(OP, "scratch", client, &[batch, 4], accumulator)?;
        if batch == 0 {
            let weights = Tensor::zeros(client, &[4], accumulator);
            return Ok(Self {
                problem,
                logits,
                rows,
                weights,
            });
        }
        let weights = Tensor::empty(client, &[4], accumulator);
        confidence::launch_rows(&problem, &logits, &rows);
        confidence::launch_rule(&problem, &rows, &weights);
        Ok(Self {
            problem,
            logits,
            rows,
            weights,
        })
    }

    /// `[4]`: the confidences of the first and of the second teacher, then the weights alpha and beta that the rule gave them.
    pub fn weights(&self) -> &Tensor {
        &self.weights
    }

    /// Extents and options.
    pub fn problem(&self) -> &DualTeacherProblem {
        &self.problem
    }
}

/// The loss of each sample and the gradient `[n, c]` of their sum with respect to the student. One launch; none for an empty batch.
///
/// # Errors
/// In this order: shape, element type, then window of `student`, which must be the teachers'; the number of labels and their
/// number of classes.
pub fn dual_teacher(
    student: &Tensor,
    teachers: &Teachers,
    labels: &Labels,
) -> Result<LossAndGrad, KernelError> {
    let &DualTeacherProblem {
        batch,
        classes,
        dtype,
        ..
    } = &teachers.problem;
    student.check(OP, "student", &[batch, classes], dtype)?;
    check_labels(OP, labels, batch, classes)?;
    let out = LossAndGrad::empty_like(student);
    if batch > 0 {
        fused::launch_fused(teachers, student, labels, &out);
    }
    Ok(out)
}
