//! Functions of one element, and the two launches that apply any of them: what an elementwise operation needs besides its formula.
//!
//! **Computes** `y = a(x)` and `grad a'(x)` for a [`Unary`] `a`: [`super::activation`] is one, and a type of another crate can be.
//!
//! **Layout** any shape; `x`, `y` and the gradient that arrives may be channel windows.
//!
//! **One unit owns** a run of rows: the pixels of a window, or pieces of 32 vectors of a tensor without gaps.
//!
//! **Why this shape.** Memory-bound: one read and one write of everything, whatever the function, as long as it stays below the time of
//! a cache line.

use super::map::{Map, Walk};
use crate::lanes::{View, channel, load, store};
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;
use std::fmt::Debug;
use std::hash::Hash;

/// A function of one element and its derivative, in vectors. A value of the type is known when the kernel is compiled: what a
/// function can be told, and a unit struct where there is nothing to tell.
#[allow(missing_docs, reason = "`#[cube]` adds functions of its own")]
#[cube]
pub trait Unary: Copy + Debug + Eq + Hash + Send + Sync + 'static {
    /// `a(x)`.
    fn value<F: Float, N: Size>(x: Vector<F, N>, #[comptime] function: Self) -> Vector<F, N>;

    /// `grad a'(x)`.
    fn pull_back<F: Float, N: Size>(
        x: Vector<F, N>,
        grad: Vector<F, N>,
        #[comptime] function: Self,
    ) -> Vector<F, N>;
}

/// `a(x)` of every element of `x`, of any shape, which may be a window. One launch; none for an empty tensor, nor for one past
/// [`Tensor::MOST_ELEMENTS`], whose result nobody takes either.
pub fn map<A: Unary>(x: &Tensor, function: A) -> Tensor {
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !y.is_empty() && x.check_addressable("map", "x").is_ok() {
        launch_value(x, &y, function);
    }
    y
}

/// [`map()`] into `y`, of the shape of `x`, which may be `x` itself; both may be windows. One launch; none for an empty tensor.
///
/// In place no element may be computed twice: of a length (in a window, a number of channels) that no vector divides, each is then
/// computed by itself.
///
/// # Errors
/// In the name of the operation `op`, in this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape and element type of `y`; a `y` that lies
/// over a part of `x`.
pub fn map_into<A: Unary>(
    op: &'static str,
    x: &Tensor,
    function: A,
    y: &Tensor,
) -> Result<(), KernelError> {
    x.check_addressable(op, "x")?;
    y.check_view(op, "y", x.shape(), x.dtype())?;
    y.check_in_place(op, "y", ("x", x))?;
    if !y.is_empty() {
        launch_value(x, y, function);
    }
    Ok(())
}

/// The gradient of [`map()`] with respect to `x`, from `grad` of its shape; both may be windows. One launch; none for an empty tensor.
///
/// # Errors
/// In the name of the operation `op`, in this order: an `x` past [`Tensor::MOST_ELEMENTS`]; shape, then element type of `grad`.
pub fn map_backward<A: Unary>(
    op: &'static str,
    x: &Tensor,
    grad: &Tensor,
    function: A,
) -> Result<Tensor, KernelError> {
    x.check_addressable(op, "x")?;
    grad.check_view(op, "grad", x.shape(), x.dtype())?;
    let out = Tensor::empty(x.client(), x.shape(), x.dtype());
    if !out.is_empty() {
        launch_pull_back(x, grad, &out, function);
    }
    Ok(out)
}

/// `y = a(x)`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn value_kernel<S: Float, F: Float, B: Size, N: Size, A: Unary>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    walk: Walk,
    #[comptime] function: A,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for row in walk.first()..walk.end() {
        let (from, to) = (
            walk.start(row, x_view.at(row)),
            walk.start(row, y_view.at(row)),
        );
        for v in 0..walk.vectors {
            let c = channel::<N>(v, walk.length);
            let value = A::value::<F, N>(load::<S, F, B, N>(x, from + c), function);
            store::<S, F, B, N>(y, to + c, value);
        }
    }
}

/// Launches `y = a(x)`; `y` may be `x`.
fn launch_value<A: Unary>(x: &Tensor, y: &Tensor, function: A) {
    let map = if y.is_over(x) && !planted::is("in_place_twice") {
        Map::once(&[x])
    } else {
        Map::over(&[x, y])
    };
    let y = if y.is_over(x) { x } else { y };
    let [operand, result] = map.lanes.args_over(x, y);
    // SAFETY: both hold the rows of `map`.
    unsafe {
        value_kernel::launch_unchecked::<A>(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            operand,
            result,
            map.lanes.unaligned(x),
            map.view(x),
            map.view(y),
            map.walk(),
            function,
            x.dtype().elems(),
        );
    }
    launch::throttle(map.client);
}

/// `out = grad a'(x)`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn pull_back_kernel<S: Float, F: Float, B: Size, N: Size, A: Unary>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    grad_view: View,
    out_view: View,
    walk: Walk,
    #[comptime] function: A,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for row in walk.first()..walk.end() {
        let (x_at, grad_at) = (
            walk.start(row, x_view.at(row)),
            walk.start(row, grad_view.at(row)),
        );
        let to = walk.start(row, out_view.at(row));
        for v in 0..walk.vectors {
            let c = channel::<N>(v, walk.length);
            let value = load::<S, F, B, N>(x, x_at + c);
            let arrived = load::<S, F, B, N>(grad, grad_at + c);
            let passed = A::pull_back::<F, N>(value, arrived, function);
            store::<S, F, B, N>(out, to + c, passed);
        }
    }
}

/// Launches `out = grad a'(x)`.
fn launch_pull_back<A: Unary>(x: &Tensor, grad: &Tensor, out: &Tensor, function: A) {
    let map = Map::over(&[x, grad, out]);
    // SAFETY: all three hold the rows of `map`.
    unsafe {
        pull_back_kernel::launch_unchecked::<A>(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(x),
            map.lanes.arg(grad),
            map.lanes.arg(out),
            map.lanes.unaligned(x),
            map.view(x),
            map.view(grad),
            map.view(out),
            map.walk(),
            function,
            x.dtype().elems(),
        );
    }
    launch::throttle(map.client);
}
