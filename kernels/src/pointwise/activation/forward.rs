use super::{Activation, activate};
use crate::lanes::{View, channel, load, store};
use crate::pointwise::map::{Map, Walk};
use crate::{Tensor, launch, planted};
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

/// Launches `y = a(x)`; `y` may be `x`.
pub(super) fn launch_activation(x: &Tensor, y: &Tensor, activation: Activation) {
    let in_place = y.is_over(x) && !planted::is("in_place_twice");
    let map = match in_place {
        true => Map::once(&[x]),
        false => Map::over(&[x, y]),
    };
    let y = if y.is_over(x) { x } else { y };
    let [operand, result] = map.lanes.args_over(x, y);
    // SAFETY: both hold the rows of `map`.
    unsafe {
        activation_kernel::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            operand,
            result,
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
