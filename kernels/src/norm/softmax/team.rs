//! Softmax and its gradient on GPUs: a team a row ([`crate::team`]), one launch each.
//!
//! **One team owns** a row: forward it walks it three times, for the maximum, the sum of exponentials and the result, which takes each
//! exponential again instead of writing and reading it; backward twice. A row that fits in a cache comes from memory once.

use super::forward::largest;
use crate::lanes::{Lanes, load, store};
use crate::team::{Team, Teams};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// Numbers that are reduced at a time.
type One = Const<1>;

/// The softmax of each row. One team owns a row.
#[cube(launch_unchecked)]
fn softmax_by_teams<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    rows: usize,
    in_row: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, One>::new(rows, team);
    // The result may lie over what is read.
    let vectors = team.walks(in_row);
    let start = team.row * in_row * N::value();
    let mut top = Vector::<F, N>::new(F::min_value());
    let mut v = team.unit;
    while v < vectors {
        let z = load::<S, F, B, N>(x, start + v * N::value());
        top = select_many(z.greater_than(&top), z, top);
        v += team.size;
    }
    let max = team.max(Vector::new(largest::<F, N>(top)));
    let max = Vector::<F, N>::new(max.extract(0usize));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut sum = zero;
    let mut v = team.unit;
    while v < vectors {
        let mut part = zero;
        let end = team.block(v, vectors);
        while v < end {
            part += (load::<S, F, B, N>(x, start + v * N::value()) - max).exp();
            v += team.size;
        }
        sum += part;
    }
    let sum = team.sum(Vector::new(sum.vector_sum()));
    let share = Vector::<F, N>::new(F::new(1.0f32) / sum.extract(0usize));
    if team.there {
        let mut v = team.unit;
        while v < vectors {
            let offset = start + v * N::value();
            let e = (load::<S, F, B, N>(x, offset) - max).exp();
            store::<S, F, B, N>(y, offset, e * share);
            v += team.size;
        }
    }
}

/// `out = y (grad - sum of grad y)`, row by row. One team owns a row.
#[cube(launch_unchecked)]
fn softmax_grad_by_teams<S: Float, F: Float, B: Size, N: Size>(
    y: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    rows: usize,
    in_row: usize,
    team: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut team = Team::<F, One>::new(rows, team);
    // The result may lie over what is read.
    let vectors = team.walks(in_row);
    let start = team.row * in_row * N::value();
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let mut product = zero;
    let mut v = team.unit;
    while v < vectors {
        let mut part = zero;
        let end = team.block(v, vectors);
        while v < end {
            let offset = start + v * N::value();
            part = fma(
                load::<S, F, B, N>(grad, offset),
                load::<S, F, B, N>(y, offset),
                part,
            );
            v += team.size;
        }
        product += part;
    }
    let mean = team.sum(Vector::new(product.vector_sum()));
    let mean = Vector::<F, N>::new(mean.extract(0usize));
    if team.there {
        let mut v = team.unit;
        while v < vectors {
            let offset = start + v * N::value();
            let value = load::<S, F, B, N>(y, offset) * (load::<S, F, B, N>(grad, offset) - mean);
            store::<S, F, B, N>(out, offset, value);
            v += team.size;
        }
    }
}

/// Launches the softmax of the rows of `length` elements of `x` into `y`, on a device that is no CPU.
pub(super) fn launch_softmax(x: &Tensor, y: &Tensor, length: usize) {
    let (client, dtype) = (x.client(), x.dtype());
    let lanes = Lanes::apart(client, dtype, length, &[x, y]);
    let rows = x.len() / length;
    let teams = Teams::of(client, rows, lanes.vectors());
    let [x_arg, y_arg] = lanes.args_over(x, y);
    // SAFETY: both hold `rows` rows of `length` elements, and teams past the last row write nothing.
    unsafe {
        softmax_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            x_arg,
            y_arg,
            rows,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}

/// Launches the gradient of the rows of `length` elements into `out`, on a device that is no CPU.
pub(super) fn launch_backward(y: &Tensor, grad: &Tensor, out: &Tensor, length: usize) {
    let (client, dtype) = (y.client(), y.dtype());
    let lanes = Lanes::apart(client, dtype, length, &[y, grad, out]);
    let rows = y.len() / length;
    let teams = Teams::of(client, rows, lanes.vectors());
    let [grad_arg, out_arg] = lanes.args_over_at(1, grad, out);
    // SAFETY: all three hold `rows` rows of `length` elements, and teams past the last row write nothing.
    unsafe {
        softmax_grad_by_teams::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            lanes.item,
            lanes.width,
            lanes.arg(y),
            grad_arg,
            out_arg,
            rows,
            lanes.vectors(),
            teams.size,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
