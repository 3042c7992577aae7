use super::{Activation, pull_back};
use crate::lanes::{View, channel, load, store};
use crate::pointwise::map::{Map, Walk};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out = grad a'(x)`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn activation_grad<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _anywhere: &[S],
    x_view: View,
    grad_view: View,
    out_view: View,
    walk: Walk,
    #[comptime] activation: Activation,
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
            store::<S, F, B, N>(out, to + c, pull_back::<F, N>(value, arrived, activation));
        }
    }
}

/// Launches `out = grad a'(x)`.
pub(super) fn launch_backward(x: &Tensor, grad: &Tensor, out: &Tensor, activation: Activation) {
    let map = Map::over(&[x, grad, out]);
    // SAFETY: all three hold the rows of `map`.
    unsafe {
        activation_grad::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(x),
            map.lanes.arg(grad),
            map.lanes.arg(out),
            map.lanes.anywhere(x),
            map.view(x),
            map.view(grad),
            map.view(out),
            map.walk(),
            activation,
            x.dtype().elems(),
        );
    }
    launch::pace(map.client);
}
