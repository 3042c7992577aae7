//! Maps over elements: activations, dropout, what joins a map with a vector per image, and the small sums that other operations share.

pub mod activation;
mod add_at;
pub mod add_relu;
mod convert;
pub mod dropout;
mod flat;
pub mod gate;
mod map;
mod per_image;
mod tall;
mod unary;

pub use add_at::add_at;
pub use convert::{convert, cost_of_convert};
pub use unary::{Unary, map, map_backward, map_into};

use crate::cascade::sum_of;
use crate::lanes::{View, channel, load, store};
use crate::memory::is_fenced;
use crate::{Cost, DType, KernelError, Tensor, launch, planted};
use cubecl::prelude::*;
use flat::{Flat, Span};
use map::{Map, Walk};

/// `out[i] = sum over r of rows[r, i]`, in blocks of neighbouring `r`. One unit owns a run of vectors of columns.
#[cube(launch_unchecked)]
fn sum_rows_kernel<R: Float, S: Float, F: Float, N: Size>(
    rows: &[Vector<R, N>],
    out: &mut [Vector<S, N>],
    count: usize,
    span: Span,
    #[define(R, S, F)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    for i in span.first()..span.end() {
        let sum = sum_of::<R, F, N>(rows, i, span.all(), count);
        out[i] = Vector::cast_from(sum);
    }
}

/// The element types of a sum of `rows`, which may be partial results and wider than `out`.
fn sums_of(rows: &Tensor, out: &Tensor) -> [cubecl::ir::ElemType; 3] {
    let [stored, wide] = out.dtype().elems();
    [rows.dtype().elem(), stored, wide]
}

/// Sums `rows` `[r, ..]` over its first axis into `out`; `r` is at least 1.
pub(crate) fn sum_rows(rows: &Tensor, out: &Tensor) {
    let flat = Flat::over(out);
    let (count, columns) = (rows.len() / out.len(), out.len() / flat.width);
    if let Some((cubes, units)) = tall::cubes(flat.client, count, columns) {
        // SAFETY: as below.
        unsafe {
            tall::sum_tall_kernel::launch_unchecked(
                flat.client,
                cubes,
                units,
                flat.width,
                flat.arg(rows),
                flat.arg(out),
                count,
                columns,
                sums_of(rows, out),
            );
        }
        return;
    }
    // SAFETY: callers pass `rows` with as many columns as `out` has elements.
    unsafe {
        sum_rows_kernel::launch_unchecked(
            flat.client,
            flat.cubes(),
            flat.units(),
            flat.width,
            flat.arg(rows),
            flat.arg(out),
            count,
            flat.span(),
            sums_of(rows, out),
        );
    }
    launch::throttle(flat.client);
}

/// [`sum_rows_kernel`] whose columns from `split` on go to `tail`.
#[cube(launch_unchecked)]
fn sum_rows_apart_kernel<R: Float, S: Float, F: Float, N: Size>(
    rows: &[Vector<R, N>],
    head: &mut [Vector<S, N>],
    tail: &mut [Vector<S, N>],
    count: usize,
    columns: usize,
    split: usize,
    run: usize,
    #[define(R, S, F)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, columns);
    for i in first..last {
        let sum = sum_of::<R, F, N>(rows, i, columns, count);
        if i < split {
            head[i] = Vector::cast_from(sum);
        } else {
            tail[i - split] = Vector::cast_from(sum);
        }
    }
}

/// Sums `rows` `[r, ..]` over its first axis, the first columns into `head` and the rest into `tail`; `r` is at least 1. Both are
/// tensors of their own, as slices of one would have to start at [`Tensor::slice_alignment`].
pub(crate) fn sum_rows_apart(rows: &Tensor, head: &Tensor, tail: &Tensor) {
    let client = rows.client();
    let width = launch::width(client, rows.dtype(), head.len()).min(launch::width(
        client,
        rows.dtype(),
        tail.len(),
    ));
    let columns = (head.len() + tail.len()) / width;
    let (count, split) = (rows.len() / width / columns, head.len() / width);
    if let Some((cubes, units)) = tall::cubes(client, count, columns) {
        // SAFETY: as below.
        unsafe {
            tall::sum_tall_apart_kernel::launch_unchecked(
                client,
                cubes,
                units,
                width,
                rows.arg(width),
                head.arg(width),
                tail.arg(width),
                count,
                columns,
                split,
                sums_of(rows, head),
            );
        }
        return;
    }
    let grid = launch::grid(client, columns);
    // SAFETY: callers pass `rows` with as many columns as both results have elements.
    unsafe {
        sum_rows_apart_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            width,
            rows.arg(width),
            head.arg(width),
            tail.arg(width),
            count,
            columns,
            split,
            grid.run,
            sums_of(rows, head),
        );
    }
    launch::throttle(client);
}

/// `into += add`. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn add_kernel<S: Float, F: Float, N: Size>(
    into: &mut [Vector<S, N>],
    add: &[Vector<S, N>],
    span: Span,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for i in span.first()..span.end() {
        let sum = Vector::<F, N>::cast_from(into[i]) + Vector::cast_from(add[i]);
        into[i] = Vector::cast_from(sum);
    }
}

/// Adds `add` to `into`, in place; both of the same shape, or the same tensor. One launch.
///
/// # Errors
/// In this order: `into` is a window; shape or element type of `add` differs from `into`'s; `into` lies over a part of `add`.
pub fn add_into(into: &Tensor, add: &Tensor) -> Result<(), KernelError> {
    into.check_whole("add_into", "into")?;
    add.check("add_into", "add", into.shape(), into.dtype())?;
    into.check_in_place("add_into", "into", ("add", add))?;
    if into.is_empty() {
        return Ok(());
    }
    let flat = Flat::over(into);
    let target = flat.arg(into);
    // A device may count on two arguments being two buffers.
    let added = if into.is_over(add) {
        BufferArg::alias(0, target.len())
    } else {
        flat.arg(add)
    };
    // SAFETY: both hold the same number of vectors.
    unsafe {
        add_kernel::launch_unchecked(
            flat.client,
            flat.cubes(),
            flat.units(),
            flat.width,
            target,
            added,
            flat.span(),
            flat.elems,
        );
    }
    launch::throttle(flat.client);
    Ok(())
}

/// `out = x + plus`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn sum_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    plus: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    plus_view: View,
    out_view: View,
    walk: Walk,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let ahead = comptime!(usize::from(is_fenced() && planted::is("add_past_the_end")));
    for row in walk.first()..walk.end() {
        let x_at = walk.start(row, x_view.at(row));
        let plus_at = walk.start(row, plus_view.at(row)) + ahead;
        let to = walk.start(row, out_view.at(row));
        for v in 0..walk.vectors {
            let c = channel::<N>(v, walk.length);
            let sum = load::<S, F, B, N>(x, x_at + c) + load::<S, F, B, N>(plus, plus_at + c);
            store::<S, F, B, N>(out, to + c, sum);
        }
    }
}

/// The sum of `a` and `b`, of the same shape, either of which may be a window, in a tensor of its own. One launch; none for an empty
/// tensor.
///
/// # Errors
/// An `a` past [`Tensor::MOST_ELEMENTS`], then shape or element type of `b` differs from `a`'s.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    a.check_addressable("add", "a")?;
    b.check_view("add", "b", a.shape(), a.dtype())?;
    let out = Tensor::empty(a.client(), a.shape(), a.dtype());
    if a.is_empty() {
        return Ok(out);
    }
    let map = Map::over(&[a, b, &out]);
    // SAFETY: all three hold the rows of `map`.
    unsafe {
        sum_kernel::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(a),
            map.lanes.arg(b),
            map.lanes.arg(&out),
            map.lanes.unaligned(a),
            map.view(a),
            map.view(b),
            map.view(&out),
            map.walk(),
            a.dtype().elems(),
        );
    }
    launch::throttle(map.client);
    Ok(out)
}

/// Reads both tensors, writes one.
pub fn cost_of_add(into: &Tensor) -> Cost {
    Cost::traffic(2 * into.len(), into.len(), into.dtype().size())
}

/// `out[row, i] = value`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn fill_kernel<S: Float, F: Float, B: Size, N: Size>(
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    view: View,
    value: InputScalar,
    walk: Walk,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let value = Vector::<F, N>::new(value.get::<F>());
    for row in walk.first()..walk.end() {
        let start = walk.start(row, view.at(row));
        for v in 0..walk.vectors {
            store::<S, F, B, N>(out, start + channel::<N>(v, walk.length), value);
        }
    }
}

/// Sets every element of `out`, which may be a window, to `value`. One launch; none for a tensor past [`Tensor::MOST_ELEMENTS`], which
/// nobody reads either.
pub fn fill(out: &Tensor, value: f64) {
    if out.is_empty() || out.check_addressable("fill", "out").is_err() {
        return;
    }
    let mut map = Map::over(&[out]);
    if is_fenced() && planted::is("fill_past_the_end") {
        map.stretch();
    }
    // SAFETY: the kernel stops at the last element of the last row.
    unsafe {
        fill_kernel::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(out),
            map.lanes.unaligned(out),
            map.view(out),
            out.dtype().scalar(value),
            map.walk(),
            out.dtype().elems(),
        );
    }
    launch::throttle(map.client);
}

/// `out = x factor[0]`. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn scale_kernel<R: Float, S: Float, F: Float, N: Size>(
    x: &[Vector<R, N>],
    factor: &[F],
    out: &mut [Vector<S, N>],
    span: Span,
    #[define(R, S, F)] _dtypes: [cubecl::ir::ElemType; 3],
) {
    let by = Vector::<F, N>::new(factor[0]);
    for i in span.first()..span.end() {
        let mut value = Vector::<F, N>::cast_from(x[i]);
        if comptime!(planted::is("rounded_before_its_scale")) {
            value = Vector::cast_from(Vector::<S, N>::cast_from(value));
        }
        out[i] = Vector::cast_from(value * by);
    }
}

/// `x` times the scalar `factor` `[1]`, in the accumulator of `x`'s element type, which stays on the device. One launch.
///
/// # Errors
/// `x` is a window, then shape of `factor` is not `[1]`, or its element type is not that accumulator.
pub fn scale(x: &Tensor, factor: &Tensor) -> Result<Tensor, KernelError> {
    scale_to(x, factor, x.dtype())
}

/// [`scale`], the product rounded once to `dtype`: a factor saves what 16 bits would have rounded to 0 before it. One launch.
///
/// # Errors
/// Those of [`scale`].
pub fn scale_to(x: &Tensor, factor: &Tensor, dtype: DType) -> Result<Tensor, KernelError> {
    let accumulator = x.dtype().accumulator();
    x.check_whole("scale", "x")?;
    factor.check("scale", "factor", &[1], accumulator)?;
    let out = Tensor::empty(x.client(), x.shape(), dtype);
    if x.is_empty() {
        return Ok(out);
    }
    let flat = Flat::over(x);
    // SAFETY: both hold the same number of vectors.
    unsafe {
        scale_kernel::launch_unchecked(
            flat.client,
            flat.cubes(),
            flat.units(),
            flat.width,
            flat.arg(x),
            factor.arg(1),
            flat.arg(&out),
            flat.span(),
            [x.dtype().elem(), dtype.elem(), accumulator.elem()],
        );
    }
    launch::throttle(flat.client);
    Ok(out)
}
