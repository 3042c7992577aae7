use crate::lanes::{View, channel, load, store};
use crate::pointwise::activation::{Activation, activate};
use crate::pointwise::per_image::{BlockRun, Blocks};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y = max(x + m, 0)`. One unit owns a share of the blocks of pixels.
#[cube(launch_unchecked)]
fn add_relu_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    m: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    run: BlockRun,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for block in run.first()..run.end() {
        let row = run.image(block) * run.channels;
        for v in run.vectors_from()..run.vectors_to() {
            let c = channel::<N>(v, run.channels);
            let mix = load::<S, F, B, N>(m, row + c);
            for pixel in range_stepped(run.from(block), run.to(block), run.step()) {
                let sum = load::<S, F, B, N>(x, x_view.at(pixel) + c) + mix;
                let value = activate::<F, N>(sum, comptime!(Activation::Relu));
                store::<S, F, B, N>(y, y_view.at(pixel) + c, value);
            }
        }
    }
}

/// Launches `y = max(x + m, 0)` over the images `shape`; `y` may be `x`.
pub(super) fn launch_add_relu(shape: [usize; 4], x: &Tensor, m: &Tensor, y: &Tensor) {
    let in_place = y.is_over(x);
    let blocks = if in_place {
        Blocks::once(shape, &[x, m])
    } else {
        Blocks::of(shape, &[x, m, y])
    };
    let y = if in_place { x } else { y };
    let [operand, result] = blocks.lanes.args_over(x, y);
    // SAFETY: `x` and `y` hold the pixels of `blocks`, `m` a row an image.
    unsafe {
        add_relu_kernel::launch_unchecked(
            blocks.client,
            blocks.cubes(),
            blocks.units(),
            blocks.lanes.item,
            blocks.lanes.width,
            operand,
            blocks.lanes.arg(m),
            result,
            blocks.lanes.unaligned(x),
            x.view(),
            y.view(),
            blocks.run(),
            x.dtype().elems(),
        );
    }
    launch::throttle(blocks.client);
}
