use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::columns::{ColumnCubes, Columns};
use crate::lanes::{Lanes, View, load, store};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y[n, c] = sum over pixels of x[n, p, c] / divisor`. One cube owns some vectors of channels of an image.
#[cube(launch_unchecked)]
fn average_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    x_view: View,
    y_view: View,
    images: usize,
    pixels: usize,
    vectors: usize,
    lanes: usize,
    per_image: usize,
    divisor: InputScalar,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let mut columns = Columns::<F, N>::new(lanes);
    let cube = CUBE_POS;
    // Cubes past the last image and units past the last vector walk what is there, for the barriers, and write nothing.
    let image = min(cube / per_image, images - 1);
    let v = cube % per_image * lanes + columns.lane;
    let c = min(v, vectors - 1) * N::value();
    let own = (pixels + columns.rows - 1 - columns.row) / columns.rows;
    let mut sum = Cascade::<F, N>::new();
    for block in 0..blocks(own) {
        let mut part = Vector::<F, N>::new(F::new(0.0f32));
        for i in block_start(block)..block_end(block, own) {
            let pixel = columns.row + i * columns.rows;
            part += load::<S, F, B, N>(x, x_view.at(image * pixels + pixel) + c);
        }
        sum.add(part);
    }
    let total = columns.sum(sum.total());
    if columns.row == 0 && v < vectors && cube / per_image < images {
        let count = Vector::<F, N>::new(divisor.get::<F>());
        store::<S, F, B, N>(y, y_view.at(image) + c, total / count);
    }
}

/// Launches what [`super::forward`] launches, on a device that is no CPU.
pub(super) fn launch_average(x: &Tensor, y: &Tensor, pixels: usize, divisor: f64) {
    let (client, dtype) = (x.client(), x.dtype());
    let channels = y.len() / y.pixels();
    let lanes = Lanes::of(client, dtype, channels, &[x, y]);
    let cubes = ColumnCubes::of(client, y.pixels(), lanes.vectors());
    // SAFETY: `x` holds `pixels` values for each one of `y`.
    unsafe {
        average_by_cubes::launch_unchecked(
            client,
            cubes.count,
            cubes.dim,
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(y),
            x.view(),
            y.view(),
            y.pixels(),
            pixels,
            lanes.vectors(),
            cubes.lanes,
            cubes.per_item,
            dtype.scalar(divisor),
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
