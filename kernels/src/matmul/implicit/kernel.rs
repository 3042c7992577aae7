use super::gather::{ElementOffset, Images, ImagesLaunch};
use super::plan::{Plan, QUAD, partial_count};
use super::{Gathered, Pass};
use crate::affine::{Epilogue, EpilogueArgs, Operands};
use crate::clamp::clamped;
use crate::lanes::{View, ViewLaunch};
use crate::pointwise::sum_rows;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Four neighbouring rows or columns.
type Quad<F> = Vector<F, Const<QUAD>>;

/// The comptime variant of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    pass: Pass,
    plan: Plan,
    epilogue: Epilogue,
}

/// How the cubes of a launch are laid over the result, as a kernel argument; all but the last in tiles.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Tiles {
    /// Along the rows of a phase or of the weight.
    rows: usize,
    /// Along the columns of a group.
    columns: usize,
    groups: usize,
    /// Phases, or partial sums.
    slices: usize,
    /// Columns of a group.
    width: usize,
}

/// One cube owns a tile of the result of one group, for a phase of the transposed pass or for a partial sum of the weight pass. A cube
/// past the last computes that one again and writes nothing. `plain` is what the module's note calls `b`.
#[cube(launch_unchecked)]
fn implicit_kernel<S: Float, F: Float, P: Float, B: Size>(
    a: &[S],
    plain: &[Vector<S, B>],
    out: &mut [Vector<P, B>],
    operands: Operands<S, F, B>,
    a_view: View,
    plain_view: View,
    out_view: View,
    span: usize,
    images: Images,
    tiles: Tiles,
    #[comptime] variant: Variant,
    #[define(S, F, P)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let Plan {
        units: [down, across],
        quads,
        depth,
    } = comptime!(variant.plan);
    let (row_pitch, column_pitch) =
        comptime!((variant.plan.row_pitch(), variant.plan.column_pitch()));
    let (cube_units, tile_rows) = comptime!((variant.plan.cube(), variant.plan.rows()));
    let by_weight = comptime!(variant.pass == Pass::Weight);
    let all = tiles.rows * tiles.columns * tiles.groups * tiles.slices;
    let there = CUBE_POS < all;
    let cube = min(CUBE_POS, all - 1);
    let unit = UNIT_POS as usize;
    let first_column = cube % tiles.columns * comptime!(variant.plan.columns());
    let group = cube / tiles.columns % tiles.groups;
    let first_row = cube / tiles.columns / tiles.groups % tiles.rows * tile_rows;
    let slice = cube / tiles.columns / tiles.groups / tiles.rows;

    let residue = images.residue(slice, variant.pass);
    let (pixels, taps) = (residue.pixels, residue.taps);
    let (mut rows, mut from, mut to) = (pixels, 0usize.runtime(), taps);
    if by_weight {
        let part = (pixels + tiles.slices - 1) / tiles.slices;
        rows = taps;
        from = min(slice * part, pixels);
        to = min(from + part, pixels);
    }

    // What the rows of the tile add to the place of an element.
    let mut starts = Shared::<[u32]>::new_slice(tile_rows);
    let mut ys = Shared::<[u32]>::new_slice(tile_rows);
    let mut xs = Shared::<[u32]>::new_slice(tile_rows);
    #[unroll]
    for i in 0..comptime!(tile_rows.div_ceil(cube_units)) {
        let row = i * cube_units + unit;
        if row < tile_rows {
            let spot = if by_weight {
                images.tap(&residue, first_row + row, rows)
            } else {
                images.pixel(&residue, &a_view, first_row + row, rows)
            };
            starts[row] = spot.start as u32;
            ys[row] = spot.y as u32;
            xs[row] = spot.x as u32;
        }
    }
    sync_cube();

    let zero = Quad::<F>::new(F::new(0.0f32));
    let (own_row, own_column) = (unit / across, unit % across);
    let mut acc = Array::<Quad<F>>::new(comptime!(QUAD * quads));
    #[unroll]
    for q in 0..quads {
        let mut start = zero;
        if comptime!(variant.epilogue.bias) {
            let column = first_column + (q * across + own_column) * comptime!(QUAD);
            let first_element = group * tiles.width + column;
            start = load_quad::<S, F, B>(&operands.bias, first_element, column, tiles.width);
        }
        #[unroll]
        for r in 0..QUAD {
            acc[r * quads + q] = start;
        }
    }
    let mut a_tile = Shared::<[Quad<F>]>::new_slice(comptime!(depth * row_pitch));
    let mut b_tile = Shared::<[Quad<F>]>::new_slice(comptime!(depth * column_pitch));
    for step in 0..(to - from + comptime!(depth - 1)) / depth {
        let begin = from + step * depth;
        // Neighbouring units read neighbouring channels: along the depth, or in the weight pass along the rows.
        for i in 0..comptime!((depth * down).div_ceil(cube_units)) {
            let task = i * cube_units + unit;
            let (d, quad) = if by_weight {
                (task / down, task % down)
            } else {
                (task % depth, task / depth)
            };
            if task < comptime!(depth * down) {
                let deep = if by_weight {
                    images.pixel(&residue, &a_view, begin + d, to)
                } else {
                    images.tap(&residue, begin + d, to)
                };
                let mut value = zero;
                #[unroll]
                for lane in 0..QUAD {
                    let row = quad * QUAD + lane;
                    let own = ElementOffset {
                        start: starts[row] as usize,
                        y: ys[row] as usize,
                        x: xs[row] as usize,
                    };
                    let offset = group * images.channels;
                    let element = images.element::<S, F>(a, &a_view, &residue, offset, &own, &deep);
                    value.insert(lane, element);
                }
                a_tile[d * row_pitch + quad] = value;
            }
        }
        for i in 0..comptime!((depth * column_pitch).div_ceil(cube_units)) {
            let task = i * cube_units + unit;
            if task < comptime!(depth * column_pitch) {
                let deep = begin + task / column_pitch;
                let column = first_column + task % column_pitch * comptime!(QUAD);
                let mut row = min(deep, to - 1);
                if comptime!(variant.pass == Pass::Transposed) {
                    row = images.row_of(&residue, row);
                }
                let first_element = plain_view.at(row) + group * tiles.width + column;
                let value = load_quad::<S, F, B>(plain, first_element, column, tiles.width);
                b_tile[task] = select(deep < to, value, zero);
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

    #[unroll]
    for q in 0..quads {
        let column = first_column + (q * across + own_column) * comptime!(QUAD);
        let channel = group * tiles.width + column;
        if comptime!(variant.epilogue.affine) {
            let by = load_quad::<F, F, B>(&operands.scale, channel, column, tiles.width);
            let centre = load_quad::<F, F, B>(&operands.centre, channel, column, tiles.width);
            let plus = load_quad::<F, F, B>(&operands.shift, channel, column, tiles.width);
            #[unroll]
            for r in 0..QUAD {
                let i = comptime!(r * quads + q);
                acc[i] = fma(acc[i] - centre, by, plus);
            }
        }
        #[unroll]
        for r in 0..QUAD {
            let row = first_row + own_row * QUAD + r;
            if there && row < rows && column < tiles.width {
                let pixel = if by_weight {
                    slice * rows + row
                } else {
                    images.target(&residue, row)
                };
                let mut value = acc[comptime!(r * quads + q)];
                if comptime!(variant.epilogue.residual) {
                    let first_element = operands.residual_view.at(pixel / span) + channel;
                    value += load_quad::<S, F, B>(
                        &operands.residual,
                        first_element,
                        column,
                        tiles.width,
                    );
                }
                value = clamped::<F, Const<QUAD>>(value, comptime!(variant.epilogue.clamp));
                let first_element = out_view.at(pixel) + channel;
                store_quad::<P, F, B>(out, first_element, value, column, tiles.width);
            }
        }
    }
}

/// The elements from `first_element` on of those of a group's columns `column..column + 4` that are below `width`; the others hold any number
/// that is none of another group.
#[cube]
fn load_quad<S: Float, F: Float, B: Size>(
    x: &[Vector<S, B>],
    first_element: usize,
    column: usize,
    width: usize,
) -> Quad<F> {
    let item = B::value().comptime();
    // The group's first column is there whatever the tile.
    let first = first_element - column;
    if comptime!(item == QUAD) {
        Quad::<F>::cast_from(x[select(column < width, first_element, first) / QUAD])
    } else {
        let mut value = Quad::<F>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..QUAD {
            let from = select(column + lane < width, first_element + lane, first);
            value.insert(lane, F::cast_from(x[from].extract(0usize)));
        }
        value
    }
}

/// Writes those of the elements from `first_element` on whose columns, of which the first is, are below `width`.
#[cube]
fn store_quad<S: Float, F: Float, B: Size>(
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

/// Launches `a(i, d) b[d, j]` and what follows it into `out`, in the forward or the transposed pass. `b` is the weight in the order in
/// which the phases read it. One launch.
pub(crate) fn launch_implicit(
    gathered: &Gathered,
    pass: Pass,
    a: &Tensor,
    b: &Tensor,
    epilogue_args: EpilogueArgs,
    out: &Tensor,
) {
    let residues = match pass {
        Pass::Transposed => gathered.stride,
        _ => [1, 1],
    };
    let [lines, across] = [0, 1].map(|axis| gathered.target[axis].div_ceil(residues[axis]));
    launch_slices(Launch {
        gathered,
        pass,
        a,
        b,
        b_view: ViewLaunch::new(0, gathered.all_columns()),
        epilogue_args,
        out,
        out_view: out.view(),
        rows: gathered.batch * lines * across,
        slices: residues[0] * residues[1],
    });
}

/// Launches the gradient `out` of a weight from the images `a` and the gradient `grad` of the output, and, where there are several
/// partial sums, their sum in order.
pub(crate) fn launch_weight(gathered: &Gathered, a: &Tensor, grad: &Tensor, out: &Tensor) {
    let rows = gathered.kernel[0] * gathered.kernel[1] * gathered.channels;
    let pixels = gathered.batch * gathered.target[0] * gathered.target[1];
    let slices = partial_count(pixels, [rows, gathered.columns], gathered.groups);
    let partials = match slices {
        1 => out.clone(),
        _ => Tensor::empty(a.client(), &[slices, out.len()], a.dtype().accumulator()),
    };
    launch_slices(Launch {
        gathered,
        pass: Pass::Weight,
        a,
        b: grad,
        b_view: grad.view(),
        epilogue_args: EpilogueArgs::default(),
        out: &partials,
        out_view: ViewLaunch::new(0, gathered.all_columns()),
        rows,
        slices,
    });
    if slices > 1 {
        sum_rows(&partials, out);
    }
}

struct Launch<'a> {
    gathered: &'a Gathered,
    pass: Pass,
    a: &'a Tensor,
    b: &'a Tensor,
    b_view: ViewLaunch,
    epilogue_args: EpilogueArgs<'a>,
    out: &'a Tensor,
    out_view: ViewLaunch,
    /// Rows of a slice.
    rows: usize,
    slices: usize,
}

fn launch_slices(of: Launch) {
    let Launch { gathered, a, b, .. } = of;
    let (client, dtype) = (a.client(), a.dtype());
    let plan = Plan::of(client, dtype, gathered.columns);
    let residual = of.epilogue_args.residual.unwrap_or(of.out);
    let tiles = [
        of.rows.div_ceil(plan.rows()).max(1),
        gathered.columns.div_ceil(plan.columns()),
        gathered.groups,
        of.slices,
    ];
    let fits = [b, of.out, residual].iter().all(|tensor| tensor.fits(QUAD));
    let wide =
        gathered.columns.is_multiple_of(QUAD) && fits && launch::widest(client, dtype) == QUAD;
    let item = if wide { QUAD } else { 1 };
    // Every element of the result is written by the unit that read what is added to it, so that the residual may lie there.
    let operands = of.epilogue_args.operands(item, b, of.out, 2);
    // SAFETY: callers relate the extents of `gathered` to the tensors; an element is read and written where these say it exists.
    unsafe {
        implicit_kernel::launch_unchecked(
            client,
            launch::cubes(client, tiles.iter().product()),
            CubeDim::new_1d(plan.cube() as u32),
            item,
            a.buffer(1, 0),
            b.buffer(item, 0),
            of.out.buffer(item, 0),
            operands,
            a.view(),
            of.b_view,
            of.out_view,
            of.out.pixels() / residual.pixels().max(1),
            ImagesLaunch::new(
                gathered.batch,
                gathered.channels,
                gathered.axis(0),
                gathered.axis(1),
            ),
            TilesLaunch::new(tiles[0], tiles[1], tiles[2], tiles[3], gathered.columns),
            Variant {
                pass: of.pass,
                plan,
                epilogue: of.epilogue_args.epilogue(),
            },
            dtype.elems_into(of.out),
        );
    }
    launch::throttle(client);
}
