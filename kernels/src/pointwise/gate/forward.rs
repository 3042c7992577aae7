use crate::lanes::{View, channel, load, store};
use crate::pointwise::activation::{Activation, activate};
use crate::pointwise::per_image::{BlockRun, Blocks};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `y = x a(s)`. One unit owns a share of the blocks of pixels.
#[cube(launch_unchecked)]
fn gate_kernel<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    s: &[Vector<S, B>],
    y: &mut [Vector<S, B>],
    _unaligned: &[S],
    x_view: View,
    y_view: View,
    run: BlockRun,
    #[comptime] activation: Activation,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for block in run.first()..run.end() {
        let row = run.image(block) * run.channels;
        for v in run.vectors_from()..run.vectors_to() {
            let c = channel::<N>(v, run.channels);
            let open = activate::<F, N>(load::<S, F, B, N>(s, row + c), activation);
            for pixel in range_stepped(run.from(block), run.to(block), run.step()) {
                let value = load::<S, F, B, N>(x, x_view.at(pixel) + c);
                store::<S, F, B, N>(y, y_view.at(pixel) + c, value * open);
            }
        }
    }
}

/// Launches `y = x a(s)` over the images `shape`; `y` may be `x`.
pub(super) fn launch_gate(
    shape: [usize; 4],
    x: &Tensor,
    s: &Tensor,
    y: &Tensor,
    activation: Activation,
) {
    let in_place = y.is_over(x);
    let blocks = if in_place {
        Blocks::once(shape, &[x, s])
    } else {
        Blocks::of(shape, &[x, s, y])
    };
    let y = if in_place { x } else { y };
    let [operand, result] = blocks.lanes.args_over(x, y);
    // SAFETY: `x` and `y` hold the pixels of `blocks`, `s` a row an image.
    unsafe {
        gate_kernel::launch_unchecked(
            blocks.client,
            blocks.cubes(),
            blocks.units(),
            blocks.lanes.item,
            blocks.lanes.width,
            operand,
            blocks.lanes.arg(s),
            result,
            blocks.lanes.unaligned(x),
            x.view(),
            y.view(),
            blocks.run(),
            activation,
            x.dtype().elems(),
        );
    }
    launch::throttle(blocks.client);
}
