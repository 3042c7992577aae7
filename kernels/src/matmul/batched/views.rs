use super::BatchedProblem;
use crate::{Tensor, planted};
use cubecl::prelude::*;

/// The tensors of a launch.
pub(super) struct Operands<'a> {
    pub a: &'a Tensor,
    pub b: &'a Tensor,
    pub plus: Option<&'a Tensor>,
    pub out: &'a Tensor,
}

impl Operands<'_> {
    /// Element types of `a`, of `b`, to compute in, and of the result.
    pub fn elems(&self) -> [cubecl::ir::ElemType; 4] {
        let [stored, wide] = self.b.dtype().elems();
        [self.a.dtype().elem(), stored, wide, self.out.dtype().elem()]
    }
}

/// Where the matrices of an operand lie in its buffer, as a kernel argument; all in elements.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Matrices {
    base: usize,
    /// From one sample to the next.
    outer: usize,
    /// From one head to the next.
    inner: usize,
    /// From one row to the next.
    pub pitch: usize,
}

#[cube]
impl Matrices {
    /// The first element of a matrix.
    pub fn start(&self, sample: usize, head: usize) -> usize {
        self.base + sample * self.outer + head * self.inner
    }
}

impl MatricesLaunch {
    /// Those of `tensor`, which a check has passed.
    pub fn of(tensor: &Tensor, heads: usize) -> Self {
        let (base, pitch) = tensor.place();
        let (outer, inner) = match *tensor.shape() {
            [_, heads, rows, _] => (heads * rows * pitch, rows * pitch),
            [_, rows, all] => (
                rows * pitch,
                planted::or("heads_share_a_matrix", all / heads, 0),
            ),
            _ => (0, 0),
        };
        Self::new(base, outer, inner, pitch)
    }
}

/// The extents of a problem, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extents {
    pub heads: usize,
    /// Samples times heads.
    pub count: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

impl ExtentsLaunch {
    pub fn of(problem: &BatchedProblem) -> Self {
        let &BatchedProblem { m, k, n, .. } = problem;
        Self::new(problem.options.heads, problem.count(), m, k, n)
    }
}
