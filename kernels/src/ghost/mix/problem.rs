use crate::norm::batch_norm::{BatchNorm, BatchNormProblem};
use crate::{DType, KernelError, Tensor};

pub(super) const OP: &str = "g_ghost_mix";

/// The parameters of the ghost half of a stage.
#[derive(Clone, Copy, Debug)]
pub struct Mix<'a> {
    /// The cheap weight, `[c, c]`.
    pub cheap: &'a Tensor,
    /// The norm behind it, of `c` channels.
    pub cheap_norm: &'a BatchNorm,
    /// The mix' first weight, `[p + k r, c]`.
    pub first: &'a Tensor,
    /// The norm behind it, of `c` channels.
    pub first_norm: &'a BatchNorm,
    /// The mix' second weight, `[c, c]`.
    pub second: &'a Tensor,
    /// The norm behind it, of `c` channels.
    pub second_norm: &'a BatchNorm,
}

/// Validated shapes of one ghost half; knows its output shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixProblem {
    /// Images, and height and width of their maps.
    pub maps: [usize; 3],
    /// Channels of the first block's output: `p`.
    pub base: usize,
    /// Channels of a feature: `r`, less than `p`.
    pub raw: usize,
    /// Features: `k`.
    pub features: usize,
    /// Element type of every tensor.
    pub dtype: DType,
}

impl MixProblem {
    /// The problem of `mix` applied to `x0` `[n, h, w, p]` and `features`, each `[n, h, w, r]` and at least one; all may be windows.
    ///
    /// # Errors
    /// In this order: an `x0` that is no `[n, h, w, p]` with pixels; no feature, or a first one of no or of `p` and more channels; shapes
    /// and element types of the features, of the cheap, the first and the second weight; those of [`BatchNormProblem::new`] for the three
    /// norms.
    pub fn new(x0: &Tensor, features: &[&Tensor], mix: &Mix) -> Result<Self, KernelError> {
        let [n, h, w, p] = x0.dims_view(OP, "x0", "[n, h, w, p]")?;
        let dtype = x0.dtype();
        if h * w == 0 || p == 0 {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "x0",
                got: x0.shape().to_vec(),
                wanted: "[n, h, w, p] with pixels and channels".into(),
            });
        }
        let raw = match features.first() {
            Some(feature) => feature.shape().last().copied().unwrap_or(0),
            None => 0,
        };
        if raw == 0 || raw >= p {
            let wanted = "one feature or more, of fewer channels than x0";
            return Err(KernelError::range(OP, "channels of a feature", raw, wanted));
        }
        for feature in features {
            feature.check_view(OP, "feature", &[n, h, w, raw], dtype)?;
        }
        let problem = Self {
            maps: [n, h, w],
            base: p,
            raw,
            features: features.len(),
            dtype,
        };
        let c = problem.ghosts();
        mix.cheap.check(OP, "cheap", &[c, c], dtype)?;
        mix.first
            .check(OP, "first", &[problem.pooled(), c], dtype)?;
        mix.second.check(OP, "second", &[c, c], dtype)?;
        let row = Tensor::empty(x0.client(), &[0, c], dtype);
        for norm in [mix.cheap_norm, mix.first_norm, mix.second_norm] {
            BatchNormProblem::new(&row, norm, None)?;
        }
        Ok(problem)
    }

    /// Passes for an `out` that the ghost half may be written to.
    ///
    /// # Errors
    /// In this order: shape and element type of `out`; one that shares memory with `x0`, a feature or a weight.
    pub fn check_out(
        &self,
        x0: &Tensor,
        features: &[&Tensor],
        mix: &Mix,
        out: &Tensor,
    ) -> Result<(), KernelError> {
        out.check_view(OP, "out", &self.output_shape(), self.dtype)?;
        let mut read = vec![("x0", x0)];
        read.extend(features.iter().map(|&feature| ("feature", feature)));
        read.extend([
            ("cheap", mix.cheap),
            ("first", mix.first),
            ("second", mix.second),
        ]);
        out.check_apart(OP, "out", &read)
    }

    /// Channels of the ghost half: `c = p - r`.
    pub fn ghosts(&self) -> usize {
        self.base - self.raw
    }

    /// Elements of the pooled row: `p + k r`.
    pub fn pooled(&self) -> usize {
        self.base + self.features * self.raw
    }

    /// Where in the pooled row each map's mean lies: `x0`'s, then each feature's.
    pub(super) fn windows(&self) -> impl Iterator<Item = [usize; 2]> {
        let (base, raw) = (self.base, self.raw);
        let behind = (0..self.features).map(move |i| [base + i * raw, raw]);
        std::iter::once([0, base]).chain(behind)
    }

    /// `[n, h, w, c]`.
    pub fn output_shape(&self) -> [usize; 4] {
        let [n, h, w] = self.maps;
        [n, h, w, self.ghosts()]
    }
}
