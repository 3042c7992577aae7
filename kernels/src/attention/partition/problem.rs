use super::OP;
use super::exchange::AxisLaunch;
use crate::{DType, KernelError, planted};

/// The largest side of a map or a block.
const LARGEST_SIDE: usize = 32_767;

/// Which pixels make a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionKind {
    /// Those of one block.
    Block,
    /// Those at one place of every block.
    Grid,
}

/// Validated shapes of one partition; knows the tokens' shape and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionProblem {
    map: [usize; 4],
    size: [usize; 2],
    kind: PartitionKind,
    dtype: DType,
}

impl PartitionProblem {
    /// The problem of cutting `map` `[n, h, w, c]` into blocks of `size` `[bh, bw]`.
    ///
    /// # Errors
    /// In this order: [`KernelError::Range`] for a `size` that is not from 1 to 32,767; [`KernelError::Shape`] for a map whose sides are not,
    /// which has no channel, or which has more elements than can be counted once it is filled up.
    pub fn new(
        map: [usize; 4],
        dtype: DType,
        kind: PartitionKind,
        size: [usize; 2],
    ) -> Result<Self, KernelError> {
        let sides = 1..=LARGEST_SIDE;
        for (name, side) in [("size[0]", size[0]), ("size[1]", size[1])] {
            if !sides.contains(&side) {
                return Err(KernelError::range(OP, name, side, "from 1 to 32,767"));
            }
        }
        let problem = Self {
            map,
            size,
            kind,
            dtype,
        };
        let [n, h, w, c] = map;
        let good = sides.contains(&h) && sides.contains(&w) && c > 0;
        let countable = || {
            let [gh, gw] = problem.blocks();
            [n, gh * size[0], gw * size[1], c]
                .iter()
                .try_fold(8usize, |bytes, &extent| bytes.checked_mul(extent))
                .is_some_and(|bytes| isize::try_from(bytes).is_ok())
        };
        if !good || !countable() {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "map",
                got: map.to_vec(),
                wanted: "[n, h, w, c] with sides from 1 to 32,767 and c > 0".to_string(),
            });
        }
        Ok(problem)
    }

    /// Blocks along each axis, the last ones filled up.
    pub fn blocks(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.map[1 + axis].div_ceil(self.size[axis]))
    }

    /// The element type of map and tokens.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// `[n, h, w, c]`.
    pub fn map_shape(&self) -> [usize; 4] {
        self.map
    }

    /// `[bh, bw]`.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Which pixels make a sample.
    pub fn kind(&self) -> PartitionKind {
        self.kind
    }

    /// `[samples, tokens of a sample, c]`.
    pub fn tokens_shape(&self) -> [usize; 3] {
        let ([n, .., c], [gh, gw], [bh, bw]) = (self.map, self.blocks(), self.size);
        match self.kind {
            PartitionKind::Block => [n * gh * gw, bh * bw, c],
            PartitionKind::Grid => [n * bh * bw, gh * gw, c],
        }
    }

    /// Height and width of the map, filled up or not.
    pub(super) fn sides(&self, filled: bool) -> [usize; 2] {
        let (blocks, [_, h, w, _]) = (self.blocks(), self.map);
        if filled {
            [0, 1].map(|axis| blocks[axis] * self.size[axis])
        } else {
            [h, w]
        }
    }

    /// How an axis of the map, of `walked` pixels, leads to the tokens of an image.
    pub(super) fn axis(&self, axis: usize, walked: usize) -> AxisLaunch {
        let ([gh, gw], [bh, bw]) = (self.blocks(), self.size);
        let across = planted::or("partition_grid_in_blocks", false, true);
        // From a block to the next, and from a place within it to the next.
        let [by_block, by_place] = match self.kind {
            PartitionKind::Grid if !across => [[gw, 1], [bw * gh * gw, gh * gw]],
            _ => [[gw * bh * bw, bh * bw], [bw, 1]],
        };
        AxisLaunch::new(
            self.map[1 + axis],
            walked,
            self.size[axis],
            by_block[axis],
            by_place[axis],
        )
    }
}
