//! Attention of a CPU: scores never leave the caches. One launch forward, one backward.
//!
//! **Map.** This file plans. `tile.rs` lays out and multiplies; `forward.rs` and `backward.rs` are the kernels, with what launches them.
//!
//! **One unit owns**, forward, a run of tiles of queries, across samples and heads; backward, a run of samples and heads, as the gradients
//! of keys and values are sums over queries. A tile is a vector of queries, one a lane: a row of its scores belongs to a key, so that
//! the softmax takes no lane's neighbour, however few keys there are. Scores `[n, lanes]` are made in the first cache, a dozen keys at a time.
//!
//! **Backward** the probabilities are taken again, from two numbers a query that were kept: its largest score, and one over the sum of its
//! exponentials. The gradients of keys and values are added up in the unit's scratch, a tile of queries after another.
//!
//! **Queries past the end** are the last one again, of which nothing is stored or added.
//!
//! **Bits.** A query's sums are over keys in order, a key's over queries in order: functions of the problem alone.
//!
//! **What it does not do**: share a sample and head between units backward. Fewer of them than cores leave cores idle.

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
/// Accumulators of a product, which leave room for the operands in 32 registers.
const ACCUMULATORS: usize = 24;
/// Rows of a product at most: more than keep two multipliers busy gain nothing.
const MOST_ROWS: usize = 12;

/// Whether scores of this problem stay in the caches of a unit of this device.
pub(super) fn fits(client: &Client, problem: &AttentionProblem) -> bool {
    let all = problem.tokens * (problem.dim + problem.dim_v);
    launch::is_cpu(client) && all <= MOST_ELEMENTS
}

/// The comptime variant of both kernels: rows of keys and of queries that are multiplied at a time, and by how many vectors of channels of
/// keys and of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    keys: usize,
    queries: usize,
    dim: usize,
    dim_v: usize,
    bias: bool,
}

/// How a problem is laid out.
struct Plan {
    /// Elements of a vector: queries of a tile.
    width: usize,
    variant: Variant,
    /// Tiles of a sample and head.
    tiles: usize,
    /// Elements from one row to the next of channels of keys and of values in a unit's scratch: whole groups of vectors.
    dim_pitch: usize,
    dim_v_pitch: usize,
}

/// The problem's extents and [`Plan`]'s, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    heads: usize,
    /// Samples times heads.
    count: usize,
    tokens: usize,
    dim: usize,
    dim_v: usize,
    tiles: usize,
    dim_pitch: usize,
    dim_v_pitch: usize,
}

/// How many of `vectors` vectors are held in registers at a time for each row.
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
        let [by_dim, by_dim_v] = [dim, dim_v].map(|extent| together(extent.div_ceil(width)));
        let pitch = |extent: usize, group: usize| extent.next_multiple_of(group * width);
        let most = MOST_ROWS.min(ACCUMULATORS / by_dim.max(by_dim_v));
        // A row past the end costs as much as one that is there, and a group of rows as much as one more: for its loads of what all share.
        let keys = (1..=most)
            .min_by_key(|&rows| (tokens.div_ceil(rows) * (rows + 1), most - rows))
            .unwrap_or(1);
        Self {
            width,
            variant: Variant {
                keys,
                queries: width.min(8).min(tokens.max(1).next_power_of_two()),
                dim: by_dim,
                dim_v: by_dim_v,
                bias: problem.options.offsets.is_some(),
            },
            tiles: tokens.div_ceil(width),
            dim_pitch: pitch(dim, by_dim),
            dim_v_pitch: pitch(dim_v, by_dim_v),
        }
    }

    /// Tokens of whole tiles: elements from one key's row of scores in memory to the next.
    fn tokens(&self) -> usize {
        self.tiles * self.width
    }

    /// Tokens of whole groups of keys.
    fn key_places(&self, problem: &AttentionProblem) -> usize {
        problem.tokens.next_multiple_of(self.variant.keys)
    }

    fn extents(&self, problem: &AttentionProblem) -> ExtentsLaunch {
        let heads = problem.options.heads;
        ExtentsLaunch::new(
            heads,
            problem.samples * heads,
            problem.tokens,
            problem.dim,
            problem.dim_v,
            self.tiles,
            self.dim_pitch,
            self.dim_v_pitch,
        )
    }
}

/// Elements from one token's row to the next where a bias is laid out for [`launch_forward`] and [`launch_backward`].
pub(super) fn pairs_pitch(client: &Client, problem: &AttentionProblem) -> usize {
    Plan::of(client, problem).tokens()
}

/// Room for what [`launch_forward`] keeps: of each sample and head the largest score of each query, then one over the sum of its exponentials.
///
/// # Errors
/// More queries than indices reach.
pub(super) fn kept(client: &Client, problem: &AttentionProblem) -> Result<Tensor, KernelError> {
    let tokens = Plan::of(client, problem).tokens();
    let shape = [problem.samples, problem.options.heads, 2, tokens];
    Tensor::room(OP, "scratch", client, &shape, problem.dtype.accumulator())
}
