use crate::lanes::{View, channel, load, store};
use crate::planted;
use crate::pointwise::activation::{Activation, activate};
use crate::pointwise::per_image::{BlockRun, Blocks, sum_blocks};
use crate::{Tensor, launch};
use cubecl::prelude::*;

/// `out = grad a(s)`, and `partials[block, c] = sum over the block's pixels of grad x`. One unit owns a share of the blocks of pixels.
#[cube(launch_unchecked)]
fn gate_grad<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    s: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    partials: &mut [Vector<F, B>],
    _unaligned: &[S],
    x_view: View,
    grad_view: View,
    run: BlockRun,
    #[comptime] activation: Activation,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for block in run.first()..run.end() {
        let row = run.image(block) * run.channels;
        for v in run.vectors_from()..run.vectors_to() {
            let c = channel::<N>(v, run.channels);
            let open = activate::<F, N>(load::<S, F, B, N>(s, row + c), activation);
            let mut sum = Vector::<F, N>::new(F::new(0.0f32));
            for pixel in range_stepped(run.from(block), run.to(block), run.step()) {
                let arrived = load::<S, F, B, N>(grad, grad_view.at(pixel) + c);
                sum = fma(arrived, load::<S, F, B, N>(x, x_view.at(pixel) + c), sum);
                store::<S, F, B, N>(out, pixel * run.channels + c, arrived * open);
            }
            store::<F, F, B, N>(partials, block * run.channels + c, sum);
        }
    }
}

/// Launches the gradient of `x` into `out`, and returns that of `s`.
pub(super) fn launch_backward(
    shape: [usize; 4],
    x: &Tensor,
    s: &Tensor,
    activation: Activation,
    grad: &Tensor,
    out: &Tensor,
) -> Tensor {
    let [images, _, _, channels] = shape;
    let blocks = Blocks::of(shape, &[x, s, grad, out]);
    let (client, dtype) = (blocks.client, x.dtype());
    let shape = [images, blocks.per_image(), channels];
    let partials = Tensor::empty(client, &shape, dtype.accumulator());
    // SAFETY: `x`, `grad` and `out` hold the pixels of `blocks`, `s` a row an image, `partials` a row a block.
    unsafe {
        gate_grad::launch_unchecked(
            client,
            blocks.cubes(),
            blocks.units(),
            blocks.lanes.item,
            blocks.lanes.width,
            blocks.lanes.arg(x),
            blocks.lanes.arg(s),
            blocks.lanes.arg(grad),
            blocks.lanes.arg(out),
            blocks.lanes.arg(&partials),
            blocks.lanes.unaligned(x),
            x.view(),
            grad.view(),
            blocks.run(),
            activation,
            dtype.elems(),
        );
    }
    launch::throttle(client);
    let grad_s = Tensor::empty(client, s.shape(), dtype);
    let slope_of = planted::or("gate_without_its_slope", activation, Activation::Identity);
    sum_blocks(&partials, s, slope_of, &grad_s);
    grad_s
}
