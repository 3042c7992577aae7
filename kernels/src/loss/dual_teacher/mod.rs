//! The weights of two teachers by how confident they are, as the factors of [`distill`](super::distill).
//!
//! **Computes**, for teacher logits `v_1`, `v_2` and the temperature `T`, with `q_i = softmax(v_i / T)`, the confidences
//! `c_i = mean over the batch of max_j q_ij`, and from them ([`Rule::Thresholds`]) the weights
//!
//! | case (the first that holds) | alpha, of the first | beta, of the second |
//! |---|---|---|
//! | both below `low` | 0 | 0 |
//! | both below `high` | `max(even - (high - c_1), minimum)` | `max(even - (high - c_2), minimum)` |
//! | `c_1` below `high` | `lesser` | `greater` |
//! | `c_2` below `high` | `greater` | `lesser` |
//! | otherwise | `even` | `even` |
//!
//! With `W = (alpha + beta) / 2` the factors are `1 - W` of the cross-entropy, `W alpha` of the first teacher's terms and `W beta` of the
//! second's. With them and one `kd` of weight 1 a teacher ([`DualTeacherOptions::loss`]) [`distill`](super::distill::distill) computes
//! `(1 - W) CE + W T^2 (alpha KL(q_1 || p) + beta KL(q_2 || p))`. The weights do not depend on the student, and no gradient flows into
//! them. Source: `docs/methods.md` section 4.3 (dynamic weighting; the rule of the follow-up notebook, whose literals are the defaults).
//!
//! **Extensions**, which are this project's and in no paper: [`Scope::Sample`] applies the rule to each sample's own confidences, and
//! [`Rule::Proportional`] takes `alpha = c_1 / (c_1 + c_2)` and `beta = c_2 / (c_1 + c_2)`, so that `W` is 1/2.
//!
//! **Layout** logits `[n, c]`, of any number of classes from 2 on, along which the vectors lie; weights `[4]` as `c_1, c_2, alpha, beta`
//! and factors `[3]`, or `[n, 4]` and `[n, 3]`.
//!
//! **Map.** `options.rs` validates; `rule.rs` has the rule, and adds up the batch; `confidence.rs` has the walks over rows on a CPU,
//! `team.rs` on a GPU.
//!
//! **One unit owns** a run of rows: two walks each, for the maximum and for the sum of exponentials, whose reciprocal is the confidence:
//! the largest softmax is that of the largest logit. For the batch one unit then adds the confidences in the order of the rows and
//! applies the rule. On a GPU a team of units owns a row, and one team adds the confidences. Nothing is read on the host.
//!
//! **Saved**: nothing; the backward pass reads the factors.
//!
//! **Why this shape.** A loss of its own took the teachers' maxima and sums from here, and two exponentials a class less. The fused sum
//! of losses takes cheaper ones, keeps what it took, and serves any terms of any teachers.
//!
//! **Not finite**: a NaN or infinite teacher logit makes that teacher's confidence NaN, and with it all weights and factors: of the whole
//! batch, as its confidence is a mean, or of the sample alone. A difference of logits over `T` that overflows the element type counts as
//! infinite.

mod confidence;
pub mod cost;
mod options;
pub mod reference;
mod rule;
mod team;

pub use options::{DualTeacherOptions, Rule, Scope, Thresholds};

use super::check_classes;
use crate::{Cost, DType, KernelError, Tensor};

const OP: &str = "dual_teacher";

/// Validated extents and options of one batch under two teachers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DualTeacherProblem {
    /// Samples.
    pub batch: usize,
    /// Classes; at least 2.
    pub classes: usize,
    /// Temperature and rule.
    pub options: DualTeacherOptions,
    /// Element type of the logits; weights and factors are in its accumulator.
    pub dtype: DType,
}

impl DualTeacherProblem {
    /// The problem of weighing the teachers' logits `first` and `second`, both `[n, c]`.
    ///
    /// # Errors
    /// In this order: the rank of `first`, or a window; shape, element type, then window of `second`; fewer than two classes; a
    /// temperature that is not above 0, or whose square or reciprocal the element type does not hold; of thresholds `low`, `high`,
    /// `minimum`, `even`, `lesser`, then `greater` outside of `[0, 1]`; `low` above `high`.
    pub fn new(
        first: &Tensor,
        second: &Tensor,
        options: &DualTeacherOptions,
    ) -> Result<Self, KernelError> {
        let [batch, classes] = first.dims(OP, "first", "[n, c]")?;
        let dtype = first.dtype();
        second.check(OP, "second", first.shape(), dtype)?;
        check_classes(OP, classes)?;
        options.check(OP, dtype)?;
        Ok(Self {
            batch,
            classes,
            options: *options,
            dtype,
        })
    }

    /// The cost of weighing; see [`cost::weigh`].
    pub fn cost(&self) -> Cost {
        cost::weigh(self)
    }
}

/// What [`weigh`] found about two teachers.
#[derive(Debug, Clone)]
pub struct Weighed {
    /// `[3]`, or `[n, 3]` for each sample: what multiplies the cross-entropy, the first teacher's terms and the second's.
    pub factors: Tensor,
    /// `[4]`, or `[n, 4]` for each sample: the confidences of the first and of the second teacher, then alpha and beta.
    pub weights: Tensor,
}

/// Weighs the teachers' logits `first` and `second`, both `[n, c]`. Two launches for the batch, the confidences of the rows and the rule,
/// one for each sample's own; none for an empty batch, whose confidences and weights are 0.
///
/// # Errors
/// Those of [`DualTeacherProblem::new`], then weights past [`Tensor::MOST_ELEMENTS`].
pub fn weigh(
    first: &Tensor,
    second: &Tensor,
    options: &DualTeacherOptions,
) -> Result<Weighed, KernelError> {
    let problem = DualTeacherProblem::new(first, second, options)?;
    let client = first.client();
    let accumulator = problem.dtype.accumulator();
    let rows = match options.scope {
        Scope::Batch => vec![],
        Scope::Sample => vec![problem.batch],
    };
    let room = |name: &'static str, width: usize| {
        let shape = [&rows[..], &[width]].concat();
        Tensor::room(OP, name, client, &shape, accumulator)
    };
    let found = Weighed {
        factors: room("factors", 3)?,
        weights: room("weights", 4)?,
    };
    if problem.batch == 0 {
        return nothing(&found);
    }
    match options.scope {
        Scope::Sample => confidence::launch_rows(&problem, [first, second], &found.weights, &found),
        Scope::Batch => {
            let shape = [problem.batch, 2];
            let confidences = Tensor::room(OP, "scratch", client, &shape, accumulator)?;
            confidence::launch_rows(&problem, [first, second], &confidences, &found);
            rule::launch_batch(&problem, &confidences, &found);
        }
    }
    Ok(found)
}

/// Of no sample: nothing is known of either teacher, and the labels count alone.
fn nothing(room: &Weighed) -> Result<Weighed, KernelError> {
    let (client, dtype) = (room.factors.client(), room.factors.dtype());
    let mut factors = vec![0.0; room.factors.len()];
    if let Some(of_labels) = factors.first_mut() {
        *of_labels = 1.0;
    }
    Ok(Weighed {
        factors: Tensor::from_f64(client, &factors, room.factors.shape(), dtype)?,
        weights: Tensor::zeros(client, room.weights.shape(), dtype),
    })
}
