//! What a map still has to go through when a convolution reads it: the batch norm and the activation of the layer before.
//!
//! **Why.** A normalised map that is written is a pass over memory to write it, and one to read it again. The reader computes it instead, from the
//! norm's input, as it loads: `clamp((x - centre) scale + shift)`, in the operations of the norm's own kernel, rounded to the type that
//! memory would have held. So a convolution through a prologue has the bits of one that reads the written map.
//!
//! **Padding** is zero behind the activation, not before it: a kernel applies a prologue to what lies inside of the image, and pads
//! the result.
//!
//! **Where.** A CPU's kernels apply it where they copy a block of the input into a scratch of their own, which several products read, or, as
//! depthwise ones, to each vector that they load. The kernels of a GPU have none yet: there the map is written first ([`Source::ready`]), and
//! again for the weight's gradient, a pass more than a step that keeps it.

use crate::affine::Affine;
use crate::clamp::{Clamp, clamped};
use crate::lanes::{copy, load, load_unaligned, store_unaligned};
use crate::norm::batch_norm::launch_affine;
use crate::{KernelError, Tensor, launch, planted};
use cubecl::prelude::*;
use std::borrow::Cow;

/// A map as a convolution reads it: its values, or what they come to behind a batch norm and an activation.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    map: Cow<'a, Tensor>,
    through: Option<&'a Affine<'a>>,
}

impl<'a> From<&'a Tensor> for Source<'a> {
    fn from(map: &'a Tensor) -> Self {
        Self {
            map: Cow::Borrowed(map),
            through: None,
        }
    }
}

impl<'a> Source<'a> {
    /// `clamp((map - centre) scale + shift)`, computed while it is read; the affine map has no residual.
    pub fn through(map: &'a Tensor, affine: &'a Affine<'a>) -> Self {
        Self {
            map: Cow::Borrowed(map),
            through: Some(affine),
        }
    }

    /// What lies in memory.
    pub fn map(&self) -> &Tensor {
        &self.map
    }

    /// The source as a matrix, a row a pixel.
    pub(crate) fn rows(&self) -> Self {
        Self {
            map: Cow::Owned(self.map.rows()),
            through: self.through,
        }
    }

    /// Passes when the prologue fits the map.
    ///
    /// # Errors
    /// Shapes and element types of `centre`, `scale` and `shift`, then a residual.
    pub(crate) fn check(&self, op: &'static str) -> Result<(), KernelError> {
        let Some(affine) = self.through else {
            return Ok(());
        };
        affine.check(op, self.map.shape(), self.map.dtype())?;
        match affine.residual {
            Some(_) => Err(KernelError::range(
                op,
                "residual",
                "given",
                "none: a prologue adds nothing",
            )),
            None => Ok(()),
        }
    }

    /// The source as the device's kernels take it: where they have no prologue, its result is written here.
    pub(crate) fn ready(self) -> Self {
        match self.through {
            Some(affine) if !launch::is_cpu(self.map.client()) && !self.map.is_empty() => Self {
                map: Cow::Owned(written(&self.map, affine)),
                through: None,
            },
            _ => self,
        }
    }

    /// The comptime half, for a kernel.
    pub(crate) fn prologue(&self) -> Prologue {
        Prologue {
            affine: self.through.is_some(),
            clamp: self.through.map_or(Clamp::None, |affine| affine.clamp),
        }
    }

    /// The other half: buffers in items of `item` elements. `any` stands in for what a kernel without a prologue never reads.
    pub(crate) fn entrance<F: Float, B: Size>(
        &self,
        item: usize,
        any: &Tensor,
    ) -> EntranceLaunch<F, B> {
        let maps = self.through.map_or([any; 3], |affine| {
            [affine.centre, affine.scale, affine.shift]
        });
        let [centre, scale, shift] = maps.map(|map| map.buffer(item, 0));
        EntranceLaunch::new(centre, scale, shift)
    }
}

/// The result of a prologue, in memory.
fn written(map: &Tensor, affine: &Affine) -> Tensor {
    let y = Tensor::empty(map.client(), map.shape(), map.dtype());
    launch_affine(map, affine, &y);
    y
}

/// What a kernel does to a value that it loads, a comptime choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Prologue {
    pub affine: bool,
    pub clamp: Clamp,
}

/// What a prologue reads, as one kernel argument; each holds one number a channel.
#[derive(CubeLaunch, CubeType)]
pub(crate) struct Entrance<F: Float, B: Size> {
    pub centre: Box<[Vector<F, B>]>,
    pub scale: Box<[Vector<F, B>]>,
    pub shift: Box<[Vector<F, B>]>,
}

/// `clamp((value - centre) scale + shift)` of the channels from `channel` on, as far as `prologue` has it.
#[cube]
pub(crate) fn enter<S: Float, F: Float, B: Size, N: Size>(
    value: Vector<F, N>,
    entrance: &Entrance<F, B>,
    channel: usize,
    #[comptime] prologue: Prologue,
) -> Vector<F, N> {
    if comptime!(prologue.affine) {
        entered::<S, F, N>(
            value,
            load::<F, F, B, N>(&entrance.centre, channel),
            load::<F, F, B, N>(&entrance.scale, channel),
            load::<F, F, B, N>(&entrance.shift, channel),
            prologue,
        )
    } else {
        value
    }
}

/// [`enter`] from numbers that are already in registers.
#[cube]
pub(crate) fn entered<S: Float, F: Float, N: Size>(
    value: Vector<F, N>,
    centre: Vector<F, N>,
    scale: Vector<F, N>,
    shift: Vector<F, N>,
    #[comptime] prologue: Prologue,
) -> Vector<F, N> {
    let value = fma(value - centre, scale, shift);
    let value = clamped::<F, N>(value, comptime!(prologue.clamp));
    Vector::cast_from(Vector::<S, N>::cast_from(value))
}

/// [`enter`] for one channel of a device that takes vectors at any address.
#[cube]
pub(crate) fn enter_one<S: Float, F: Float, B: Size>(
    value: F,
    entrance: &Entrance<F, B>,
    channel: usize,
    #[comptime] prologue: Prologue,
) -> F {
    if comptime!(prologue.affine) {
        let one = entered::<S, F, Const<1>>(
            Vector::new(value),
            Vector::new(entrance.centre[channel].extract(0usize)),
            Vector::new(entrance.scale[channel].extract(0usize)),
            Vector::new(entrance.shift[channel].extract(0usize)),
            prologue,
        );
        one.extract(0usize)
    } else {
        value
    }
}

/// Copies `pixels` neighbouring pixels of `channels` channels, through the prologue, which they leave in the type to compute in; `B` and `N` are a
/// launch's lanes, whatever channels they were chosen for.
#[cube]
pub(crate) fn copy_entered<S: Float, F: Float, B: Size, N: Size>(
    from: &[S],
    start: usize,
    to: &mut [F],
    target: usize,
    pixels: usize,
    channels: usize,
    entrance: &Entrance<F, B>,
    #[comptime] prologue: Prologue,
) {
    if comptime!(prologue.affine) {
        for pixel in 0..pixels {
            let (start, target) = (start + pixel * channels, target + pixel * channels);
            copy_channels::<S, F, B, N>(
                from, start, to, target, 0usize, channels, entrance, prologue,
            );
        }
    } else {
        copy::<S, F, B, N>(from, start, to, target, pixels * channels);
    }
}

/// Copies the channels `first..first + len` of one pixel, which begin at `start`, through the prologue.
#[cube]
pub(crate) fn copy_channels<S: Float, F: Float, B: Size, N: Size>(
    from: &[S],
    start: usize,
    to: &mut [F],
    target: usize,
    first: usize,
    len: usize,
    entrance: &Entrance<F, B>,
    #[comptime] prologue: Prologue,
) {
    if comptime!(prologue.affine) {
        let width = N::value().comptime();
        let mut first = first;
        if comptime!(planted::is("prologue_of_the_first_channels")) {
            first = 0;
        }
        let mut copied = 0usize;
        if comptime!(width > 1) {
            copied = len / width * width;
            for i in 0..len / width {
                let value = load_unaligned::<S, S, N>(from, start + i * width);
                let value = enter::<S, F, B, N>(
                    Vector::cast_from(value),
                    entrance,
                    first + i * width,
                    prologue,
                );
                store_unaligned::<F, F, N>(to, target + i * width, value);
            }
        }
        for i in copied..len {
            let value = F::cast_from(from[start + i]);
            to[target + i] = enter_one::<S, F, B>(value, entrance, first + i, prologue);
        }
    } else {
        copy::<S, F, B, N>(from, start, to, target, len);
    }
}
