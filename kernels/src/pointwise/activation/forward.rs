use super::{Activation, activate};
use crate::lanes::{View, channel, load, store};
use crate::pointwise::map::{Map, Walk};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y = a(x)`. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn activation_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _anywhere: &[S],
    x_view: View,
    y_view: View,
    walk: Walk,
    #[comptime] activation: Activation,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for row in walk.first()..walk.end() {
        let (from, to) = (
            walk.start(row, x_view.at(row)),
            walk.start(row, y_view.at(row)),
        );
        for v in 0..walk.vectors {
            let c = channel::<N>(v, walk.length);
            let value = activate::<F, N>(load::<S, F, B, N>(x, from + c), activation);
            store::<S, F, B, N>(y, to + c, value);
        }
    }
}

/// Launches `y = a(x)`.
pub(super) fn launch_activation(x: &Tensor, y: &Tensor, activation: Activation) {
    let map = Map::over(&[x, y]);
    // SAFETY: both hold the rows of `map`.
    unsafe {
        activation_kernel::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(x),
            map.lanes.arg(y),
            map.lanes.anywhere(x),
            map.view(x),
            map.view(y),
            map.walk(),
            activation,
            x.dtype().elems(),
        );
    }
    launch::pace(map.client);
}
