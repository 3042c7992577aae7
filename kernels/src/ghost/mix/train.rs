use super::problem::{Mix, MixProblem, OP};
use crate::matmul::gemm::{self, gemm, grad_a, grad_a_plus_into, grad_b};
use crate::norm::batch_norm;
use crate::pool::global_average::{self, global_average_into, global_sum};
use crate::{Clamp, KernelError, Tensor, pointwise};

/// What [`train`] keeps for [`backward`].
#[derive(Clone, Debug)]
pub struct Saved {
    x0: Tensor,
    problem: MixProblem,
    pooled: Tensor,
    hidden: Tensor,
    cheap: batch_norm::Saved,
    first: batch_norm::Saved,
    second: batch_norm::Saved,
}

/// What [`backward`] returns, each of its tensor's shape.
pub struct MixGrads {
    /// With respect to `x0`.
    pub x0: Tensor,
    /// With respect to each feature.
    pub features: Vec<Tensor>,
    /// With respect to the cheap weight, its norm's gamma and beta.
    pub cheap: [Tensor; 3],
    /// With respect to the first weight, its norm's gamma and beta.
    pub first: [Tensor; 3],
    /// With respect to the second weight, its norm's gamma and beta.
    pub second: [Tensor; 3],
}

/// The means of `x0` and of every feature, side by side in one row `[n, p + k r]`.
pub(super) fn pool(
    problem: &MixProblem,
    x0: &Tensor,
    features: &[&Tensor],
) -> Result<Tensor, KernelError> {
    let shape = [problem.maps[0], problem.pooled()];
    let row = Tensor::room(OP, "row of means", x0.client(), &shape, problem.dtype)?;
    let maps = std::iter::once(x0).chain(features.iter().copied());
    for (map, [start, count]) in maps.zip(problem.windows()) {
        global_average_into(map, &row.window(start, count)?)?;
    }
    Ok(row)
}

/// The training forward pass into `out` `[n, h, w, c]`, which may be a window; moves the running statistics. `k + 13` launches: one a
/// pooled map, one a product, three a norm.
///
/// # Errors
/// Those of [`MixProblem::new`], then those of [`MixProblem::check_out`].
pub fn train(
    x0: &Tensor,
    features: &[&Tensor],
    mix: &Mix,
    out: &Tensor,
) -> Result<Saved, KernelError> {
    let problem = MixProblem::new(x0, features, mix)?;
    problem.check_out(x0, features, mix, out)?;
    let pooled = pool(&problem, x0, features)?;
    let before = gemm(&pooled, mix.first, None)?;
    let (hidden, first) = batch_norm::train(&before, mix.first_norm, None, Clamp::Relu)?;
    let before = gemm(&hidden, mix.second, None)?;
    let (row, second) = batch_norm::train(&before, mix.second_norm, None, Clamp::None)?;
    let read = x0.window(problem.raw, problem.ghosts())?;
    let product = gemm(&read.rows(), mix.cheap, None)?.reshape(&problem.output_shape())?;
    let cheap = batch_norm::train_into(&product, mix.cheap_norm, Some(&row), Clamp::Relu, out)?;
    Ok(Saved {
        x0: x0.clone(),
        problem,
        pooled,
        hidden,
        cheap,
        first,
        second,
    })
}

/// The gradients of [`train`] from `grad` `[n, h, w, c]`, which may be a window. `k + 25` launches.
///
/// # Errors
/// Those of [`MixProblem::new`] for a `mix` that was changed, then shape and element type of `grad`.
pub fn backward(mix: &Mix, saved: &Saved, grad: &Tensor) -> Result<MixGrads, KernelError> {
    let &Saved { problem, .. } = saved;
    let (client, dtype) = (grad.client(), problem.dtype);
    grad.check_view(OP, "grad", &problem.output_shape(), dtype)?;
    let [n, h, w] = problem.maps;
    let (raw, c) = (problem.raw, problem.ghosts());

    let cheap = batch_norm::backward(mix.cheap_norm, saved.cheap.clone(), grad)?;
    let Some(before) = &cheap.residual else {
        unreachable!("the row was added as a residual")
    };
    let row = global_sum(before)?;
    let second = batch_norm::backward(mix.second_norm, saved.second.clone(), &row)?;
    let to_hidden = grad_a(&saved.hidden, mix.second, &second.input)?;
    let first = batch_norm::backward(mix.first_norm, saved.first.clone(), &to_hidden)?;
    let to_pooled = grad_a(&saved.pooled, mix.first, &first.input)?;

    // A mean hands an equal share of its gradient to every pixel.
    let share = Tensor::empty(client, &[1], dtype.accumulator());
    pointwise::fill(&share, 1.0 / (h * w) as f64);
    let shared = pointwise::scale(&to_pooled, &share)?;
    let x0 = Tensor::empty(client, &[n, h, w, problem.base], dtype);
    global_average::backward_into(&to_pooled.window(0, raw)?, &x0.window(0, raw)?)?;
    let read = saved.x0.window(raw, c)?.rows();
    let product = cheap.input.rows();
    grad_a_plus_into(
        mix.cheap,
        &product,
        &shared.window(raw, c)?,
        &x0.window(raw, c)?.rows(),
    )?;
    let features = problem.windows().skip(1).map(|[start, count]| {
        let feature = Tensor::empty(client, &[n, h, w, count], dtype);
        global_average::backward_into(&to_pooled.window(start, count)?, &feature)?;
        Ok(feature)
    });
    Ok(MixGrads {
        x0,
        features: features.collect::<Result<_, KernelError>>()?,
        cheap: [
            gemm::grad_b(&read, mix.cheap, &product)?,
            cheap.gamma,
            cheap.beta,
        ],
        first: [
            grad_b(&saved.pooled, mix.first, &first.input)?,
            first.gamma,
            first.beta,
        ],
        second: [
            grad_b(&saved.hidden, mix.second, &second.input)?,
            second.gamma,
            second.beta,
        ],
    })
}
