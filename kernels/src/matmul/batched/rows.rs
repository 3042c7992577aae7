use super::views::{Extents, ExtentsLaunch, Matrices, MatricesLaunch, Operands};
use super::{BatchedProblem, Form};
use crate::lanes::{Lanes, channel, load, store};
use crate::{DType, Tensor, launch, planted};
use cubecl::prelude::*;

/// Buffers are scalars, from any of which a vector may start.
type One = Const<1>;

/// A tile: `rows` rows by `vectors` vectors of columns, held in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tile {
    rows: usize,
    vectors: usize,
}

impl Tile {
    /// The tile for matrices of `m` rows of `column_vectors` vectors: vectors as in [`crate::matmul::gemm`], and of the rows for which 32
    /// registers have room those that cost the fewest instructions in all, a vector of `b` being loaded once a tile.
    fn of(m: usize, column_vectors: usize) -> Self {
        let vectors = crate::matmul::gemm::tile_vectors(column_vectors);
        let most = [16, 12, 8, 6][vectors - 1];
        let rows = [1, 2, 4, 6, 8, 10, 12, 14, 16]
            .into_iter()
            .filter(|&rows| rows <= most)
            .min_by_key(|&rows| {
                (
                    m.div_ceil(rows) * (rows * (vectors + 1) + vectors),
                    most - rows,
                )
            })
            .unwrap_or(1);
        Self { rows, vectors }
    }
}

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    form: Form,
    tile: Tile,
    /// Whether the vectors of `b` are laid side by side first.
    packed: bool,
    plus: bool,
}

/// One unit owns a run of tiles of rows, across matrices. Where these lie is read from `places`, see [`crate::matmul::gemm`]. Rows past the end compute the last row again and store nothing.
#[cube(launch_unchecked)]
fn batched_rows<A: Float, S: Float, F: Float, P: Float, W: Size>(
    a: &[A],
    b: &[Vector<S, One>],
    plus: &[Vector<F, One>],
    out: &mut [Vector<P, One>],
    panels: &mut [Vector<F, W>],
    places: &mut [u32],
    _unaligned: &[A],
    a_at: Matrices,
    b_at: Matrices,
    out_at: Matrices,
    extents: Extents,
    alpha: InputScalar,
    column_vectors: usize,
    most_rows: usize,
    run: usize,
    #[comptime] variant: Variant,
    #[define(A, S, F, P)] _dtypes: [cubecl::ir::ElemType; 4],
) {
    let Tile { rows, vectors } = comptime!(variant.tile);
    let turned = comptime!(variant.form == Form::TransposedA);
    let packed = comptime!(variant.packed);
    let Extents {
        heads,
        count,
        m,
        k,
        n,
    } = extents;
    let alpha = Vector::<F, W>::new(alpha.get::<F>());
    let tiles = (m + comptime!(rows - 1)) / rows;
    let panel = ABSOLUTE_POS * k * vectors;
    let mut item = ABSOLUTE_POS * run;
    let last = min(item + run, tiles * count);
    while item < last {
        let matrix = item / tiles;
        let begin = item - matrix * tiles;
        let end = min(tiles, begin + (last - item));
        item += end - begin;
        let (sample, head) = (matrix / heads, matrix % heads);
        let a_start = a_at.start(sample, head);
        let b_start = b_at.start(sample, head);
        let out_start = out_at.start(sample, head);
        let place = ABSOLUTE_POS * most_rows;
        for row in begin * rows..end * rows {
            let within = min(row, m - 1);
            let at = a_start + if turned { within } else { within * a_at.pitch };
            places[place + (row - begin * rows)] = at as u32;
        }
        for group in 0..(column_vectors + comptime!(vectors - 1)) / vectors {
            let mut columns = Array::<usize>::new(vectors);
            #[unroll]
            for j in 0..vectors {
                columns[j] = channel::<W>(group * vectors + j, n);
            }
            if packed {
                for l in 0..k {
                    #[unroll]
                    for j in 0..vectors {
                        panels[panel + l * vectors + j] =
                            if comptime!(variant.form == Form::TransposedB) {
                                column::<S, F, W>(
                                    b,
                                    b_start + columns[j] * b_at.pitch + l,
                                    b_at.pitch,
                                )
                            } else {
                                load::<S, F, One, W>(b, b_start + l * b_at.pitch + columns[j])
                            };
                    }
                }
            }
            for tile in begin..end {
                let mut acc = Array::<Vector<F, W>>::new(comptime!(rows * vectors));
                let mut starts = Array::<usize>::new(rows);
                #[unroll]
                for i in 0..rows {
                    starts[i] = places[place + (tile - begin) * rows + i] as usize;
                    #[unroll]
                    for j in 0..vectors {
                        acc[i * vectors + j] = Vector::new(F::new(0.0f32));
                    }
                }
                for l in 0..k {
                    let mut bv = Array::<Vector<F, W>>::new(vectors);
                    #[unroll]
                    for j in 0..vectors {
                        bv[j] = if packed {
                            panels[panel + l * vectors + j]
                        } else {
                            load::<S, F, One, W>(b, b_start + l * b_at.pitch + columns[j])
                        };
                    }
                    let deep = if turned { l * a_at.pitch } else { l };
                    #[unroll]
                    for i in 0..rows {
                        let av = Vector::<F, W>::cast_from(a[starts[i] + deep]);
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
                            let mut value = acc[i * vectors + j] * alpha;
                            if comptime!(variant.plus) {
                                let added = (head * m + row) * n + columns[j];
                                value += load::<F, F, One, W>(plus, added);
                            }
                            let start = out_start + row * out_at.pitch + columns[j];
                            store::<P, F, One, W>(out, start, value);
                        }
                    }
                }
            }
        }
    }
}

/// The elements that start at `start`, each `pitch` behind the one before.
#[cube]
fn column<S: Float, F: Float, W: Size>(
    x: &[Vector<S, One>],
    start: usize,
    pitch: usize,
) -> Vector<F, W> {
    let mut lanes = Vector::<S, W>::new(S::new(0.0f32));
    #[unroll]
    for lane in 0..W::value().comptime() {
        lanes.insert(lane, x[start + lane * pitch].extract(0usize));
    }
    Vector::cast_from(lanes)
}

/// Launches the products on a CPU.
pub(super) fn launch(problem: &BatchedProblem, operands: &Operands) {
    let &Operands { a, b, plus, out } = operands;
    let (client, wide) = (out.client(), problem.dtype.accumulator());
    let &BatchedProblem { m, k, n, .. } = problem;
    let lanes = Lanes::of(client, problem.dtype, n, &[out]);
    // A device that takes no vector at any address has no vectors here: matrices lie anywhere.
    let width = if lanes.item == 1 { lanes.width } else { 1 };
    let column_vectors = n.div_ceil(width);
    let tile = Tile::of(m, column_vectors);
    let form = problem.options.form;
    let grid = launch::grid(client, problem.count() * m.div_ceil(tile.rows));
    let packed = form == Form::TransposedB || m > tile.rows;
    let panel = if packed { k * tile.vectors * width } else { 0 };
    let panels = Tensor::empty(client, &[grid.units, panel], wide);
    // Of one matrix at a time.
    let most_rows = grid.run.min(m.div_ceil(tile.rows)) * tile.rows;
    let places = Tensor::empty(client, &[grid.units, most_rows], DType::F32);
    let heads = problem.options.heads;
    let alpha = planted::or("batched_without_its_factor", problem.options.alpha, 1.0);
    // SAFETY: the problem relates the extents to the tensors; a panel holds `k` rows of a group's vectors.
    unsafe {
        batched_rows::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            a.buffer(1, 0),
            b.buffer(1, 0),
            plus.unwrap_or(a).buffer(1, 0),
            out.buffer(1, 0),
            panels.buffer(width, 0),
            places.arg(1),
            lanes.unaligned(a),
            MatricesLaunch::of(a, heads),
            MatricesLaunch::of(b, heads),
            MatricesLaunch::of(out, heads),
            ExtentsLaunch::of(problem),
            problem.dtype.scalar(alpha),
            column_vectors,
            most_rows,
            grid.run,
            Variant {
                form,
                tile,
                packed,
                plus: plus.is_some(),
            },
            operands.elems(),
        );
    }
    launch::throttle(client);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_of_a_tile_lie_beside_the_matrix() {
        for m in 1..300 {
            for vectors in 1..20 {
                let tile = Tile::of(m, vectors);
                assert!(tile.rows * tile.vectors <= 24, "{tile:?}");
                let beside = m.next_multiple_of(tile.rows) - m;
                assert!(8 * beside <= 3 * m, "{beside} of {m} in {tile:?}");
            }
        }
        assert_eq!(Tile::of(4, 1).rows, 4);
    }
}
