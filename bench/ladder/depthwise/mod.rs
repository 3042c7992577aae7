//! A 3x3 depthwise convolution of stride 1 that keeps the image's size, in `f32`: `y[n, i, j, c] = sum over ky, kx of
//! x[n, i + ky - 1, j + kx - 1, c] w[ky, kx, c]`, where what lies outside of the image is 0 and is left out.
//!
//! From the definition's loops to the project's own operation, a file for each rung, each of which changes one thing. Read them in the order of
//! [`RUNGS`], two files side by side. Images are `[n, h, w, c]`: the channels of a pixel lie next to each other in memory.

mod channels;
mod naive;
mod sliding;
mod tiles;
mod unrolled;
mod vectors;

use super::Rung;
use crate::input::{DTYPE, Input, Operands};
use crate::{NaiveConv, Phase, Variant, values};
use cubecl::prelude::*;
use ghostlight_autodiff::{KernelError, Tensor};
use ghostlight_kernels::conv::depthwise::{
    DepthwiseOptions, DepthwiseProblem, cost, depthwise, reference,
};
use ghostlight_kernels::launch;

/// The images as a kernel's argument: the pixels of all of them, the rows and columns of one, and the channels of a pixel, or the vectors of
/// them. A kernel could ask a slice for its length, but that is the length of the memory behind it, which may be more than the tensor's.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Map {
    pixels: usize,
    h: usize,
    w: usize,
    c: usize,
}

/// That of `x` in vectors of `width` channels.
fn map(x: &Tensor, width: usize) -> MapLaunch {
    let shape = x.shape();
    MapLaunch::new(x.pixels(), shape[1], shape[2], shape[3] / width)
}

/// What a rung's file ends with: the launch, from the input and the weight `[3, 3, c]` into the output.
type Launch = fn(x: &Tensor, w: &Tensor, y: &Tensor);

fn launched(operands: &Operands, launch: Launch) -> Result<Vec<Tensor>, KernelError> {
    let (x, w) = (&operands[0], &operands[1]);
    let y = Tensor::empty(x.client(), x.shape(), x.dtype());
    launch(x, w, &y);
    launch::throttle(x.client());
    Ok(vec![y])
}

/// The options of the project's own operation for this problem.
fn options() -> DepthwiseOptions {
    DepthwiseOptions::square(1, 1)
}

/// From the first to the last.
pub(super) const RUNGS: [Rung; 7] = [
    Rung {
        name: "naive",
        change: "one output at a time, image by image of one channel: the loops of the definition",
        call: |operands| launched(operands, naive::launch),
    },
    Rung {
        name: "channels",
        change: "outputs in the order of memory, channels innermost",
        call: |operands| launched(operands, channels::launch),
    },
    Rung {
        name: "vectors",
        change: "a vector of channels at a time instead of one",
        call: |operands| launched(operands, vectors::launch),
    },
    Rung {
        name: "unrolled",
        change: "the nine taps are known when the kernel is compiled",
        call: |operands| launched(operands, unrolled::launch),
    },
    Rung {
        name: "sliding",
        change: "a unit walks along a row: nine weights stay in registers, each input is loaded once a row of taps",
        call: |operands| launched(operands, sliding::launch),
    },
    Rung {
        name: "tiles",
        change: "four neighbouring outputs in registers, channels innermost again, guards at the sides alone",
        call: |operands| launched(operands, tiles::launch),
    },
    Rung {
        name: "ours",
        change: "the project's operation: tiles of two rows share their inputs, vectors overlap where they do not divide the channels",
        call: |operands| {
            let y = depthwise(&operands[0], &operands[1], None, options())?;
            Ok(vec![y])
        },
    },
];

/// A layer of a MobileNet, whose channels are whole vectors, and one that nobody tuned for.
pub(super) const PROBLEMS: [&[usize]; 2] = [&[8, 56, 56, 128], &[4, 37, 53, 100]];

/// The convolution of an image `[n, h, w, c]`.
pub(super) fn phase<'a>(case: &'a str, extents: &[usize], ours: Variant<'a>) -> Phase<'a> {
    let &[n, h, w, c] = extents else {
        unreachable!("an image is [n, h, w, c], not {extents:?}");
    };
    let problem = DepthwiseProblem {
        batch: n,
        input: [h, w],
        kernel: [3; 2],
        channels: c,
        multiplier: 1,
        options: options(),
        dtype: DTYPE,
    };
    Phase::of(
        ["depthwise", case, "forward"],
        cost::forward(&problem),
        vec![
            Input::random(1, &problem.input_shape()),
            Input::random(2, &problem.weight_shape()),
        ],
        move |v| values(reference::forward(&problem, &v[0], &v[1], None)),
        ours,
    )
    .at_least(NaiveConv::depthwise(&problem).least_share())
}
