//! Attention of a CPU: scores never leave the caches. One launch forward, one backward.
//!
//! **Map.** This file plans. `tile.rs` lays out and multiplies; `forward.rs` and `backward.rs` are the kernels, with what launches them.
//!
//! **One unit owns**, forward, a run of tiles of up to 8 queries, across samples and heads; backward, a run of samples and heads, as the
//! gradients of keys and values are sums over queries. Per sample and head it lays keys and values out once, those that are summed over
//! channels turned; per tile it makes the scores of its queries with all keys, `[8, n]` in the first cache, takes their softmax and
//! multiplies it with the values.
//!
//! **Backward** the probabilities are taken again, from two numbers a query that were kept: its largest score, and one over the sum of
//! its exponentials. The gradients of keys and values are added up in the unit's scratch, a tile of queries after another.
//!
//! **Keys past the end** fill the last vectors; their scores are minus infinity, and their probabilities 0. Queries past the end are the
//! last one again, of which nothing is stored and, backward, the probabilities are 0.
//!
//! **Bits.** A query's sums are over keys in order, a key's over queries in order: functions of the problem alone.

mod backward;
mod forward;
mod tile;

pub(super) use backward::launch_backward;
pub(super) use forward::launch_forward;

use super::{AttentionProblem, OP};
use crate::{Client, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Elements of the keys and values of a sample and head that a unit lays out side by side at most: a quarter of a second-level cache in f32.
const MOST_ELEMENTS: usize = 1 << 16;
/// Queries of a tile at most: 8 rows of 3 vectors are 24 accumulators, which leave room for the operands in 32 registers.
const MOST_QUERIES: usize = 8;

/// Whether scores of this problem stay in the caches of a unit of this device.
pub(super) fn fits(client: &Client, problem: &AttentionProblem) -> bool {
    let all = problem.tokens * (problem.dim + problem.dim_v);
    launch::is_cpu(client) && all <= MOST_ELEMENTS
}

/// The comptime variant of both kernels: of a tile, queries, and vectors of keys, of channels of keys and of values that are held in
/// registers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    queries: usize,
    keys: usize,
    dim: usize,
    dim_v: usize,
    bias: bool,
}

/// How a problem is laid out.
struct Plan {
    /// Elements of a vector.
    width: usize,
    variant: Variant,
    /// Tiles of queries of a sample and head.
    tiles: usize,
    shape: Shape,
}

/// Extents, and elements from one row to the next in a unit's scratch: whole groups of vectors.
#[derive(Clone, Copy)]
struct Shape {
    keys: usize,
    dim: usize,
    dim_v: usize,
}

/// [`Shape`] with the problem's extents, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    heads: usize,
    /// Samples times heads.
    count: usize,
    tokens: usize,
    dim: usize,
    dim_v: usize,
    /// From one row of keys to the next, of their channels, of those of values.
    keys_pitch: usize,
    dim_pitch: usize,
    dim_v_pitch: usize,
}

/// How many of `vectors` vectors are held in registers at a time for each query.
fn together(vectors: usize) -> usize {
    match vectors {
        1 => 1,
        3 => 3,
        _ => 2,
    }
}

impl Plan {
    fn of(client: &Client, problem: &AttentionProblem) -> Self {
        let &AttentionProblem {
            tokens, dim, dim_v, ..
        } = problem;
        let mut width = 1;
        if client.properties().features.unaligned_io {
            let widest = launch::widest(client, problem.dtype);
            width = widest.min(1 << dim.min(dim_v).ilog2());
        }
        let vectors = [tokens, dim, dim_v].map(|extent| extent.div_ceil(width));
        let [keys, by_dim, by_dim_v] = vectors.map(together);
        let pitch = |i: usize, group: usize| vectors[i].next_multiple_of(group) * width;
        // A query past the end costs as much as one that is there, a tile as much as one more: for its loads of what all queries share.
        let queries = (1..=MOST_QUERIES)
            .min_by_key(|&queries| {
                (
                    tokens.div_ceil(queries) * (queries + 1),
                    MOST_QUERIES - queries,
                )
            })
            .unwrap_or(1);
        Self {
            width,
            variant: Variant {
                queries,
                keys,
                dim: by_dim,
                dim_v: by_dim_v,
                bias: problem.options.offsets.is_some(),
            },
            tiles: tokens.div_ceil(queries),
            shape: Shape {
                keys: pitch(0, keys),
                dim: pitch(1, by_dim),
                dim_v: pitch(2, by_dim_v),
            },
        }
    }

    fn extents(&self, problem: &AttentionProblem) -> ExtentsLaunch {
        let heads = problem.options.heads;
        ExtentsLaunch::new(
            heads,
            problem.samples * heads,
            problem.tokens,
            problem.dim,
            problem.dim_v,
            self.shape.keys,
            self.shape.dim,
            self.shape.dim_v,
        )
    }
}

/// Elements from one query's scores to the next where a bias is laid out for [`launch_forward`] and [`launch_backward`].
pub(super) fn keys_pitch(client: &Client, problem: &AttentionProblem) -> usize {
    Plan::of(client, problem).shape.keys
}

/// Room for what [`launch_forward`] keeps of each query: its largest score, and one over the sum of its exponentials.
///
/// # Errors
/// More queries than indices reach.
pub(super) fn kept(client: &Client, problem: &AttentionProblem) -> Result<Tensor, KernelError> {
    let shape = [problem.samples, problem.options.heads, problem.tokens, 2];
    Tensor::room(OP, "scratch", client, &shape, problem.dtype.accumulator())
}
