//! The part of a row that is walked at once: the whole row, or one of a long row's blocks.

use super::blueprint::{Blueprint, Extents};
use crate::loss::row::lane_numbers;
use cubecl::prelude::*;

/// Whole vectors of every block of a row but the last, which has up to twice as many.
pub(super) const BLOCK: usize = 64;
/// Up to so many vectors, each is asked for the target; past it, only the one that holds it: a branch that depends on the target
/// costs as much as the questions of so many vectors.
const ASKED: usize = 8;

/// The segment of a row that a walk covers. Vectors are counted from the row's first class on.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Segment {
    /// The element at which the row starts.
    pub start: usize,
    pub classes: usize,
    /// Elements of all rows.
    pub all: usize,
    /// Whether rows are walked in blocks.
    pub split: bool,
    pub target: usize,
    /// The second class of a mixed row; of others the target.
    pub second: usize,
    /// The place of the row among those noted side by side.
    pub row: usize,
    /// The segment's first whole vector.
    pub first: usize,
    /// Past its last whole vector.
    pub last: usize,
    /// The whole vectors of which some lanes may not count.
    asked: usize,
    asked_last: usize,
    /// 1 where the row's classes past its last whole vector are in this segment, else 0.
    tail: usize,
}

#[cube]
impl Segment {
    /// Piece `p` of a bundle that starts with row `n`.
    pub fn new<N: Size>(
        extents: &Extents,
        labels: &[u32],
        mixed: &[u32],
        n: usize,
        p: usize,
        #[comptime] blueprint: Blueprint,
    ) -> Segment {
        let split = extents.blocks > 1;
        let row = select(split, 0usize, p);
        let block = select(split, p, 0usize);
        let mut target = 0usize;
        if comptime!(blueprint.labelled) {
            target = usize::cast_from(labels[n + row]);
        }
        let mut second = target;
        if comptime!(blueprint.mixed) {
            second = usize::cast_from(mixed[n + row]);
        }
        let whole = extents.classes / N::value();
        let is_last = block + 1 == extents.blocks;
        let first = block * BLOCK;
        let last = select(is_last, whole, first + BLOCK);
        let vector = target / N::value();
        let holds = vector >= first && vector < last;
        let few = last - first <= ASKED;
        let asked = select(holds, vector, last);
        Segment {
            start: (n + row) * extents.classes,
            classes: extents.classes,
            all: extents.batch * extents.classes,
            split,
            target,
            second,
            row,
            first,
            last,
            asked: select(few, first, asked),
            asked_last: select(few, last, min(asked + 1, last)),
            tail: select(is_last && extents.classes % N::value() != 0, 1usize, 0usize),
        }
    }

    /// The bounds of the whole vectors before (0) and behind (1) those with lanes that may not count.
    pub fn side(&self, side: usize) -> (usize, usize) {
        (
            select(side == 0, self.first, self.asked_last),
            select(side == 0, self.asked, self.last),
        )
    }

    /// The number of vectors with lanes that may not count.
    pub fn specials(&self) -> usize {
        self.asked_last - self.asked + self.tail
    }

    /// The place of such a vector among the row's; `last` is the tail's.
    pub fn special(&self, i: usize) -> usize {
        select(self.asked + i < self.asked_last, self.asked + i, self.last)
    }

    /// The first class of vector `i`: the tail is moved back to end with the row.
    pub fn class<N: Size>(&self, i: usize) -> usize {
        min(i * N::value(), self.classes - N::value())
    }

    /// Which lanes of vector `i` count: not the target, nor what the vector before counted already.
    pub fn counted<N: Size>(&self, i: usize) -> Vector<bool, N> {
        let class = self.class::<N>(i);
        let lanes = lane_numbers::<N>();
        let target = Vector::<u32, N>::new(u32::cast_from(self.target) - u32::cast_from(class));
        let before = Vector::<u32, N>::new(u32::cast_from(i * N::value() - class));
        // A lane that is not counted becomes one that no class has.
        select_many(lanes.less_than(&before), target, lanes).not_equal(&target)
    }

    /// Past the last of the segment's vectors, the tail included.
    pub fn end(&self) -> usize {
        self.last + self.tail
    }

    fn behind<N: Size>(&self) -> usize {
        select(self.tail == 1, self.classes, self.last * N::value())
    }

    /// Whether `class` is one of the segment's.
    pub fn holds<N: Size>(&self, class: usize) -> bool {
        class >= self.first * N::value() && class < self.behind::<N>()
    }

    /// The number of its classes but the target.
    pub fn others<N: Size>(&self) -> usize {
        let target = select(self.holds::<N>(self.target), 1usize, 0usize);
        self.behind::<N>() - self.first * N::value() - target
    }
}
