use super::GemmProblem;
use crate::affine::{Epilogue, EpilogueArgs, Operands, apply};
use crate::lanes::{Lanes, View, channel, load, store};
use crate::matmul::implicit::{Gathered, Pass, launch_implicit};
use crate::matmul::turn::{Weight, launch_turn};
use crate::prologue::{Entrance, Prologue, Source, copy_channels};
use crate::tune::Knob;
use crate::{DType, Tensor, launch, planted};
use cubecl::prelude::*;

/// Rows from which on a panel of `b` is copied side by side before it is read: each unit then reads it dozens of times.
const ROWS_TO_PACK: usize = 128;
/// Bytes of `a` that stay in the second-level cache while every panel of `b` passes over them.
const BLOCK_BYTES: usize = 1 << 19;

/// Rows and vectors of columns of a tile, of 8 to 28 sums.
const TILE: Knob<3, 2> = Knob {
    op: "gemm",
    class: ["rows", "depth", "columns"],
    sizes: [
        ("rows", &[2, 3, 4, 6, 8, 10, 12, 14, 16, 24]),
        ("vectors", &[1, 2, 3, 4]),
    ],
};

/// A tile: `rows` rows by `vectors` vectors of columns, held in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub rows: usize,
    pub vectors: usize,
}

impl Tile {
    /// The tile for `vectors` vectors of columns: as many as waste the fewest on the last group, and rows to fill 24 of 32 registers.
    ///
    /// Few vectors mean few loads of `b` a product, as each is used by many rows; many mean few loads of `a`.
    pub fn of(vectors: usize) -> Self {
        let vectors = tile_vectors(vectors);
        let rows = [16, 12, 8, 6][vectors - 1];
        Self { rows, vectors }
    }

    /// The tile for a product of `vectors` vectors of columns: [`Tile::of`], or what was found to be faster for as many rows, to the next power of two.
    fn tuned(problem: &GemmProblem, vectors: usize) -> Self {
        let rule = Self::of(vectors);
        if problem.m == 1 {
            // One row alone would be computed as often as a tile has rows.
            return Self { rows: 1, ..rule };
        }
        let class = [problem.m.next_power_of_two(), problem.k, problem.n];
        let rule = [rule.rows, rule.vectors];
        let [rows, vectors] = TILE.choose(problem.dtype, class, rule, |[rows, wide]| {
            (8..=28).contains(&(rows * wide)) && wide <= vectors
        });
        Self { rows, vectors }
    }
}

/// How many of `vectors` vectors of columns a tile takes: as many as waste the fewest on the last group.
pub(crate) fn tile_vectors(vectors: usize) -> usize {
    [2, 3, 4, 1]
        .into_iter()
        .min_by_key(|&wide| {
            // A vector alone waits for its loads: count it a third slower.
            let cost = if wide == 1 { 3 } else { 2 };
            vectors.div_ceil(wide) * wide * cost
        })
        .unwrap_or(1)
}

/// One unit owns a run of row tiles, taken in blocks; within a block, a panel of `vectors` vectors of columns at a time. Where there are
/// fewer tiles than cores, `parts` units share a tile's columns. Rows past the end compute the last row again and store nothing. A prologue
/// is applied to a block of `a` once, for all of its panels. Where its rows lie is read from `places`, as LLVM would compute it anew for every product.
#[cube(launch_unchecked)]
fn gemm_kernel<S: Float, F: Float, I: Size, W: Size>(
    a: &[S],
    b: &[Vector<S, I>],
    c: &mut [Vector<S, I>],
    panels: &mut [Vector<F, W>],
    staged: &mut [F],
    places: &mut [u32],
    operands: Operands<S, F, I>,
    entrance: Entrance<F, I>,
    _unaligned: &[S],
    a_view: View,
    c_view: View,
    span: usize,
    m: usize,
    k: usize,
    n: usize,
    column_vectors: usize,
    block: usize,
    parts: usize,
    run: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
    #[comptime] packed: bool,
    #[comptime] prologue: Prologue,
    #[comptime] epilogue: Epilogue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, W>::new(F::new(0.0f32));
    let unit = ABSOLUTE_POS / parts;
    let first = min(unit * run, (m + comptime!(rows - 1)) / rows);
    let last = min(first + run, (m + comptime!(rows - 1)) / rows);
    let groups = (column_vectors + comptime!(vectors - 1)) / vectors;
    let part = (groups + parts - 1) / parts;
    let first_group = if comptime!(crate::planted::is("gemm_of_the_first_parts")) {
        0usize.runtime()
    } else {
        (ABSOLUTE_POS - unit * parts) * part
    };
    let panel = ABSOLUTE_POS * k * vectors;
    for i in 0..(last - first + block - 1) / block {
        let begin = first + i * block;
        let end = min(begin + block, last);
        let stage = ABSOLUTE_POS * block * rows * k;
        if comptime!(prologue.affine) {
            for row in begin * rows..min(end * rows, m) {
                let to = stage + (row - begin * rows) * k;
                copy_channels::<S, F, I, W>(
                    a,
                    a_view.at(row),
                    staged,
                    to,
                    0usize,
                    k,
                    &entrance,
                    prologue,
                );
            }
        }
        let place = ABSOLUTE_POS * block * rows;
        for row in begin * rows..end * rows {
            let within = min(row, m - 1);
            let mut at = a_view.at(within);
            if comptime!(prologue.affine) {
                at = stage + (within - begin * rows) * k;
            }
            places[place + (row - begin * rows)] = at as u32;
        }
        for group in first_group..min(first_group + part, groups) {
            let mut columns = Array::<usize>::new(vectors);
            #[unroll]
            for j in 0..vectors {
                columns[j] = channel::<W>(group * vectors + j, n);
            }
            if packed {
                for l in 0..k {
                    #[unroll]
                    for j in 0..vectors {
                        panels[panel + l * vectors + j] = load::<S, F, I, W>(b, l * n + columns[j]);
                    }
                }
            }
            for tile in begin..end {
                let mut acc = Array::<Vector<F, W>>::new(rows * vectors);
                let mut starts = Array::<usize>::new(rows);
                #[unroll]
                for i in 0..rows {
                    starts[i] = places[place + (tile - begin) * rows + i] as usize;
                    #[unroll]
                    for j in 0..vectors {
                        if comptime!(epilogue.bias) {
                            acc[i * vectors + j] = load::<S, F, I, W>(&operands.bias, columns[j]);
                        } else {
                            acc[i * vectors + j] = zero;
                        }
                    }
                }
                for l in 0..k {
                    let mut bv = Array::<Vector<F, W>>::new(vectors);
                    #[unroll]
                    for j in 0..vectors {
                        if packed {
                            bv[j] = panels[panel + l * vectors + j];
                        } else {
                            bv[j] = load::<S, F, I, W>(b, l * n + columns[j]);
                        }
                    }
                    #[unroll]
                    for i in 0..rows {
                        let av = if comptime!(prologue.affine) {
                            Vector::<F, W>::new(staged[starts[i] + l])
                        } else {
                            Vector::<F, W>::cast_from(a[starts[i] + l])
                        };
                        #[unroll]
                        for j in 0..vectors {
                            acc[i * vectors + j] = fma(av, bv[j], acc[i * vectors + j]);
                        }
                    }
                }
                #[unroll]
                for i in 0..rows {
                    let row = tile * rows + i;
                    if row < m {
                        #[unroll]
                        for j in 0..vectors {
                            let value = apply::<S, F, I, W, W>(
                                acc[i * vectors + j],
                                &operands,
                                row / span,
                                columns[j],
                                W::value().comptime(),
                                epilogue,
                            );
                            store::<S, F, I, W>(c, c_view.at(row) + columns[j], value);
                        }
                    }
                }
            }
        }
    }
}

/// Launches the product into `c`; `a`, `c` and the residual may be windows. A GPU takes no prologue.
pub(crate) fn launch_gemm(
    problem: &GemmProblem,
    source: &Source,
    b: &Tensor,
    epilogue_args: EpilogueArgs,
    c: &Tensor,
) {
    let a = source.map();
    let client = a.client();
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    if !launch::is_cpu(client) {
        let gathered = Gathered::matrix(m, k, n);
        return launch_implicit(&gathered, Pass::Forward, a, b, epilogue_args, c);
    }
    let residual = epilogue_args.residual.unwrap_or(c);
    let lanes = Lanes::of(client, dtype, n, &[c, residual]);
    let Tile { rows, vectors } = Tile::tuned(problem, lanes.vectors());
    let tiles = m.div_ceil(rows);
    let cores = launch::grid(client, 1).units;
    let parts = (cores / tiles).clamp(1, lanes.vectors().div_ceil(vectors));
    let grid = launch::grid(client, tiles * parts);
    let panel = k * vectors * lanes.width;
    // Without panels the same products are added up in the same order, only slower.
    let packed = m >= ROWS_TO_PACK && panel.saturating_mul(grid.units) <= Tensor::MOST_ELEMENTS;
    let panel = if packed { panel } else { 1 };
    let panels = Tensor::empty(client, &[grid.units, panel], dtype.accumulator());
    let block = (BLOCK_BYTES / (k * rows * panels.dtype().size())).max(1);
    let block = block.min(grid.run);
    let prologue = source.prologue();
    // Without a prologue nothing is staged.
    let staged = match prologue.affine {
        true => Tensor::empty(client, &[grid.units, block * rows * k], panels.dtype()),
        false => panels.clone(),
    };
    let places = Tensor::empty(client, &[grid.units, block * rows], DType::F32);
    // SAFETY: `GemmProblem` relates the extents; a panel holds `k` rows of a group's vectors.
    unsafe {
        gemm_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            a.buffer(1, 0),
            lanes.arg(b),
            lanes.arg(c),
            panels.buffer(lanes.width, 0),
            staged.buffer(1, 0),
            places.arg(1),
            epilogue_args.operands(lanes.item, b, c, 2),
            source.entrance(lanes.item, b),
            lanes.unaligned(a),
            a.view(),
            c.view(),
            m / residual.pixels().max(1),
            planted::or("gemm_rows", m, m - 1),
            k,
            n,
            lanes.vectors(),
            block,
            parts,
            grid.run,
            rows,
            vectors,
            packed,
            prologue,
            epilogue_args.epilogue(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Writes `matrix [rows, columns]` as `transposed [columns, rows]`. One launch.
pub(crate) fn launch_transpose(matrix: &Tensor, transposed: &Tensor, rows: usize, columns: usize) {
    let client = matrix.client();
    if !launch::is_cpu(client) {
        let of = Weight {
            kernel: [1; 2],
            stride: [1; 2],
            groups: 1,
            inputs: rows,
            outputs: columns,
        };
        return launch_turn(&of, matrix, transposed);
    }
    let grid = launch::grid(client, columns);
    // SAFETY: both hold `rows columns` elements.
    unsafe {
        transpose::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            matrix.arg(1),
            transposed.arg(1),
            rows,
            columns,
            grid.run,
            matrix.dtype().elem(),
        );
    }
    launch::throttle(client);
}

/// One unit owns a run of the columns that become rows. No index is divided: that took four times as long as the product of a small
/// batch.
#[cube(launch_unchecked)]
fn transpose<S: Float>(
    matrix: &[S],
    transposed: &mut [S],
    rows: usize,
    columns: usize,
    run: usize,
    #[define(S)] _dtype: cubecl::ir::ElemType,
) {
    let first = ABSOLUTE_POS * run;
    for column in first..min(first + run, columns) {
        for row in 0..rows {
            transposed[column * rows + row] = matrix[row * columns + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_wastes_few_vectors_and_fits_the_registers() {
        for vectors in 1..200 {
            let tile = Tile::of(vectors);
            assert!(tile.rows * tile.vectors <= 24, "{tile:?}");
            let wasted = vectors.div_ceil(tile.vectors) * tile.vectors - vectors;
            assert!(wasted <= 1, "{vectors} vectors in tiles of {tile:?}");
        }
        assert_eq!(Tile::of(1).vectors, 1);
    }
}
