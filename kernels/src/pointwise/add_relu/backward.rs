use crate::lanes::{View, channel, load, store};
use crate::pointwise::activation::{Activation, pull_back};
use crate::pointwise::per_image::{BlockRun, Blocks, sum_blocks};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out = grad` where `y` is positive, else 0, and `partials[block, c]` its sum over the block's pixels. One unit owns a share of
/// the blocks of pixels.
#[cube(launch_unchecked)]
fn add_relu_grad<S: Float, F: Float, B: Size, N: Size>(
    y: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    partials: &mut [Vector<F, B>],
    _unaligned: &[S],
    y_view: View,
    grad_view: View,
    run: BlockRun,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for block in run.first()..run.end() {
        for v in run.vectors_from()..run.vectors_to() {
            let c = channel::<N>(v, run.channels);
            let mut sum = Vector::<F, N>::new(F::new(0.0f32));
            for pixel in range_stepped(run.from(block), run.to(block), run.step()) {
                let value = load::<S, F, B, N>(y, y_view.at(pixel) + c);
                let arrived = load::<S, F, B, N>(grad, grad_view.at(pixel) + c);
                let passed = pull_back::<F, N>(value, arrived, comptime!(Activation::Relu));
                sum += passed;
                store::<S, F, B, N>(out, pixel * run.channels + c, passed);
            }
            store::<F, F, B, N>(partials, block * run.channels + c, sum);
        }
    }
}

/// Launches the gradient of `x` into `out`, and returns that of `m`.
pub(super) fn launch_backward(
    shape: [usize; 4],
    y: &Tensor,
    grad: &Tensor,
    out: &Tensor,
) -> Tensor {
    let [images, _, _, channels] = shape;
    let blocks = Blocks::of(shape, &[y, grad, out]);
    let (client, dtype) = (blocks.client, y.dtype());
    let shape = [images, blocks.per_image(), channels];
    let partials = Tensor::empty(client, &shape, dtype.accumulator());
    // SAFETY: `y`, `grad` and `out` hold the pixels of `blocks`, `partials` a row a block.
    unsafe {
        add_relu_grad::launch_unchecked(
            client,
            blocks.cubes(),
            blocks.units(),
            blocks.lanes.item,
            blocks.lanes.width,
            blocks.lanes.arg(y),
            blocks.lanes.arg(grad),
            blocks.lanes.arg(out),
            blocks.lanes.arg(&partials),
            blocks.lanes.unaligned(y),
            y.view(),
            grad.view(),
            blocks.run(),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let grad_m = Tensor::empty(client, &[images, channels], dtype);
    // The sum itself: the identity's slope is 1 wherever it is taken.
    sum_blocks(&partials, &partials, Activation::Identity, &grad_m);
    grad_m
}
