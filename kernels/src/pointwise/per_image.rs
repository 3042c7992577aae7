//! What operations share that join every pixel of an image with one vector of channels: `x` `[n, h, w, c]` with `s` `[n, c]`.

use super::activation::{Activation, pull_back};
use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::lanes::{Lanes, channel, load, store};
use crate::share::{Share, Shares};
use crate::{Client, DType, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Pixels that one vector of channels walks over before the next does: enough that reading `s` costs nothing, few enough that the
/// block stays in the first cache. The partial sums over pixels are those of a block, so their number is the problem's.
const PIXELS_OF_BLOCK: usize = 32;

/// Units that a GPU is to get, where blocks of [`LEAST_OF_BLOCK`] pixels make as many: below that, blocks are shorter.
const UNITS_ENOUGH: usize = 1 << 18;

/// A partial sum is written and read again: of fewer pixels it would be traffic that shows.
const LEAST_OF_BLOCK: usize = 8;

/// Pieces of images, none of which holds pixels of two.
///
/// On a CPU they are pixels side by side. On a GPU a block takes every so many pixels of its image, so that the units of a warp, of which
/// the first may be at the end of one block's vectors and the next at the start of another's, still read side by side.
pub(super) struct Blocks<'a> {
    pub client: &'a Client,
    pub lanes: Lanes,
    shares: Shares,
    per_image: usize,
    pixels: usize,
    channels: usize,
}

/// The blocks that a unit owns, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct BlockRun {
    /// Blocks of an image.
    per_image: usize,
    /// Pixels of an image.
    pixels: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// The blocks, and of each the vectors of channels.
    share: Share,
    /// Whether the pixels of a block lie as far apart as an image has blocks.
    #[cube(comptime)]
    apart: bool,
}

/// Checks `x` `[n, h, w, c]`, which may be a window, against `s` `[n, c]`, called `name`.
///
/// # Errors
/// In this order: the rank of `x`, shape and element type of `s`, an `s` that is a window.
pub(super) fn checked(
    op: &'static str,
    x: &Tensor,
    name: &'static str,
    s: &Tensor,
) -> Result<[usize; 4], KernelError> {
    let shape = x.dims_view(op, "x", "[n, h, w, c]")?;
    s.check(op, name, &[shape[0], shape[3]], x.dtype())?;
    Ok(shape)
}

impl<'a> Blocks<'a> {
    /// The blocks of an operation on the images `shape`, of at least one element, in `tensors`.
    pub fn of(shape: [usize; 4], tensors: &[&'a Tensor]) -> Self {
        Self::walked(shape, tensors, Lanes::of)
    }

    /// [`Blocks::of`] in which no element comes twice, for a result that is written over its operand.
    pub fn once(shape: [usize; 4], tensors: &[&'a Tensor]) -> Self {
        Self::walked(shape, tensors, Lanes::apart)
    }

    fn walked(
        shape: [usize; 4],
        tensors: &[&'a Tensor],
        lanes: fn(&Client, DType, usize, &[&Tensor]) -> Lanes,
    ) -> Self {
        let (client, dtype) = (tensors[0].client(), tensors[0].dtype());
        let [images, h, w, channels] = shape;
        let lanes = lanes(client, dtype, channels, tensors);
        let blocks_of = |length| images * (h * w).div_ceil(length);
        let mut length = PIXELS_OF_BLOCK;
        while !launch::is_cpu(client)
            && length > LEAST_OF_BLOCK
            && blocks_of(length) * lanes.vectors() < UNITS_ENOUGH
        {
            length /= 2;
        }
        Self {
            client,
            lanes,
            shares: Shares::of(client, blocks_of(length), &lanes, 1),
            per_image: (h * w).div_ceil(length),
            pixels: h * w,
            channels,
        }
    }

    /// Blocks of an image.
    pub fn per_image(&self) -> usize {
        self.per_image
    }

    /// The launch's cubes.
    pub fn cubes(&self) -> CubeCount {
        self.shares.count.clone()
    }

    /// The units of a cube.
    pub fn units(&self) -> CubeDim {
        self.shares.dim
    }

    /// The kernel's [`BlockRun`].
    pub fn run(&self) -> BlockRunLaunch {
        BlockRunLaunch::new(
            self.per_image,
            self.pixels,
            self.channels,
            self.shares.arg(),
            !launch::is_cpu(self.client),
        )
    }
}

#[cube]
impl BlockRun {
    /// The unit's first block.
    pub fn first(&self) -> usize {
        self.share.first()
    }

    /// One past the unit's last block; before the first one for a unit without any.
    pub fn end(&self) -> usize {
        self.share.end()
    }

    /// The unit's first vector of channels, of each of its blocks.
    pub fn vectors_from(&self) -> usize {
        self.share.from()
    }

    /// One past the unit's last vector of channels.
    pub fn vectors_to(&self) -> usize {
        self.share.to()
    }

    /// The image that `block` is of.
    pub fn image(&self, block: usize) -> usize {
        if comptime!(crate::planted::is("images_share_a_gate")) {
            min(block, 0usize)
        } else {
            block / self.per_image
        }
    }

    /// The first pixel of `block`, counted over all images.
    pub fn from(&self, block: usize) -> usize {
        let start = block / self.per_image * self.pixels;
        if comptime!(self.apart) {
            start + block % self.per_image
        } else {
            start + block % self.per_image * comptime!(PIXELS_OF_BLOCK)
        }
    }

    /// One past the last pixel of `block`.
    pub fn to(&self, block: usize) -> usize {
        let image_end = (block / self.per_image + 1) * self.pixels;
        if comptime!(self.apart) {
            image_end
        } else {
            min(self.from(block) + comptime!(PIXELS_OF_BLOCK), image_end)
        }
    }

    /// From one pixel of a block to the next.
    pub fn step(&self) -> usize {
        if comptime!(self.apart) {
            self.per_image
        } else {
            1usize.runtime()
        }
    }
}

/// `out[n, c] = a'(s[n, c]) sum over blocks of partials[n, block, c]`, in the order of the blocks. One unit owns a run of (image,
/// vector of channels) pairs.
#[cube(launch_unchecked)]
fn sum_blocks_kernel<S: Float, F: Float, B: Size, N: Size>(
    partials: &[Vector<F, B>],
    s: &[Vector<S, B>],
    out: &mut [Vector<S, B>],
    _unaligned: &[S],
    per_image: usize,
    channels: usize,
    vectors: usize,
    items: usize,
    run: usize,
    #[comptime] activation: Activation,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, items);
    for item in first..last {
        let (image, c) = (item / vectors, channel::<N>(item % vectors, channels));
        let start = image * per_image * channels + c;
        let mut sum = Cascade::<F, N>::new();
        for block in 0..blocks(per_image) {
            let mut part = Vector::<F, N>::new(F::new(0.0f32));
            for i in block_start(block)..block_end(block, per_image) {
                part += load::<F, F, B, N>(partials, start + i * channels);
            }
            sum.add(part);
        }
        let at = image * channels + c;
        let value = load::<S, F, B, N>(s, at);
        store::<S, F, B, N>(out, at, pull_back::<F, N>(value, sum.total(), activation));
    }
}

/// Launches the sum of `partials` `[n, blocks, c]` over the blocks, at least one of them, times the slope of `activation` at `s` `[n, c]`, into `out` `[n, c]`.
pub(super) fn sum_blocks(partials: &Tensor, s: &Tensor, activation: Activation, out: &Tensor) {
    let (client, dtype) = (out.client(), out.dtype());
    let (per_image, channels) = (partials.shape()[1], partials.shape()[2]);
    let lanes = Lanes::of(client, dtype, channels, &[partials, s, out]);
    let items = partials.shape()[0] * lanes.vectors();
    let grid = launch::grid(client, items);
    // SAFETY: the shapes above are those of the arguments.
    unsafe {
        sum_blocks_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(partials),
            lanes.arg(s),
            lanes.arg(out),
            lanes.unaligned(partials),
            per_image,
            channels,
            lanes.vectors(),
            items,
            grid.run,
            activation,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
