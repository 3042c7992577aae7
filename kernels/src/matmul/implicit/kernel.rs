use super::blueprint::{Blueprint, QUAD};
use super::finish::launch_finish;
use super::gather::{Images, ImagesLaunch};
use super::stage::{Job, Quad, Stage, load_quad, row_of, store_quad};
use super::{Gathered, Pass, split};
use crate::affine::{Epilogue, EpilogueArgs, Operands};
use crate::clamp::clamped;
use crate::lanes::View;
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// How the cubes of a launch are laid over the result, as a kernel argument; all but the last two in tiles.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Tiles {
    /// Along the rows of a phase or of the weight.
    rows: usize,
    /// Along the columns of a group.
    columns: usize,
    groups: usize,
    /// Residues of the stride in the transposed pass.
    residues: usize,
    /// Partial sums.
    parts: usize,
    /// Columns of a group.
    width: usize,
    /// Pixels of a partial sum.
    pixels: usize,
}

/// One cube owns a tile of the result of one group, for a residue of the transposed pass and for a partial sum. A cube past the last computes
/// that one again and writes nothing. `plain` is what the module's note calls `b`.
#[cube(launch_unchecked)]
fn implicit_kernel<S: Float, F: Float, P: Float, I: Size, B: Size>(
    a: &[Vector<S, I>],
    plain: &[Vector<S, B>],
    out: &mut [Vector<P, B>],
    operands: Operands<S, F, B>,
    a_view: View,
    plain_view: View,
    out_view: View,
    span: usize,
    images: Images,
    tiles: Tiles,
    #[comptime] blueprint: Blueprint,
    #[comptime] epilogue: Epilogue,
    #[define(S, F, P)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let [down, across] = comptime!(blueprint.units);
    let [row_quads, quads] = comptime!(blueprint.quads);
    let depth = comptime!(blueprint.depth);
    let [row_rounds, column_rounds] = comptime!(blueprint.rounds());
    let by_weight = comptime!(blueprint.by_weight());
    let all = tiles.rows * tiles.columns * tiles.groups * tiles.residues * tiles.parts;
    let there = CUBE_POS < all;
    let cube = min(CUBE_POS, all - 1);
    let unit = UNIT_POS as usize;
    let first_column = cube % tiles.columns * comptime!(blueprint.columns());
    let group = cube / tiles.columns % tiles.groups;
    let tile_row = cube / tiles.columns / tiles.groups;
    let first_row = tile_row % tiles.rows * comptime!(blueprint.rows());
    let slice = tile_row / tiles.rows;
    let part = slice / tiles.residues;

    let residue = images.residue(slice % tiles.residues, comptime!(blueprint.pass));
    let (mut rows, mut deep) = (residue.pixels, residue.taps);
    if by_weight {
        rows = residue.taps;
        deep = residue.pixels;
    }
    let grain = tiles.parts * split::GRAIN;
    let part_depth = (deep + grain - 1) / grain * split::GRAIN;
    let from = min(part * part_depth, deep);
    let to = min(from + part_depth, deep);
    let channel = group * images.channels;
    let job = Job {
        images,
        residue,
        a_view,
        plain_view,
        first_row,
        rows,
        first_column,
        width: tiles.width,
        channel,
        column: group * tiles.width,
        from,
        to,
    };

    let mut stage = Stage::<F>::new(blueprint);
    stage.place_rows(&job);
    stage.place_depths(&job, 0usize.runtime());
    stage.place_depths(&job, 1usize.runtime());
    sync_cube();

    let zero = Quad::<F>::new(F::new(0.0f32));
    let (own_row, own_column) = (unit / across, unit % across);
    let mut acc = Array::<Quad<F>>::new(comptime!(QUAD * row_quads * quads));
    #[unroll]
    for q in 0..quads {
        let mut start = zero;
        if comptime!(epilogue.bias) {
            let column = first_column + (q * across + own_column) * comptime!(QUAD);
            let first_element = job.column + column;
            start = load_quad::<S, F, B>(&operands.bias, first_element, column, tiles.width);
        }
        #[unroll]
        for r in 0..comptime!(QUAD * row_quads) {
            acc[r * quads + q] = start;
        }
    }

    let mut waiting = Array::<Quad<F>>::new(comptime!(QUAD));
    let steps = (to - from + comptime!(depth - 1)) / depth;
    if steps > 0 {
        #[unroll]
        for round in 0..comptime!(row_rounds + column_rounds) {
            stage.fetch::<S, I, B>(&job, a, plain, 0usize.runtime(), round, &mut waiting);
            stage.store(0usize.runtime(), round, &waiting);
        }
    }
    sync_cube();
    for tile in 0..steps {
        let more = tile + 1 < steps;
        #[unroll]
        for round in 0..comptime!(row_rounds + column_rounds) {
            if more {
                stage.fetch::<S, I, B>(&job, a, plain, tile + 1, round, &mut waiting);
            }
            stage.multiply(tile, round, &mut acc);
            if more {
                stage.store(tile + 1, round, &waiting);
            }
        }
        if more {
            stage.place_depths(&job, tile + 2);
        }
        sync_cube();
    }

    #[unroll]
    for q in 0..quads {
        let column = first_column + (q * across + own_column) * comptime!(QUAD);
        let channel = job.column + column;
        if comptime!(epilogue.affine) {
            let by = load_quad::<F, F, B>(&operands.scale, channel, column, tiles.width);
            let centre = load_quad::<F, F, B>(&operands.centre, channel, column, tiles.width);
            let plus = load_quad::<F, F, B>(&operands.shift, channel, column, tiles.width);
            #[unroll]
            for r in 0..comptime!(QUAD * row_quads) {
                let i = comptime!(r * quads + q);
                acc[i] = fma(acc[i] - centre, by, plus);
            }
        }
        #[unroll]
        for r in 0..comptime!(QUAD * row_quads) {
            let quad = own_row + comptime!(r / QUAD * down);
            let row = first_row + row_of(quad, comptime!(r % QUAD), blueprint);
            if there && row < rows && column < tiles.width {
                let pixel = if by_weight {
                    row
                } else {
                    job.images.target(&job.residue, row)
                };
                let mut value = acc[comptime!(r * quads + q)];
                if comptime!(epilogue.residual) {
                    let first_element = operands.residual_view.at(pixel / span) + channel;
                    value += load_quad::<S, F, B>(
                        &operands.residual,
                        first_element,
                        column,
                        tiles.width,
                    );
                }
                value = clamped::<F, Const<QUAD>>(value, comptime!(epilogue.clamp));
                let first_element = out_view.at(part * tiles.pixels + pixel) + channel;
                store_quad::<P, F, B>(out, first_element, value, column, tiles.width);
            }
        }
    }
}

/// Launches `a(i, d) b[d, j]` and what follows it into `out`, in the forward or the transposed pass. `b` is the weight in the order in
/// which the phases read it. One launch, or two where the depth is cut.
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
    launch_parts(Launch {
        gathered,
        pass,
        a,
        b,
        epilogue_args,
        out,
        rows: gathered.batch * lines * across,
        residues: residues[0] * residues[1],
        pixels: gathered.batch * gathered.target[0] * gathered.target[1],
        parts: split::of_pixels(gathered, pass),
    });
}

/// Launches the gradient `out` of a weight from the images `a` and the gradient `grad` of the output, and, where there are several
/// partial sums, their sum in order.
pub(crate) fn launch_weight(gathered: &Gathered, a: &Tensor, grad: &Tensor, out: &Tensor) {
    let rows = gathered.kernel[0] * gathered.kernel[1] * gathered.channels;
    let pixels = gathered.batch * gathered.target[0] * gathered.target[1];
    launch_parts(Launch {
        gathered,
        pass: Pass::Weight,
        a,
        b: grad,
        epilogue_args: EpilogueArgs::default(),
        out,
        rows,
        residues: 1,
        pixels: rows,
        parts: split::of_weight(pixels, [rows, gathered.columns], gathered.groups),
    });
}

struct Launch<'a> {
    gathered: &'a Gathered,
    pass: Pass,
    a: &'a Tensor,
    b: &'a Tensor,
    epilogue_args: EpilogueArgs<'a>,
    out: &'a Tensor,
    /// Rows of a residue.
    rows: usize,
    residues: usize,
    /// Pixels of the result, or rows of the weight.
    pixels: usize,
    /// Partial sums.
    parts: usize,
}

fn launch_parts(of: Launch) {
    let Launch { gathered, a, b, .. } = of;
    let (client, dtype) = (a.client(), a.dtype());
    let columns = gathered.all_columns();
    let quads = launch::widest(client, dtype) == QUAD;
    let residual = of.epilogue_args.residual.unwrap_or(of.out);
    let fits = [b, of.out, residual].iter().all(|tensor| tensor.fits(QUAD));
    let item = if quads && fits && gathered.columns.is_multiple_of(QUAD) {
        QUAD
    } else {
        1
    };
    if of.parts == 1 {
        return launch_tiles(&of, of.epilogue_args, of.out, item);
    }
    let shape = [of.parts, of.pixels, columns];
    let partials = Tensor::empty(client, &shape, dtype.accumulator());
    launch_tiles(&of, EpilogueArgs::default(), &partials, item);
    launch_finish(&partials, of.out, item, of.epilogue_args);
}

fn launch_tiles(of: &Launch, epilogue_args: EpilogueArgs, out: &Tensor, item: usize) {
    let Launch { gathered, a, b, .. } = *of;
    let (client, dtype) = (a.client(), a.dtype());
    let channels = gathered.channels;
    let wide =
        launch::widest(client, dtype) == QUAD && channels.is_multiple_of(QUAD) && a.fits(QUAD);
    let many = gathered.groups * of.residues * of.parts;
    let extents = [of.rows, gathered.columns];
    let blueprint = Blueprint::of(client, dtype, of.pass, extents, many, wide);
    let tiles = [
        of.rows.div_ceil(blueprint.rows()).max(1),
        gathered.columns.div_ceil(blueprint.columns()),
    ];
    let residual = epilogue_args.residual.unwrap_or(out);
    let a_item = if wide { QUAD } else { 1 };
    // Every element of the result is written by the unit that read what is added to it, so that the residual may lie there.
    let operands = epilogue_args.operands(item, b, out, 2);
    // SAFETY: callers relate the extents of `gathered` to the tensors; an element is read and written where these say it exists.
    unsafe {
        implicit_kernel::launch_unchecked(
            client,
            launch::cubes(client, tiles[0] * tiles[1] * many),
            CubeDim::new_1d(blueprint.cube() as u32),
            a_item,
            item,
            a.buffer(a_item, 0),
            b.buffer(item, 0),
            out.buffer(item, 0),
            operands,
            a.view(),
            b.view(),
            out.view(),
            out.pixels() / residual.pixels().max(1),
            ImagesLaunch::new(gathered.batch, channels, gathered.axis(0), gathered.axis(1)),
            TilesLaunch::new(
                tiles[0],
                tiles[1],
                gathered.groups,
                of.residues,
                of.parts,
                gathered.columns,
                of.pixels,
            ),
            blueprint,
            epilogue_args.epilogue(),
            dtype.elems_into(out),
        );
    }
    launch::throttle(client);
}
