//! Sums of any length whose rounding error hardly grows with it: what every long reduction shares.
//!
//! **Why.** An addition rounds the sum so far, and equal terms round it the same way thousands of times in a row: in f32 a million times
//! 0.1, one by one, come to 100,958.34.
//!
//! **How.** A kernel adds up a block of terms in registers, [`BLOCK`] of them or what it holds side by side anyway, and hands its sum to
//! a [`Cascade`]. That adds up 64 blocks, then 64 of those sums, then the rest: below 2^24 terms nothing is added to more than 64 sums
//! one after another, and each further 2^24 terms of one lane add 64. The error of a million terms is thus that of a few hundred at most.
//! The order of the additions is a function of the number of terms alone.
//!
//! **What it costs**: an addition, a count and a question for each block.
//!
//! **Not taken**: to carry what each addition loses (Kahan). It costs less memory still, but a compiler that takes `(a + b) - a` for `b`, as
//! those of GPUs may, undoes it without a word.

use crate::planted;
use cubecl::prelude::*;

/// Terms that are added up one by one, and sums of a level that are before they become a term of the next.
const BLOCK: usize = 64;

/// [`BLOCK`], or more than there are of anything.
fn block_len() -> usize {
    planted::or("sums_in_one_chain", BLOCK, 1 << 30)
}

/// How many blocks `terms` terms make.
#[cube]
pub(crate) fn blocks(terms: usize) -> usize {
    let len = comptime!(block_len());
    (terms + comptime!(block_len() - 1)) / len
}

/// The first term of block `block`.
#[cube]
pub(crate) fn block_start(block: usize) -> usize {
    let len = comptime!(block_len());
    block * len
}

/// Past the last term of block `block`, of `terms` in all.
#[cube]
pub(crate) fn block_end(block: usize, terms: usize) -> usize {
    let len = comptime!(block_len());
    min(block * len + len, terms)
}

/// Whether `count` terms are so many whole blocks.
#[cube]
pub(crate) fn ends_block(count: usize) -> bool {
    let len = comptime!(block_len());
    count % len == 0
}

/// The sum of `count` vectors, the first at `start` and each `step` behind the one before.
#[cube]
pub(crate) fn sum_of<R: Float, F: Float, N: Size>(
    terms: &[Vector<R, N>],
    start: usize,
    step: usize,
    count: usize,
) -> Vector<F, N> {
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(count) {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for i in block_start(block)..block_end(block, count) {
            part += Vector::cast_from(terms[start + i * step]);
        }
        sum.add(part);
    }
    sum.total()
}

/// The sum of the blocks so far.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Cascade<F: Float, N: Size> {
    /// Their number.
    blocks: usize,
    /// The sum of those that make no full level yet, of the levels of 64 blocks that make none of 64 of theirs, and of all others.
    low: Vector<F, N>,
    middle: Vector<F, N>,
    high: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Cascade<F, N> {
    /// Of none.
    pub fn new() -> Cascade<F, N> {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        Cascade::<F, N> {
            blocks: 0usize.runtime(),
            low: zero,
            middle: zero,
            high: zero,
        }
    }

    /// Adds the sum of one more block.
    pub fn add(&mut self, block: Vector<F, N>) {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        self.low += block;
        self.blocks += 1;
        if ends_block(self.blocks) {
            self.middle += self.low;
            self.low = zero;
            if ends_block(blocks(self.blocks)) {
                self.high += self.middle;
                self.middle = zero;
            }
        }
    }

    /// The sum.
    pub fn total(&self) -> Vector<F, N> {
        self.high + (self.middle + self.low)
    }
}

/// As many cascades side by side, whose blocks end together.
#[derive(CubeType)]
pub(crate) struct Cascades<F: Float, N: Size> {
    /// Blocks of each.
    blocks: usize,
    low: Array<Vector<F, N>>,
    middle: Array<Vector<F, N>>,
    high: Array<Vector<F, N>>,
    #[cube(comptime)]
    count: usize,
}

#[cube]
impl<F: Float, N: Size> Cascades<F, N> {
    /// `count` of none.
    pub fn new(#[comptime] count: usize) -> Cascades<F, N> {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        let mut low = Array::<Vector<F, N>>::new(count);
        let mut middle = Array::<Vector<F, N>>::new(count);
        let mut high = Array::<Vector<F, N>>::new(count);
        #[unroll]
        for j in 0..count {
            low[j] = zero;
            middle[j] = zero;
            high[j] = zero;
        }
        Cascades::<F, N> {
            blocks: 0usize.runtime(),
            low,
            middle,
            high,
            count,
        }
    }

    /// Adds to each the sum of one more block.
    pub fn add(&mut self, each: &Array<Vector<F, N>>) {
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        self.blocks += 1;
        #[unroll]
        for j in 0..self.count {
            self.low[j] += each[j];
        }
        if ends_block(self.blocks) {
            #[unroll]
            for j in 0..self.count {
                self.middle[j] += self.low[j];
                self.low[j] = zero;
            }
            if ends_block(blocks(self.blocks)) {
                #[unroll]
                for j in 0..self.count {
                    self.high[j] += self.middle[j];
                    self.middle[j] = zero;
                }
            }
        }
    }

    /// The sum of cascade `j`.
    pub fn total(&self, #[comptime] j: usize) -> Vector<F, N> {
        self.high[j] + (self.middle[j] + self.low[j])
    }
}
