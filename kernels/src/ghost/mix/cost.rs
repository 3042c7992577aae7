//! Work and traffic of the ghost half of a stage: those of the operations that it is made of.

use super::MixProblem;
use crate::Cost;
use crate::matmul::gemm::{self, GemmProblem};
use crate::norm::batch_norm::{self, BatchNormProblem};
use crate::pool::global_average;

/// The products of the cheap branch, of the first and of the second layer.
fn products(problem: &MixProblem) -> [GemmProblem; 3] {
    let [n, h, w] = problem.maps;
    let c = problem.ghosts();
    [(n * h * w, c), (n, problem.pooled()), (n, c)].map(|(m, k)| GemmProblem {
        m,
        k,
        n: c,
        bias: false,
        dtype: problem.dtype,
    })
}

/// Their norms.
fn norms(problem: &MixProblem) -> [BatchNormProblem; 3] {
    products(problem).map(|product| BatchNormProblem {
        pixels: product.m,
        channels: product.n,
        dtype: product.dtype,
    })
}

fn sum(costs: impl IntoIterator<Item = Cost>) -> Cost {
    costs
        .into_iter()
        .fold(Cost::default(), |sum, cost| sum + cost)
}

fn maps(problem: &MixProblem) -> impl Iterator<Item = [usize; 4]> {
    let [n, h, w] = problem.maps;
    problem
        .windows()
        .map(move |[_, channels]| [n, h, w, channels])
}

/// All pooled maps, products and norms.
pub fn train(problem: &MixProblem) -> Cost {
    sum(maps(problem).map(|map| global_average::cost::forward(map, problem.dtype)))
        + sum(products(problem).iter().map(gemm::cost::forward))
        + sum(norms(problem)
            .iter()
            .map(|norm| batch_norm::cost::forward(norm, false)))
}

/// The gradients of all of them.
pub fn backward(problem: &MixProblem) -> Cost {
    sum(maps(problem).map(|map| global_average::cost::backward(map, problem.dtype)))
        + sum(products(problem).iter().map(gemm::cost::grad_a))
        + sum(products(problem).iter().map(gemm::cost::grad_b))
        + sum(norms(problem)
            .iter()
            .map(|norm| batch_norm::cost::backward(norm, false)))
}

/// Pooled maps and products; the norms ride along.
pub fn infer(problem: &MixProblem) -> Cost {
    sum(maps(problem).map(|map| global_average::cost::forward(map, problem.dtype)))
        + sum(products(problem).iter().map(gemm::cost::forward))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn the_weights_are_used_once_a_pixel_or_once_an_image() {
        let problem = MixProblem {
            maps: [2, 3, 5],
            base: 10,
            raw: 4,
            features: 3,
            dtype: DType::F32,
        };
        // c = 6: cheap 6 x 6 for 30 pixels, first 22 x 6 and second 6 x 6 for 2 images.
        let macs = 30 * 36 + 2 * (22 * 6) + 2 * 36;
        assert_eq!(infer(&problem).macs, macs);
        assert_eq!(train(&problem).macs, macs);
        assert_eq!(backward(&problem).macs, 2 * macs);
    }
}
