//! The two products of tall and thin matrices that all passes are made of, on a CPU: sums over tokens, and rows times a state.

use crate::cascade::{block_end, block_start, blocks, ends_block};
use crate::clamp::relu;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::norm::row::keep;
use crate::{Client, launch};
use cubecl::prelude::*;

/// Sums of a tile: as many chains of multiply-adds as two ports of latency 4 have under way, in half of AVX's 16 registers.
const SUMS: usize = 8;
/// Tokens of a tile at most: the maps of the last stages at 64 px have four.
const TOKENS: usize = 4;

/// A buffer's item: vectors start at any element.
pub(super) type One = Const<1>;

/// Whether these kernels run on the device: on CPUs, whose vectors start anywhere.
pub(super) fn fits(client: &Client) -> bool {
    launch::is_cpu(client) && client.properties().features.unaligned_io
}

/// How many sums are held in registers at a time, a comptime choice by the channels of a head and the width of vectors alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Vectors of a head's channels.
    pub vectors: usize,
    /// Rows of a state whose sums are made together.
    pub rows: usize,
    /// Tokens that are multiplied by a state together.
    pub tokens: usize,
}

impl Tile {
    pub fn of(lanes: &Lanes) -> Self {
        let vectors = lanes.vectors();
        let beside = (SUMS / vectors).max(1);
        Self {
            vectors,
            rows: beside.min(lanes.channels),
            tokens: beside.min(TOKENS),
        }
    }
}

/// Queries, keys, values or results of one sample and group: where those of each token start.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Part {
    first: usize,
    pitch: usize,
}

#[cube]
impl Part {
    /// The part `offset` elements behind the start of the pixels from `pixel` on.
    pub fn new(view: &View, pixel: usize, offset: usize) -> Part {
        Part {
            first: view.at(pixel) + offset,
            pitch: view.pitch,
        }
    }

    /// The first element of token `i`.
    pub fn at(&self, i: usize) -> usize {
        self.first + i * self.pitch
    }
}

/// What is done to the operands of a product as they are loaded, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prologue {
    /// Whether a ReLU stands before the operand that is read one number at a time.
    pub relu_rows: bool,
    /// Whether one stands before the operand that is read in vectors.
    pub relu_lanes: bool,
    /// Whether each token's share is multiplied by a number of its own.
    pub weighted: bool,
}

/// Element `index` in all lanes.
#[cube]
fn broadcast<S: Float, F: Float, N: Size>(
    x: &[Vector<S, One>],
    index: usize,
    #[comptime] clamp: bool,
) -> Vector<F, N> {
    let value = Vector::<F, N>::new(F::cast_from(x[index].extract(0usize)));
    if clamp { relu::<F, N>(value) } else { value }
}

/// The elements from `index` on.
#[cube]
pub(super) fn lanes_of<S: Float, F: Float, N: Size>(
    x: &[Vector<S, One>],
    index: usize,
    #[comptime] clamp: bool,
) -> Vector<F, N> {
    let value = load::<S, F, One, N>(x, index);
    if clamp { relu::<F, N>(value) } else { value }
}

/// [`Cascade`](crate::cascade::Cascade)s of a tile, which get their blocks together.
#[derive(CubeType)]
pub(super) struct Cascades<F: Float, N: Size> {
    blocks: usize,
    low: Array<Vector<F, N>>,
    middle: Array<Vector<F, N>>,
    high: Array<Vector<F, N>>,
}

/// Zeros.
#[cube]
pub(super) fn zeros<F: Float, N: Size>(#[comptime] count: usize) -> Array<Vector<F, N>> {
    let mut all = Array::<Vector<F, N>>::new(count);
    #[unroll]
    for j in 0..count {
        all[j] = Vector::new(F::new(0.0f32));
    }
    all
}

#[cube]
impl<F: Float, N: Size> Cascades<F, N> {
    pub fn new(#[comptime] count: usize) -> Cascades<F, N> {
        Cascades::<F, N> {
            blocks: 0usize.runtime(),
            low: zeros::<F, N>(count),
            middle: zeros::<F, N>(count),
            high: zeros::<F, N>(count),
        }
    }

    pub fn add(&mut self, part: &Array<Vector<F, N>>, #[comptime] count: usize) {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        self.blocks += 1;
        #[unroll]
        for j in 0..count {
            self.low[j] += part[j];
        }
        if ends_block(self.blocks) {
            let all = ends_block(blocks(self.blocks));
            #[unroll]
            for j in 0..count {
                self.middle[j] += self.low[j];
                self.low[j] = zero;
                if all {
                    self.high[j] += self.middle[j];
                    self.middle[j] = zero;
                }
            }
        }
    }

    pub fn total(&self, #[comptime] j: usize) -> Vector<F, N> {
        self.high[j] + (self.middle[j] + self.low[j])
    }
}

/// `state[r, c] = sum over tokens of rows[i, r] lanes[i, c]`, the numbers of `rows` broadcast one by one; the state, `[head, head]`,
/// starts at element `to` of `scratch`, the tokens' weights at element `weights`.
#[cube]
pub(super) fn sum_products<S: Float, R: Float, F: Float, N: Size>(
    rows_in: &[Vector<S, One>],
    rows: &Part,
    lanes_in: &[Vector<R, One>],
    lanes: &Part,
    weights: usize,
    scratch: &mut [Vector<F, One>],
    to: usize,
    tokens: usize,
    head: usize,
    #[comptime] prologue: Prologue,
    #[comptime] tile: Tile,
) {
    let (deep, vectors) = comptime!((tile.rows, tile.vectors));
    for chunk in 0..(head + comptime!(deep - 1)) / deep {
        // The last rows are moved back to end with the state: some of them are made twice.
        let first = min(chunk * deep, head - deep);
        let mut sums = Cascades::<F, N>::new(comptime!(deep * vectors));
        for block in 0..blocks(tokens) {
            let mut part = zeros::<F, N>(comptime!(deep * vectors));
            for i in block_start(block)..block_end(block, tokens) {
                let mut across = Array::<Vector<F, N>>::new(vectors);
                #[unroll]
                for v in 0..vectors {
                    let index = lanes.at(i) + channel::<N>(v, head);
                    across[v] =
                        lanes_of::<R, F, N>(lanes_in, index, comptime!(prologue.relu_lanes));
                    if comptime!(prologue.weighted) {
                        across[v] *= broadcast::<F, F, N>(&*scratch, weights + i, false);
                    }
                }
                #[unroll]
                for r in 0..deep {
                    let index = rows.at(i) + first + r;
                    let value = broadcast::<S, F, N>(rows_in, index, comptime!(prologue.relu_rows));
                    #[unroll]
                    for v in 0..vectors {
                        part[r * vectors + v] = fma(value, across[v], part[r * vectors + v]);
                    }
                }
            }
            sums.add(&part, comptime!(deep * vectors));
        }
        #[unroll]
        for r in 0..deep {
            #[unroll]
            for v in 0..vectors {
                let index = to + (first + r) * head + channel::<N>(v, head);
                store::<F, F, One, N>(scratch, index, sums.total(comptime!(r * vectors + v)));
            }
        }
    }
}

/// `sum over tokens of relu(lanes[i])`, weighted or not, to the `head` elements of `scratch` from `to` on.
#[cube]
pub(super) fn sum_tokens<S: Float, F: Float, N: Size>(
    x: &[Vector<S, One>],
    lanes: &Part,
    weights: usize,
    scratch: &mut [Vector<F, One>],
    to: usize,
    tokens: usize,
    head: usize,
    #[comptime] weighted: bool,
    #[comptime] tile: Tile,
) {
    let vectors = comptime!(tile.vectors);
    let mut sums = Cascades::<F, N>::new(vectors);
    for block in 0..blocks(tokens) {
        let mut part = zeros::<F, N>(vectors);
        for i in block_start(block)..block_end(block, tokens) {
            #[unroll]
            for v in 0..vectors {
                let value = lanes_of::<S, F, N>(x, lanes.at(i) + channel::<N>(v, head), true);
                if weighted {
                    let weight = broadcast::<F, F, N>(&*scratch, weights + i, false);
                    part[v] = fma(value, weight, part[v]);
                } else {
                    part[v] += value;
                }
            }
        }
        sums.add(&part, vectors);
    }
    #[unroll]
    for v in 0..vectors {
        store::<F, F, One, N>(scratch, to + channel::<N>(v, head), sums.total(v));
    }
}

/// The tokens of tile `index`; those past the last one are the last one again.
#[cube]
pub(super) fn token(
    index: usize,
    #[comptime] t: usize,
    tokens: usize,
    #[comptime] tile: Tile,
) -> usize {
    min(index * comptime!(tile.tokens) + t, tokens - 1)
}

/// Tiles of tokens.
#[cube]
pub(super) fn tiles(tokens: usize, #[comptime] tile: Tile) -> usize {
    (tokens + comptime!(tile.tokens - 1)) / comptime!(tile.tokens)
}

/// The rows of `x` of a tile's tokens times the state from element `state` of `scratch` on: `vectors` vectors a token.
#[cube]
pub(super) fn multiply<S: Float, F: Float, N: Size>(
    x: &[Vector<S, One>],
    rows: &Part,
    scratch: &[Vector<F, One>],
    state: usize,
    index: usize,
    tokens: usize,
    head: usize,
    #[comptime] clamp: bool,
    #[comptime] tile: Tile,
) -> Array<Vector<F, N>> {
    let (many, vectors) = comptime!((tile.tokens, tile.vectors));
    let mut products = zeros::<F, N>(comptime!(many * vectors));
    let mut starts = Array::<usize>::new(many);
    #[unroll]
    for t in 0..many {
        starts[t] = rows.at(token(index, t, tokens, tile));
    }
    for r in 0..head {
        let mut across = Array::<Vector<F, N>>::new(vectors);
        #[unroll]
        for v in 0..vectors {
            across[v] = load::<F, F, One, N>(scratch, state + r * head + channel::<N>(v, head));
        }
        #[unroll]
        for t in 0..many {
            let value = broadcast::<S, F, N>(x, starts[t] + r, clamp);
            #[unroll]
            for v in 0..vectors {
                products[t * vectors + v] = fma(value, across[v], products[t * vectors + v]);
            }
        }
    }
    products
}

/// The product of the clamped channels from element `index` of `x` on with the `head` elements of `scratch` from `row` on; lanes that
/// the last two vectors share, those not `fresh`, count once.
#[cube]
pub(super) fn dot<S: Float, F: Float, N: Size>(
    x: &[Vector<S, One>],
    index: usize,
    scratch: &[Vector<F, One>],
    row: usize,
    head: usize,
    fresh: Vector<bool, N>,
    #[comptime] tile: Tile,
) -> F {
    let mut sum = Vector::<F, N>::new(F::new(0.0f32));
    #[unroll]
    for v in 0..tile.vectors {
        let c = channel::<N>(v, head);
        let product =
            lanes_of::<S, F, N>(x, index + c, true) * load::<F, F, One, N>(scratch, row + c);
        sum += if comptime!(v + 1 == tile.vectors) {
            keep::<F, N>(fresh, product)
        } else {
            product
        };
    }
    sum.vector_sum()
}
