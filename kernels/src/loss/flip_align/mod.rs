//! Flip alignment: the distance of two feature maps under the best of the grid's symmetries, and its gradient.
//!
//! **Computes**, for the student's map `a` and the teacher's `t` of one sample, over the transforms `g` of a [`Group`] (`docs/methods.md`
//! section 3.2), `D_g = |nu(g.a) - nu(t)|^2 / M`, where `nu` divides by nothing (`M = h w c`), by the norm of the sample (`M = 1`)
//! or by the norm of every position's channels (`M = h w`); both normalised distances lie in `[0, 4]`. Then, with the weights
//! `w = softmax(-D / tau)`:
//!
//! | selection | `L` | `k_g = dL / dD_g` |
//! |---|---|---|
//! | hard | `min D_g`, ties to the lowest code | 1 for that one |
//! | soft-min | `-tau ln(mean of exp(-D_g / tau))` | `w_g` |
//! | attention, detached | `sum of w_g D_g` | `w_g` |
//! | attention | `sum of w_g D_g` | `w_g (1 - (D_g - L) / tau)` |
//! | mixed | `abs(sum of w_g g.a - t)^2 / M` | below |
//!
//! `loss[n] = L / N`. A transform only moves positions, so that `D_g = |nu(a) - nu(g^-1.t)|^2 / M`: **the constant teacher is read by
//! index, the student never**, and the gradient, `e = 2 / (N M) (nu(a) - sum of k_g nu(g^-1.t))`, has no permutation in it. Through the
//! norm it becomes `(e - a^ <a^, e>) / |a|`, `a^ = nu(a)`, where `<a^, e>` of a sample is `sum of k_g D_g / N` unless a map is zero.
//! The mixed selection, which knows no normalisation here, reads the student by index too: with `r = sum of w_g g.a - t`,
//! `c_g = 2 / (N M) <r, g.a>` and `b_g = -w_g / tau (c_g - sum of w c)`, the gradient is
//! `2 / (N M) (sum over k of W_k k.a - sum of (w_g + N b_g) g^-1.t)`, `W_k` the sum of `w_g w_h` over `g^-1 h = k`.
//!
//! **Layout** maps and gradient `[n, h, w, c]`, maps may be channel windows; loss `[n]`; distances and weights `[n, columns]`, a column
//! for each transform of the group in the order of its codes; the chosen codes `[n]`. The vectors lie along the channels.
//!
//! **Map.** `group.rs` knows the transforms, `chosen.rs` those that were chosen. `maps.rs` indexes, and takes the norms. `distances.rs`
//! compares, `weights.rs` selects, `gradient.rs` writes the gradient; `fused.rs` does all of it in turn, and launches. On a GPU `orbits`
//! does, and has a note of its own.
//!
//! **One unit owns**, on a CPU, a run of samples, and goes over the maps of each, which its cache holds, up to four times: norms,
//! distances (a vector of the student meets the `|G|` vectors of the teacher at once, in `|G|` accumulators), the mixed residual, gradient.
//!
//! **Saved for the backward pass**: the gradient itself, which a chain rule only scales.
//!
//! **Why this shape.** The distances are sums of squared differences, not `2 - 2 <a^, g^-1.t^>`: that form errs by the rounding unit
//! `u` whatever the distance, so that maps as near as `D = 1e-7` have none in f32; the difference errs by a few `u sqrt(D)`. It takes
//! two operations for an element and a transform where an inner product takes one. Sums go row by row of the map, then over
//! the rows, on a GPU by slices: a map of millions of elements keeps its digits. The soft-min is taken around the mean distance where the distances lie
//! within `tau / 2` of it, so that a large `tau` costs no digits either.
//!
//! **Measured** on 2 cores with AVX-512, hard selection, norm per sample: 0.19 ms for 64 maps of 2 x 2 x 512, 0.82 for 64 of
//! 16 x 16 x 64, 0.96 for 128 of 7 x 7 x 256 and 1.65 for 32 of 14 x 14 x 512. A batch of one map keeps one core busy: a sample is not divided there.
//!
//! **A map of zeros** has no direction: `nu(0) = 0`, with derivative 0, without an epsilon; its distance to a map that is not zero is 1,
//! to another zero map 0. Under the norm per position the same holds for each position. The sum of squares must lie in the
//! element type's range (norms from 1e-19 to 1e19 in f32); where it overflows, the sample counts as not finite.
//!
//! **Not finite**: a NaN in a sample makes its loss NaN, as does an infinity under a norm; the gradient is then NaN throughout the sample
//! under the norm per sample or a soft selection. Other samples are untouched. Of the distances of a hard
//! selection a NaN is the smallest.
//!
//! **Ties** are ties of the computed distances. A teacher that has a symmetry gives exact ones; a student that has it adds the same
//! terms in another order, and may miss them by a rounding.

mod chosen;
pub mod cost;
mod distances;
mod fused;
mod gradient;
mod group;
mod maps;
mod orbits;
pub mod reference;
mod weights;

pub use chosen::Chosen;
pub use group::{Group, Transform};

use super::holds;
use crate::{Cost, DType, KernelError, Tensor, launch};

const OP: &str = "flip_align";

/// What is made of the distances of one sample; `tau` is the temperature of the softmax over them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Selection {
    /// The smallest distance.
    Hard,
    /// The soft minimum: between the smallest (`tau` to 0) and the mean (`tau` to infinity).
    SoftMin {
        /// The temperature, above 0.
        tau: f64,
    },
    /// The distances weighted by attention.
    Attention {
        /// The temperature, above 0.
        tau: f64,
        /// Whether the weights count as constants in the gradient.
        detached: bool,
    },
    /// The distance of the transformed maps' weighted mean; without normalisation only.
    Mixed {
        /// The temperature, above 0.
        tau: f64,
    },
}

impl Selection {
    /// The temperature, where the selection has one.
    pub fn tau(self) -> Option<f64> {
        match self {
            Self::Hard => None,
            Self::SoftMin { tau } | Self::Attention { tau, .. } | Self::Mixed { tau } => Some(tau),
        }
    }
}

/// By which norm both maps are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalisation {
    /// By none: mean squared error.
    None,
    /// By that of the whole map.
    Sample,
    /// By that of the channels, position by position.
    Position,
}

/// The options of a flip alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct FlipOptions {
    /// The transforms to choose from.
    pub group: Group,
    /// What is made of their distances.
    pub selection: Selection,
    /// The norm.
    pub normalisation: Normalisation,
}

impl Default for FlipOptions {
    /// The nearest of all eight transforms, normalised by sample.
    fn default() -> Self {
        Self {
            group: Group::D4,
            selection: Selection::Hard,
            normalisation: Normalisation::Sample,
        }
    }
}

/// Validated extents and options of one flip alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct FlipProblem {
    /// Samples.
    pub batch: usize,
    /// Rows of a map; at least 1.
    pub height: usize,
    /// Columns of a map; at least 1.
    pub width: usize,
    /// Channels; at least 1.
    pub channels: usize,
    /// Group, selection and normalisation.
    pub options: FlipOptions,
    /// Element type of both maps and of all results.
    pub dtype: DType,
}

impl FlipProblem {
    /// The problem of aligning `student` `[n, h, w, c]` with `teacher` `[n, h, w, c]`; both may be channel windows.
    ///
    /// # Errors
    /// In this order: the rank of `student`, or an extent other than `n` of 0; shape, then element type of `teacher`; a group that
    /// transposes for `h != w`; another number of given transforms than samples; a `tau` that is not above 0, or that the element type
    /// does not hold with its reciprocal; the mixed selection with a norm.
    pub fn new(
        student: &Tensor,
        teacher: &Tensor,
        options: &FlipOptions,
    ) -> Result<Self, KernelError> {
        const MAPS: &str = "[n, h, w, c] with h, w and c above 0";
        let [batch, height, width, channels] = student.dims_view(OP, "student", MAPS)?;
        if height == 0 || width == 0 || channels == 0 {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "student",
                got: student.shape().to_vec(),
                wanted: MAPS.to_string(),
            });
        }
        let dtype = student.dtype();
        teacher.check_view(OP, "teacher", student.shape(), dtype)?;
        let FlipOptions {
            group,
            selection,
            normalisation,
        } = options;
        if height != width && group.transposes() {
            return Err(KernelError::range(
                OP,
                "group",
                format!("{group} for maps of {height} x {width}"),
                "flips, the identity or a fixed flip where maps are not square",
            ));
        }
        if let Group::Each(transforms) = group
            && transforms.len() != batch
        {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "transforms",
                got: vec![transforms.len()],
                wanted: format!("[{batch}], one a sample"),
            });
        }
        if let Some(tau) = selection.tau() {
            let wanted = "above 0 and, like its reciprocal, a number that the element type holds";
            KernelError::check_float(OP, "tau", tau, wanted, |tau| {
                tau > 0.0 && holds(dtype, tau) && holds(dtype, 1.0 / tau)
            })?;
        }
        if matches!(selection, Selection::Mixed { .. }) && *normalisation != Normalisation::None {
            return Err(KernelError::range(
                OP,
                "normalisation",
                format!("{normalisation:?}"),
                "None for the mixed selection, whose gradient through a norm is not derived",
            ));
        }
        Ok(Self {
            batch,
            height,
            width,
            channels,
            options: options.clone(),
            dtype,
        })
    }

    /// The positions of a map.
    pub fn positions(&self) -> usize {
        self.height * self.width
    }

    /// `M`, by which the squared distance of two normalised maps is divided.
    pub fn divisor(&self) -> usize {
        match self.options.normalisation {
            Normalisation::None => self.positions() * self.channels,
            Normalisation::Sample => 1,
            Normalisation::Position => self.positions(),
        }
    }

    /// The cost of loss and gradient; see [`cost::fused`].
    pub fn cost(&self) -> Cost {
        cost::fused(self)
    }
}

/// What a flip alignment leaves behind, all of it in the accumulator of the maps' element type.
#[derive(Debug, Clone)]
pub struct FlipAlignment {
    /// `[n]`: each sample's loss over `n`, so that the sum is the mean over the batch.
    pub loss: Tensor,
    /// `[n, h, w, c]`: the gradient of that mean with respect to the student's maps.
    pub grad: Tensor,
    /// `[n, columns]`: `D_g`, for the transforms of [`Group::choices`] or for the given one.
    pub distances: Tensor,
    /// `[n, columns]`: the softmax over `-D_g / tau`; of the hard selection, 1 for the chosen one and 0 elsewhere.
    pub weights: Tensor,
    /// The nearest transform of each sample, also under the soft selections, or the given one.
    pub chosen: Chosen,
}

/// The loss of each sample, the gradient of their sum with respect to the student, and what was chosen. One launch on a CPU, three to
/// five on a GPU; none for an empty batch.
///
/// # Errors
/// Those of [`FlipProblem::new`], then distances, weights or a scratch past [`Tensor::MOST_ELEMENTS`].
pub fn flip_align(
    student: &Tensor,
    teacher: &Tensor,
    options: &FlipOptions,
) -> Result<FlipAlignment, KernelError> {
    let problem = FlipProblem::new(student, teacher, options)?;
    let (client, dtype, batch) = (student.client(), problem.dtype, problem.batch);
    let accumulator = dtype.accumulator();
    let columns = [batch, options.group.columns()];
    let of_columns = |name| Tensor::room(OP, name, client, &columns, accumulator);
    let out = FlipAlignment {
        loss: Tensor::empty(client, &[batch], accumulator),
        grad: Tensor::empty(client, student.shape(), accumulator),
        distances: of_columns("distances")?,
        weights: of_columns("weights")?,
        chosen: match options.group.given(batch) {
            Some(transforms) => Chosen::given(client, &transforms),
            None => Chosen::empty(client, batch),
        },
    };
    if batch > 0 {
        if launch::is_cpu(client) {
            fused::launch_fused(&problem, student, teacher, &out)?;
        } else {
            orbits::launch_by_orbits(&problem, student, teacher, &out)?;
        }
    }
    Ok(out)
}
