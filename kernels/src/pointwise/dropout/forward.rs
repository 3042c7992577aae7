use super::DropoutOptions;
use super::reference::{keys, scale, threshold};
use crate::lanes::{View, channel, lane_numbers, load, store};
use crate::pointwise::map::{Map, Walk};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;

/// The finaliser of MurmurHash3 for 32 bits.
#[cube]
fn mixed<N: Size>(x: Vector<u32, N>) -> Vector<u32, N> {
    let mut h = x;
    h = (h ^ (h >> Vector::new(16u32))) * Vector::new(0x85eb_ca6bu32);
    h = (h ^ (h >> Vector::new(13u32))) * Vector::new(0xc2b2_ae35u32);
    h ^ (h >> Vector::new(16u32))
}

/// What decides about each element, as a kernel's argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Chance {
    first_key: u32,
    second_key: u32,
    /// Numbers below it are dropped.
    threshold: u32,
}

#[cube]
impl Chance {
    /// Whether each of the elements from `index` on is dropped.
    fn drops<N: Size>(&self, index: usize) -> Vector<bool, N> {
        let mut lanes = lane_numbers::<N>();
        if comptime!(planted::is("dropout_by_the_vector")) {
            lanes = Vector::new(0u32);
        }
        let place = lanes + Vector::new(u32::cast_from(index));
        let once = mixed::<N>(place ^ Vector::new(self.first_key));
        let twice = mixed::<N>(once ^ Vector::new(self.second_key));
        twice.less_than(&Vector::new(self.threshold))
    }
}

/// `y = x scale`, or `x 0` where it is dropped. One unit owns a run of rows.
#[cube(launch_unchecked)]
fn dropout_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    chance: Chance,
    scale: InputScalar,
    walk: Walk,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let scale = Vector::<F, N>::new(scale.get::<F>());
    for row in walk.first()..walk.end() {
        let (from, to) = (
            walk.start(row, x_view.at(row)),
            walk.start(row, y_view.at(row)),
        );
        let first = walk.start(row, row * walk.length);
        for v in 0..walk.vectors {
            let c = channel::<N>(v, walk.length);
            let factor = select_many(chance.drops::<N>(first + c), zero, scale);
            let value = load::<S, F, B, N>(x, from + c);
            store::<S, F, B, N>(y, to + c, value * factor);
        }
    }
}

/// Launches the dropout of `x` into `y`.
pub(super) fn launch_dropout(x: &Tensor, y: &Tensor, options: DropoutOptions) {
    let map = Map::over(&[x, y]);
    let [first_key, second_key] = keys(options.seed);
    let scale = planted::or("dropout_unscaled", scale(options.rate), 1.0);
    // SAFETY: both hold the rows of `map`.
    unsafe {
        dropout_kernel::launch_unchecked(
            map.client,
            map.cubes(),
            map.units(),
            map.lanes.item,
            map.lanes.width,
            map.lanes.arg(x),
            map.lanes.arg(y),
            map.lanes.unaligned(x),
            map.view(x),
            map.view(y),
            ChanceLaunch::new(first_key, second_key, threshold(options.rate)),
            x.dtype().scalar(scale),
            map.walk(),
            x.dtype().elems(),
        );
    }
    launch::throttle(map.client);
}
