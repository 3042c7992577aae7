//! How a tile comes to shared memory, and how it is multiplied there.

use super::blueprint::{Blueprint, QUAD};
use super::gather::{Images, Residue, Spot};
use crate::lanes::View;
use cubecl::prelude::*;

/// Four rows, or four neighbouring columns.
pub(super) type Quad<F> = Vector<F, Const<QUAD>>;

/// What a cube multiplies.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Job {
    pub images: Images,
    pub residue: Residue,
    pub a_view: View,
    pub plain_view: View,
    /// The first row of the tile, and the rows that there are.
    pub first_row: usize,
    pub rows: usize,
    /// The first column of the tile and the columns that there are, both of the group.
    pub first_column: usize,
    pub width: usize,
    /// The first channel of the group in the images, and its first column among those of all groups.
    pub channel: usize,
    pub column: usize,
    /// The depth.
    pub from: usize,
    pub to: usize,
}

/// The shared memory of a cube: two tiles of each operand, one that is multiplied and one that comes, where the tile's rows lie, and where the
/// depths of two tiles do.
#[derive(CubeType)]
pub(super) struct Stage<F: Float> {
    rows: Shared<[Quad<F>]>,
    columns: Shared<[Quad<F>]>,
    row_spots: Shared<[Spot]>,
    /// The fourth is the depth's first column in the buffer of `plain`.
    deep_spots: Shared<[Spot]>,
    #[cube(comptime)]
    blueprint: Blueprint,
}

#[cube]
impl<F: Float> Stage<F> {
    pub fn new(#[comptime] blueprint: Blueprint) -> Stage<F> {
        Stage::<F> {
            rows: Shared::new_slice(comptime!(2 * blueprint.row_area())),
            columns: Shared::new_slice(comptime!(2 * blueprint.column_area())),
            row_spots: Shared::new_slice(comptime!(blueprint.rows())),
            deep_spots: Shared::new_slice(comptime!(2 * blueprint.depth)),
            blueprint,
        }
    }

    /// Notes where the rows of the tile lie.
    pub fn place_rows(&mut self, job: &Job) {
        let (cube, rows) = comptime!((self.blueprint.cube(), self.blueprint.rows()));
        let by_weight = comptime!(self.blueprint.by_weight());
        #[unroll]
        for i in 0..comptime!(rows.div_ceil(cube)) {
            let row = i * cube + UNIT_POS as usize;
            if row < rows {
                let index = job.first_row + row;
                self.row_spots[row] = if by_weight {
                    job.images.tap(&job.residue, &job.a_view, index, job.rows)
                } else {
                    job.images.pixel(&job.residue, &job.a_view, index, job.rows)
                };
            }
        }
    }

    /// Notes where the depths of tile `tile` lie.
    pub fn place_depths(&mut self, job: &Job, tile: usize) {
        let (cube, depth) = comptime!((self.blueprint.cube(), self.blueprint.depth));
        let by_weight = comptime!(self.blueprint.by_weight());
        let turned = comptime!(self.blueprint.is_turned());
        #[unroll]
        for i in 0..comptime!(depth.div_ceil(cube)) {
            let d = i * cube + UNIT_POS as usize;
            if d < depth {
                let index = job.from + tile * depth + d;
                let mut spot = if by_weight {
                    job.images.pixel(&job.residue, &job.a_view, index, job.to)
                } else {
                    job.images.tap(&job.residue, &job.a_view, index, job.to)
                };
                let mut row = min(index, job.to - 1);
                if turned {
                    row = job.images.row_of(&job.residue, row);
                }
                spot.insert(3usize, (job.plain_view.at(row) + job.column) as u32);
                self.deep_spots[tile % 2 * depth + d] = spot;
            }
        }
    }

    /// Loads what the unit brings of tile `tile` in round `round`: rows in the first rounds, columns in the others.
    pub fn fetch<S: Float, A: Size, B: Size>(
        &self,
        job: &Job,
        a: &[Vector<S, A>],
        plain: &[Vector<S, B>],
        tile: usize,
        #[comptime] round: usize,
        waiting: &mut Array<Quad<F>>,
    ) {
        let [row_rounds, _] = comptime!(self.blueprint.rounds());
        if comptime!(round >= row_rounds) {
            self.fetch_columns::<S, B>(job, plain, tile, comptime!(round - row_rounds), waiting);
        } else if comptime!(self.blueprint.in_blocks()) {
            self.fetch_block::<S, A>(job, a, tile, round, waiting);
        } else {
            self.fetch_rows::<S, A>(job, a, tile, round, waiting);
        }
    }

    /// Four rows by four channels of a tap: a load for each row, turned in registers.
    fn fetch_block<S: Float, A: Size>(
        &self,
        job: &Job,
        a: &[Vector<S, A>],
        tile: usize,
        #[comptime] round: usize,
        waiting: &mut Array<Quad<F>>,
    ) {
        let depth = comptime!(self.blueprint.depth);
        let deep_quads = comptime!(depth / QUAD);
        let block = self.task(round, comptime!(self.blueprint.row_quads() * deep_quads));
        let (deep, quad) = (block % deep_quads, block / deep_quads);
        let tap = self.deep_spots[tile % 2 * depth + deep * QUAD];
        #[unroll]
        for j in 0..QUAD {
            waiting[j] = Quad::<F>::new(F::new(0.0f32));
        }
        #[unroll]
        for lane in 0..QUAD {
            let spot = self.row_spots[row_of(quad, lane, comptime!(self.blueprint))];
            let value = job
                .images
                .elements::<S, F, A>(a, &job.a_view, job.channel, spot, tap);
            #[unroll]
            for j in 0..QUAD {
                let mut turned = waiting[j];
                turned.insert(lane, value.extract(j));
                waiting[j] = turned;
            }
        }
    }

    /// Four quads of rows: at once where they are neighbouring channels that can be, else one element after the other.
    fn fetch_rows<S: Float, A: Size>(
        &self,
        job: &Job,
        a: &[Vector<S, A>],
        tile: usize,
        #[comptime] round: usize,
        waiting: &mut Array<Quad<F>>,
    ) {
        let (depth, quads) = comptime!((self.blueprint.depth, self.blueprint.row_quads()));
        #[unroll]
        for j in 0..QUAD {
            let task = self.task(comptime!(round * QUAD + j), comptime!(depth * quads));
            let (d, quad) = depth_and_quad(task, comptime!(self.blueprint));
            let deep = self.deep_spots[tile % 2 * depth + d];
            if comptime!(self.blueprint.wide) {
                let spot = self.row_spots[quad * QUAD];
                let value = job
                    .images
                    .elements::<S, F, A>(a, &job.a_view, job.channel, spot, deep);
                waiting[j] = Quad::<F>::cast_from(value);
            } else {
                let mut value = Quad::<F>::new(F::new(0.0f32));
                #[unroll]
                for lane in 0..QUAD {
                    let spot = self.row_spots[row_of(quad, lane, comptime!(self.blueprint))];
                    let element =
                        job.images
                            .elements::<S, F, A>(a, &job.a_view, job.channel, spot, deep);
                    value.insert(lane, element.extract(0usize));
                }
                waiting[j] = value;
            }
        }
    }

    /// Four quads of columns.
    fn fetch_columns<S: Float, B: Size>(
        &self,
        job: &Job,
        plain: &[Vector<S, B>],
        tile: usize,
        #[comptime] round: usize,
        waiting: &mut Array<Quad<F>>,
    ) {
        let (depth, quads) = comptime!((self.blueprint.depth, self.blueprint.column_quads()));
        #[unroll]
        for j in 0..QUAD {
            let task = self.task(comptime!(round * QUAD + j), comptime!(depth * quads));
            let d = task / quads;
            let column = job.first_column + task % quads * QUAD;
            let start = self.deep_spots[tile % 2 * depth + d].extract(3usize) as usize;
            let value = load_quad::<S, F, B>(plain, start + column, column, job.width);
            let there = job.from + tile * depth + d < job.to;
            waiting[j] = select(there, value, Quad::<F>::new(F::new(0.0f32)));
        }
    }

    /// Writes to shared memory what [`Self::fetch`] loaded.
    pub fn store(&mut self, tile: usize, #[comptime] round: usize, waiting: &Array<Quad<F>>) {
        let (depth, cube) = comptime!((self.blueprint.depth, self.blueprint.cube()));
        let (rows, columns) =
            comptime!((self.blueprint.row_quads(), self.blueprint.column_quads()));
        let [row_rounds, _] = comptime!(self.blueprint.rounds());
        let half = tile % 2;
        if comptime!(round >= row_rounds) {
            #[unroll]
            for j in 0..QUAD {
                let task = comptime!((round - row_rounds) * QUAD + j) * cube + UNIT_POS as usize;
                if comptime!(((round - row_rounds) * QUAD + j + 1) * cube <= depth * columns)
                    || task < comptime!(depth * columns)
                {
                    self.columns[half * comptime!(self.blueprint.column_area()) + task] =
                        waiting[j];
                }
            }
        } else if comptime!(self.blueprint.in_blocks()) {
            let deep_quads = comptime!(depth / QUAD);
            let [pitch, skew] = comptime!(self.blueprint.pitches());
            let block = comptime!(round * cube) + UNIT_POS as usize;
            if comptime!((round + 1) * cube <= rows * deep_quads)
                || block < comptime!(rows * deep_quads)
            {
                let first = half * comptime!(self.blueprint.row_area())
                    + block % deep_quads * comptime!(QUAD * pitch + skew)
                    + block / deep_quads;
                #[unroll]
                for j in 0..QUAD {
                    self.rows[first + comptime!(j * pitch)] = waiting[j];
                }
            }
        } else {
            let [pitch, _] = comptime!(self.blueprint.pitches());
            #[unroll]
            for j in 0..QUAD {
                let task = comptime!((round * QUAD + j) * cube) + UNIT_POS as usize;
                let (d, quad) = depth_and_quad(task, comptime!(self.blueprint));
                if comptime!((round * QUAD + j + 1) * cube <= depth * rows)
                    || task < comptime!(depth * rows)
                {
                    let first = half * comptime!(self.blueprint.row_area());
                    self.rows[first + d * pitch + quad] = waiting[j];
                }
            }
        }
    }

    /// Adds to `acc` the products of the depths that are multiplied in round `round`: those that are fetched in it have that long to come.
    pub fn multiply(&self, tile: usize, #[comptime] round: usize, acc: &mut Array<Quad<F>>) {
        let [down, across] = comptime!(self.blueprint.units);
        let [row_quads, quads] = comptime!(self.blueprint.quads);
        let [pitch, skew] = comptime!(self.blueprint.pitches());
        let [row_rounds, column_rounds] = comptime!(self.blueprint.rounds());
        let (rounds, deep_quads) =
            comptime!((row_rounds + column_rounds, self.blueprint.depth / QUAD));
        let (begin, end) = comptime!((
            deep_quads * round / rounds,
            deep_quads * (round + 1) / rounds
        ));
        let columns = comptime!(self.blueprint.column_quads());
        let unit = UNIT_POS as usize;
        let row_start = tile % 2 * comptime!(self.blueprint.row_area()) + unit / across;
        let column_start = tile % 2 * comptime!(self.blueprint.column_area()) + unit % across;
        for deep in begin..end {
            let first_row = row_start + deep * comptime!(QUAD * pitch + skew);
            let first_column = column_start + deep * comptime!(QUAD * columns);
            #[unroll]
            for d in 0..QUAD {
                let mut av = Array::<Quad<F>>::new(row_quads);
                #[unroll]
                for p in 0..row_quads {
                    av[p] = self.rows[first_row + comptime!(d * pitch + p * down)];
                }
                #[unroll]
                for q in 0..quads {
                    let bv = self.columns[first_column + comptime!(d * columns + q * across)];
                    #[unroll]
                    for p in 0..row_quads {
                        #[unroll]
                        for r in 0..QUAD {
                            let i = comptime!((p * QUAD + r) * quads + q);
                            acc[i] = fma(Quad::<F>::new(av[p].extract(r)), bv, acc[i]);
                        }
                    }
                }
            }
        }
    }

    /// The unit's task number `index`, or the last one where there are `count` in all.
    fn task(&self, #[comptime] index: usize, #[comptime] count: usize) -> usize {
        let cube = comptime!(self.blueprint.cube());
        let task = comptime!(index * cube) + UNIT_POS as usize;
        if comptime!((index + 1) * cube <= count) {
            task
        } else {
            min(task, comptime!(count - 1))
        }
    }
}

/// The row of lane `lane` of quad `quad`, of those of a tile. Rows along channels are neighbours, as they are loaded together; pixels are a
/// quarter of the tile apart, so that neighbouring units write neighbouring pixels.
#[cube]
pub(super) fn row_of(
    quad: usize,
    #[comptime] lane: usize,
    #[comptime] blueprint: Blueprint,
) -> usize {
    if comptime!(blueprint.by_weight()) {
        quad * QUAD + lane
    } else {
        quad + comptime!(lane * blueprint.row_quads())
    }
}

/// The depth and the quad of rows of a task: neighbouring units read neighbouring channels, along the depth or, in the weight pass, along the
/// rows.
#[cube]
fn depth_and_quad(task: usize, #[comptime] blueprint: Blueprint) -> (usize, usize) {
    let (depth, quads) = comptime!((blueprint.depth, blueprint.row_quads()));
    if comptime!(blueprint.by_weight()) {
        (task / quads, task % quads)
    } else {
        (task % depth, task / depth)
    }
}

/// The elements from `first_element` on of those of a group's columns `column..column + 4` that are below `width`; the others hold any number
/// that is none of another group.
#[cube]
pub(super) fn load_quad<S: Float, F: Float, B: Size>(
    x: &[Vector<S, B>],
    first_element: usize,
    column: usize,
    width: usize,
) -> Quad<F> {
    let item = B::value().comptime();
    // The group's first column is there whatever the tile. A column that is there is read for those that are not, as no other unit writes
    // it where the result lies over a residual.
    let there = select(column < width, first_element, first_element - column);
    if comptime!(item == QUAD) {
        Quad::<F>::cast_from(x[there / QUAD])
    } else {
        let mut value = Quad::<F>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..QUAD {
            let from = select(column + lane < width, first_element + lane, there);
            value.insert(lane, F::cast_from(x[from].extract(0usize)));
        }
        value
    }
}

/// Writes those of the elements from `first_element` on whose columns, of which the first is, are below `width`.
#[cube]
pub(super) fn store_quad<S: Float, F: Float, B: Size>(
    x: &mut [Vector<S, B>],
    first_element: usize,
    value: Quad<F>,
    column: usize,
    width: usize,
) {
    let item = B::value().comptime();
    if comptime!(item == QUAD) {
        x[first_element / QUAD] = Vector::cast_from(value);
    } else {
        x[first_element] = Vector::cast_from(value.extract(0usize));
        #[unroll]
        for lane in 1..QUAD {
            if column + lane < width {
                x[first_element + lane] = Vector::cast_from(value.extract(lane));
            }
        }
    }
}
