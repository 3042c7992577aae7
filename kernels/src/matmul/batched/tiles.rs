use super::plan::{Plan, QUAD};
use super::views::{Extents, ExtentsLaunch, Matrices, MatricesLaunch, Operands};
use super::{BatchedProblem, Form};
use crate::launch;
use crate::planted;
use cubecl::prelude::*;

/// Four neighbouring rows or columns.
type Quad<F> = Vector<F, Const<QUAD>>;

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    form: Form,
    plan: Plan,
    plus: bool,
}

/// One cube owns a tile of one matrix. A cube past the last computes that one again and writes nothing.
#[cube(launch_unchecked)]
fn batched_tiles<A: Float, S: Float, F: Float, P: Float>(
    a: &[A],
    b: &[S],
    plus: &[F],
    out: &mut [P],
    a_at: Matrices,
    b_at: Matrices,
    out_at: Matrices,
    extents: Extents,
    alpha: InputScalar,
    tile_rows: usize,
    tile_columns: usize,
    #[comptime] variant: Variant,
    #[define(A, S, F, P)] _dtypes: [cubecl::ir::ElemType; 4],
) {
    let Plan {
        units: [down, across],
        quads,
        depth,
    } = comptime!(variant.plan);
    let (row_pitch, column_pitch) =
        comptime!((variant.plan.row_pitch(), variant.plan.column_pitch()));
    let cube_units = comptime!(variant.plan.cube());
    let (turned_a, turned_b) = comptime!((
        variant.form == Form::TransposedA,
        variant.form == Form::TransposedB
    ));
    let Extents {
        heads,
        count,
        m,
        k,
        n,
    } = extents;
    let all = tile_rows * tile_columns * count;
    let there = CUBE_POS < all;
    let cube = min(CUBE_POS, all - 1);
    let unit = UNIT_POS as usize;
    let first_column = cube % tile_columns * comptime!(variant.plan.columns());
    let first_row = cube / tile_columns % tile_rows * comptime!(variant.plan.rows());
    let matrix = cube / tile_columns / tile_rows;
    let (sample, head) = (matrix / heads, matrix % heads);
    let a_start = a_at.start(sample, head);
    let b_start = b_at.start(sample, head);

    let zero = Quad::<F>::new(F::new(0.0f32));
    let (own_row, own_column) = (unit / across, unit % across);
    let mut acc = Array::<Quad<F>>::new(comptime!(QUAD * quads));
    #[unroll]
    for i in 0..comptime!(QUAD * quads) {
        acc[i] = zero;
    }
    let mut a_tile = Shared::<[Quad<F>]>::new_slice(comptime!(depth * row_pitch));
    let mut b_tile = Shared::<[Quad<F>]>::new_slice(comptime!(depth * column_pitch));
    for step in 0..(k + comptime!(depth - 1)) / depth {
        // Neighbouring units read neighbouring elements: along the depth, or, of a factor that lies the other way, across it.
        for i in 0..comptime!((depth * down).div_ceil(cube_units)) {
            let task = i * cube_units + unit;
            let (d, quad) = if turned_a {
                (task / down, task % down)
            } else {
                (task % depth, task / depth)
            };
            if task < comptime!(depth * down) {
                let deep = step * depth + d;
                let safe = min(deep, k - 1);
                let mut value = zero;
                #[unroll]
                for lane in 0..QUAD {
                    let row = min(first_row + quad * QUAD + lane, m - 1);
                    let element = if turned_a {
                        safe * a_at.pitch + row
                    } else {
                        row * a_at.pitch + safe
                    };
                    value.insert(lane, F::cast_from(a[a_start + element]));
                }
                a_tile[d * row_pitch + quad] = select(deep < k, value, zero);
            }
        }
        for i in 0..comptime!((depth * column_pitch).div_ceil(cube_units)) {
            let task = i * cube_units + unit;
            let (d, quad) = if turned_b {
                (task % depth, task / depth)
            } else {
                (task / column_pitch, task % column_pitch)
            };
            if task < comptime!(depth * column_pitch) {
                let deep = step * depth + d;
                let safe = min(deep, k - 1);
                let mut value = zero;
                #[unroll]
                for lane in 0..QUAD {
                    let column = min(first_column + quad * QUAD + lane, n - 1);
                    let element = if turned_b {
                        column * b_at.pitch + safe
                    } else {
                        safe * b_at.pitch + column
                    };
                    value.insert(lane, F::cast_from(b[b_start + element]));
                }
                b_tile[d * column_pitch + quad] = select(deep < k, value, zero);
            }
        }
        sync_cube();
        for d in 0..depth {
            let av = a_tile[d * row_pitch + own_row];
            #[unroll]
            for q in 0..quads {
                let bv = b_tile[d * column_pitch + q * across + own_column];
                #[unroll]
                for r in 0..QUAD {
                    let i = comptime!(r * quads + q);
                    acc[i] = fma(Quad::<F>::new(av.extract(r)), bv, acc[i]);
                }
            }
        }
        sync_cube();
    }

    let alpha = Quad::<F>::new(alpha.get::<F>());
    let out_start = out_at.start(sample, head);
    #[unroll]
    for r in 0..QUAD {
        let row = first_row + own_row * QUAD + r;
        #[unroll]
        for q in 0..quads {
            let values = acc[comptime!(r * quads + q)] * alpha;
            #[unroll]
            for lane in 0..QUAD {
                let column = first_column + (q * across + own_column) * comptime!(QUAD) + lane;
                if there && row < m && column < n {
                    let mut value = values.extract(lane);
                    if comptime!(variant.plus) {
                        value += plus[(head * m + row) * n + column];
                    }
                    out[out_start + row * out_at.pitch + column] = P::cast_from(value);
                }
            }
        }
    }
}

/// Launches the products on a device that is no CPU.
pub(super) fn launch(problem: &BatchedProblem, operands: &Operands) {
    let &Operands { a, b, plus, out } = operands;
    let client = out.client();
    let plan = Plan::of(client, problem.dtype, problem.n);
    let tiles = [
        problem.m.div_ceil(plan.rows()),
        problem.n.div_ceil(plan.columns()),
    ];
    let heads = problem.options.heads;
    let alpha = planted::or("batched_without_its_factor", problem.options.alpha, 1.0);
    // SAFETY: the problem relates the extents to the tensors, and every index is held within a matrix.
    unsafe {
        batched_tiles::launch_unchecked(
            client,
            launch::cubes(client, tiles[0] * tiles[1] * problem.count()),
            CubeDim::new_1d(plan.cube() as u32),
            a.buffer(1, 0),
            b.buffer(1, 0),
            plus.unwrap_or(a).buffer(1, 0),
            out.buffer(1, 0),
            MatricesLaunch::of(a, heads),
            MatricesLaunch::of(b, heads),
            MatricesLaunch::of(out, heads),
            ExtentsLaunch::of(problem),
            problem.dtype.scalar(alpha),
            tiles[0],
            tiles[1],
            Variant {
                form: problem.options.form,
                plan,
                plus: plus.is_some(),
            },
            operands.elems(),
        );
    }
    launch::throttle(client);
}
