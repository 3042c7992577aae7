use super::forward::{launch_gemm, launch_transpose};
use super::{GemmProblem, OP};
use crate::affine::EpilogueArgs;
use crate::cascade::sum_of;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::matmul::implicit::{Gathered, launch_weight};
use crate::matmul::panels::{PANEL, add_products};
use crate::prologue::{Entrance, Prologue, Source, copy_channels};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Rows of one partial sum of the gradient of `b`, at least, and the most partial sums: functions of the problem alone.
const ROWS_OF_PARTIAL: usize = 256;
const MOST_PARTIALS: usize = 32;
/// Elements that all partial sums together hold at most, unless two hold more: past that their traffic shows.
const MOST_ELEMENTS: usize = 1 << 20;
/// Rows of `a` and of the gradient that stay in the second-level cache while all tiles pass over them, and that are summed in registers.
const BLOCK: usize = 128;
/// Rows of one partial sum at most, so that f32 does not lose the last of them: 64 blocks. More partial sums hold less than a tenth of
/// what `a` and the gradient do, unless the result has more than 800 rows and columns.
const MOST_ROWS: usize = 64 * BLOCK;

/// One unit owns a run of partial sums of `a^T grad`, each over a run of rows; a tile is `taps` columns of `a` by `vectors`
/// vectors of columns of `grad`, held in registers over a block of rows. The vectors of a row lie side by side in a partial sum,
/// so that those which overlap in the result do not here, where they are updated in place.
#[cube(launch_unchecked)]
fn partial_sums<S: Float, F: Float, I: Size, W: Size>(
    a: &[S],
    grad: &[Vector<S, I>],
    partials: &mut [Vector<F, W>],
    staged: &mut [F],
    entrance: Entrance<F, I>,
    _unaligned: &[S],
    a_view: View,
    grad_view: View,
    m: usize,
    k: usize,
    n: usize,
    column_vectors: usize,
    partial_count: usize,
    run: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let block = comptime!(BLOCK);
    let zero = Vector::<F, W>::new(F::new(0.0f32));
    let per_partial = (m + partial_count - 1) / partial_count;
    let groups = (column_vectors + comptime!(vectors - 1)) / vectors;
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, partial_count);
    for partial in first..last {
        let from = min(partial * per_partial, m);
        let to = min(from + per_partial, m);
        // A partial sum without rows is still written.
        for i in 0..max((to - from + comptime!(BLOCK - 1)) / block, 1) {
            let begin = from + i * block;
            let end = min(begin + block, to);
            let stage = ABSOLUTE_POS * block * k;
            if comptime!(prologue.affine) {
                for row in begin..end {
                    copy_channels::<S, F, I, W>(
                        a,
                        a_view.at(row),
                        staged,
                        stage + (row - begin) * k,
                        0usize,
                        k,
                        &entrance,
                        prologue,
                    );
                }
            }
            for tile in 0..(k + comptime!(taps - 1)) / taps {
                for group in 0..groups {
                    let mut columns = Array::<usize>::new(vectors);
                    let mut acc = Array::<Vector<F, W>>::new(taps * vectors);
                    #[unroll]
                    for j in 0..vectors {
                        columns[j] = channel::<W>(group * vectors + j, n);
                    }
                    let out = ((partial * k + tile * taps) * groups + group) * vectors;
                    #[unroll]
                    for l in 0..taps {
                        #[unroll]
                        for j in 0..vectors {
                            acc[l * vectors + j] = zero;
                        }
                    }
                    // A tap past the end reads the last one again and stores nothing.
                    let mut shifts = Array::<usize>::new(taps);
                    #[unroll]
                    for l in 0..taps {
                        shifts[l] = min(tile * taps + l, k - 1);
                    }
                    for row in begin..end {
                        let mut start = a_view.at(row);
                        if comptime!(prologue.affine) {
                            start = stage + (row - begin) * k;
                        }
                        let grad_start = grad_view.at(row);
                        let mut gv = Array::<Vector<F, W>>::new(vectors);
                        #[unroll]
                        for j in 0..vectors {
                            gv[j] = load::<S, F, I, W>(grad, grad_start + columns[j]);
                        }
                        #[unroll]
                        for l in 0..taps {
                            let av = if comptime!(prologue.affine) {
                                Vector::<F, W>::new(staged[start + shifts[l]])
                            } else {
                                Vector::<F, W>::cast_from(a[start + shifts[l]])
                            };
                            #[unroll]
                            for j in 0..vectors {
                                acc[l * vectors + j] = fma(av, gv[j], acc[l * vectors + j]);
                            }
                        }
                    }
                    #[unroll]
                    for l in 0..taps {
                        if tile * taps + l < k {
                            #[unroll]
                            for j in 0..vectors {
                                let at = out + l * groups * vectors + j;
                                if i > 0 {
                                    acc[l * vectors + j] += partials[at];
                                }
                                partials[at] = acc[l * vectors + j];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// [`partial_sums`] of a result of more columns than one tile has: rows of `a` and of the gradient then lie pages apart, so that a unit
/// copies a block of the gradient side by side, one group of columns after another, and for every tile the columns of `a` that it takes.
#[cube(launch_unchecked)]
fn wide_partial_sums<S: Float, F: Float, I: Size, W: Size>(
    a: &[S],
    grad: &[Vector<S, I>],
    partials: &mut [Vector<F, W>],
    inputs: &mut [F],
    grads: &mut [Vector<F, W>],
    entrance: Entrance<F, I>,
    _unaligned: &[S],
    a_view: View,
    grad_view: View,
    m: usize,
    k: usize,
    n: usize,
    column_vectors: usize,
    partial_count: usize,
    run: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
    #[comptime] prologue: Prologue,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let block = comptime!(PANEL);
    let zero = Vector::<F, W>::new(F::new(0.0f32));
    let per_partial = (m + partial_count - 1) / partial_count;
    let groups = (column_vectors + comptime!(vectors - 1)) / vectors;
    let pitch = groups * vectors;
    let input_pitch = (comptime!(taps) + W::value() - 1) / W::value() * W::value();
    let inputs_start = ABSOLUTE_POS * block * input_pitch;
    let grads_start = ABSOLUTE_POS * block * pitch;
    let first = ABSOLUTE_POS * run;
    for partial in first..min(first + run, partial_count) {
        let out = partial * k * pitch;
        for i in 0..k * pitch {
            partials[out + i] = zero;
        }
        let from = min(partial * per_partial, m);
        let to = min(from + per_partial, m);
        for i in 0..(to - from + comptime!(PANEL - 1)) / block {
            let begin = from + i * block;
            let count = min(begin + block, to) - begin;
            for group in 0..groups {
                for row in 0..count {
                    let start = grad_view.at(begin + row);
                    #[unroll]
                    for j in 0..vectors {
                        let column = channel::<W>(group * vectors + j, n);
                        grads[grads_start + (group * block + row) * vectors + j] =
                            load::<S, F, I, W>(grad, start + column);
                    }
                }
            }
            for tile in 0..(k + comptime!(taps - 1)) / taps {
                let used = min(taps, k - tile * taps);
                // Whole vectors, but for the last columns: what lies behind them may be nobody's.
                let copied = select(tile * taps + input_pitch <= k, input_pitch, used);
                for row in 0..count {
                    copy_channels::<S, F, I, W>(
                        a,
                        a_view.at(begin + row) + tile * taps,
                        inputs,
                        inputs_start + row * input_pitch,
                        tile * taps,
                        copied,
                        &entrance,
                        prologue,
                    );
                }
                for group in 0..groups {
                    add_products::<F, W>(
                        &*inputs,
                        inputs_start,
                        input_pitch,
                        &*grads,
                        grads_start + group * block * vectors,
                        count,
                        partials,
                        out + tile * taps * pitch + group * vectors,
                        pitch,
                        used,
                        taps,
                        vectors,
                    );
                }
            }
        }
    }
}

/// Adds the partial sums, in blocks of neighbours, and moves each vector to its columns. One unit owns a run of rows of the result.
#[cube(launch_unchecked)]
fn add_partials<S: Float, F: Float, I: Size, W: Size>(
    partials: &[Vector<F, W>],
    out: &mut [Vector<S, I>],
    _unaligned: &[S],
    rows: usize,
    n: usize,
    column_vectors: usize,
    pitch: usize,
    partial_count: usize,
    run: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let first = ABSOLUTE_POS * run;
    for row in first..min(first + run, rows) {
        for v in 0..column_vectors {
            let sum = sum_of::<F, F, W>(partials, row * pitch + v, rows * pitch, partial_count);
            store::<S, F, I, W>(out, row * n + channel::<W>(v, n), sum);
        }
    }
}

/// Launches `grad b^T + plus` into `out`, which may be a window, as may `grad` and `plus`.
pub(crate) fn launch_grad_a(
    problem: &GemmProblem,
    b: &Tensor,
    grad: &Tensor,
    plus: Option<&Tensor>,
    out: &Tensor,
) {
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    let transposed = Tensor::empty(b.client(), &[n, k], dtype);
    launch_transpose(b, &transposed, k, n);
    let product = GemmProblem {
        m,
        k: n,
        n: k,
        bias: false,
        dtype,
    };
    let epilogue_args = EpilogueArgs {
        residual: plus,
        ..EpilogueArgs::default()
    };
    launch_gemm(&product, &grad.into(), &transposed, epilogue_args, out);
}

/// How many partial sums `m` rows of a `[k, n]` result are cut into: a power of two, so that cores share them evenly.
fn partial_count(m: usize, elements: usize) -> usize {
    let by_rows = m.div_ceil(ROWS_OF_PARTIAL).next_power_of_two();
    let by_size = (MOST_ELEMENTS / elements.max(1)).max(2);
    let fewest = m.div_ceil(MOST_ROWS).next_power_of_two();
    let most = MOST_PARTIALS.min(1 << by_size.ilog2());
    by_rows.min(most).max(fewest)
}

/// The accumulators `[taps, vectors]` of a gradient with respect to a weight of `k` rows: 24 leave room for the operands in 32
/// registers, and few rows take the fewest that cover them.
pub(crate) fn accumulators(k: usize, column_vectors: usize) -> [usize; 2] {
    let vectors = match column_vectors {
        1 => 1,
        3 => 3,
        _ => 2,
    };
    let largest = 24 / vectors;
    let taps = [1, 2, 3, 4, 6, 8, 9, 12, 16, 24]
        .into_iter()
        .filter(|&taps| taps <= largest)
        .min_by_key(|&taps| (k.div_ceil(taps) * (taps * vectors + 4), taps))
        .unwrap_or(1);
    [taps, vectors]
}

/// Launches the partial sums of `a^T grad` and their sum in a fixed order; `a` and `grad` may be windows.
pub(crate) fn launch_grad_b(
    problem: &GemmProblem,
    source: &Source,
    grad: &Tensor,
    out: &Tensor,
) -> Result<(), KernelError> {
    let a = source.map();
    let client = a.client();
    let &GemmProblem { m, k, n, dtype, .. } = problem;
    if !launch::is_cpu(client) {
        launch_weight(&Gathered::matrix(m, k, n), a, grad, out);
        return Ok(());
    }
    let lanes = Lanes::of(client, dtype, n, &[grad]);
    let [taps, vectors] = accumulators(k, lanes.vectors());
    let pitch = lanes.vectors().next_multiple_of(vectors);
    let partial_count = partial_count(m, k * n);
    let partials = Tensor::room(
        OP,
        "scratch",
        client,
        &[partial_count, k, pitch * lanes.width],
        dtype.accumulator(),
    )?;
    let grid = launch::grid(client, partial_count);
    let prologue = source.prologue();
    if lanes.vectors() > vectors {
        let input_pitch = taps.next_multiple_of(lanes.width);
        let room = |shape: &[usize]| {
            let accumulator = dtype.accumulator();
            Tensor::room(OP, "scratch", client, shape, accumulator)
        };
        let inputs = room(&[grid.units, PANEL, input_pitch])?;
        let grads = room(&[grid.units, PANEL, pitch * lanes.width])?;
        // SAFETY: as below; a unit has a panel of each operand.
        unsafe {
            wide_partial_sums::launch_unchecked(
                client,
                grid.count,
                grid.dim,
                lanes.item,
                lanes.width,
                a.buffer(1, 0),
                lanes.arg(grad),
                partials.arg(lanes.width),
                inputs.arg(1),
                grads.arg(lanes.width),
                source.entrance(lanes.item, grad),
                lanes.unaligned(a),
                a.view(),
                grad.view(),
                m,
                k,
                n,
                lanes.vectors(),
                partial_count,
                grid.run,
                taps,
                vectors,
                prologue,
                dtype.elems(),
            );
        }
        launch::throttle(client);
        launch_add_partials(&partials, out, k, &lanes, pitch);
        return Ok(());
    }
    // Without a prologue nothing is staged.
    let staged = match prologue.affine {
        true => Tensor::empty(client, &[grid.units, BLOCK * k], dtype.accumulator()),
        false => partials.clone(),
    };
    // SAFETY: `GemmProblem` relates the extents; a partial sum holds `pitch` vectors for each of `k` rows.
    unsafe {
        partial_sums::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            a.buffer(1, 0),
            lanes.arg(grad),
            partials.arg(lanes.width),
            staged.buffer(1, 0),
            source.entrance(lanes.item, grad),
            lanes.unaligned(a),
            a.view(),
            grad.view(),
            m,
            k,
            n,
            lanes.vectors(),
            partial_count,
            grid.run,
            taps,
            vectors,
            prologue,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    launch_add_partials(&partials, out, k, &lanes, pitch);
    Ok(())
}

/// Launches the sum of `partials` `[count, rows, pitch]`, in vectors, into `out`, whose `rows` rows hold the channels of `lanes`.
pub(crate) fn launch_add_partials(
    partials: &Tensor,
    out: &Tensor,
    rows: usize,
    lanes: &Lanes,
    pitch: usize,
) {
    let client = out.client();
    let grid = launch::grid(client, rows);
    // SAFETY: callers pass `rows` rows of `pitch` vectors a partial sum, and `rows` rows of channels.
    unsafe {
        add_partials::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            partials.arg(lanes.width),
            lanes.arg(out),
            lanes.unaligned(partials),
            rows,
            lanes.channels,
            lanes.vectors(),
            pitch,
            partials.shape()[0],
            grid.run,
            out.dtype().elems(),
        );
    }
    launch::throttle(client);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_sums_are_few_but_none_is_long() {
        assert_eq!(partial_count(0, 9), 1);
        assert_eq!(partial_count(257, 9), 2);
        assert_eq!(partial_count(1 << 18, 9), 32);
        // A weight of 4 Mi elements has two, until they would be too long.
        assert_eq!(partial_count(1 << 14, 1 << 22), 2);
        assert_eq!(partial_count(1 << 15, 1 << 22), 4);
        for m in [1 << 20, 1_000_001, 1 << 24] {
            assert!(m.div_ceil(partial_count(m, 64)) <= MOST_ROWS);
        }
    }
}
