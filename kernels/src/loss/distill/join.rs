//! The blocks of a long row joined into the row, one lane a block; all lanes of a result hold the row's number.

use super::scratch::{Fact, Finding, Network, ScratchLayout};
use crate::loss::lane_reduce::{larger, top, total};
use crate::loss::log_space::divergence;
use crate::loss::row::lane_numbers;
use cubecl::prelude::*;

/// The blocks of the row at hand.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Blocks {
    pub count: usize,
    /// Vectors of them.
    pub vectors: usize,
}

#[cube]
impl Blocks {
    /// Which lanes of vector `v` are blocks of the row.
    fn there<N: Size>(&self, v: usize) -> Vector<bool, N> {
        let left = u32::cast_from(self.count - v * N::value());
        lane_numbers::<N>().less_than(&Vector::new(left))
    }
}

/// The largest of the blocks' maxima.
#[cube]
pub(super) fn row_max<F: Float, N: Size>(
    scratch: &[Vector<F, N>],
    layout: &ScratchLayout,
    blocks: &Blocks,
    #[comptime] network: Network,
) -> Vector<F, N> {
    let none = Vector::<F, N>::new(F::min_value());
    let mut max = none;
    for v in 0..blocks.vectors {
        let found = select_many(
            blocks.there::<N>(v),
            scratch[layout.fact(v, comptime!(network.max()))],
            none,
        );
        max = larger::<F, N>(found, max);
    }
    top::<F, N>(max)
}

/// The sum of exponentials relative to the row's own maximum.
#[cube]
pub(super) fn row_sum<F: Float, N: Size>(
    scratch: &[Vector<F, N>],
    layout: &ScratchLayout,
    blocks: &Blocks,
    row_max: Vector<F, N>,
    inverse_t: F,
    #[comptime] t: usize,
    #[comptime] network: Network,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    for v in 0..blocks.vectors {
        let fall =
            (scratch[layout.fact(v, comptime!(network.max()))] - row_max) * Vector::new(inverse_t);
        let part = scratch[layout.finding(v, t, comptime!(network.sum()))] * fall.exp();
        sum += select_many(blocks.there::<N>(v), part, zero);
    }
    total::<F, N>(sum)
}

/// Two networks' rows at one temperature, those of a pair.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Rows<F: Float, N: Size> {
    pub student_max: Vector<F, N>,
    pub teacher_max: Vector<F, N>,
    pub student_sum: Vector<F, N>,
    pub teacher_sum: Vector<F, N>,
}

/// The divergence between the non-target softmaxes of a row, times the teacher's sum: that of the blocks' probabilities, and that
/// within each block. Both parts are sums of terms that are at least 0.
#[cube]
pub(super) fn row_divergence<F: Float, N: Size>(
    scratch: &[Vector<F, N>],
    layout: &ScratchLayout,
    blocks: &Blocks,
    rows: &Rows<F, N>,
    inverse_t: F,
    #[comptime] t: usize,
    #[comptime] teacher: Network,
    #[comptime] terms: usize,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let ratio = rows.teacher_sum / rows.student_sum;
    let log_ratio = ratio.ln();
    let mut all = zero;
    for v in 0..blocks.vectors {
        let own = scratch[layout.finding(v, t, Finding::StudentSum)];
        let taught = scratch[layout.finding(v, t, Finding::TeacherSum)];
        let student_max = scratch[layout.fact(v, comptime!(Network::STUDENT.max()))];
        let teacher_max = scratch[layout.fact(v, comptime!(teacher.max()))];
        let x = (student_max - rows.student_max) * Vector::new(inverse_t);
        let y = (teacher_max - rows.teacher_max) * Vector::new(inverse_t);
        let fall = y.exp();
        let p = x.exp() * own * ratio;
        let r = (x - y) + (own.ln() - taught.ln()) + log_ratio;
        let between = divergence::<F, N>(fall * taught, p, r, terms);
        let within = scratch[layout.finding(v, t, Finding::Divergence)];
        all += select_many(blocks.there::<N>(v), fma(fall, within, between), zero);
    }
    total::<F, N>(all)
}

/// The sum of the student's distances to its row's maximum.
#[cube]
pub(super) fn row_distances<F: Float, N: Size>(
    scratch: &[Vector<F, N>],
    layout: &ScratchLayout,
    blocks: &Blocks,
    row_max: Vector<F, N>,
    #[comptime] t: usize,
) -> Vector<F, N> {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut all = zero;
    for v in 0..blocks.vectors {
        let max = scratch[layout.fact(v, comptime!(Network::STUDENT.max()))];
        let down = max - row_max;
        let counted = scratch[layout.fact(v, Fact::Counted)];
        let found = fma(
            down,
            counted,
            scratch[layout.finding(v, t, Finding::Distances)],
        );
        all += select_many(blocks.there::<N>(v), found, zero);
    }
    total::<F, N>(all)
}
