use super::problem::{Mix, MixProblem};
use super::train::pool;
use crate::matmul::gemm::gemm_into;
use crate::norm::batch_norm::{BatchNorm, running_scale};
use crate::{Affine, Clamp, KernelError, Tensor};

/// The norms' [`running_scale`]s, which stay the same until a norm is trained again.
#[derive(Clone, Debug)]
pub struct Scales {
    /// Of the cheap branch's norm.
    pub cheap: Tensor,
    /// Of the norm of the mix' first layer.
    pub first: Tensor,
    /// Of the norm of the mix' second layer.
    pub second: Tensor,
}

impl Scales {
    /// Computes all three. Three launches over channels.
    ///
    /// # Errors
    /// Those of [`running_scale`].
    pub fn of(mix: &Mix) -> Result<Self, KernelError> {
        let of = |norm: &BatchNorm| running_scale(&norm.gamma, &norm.running_var, norm.epsilon);
        Ok(Self {
            cheap: of(mix.cheap_norm)?,
            first: of(mix.first_norm)?,
            second: of(mix.second_norm)?,
        })
    }
}

/// The inference forward pass into `out` `[n, h, w, c]`, which may be a window. `k + 4` launches: one a pooled map, one a product.
///
/// # Errors
/// Those of [`MixProblem::new`], then those of [`MixProblem::check_out`], then those of [`Affine::check`] for `scales` of another mix.
pub fn infer(
    x0: &Tensor,
    features: &[&Tensor],
    mix: &Mix,
    scales: &Scales,
    out: &Tensor,
) -> Result<(), KernelError> {
    let problem = MixProblem::new(x0, features, mix)?;
    problem.check_out(x0, features, mix, out)?;
    let c = problem.ghosts();
    let room = || Tensor::empty(x0.client(), &[problem.maps[0], c], problem.dtype);
    let (hidden, row) = (room(), room());
    let pooled = pool(&problem, x0, features)?;
    let first = follow(mix.first_norm, &scales.first, None, Clamp::Relu);
    gemm_into(&pooled, mix.first, &first, &hidden)?;
    let second = follow(mix.second_norm, &scales.second, None, Clamp::None);
    gemm_into(&hidden, mix.second, &second, &row)?;
    let cheap = follow(mix.cheap_norm, &scales.cheap, Some(&row), Clamp::Relu);
    let read = x0.window(problem.raw, c)?;
    gemm_into(&read.rows(), mix.cheap, &cheap, &out.rows())
}

fn follow<'a>(
    norm: &'a BatchNorm,
    scale: &'a Tensor,
    residual: Option<&'a Tensor>,
    clamp: Clamp,
) -> Affine<'a> {
    Affine {
        centre: &norm.running_mean,
        scale,
        shift: &norm.beta,
        residual,
        clamp,
    }
}
