//! How vectors meet channel counts that are no multiple of them: the decision that every kernel over channels shares.
//!
//! Where the device loads vectors from any address (the CPU runtime does), a pixel of 36 channels is read as the vectors of 16 that
//! start at channels 0, 16 and 20: the last one overlaps its neighbour, both compute the same values for the shared channels, and
//! both write them. Elsewhere the width is the widest that divides the channel count and every window's place.
//!
//! **Why overlap.** Narrow vectors are what a dividing width costs: a 1x1 convolution of 24 to 36 channels in vectors of 4 ran at 53
//! GFLOP/s, on cores that reach 370 (`conv/dense/mod.rs`). Padding every pixel to 16 channels would cost memory (3 channels take 16) and a copy at
//! every border to the outside. An overlap costs at most one vector a pixel.
//!
//! **What a kernel may not do**: add up the lanes of all vectors of a pixel, or update in place, as shared channels come twice. A result
//! that is written over its operand takes [`Lanes::apart`].

use crate::{Client, DType, Tensor, launch};
use cubecl::ir::dialect::{general::ReinterpretCastOp, memory::IndexOp};
use cubecl::ir::pliron::r#type::{TypeHandle, Typed};
use cubecl::ir::pliron::value::Value;
use cubecl::ir::types::PointerType;
use cubecl::prelude::*;

/// The vectors in which a launch walks over channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lanes {
    /// Elements of a vector: the kernel's `N`.
    pub width: usize,
    /// Elements of a buffer's item, the kernel's `B`: `width`, or 1 where vectors may start anywhere.
    pub item: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Whether the device loads vectors from any address.
    unaligned: bool,
}

impl Lanes {
    /// The vectors for `channels` channels, at least 1, of `tensors`, which may be windows.
    pub fn of(client: &Client, dtype: DType, channels: usize, tensors: &[&Tensor]) -> Self {
        if !client.properties().features.unaligned_io {
            return Self::apart(client, dtype, channels, tensors);
        }
        let widest = launch::widest(client, dtype);
        // Rounded down to a power of two: 24 channels go in two vectors of 16, 10 classes in two of 8.
        let width = widest.min(1 << channels.ilog2());
        Self {
            width,
            item: 1,
            channels,
            unaligned: true,
        }
    }

    /// [`Lanes::of`] without overlap on any device: for units that share a row, and would write the shared channels at once.
    pub fn apart(client: &Client, dtype: DType, channels: usize, tensors: &[&Tensor]) -> Self {
        let width = launch::width_of(client, dtype, channels, tensors);
        Self {
            width,
            item: width,
            channels,
            unaligned: false,
        }
    }

    /// Vectors of a pixel.
    pub fn vectors(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    /// Whether two vectors of a pixel share channels, so that no kernel may update them in place.
    pub fn overlap(&self) -> bool {
        !self.channels.is_multiple_of(self.width)
    }

    /// Of how many vectors a block is made, at most `most`, so that blocks divide a pixel evenly: those of one block are held in
    /// registers side by side, and what is computed once a block serves all of them.
    pub fn together(&self, most: usize) -> usize {
        let vectors = self.vectors();
        (1..=most)
            .rev()
            .find(|&block| vectors.is_multiple_of(block))
            .unwrap_or(1)
    }

    /// The buffer behind `tensor`, to be read by [`load`] and written by [`store`] where [`Tensor::view`] says.
    pub fn arg(&self, tensor: &Tensor) -> BufferArg {
        tensor.buffer(self.item, 0)
    }

    /// The buffers behind `x`, the first argument of a launch, and behind its result `y`, which may be `x` itself: devices count on the
    /// buffers of a launch being different ones.
    pub fn args_over(&self, x: &Tensor, y: &Tensor) -> [BufferArg; 2] {
        self.args_over_at(0, x, y)
    }

    /// [`Lanes::args_over`] where `x` is the argument `position` of the launch.
    pub fn args_over_at(&self, position: usize, x: &Tensor, y: &Tensor) -> [BufferArg; 2] {
        let operand = self.arg(x);
        let result = if y.is_over(x) {
            BufferArg::alias(position, operand.len())
        } else {
            self.arg(y)
        };
        [operand, result]
    }

    /// An argument that the kernel never reads. The CPU runtime derives the alignment that a launch may rely on from where its
    /// buffers start: one that starts off a vector's boundary makes every access of the launch an unaligned one. Other devices
    /// refuse such a buffer, and get one that starts where the tensor's does.
    pub fn unaligned(&self, input: &Tensor) -> BufferArg {
        input.buffer(1, if self.unaligned { 4 } else { 0 })
    }
}

/// Where the pixels of a tensor lie in its buffer, as a kernel argument; both in elements.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct View {
    pub base: usize,
    pub pitch: usize,
}

#[cube]
impl View {
    /// The index of the first element of `pixel`.
    pub fn at(&self, pixel: usize) -> usize {
        self.base + pixel * self.pitch
    }
}

/// The first channel of vector `v`: the last one is moved back to end with the channels.
#[cube]
pub(crate) fn channel<N: Size>(v: usize, channels: usize) -> usize {
    min(v * N::value(), channels - N::value())
}

/// `0, 1, 2, ..` along the lanes.
#[cube]
pub(crate) fn lane_numbers<N: Size>() -> Vector<u32, N> {
    let mut lanes = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        lanes.insert(lane, u32::cast_from(lane));
    }
    lanes
}

/// The vector of elements `index..index + N` of a buffer of items of `B` elements: `B` is `N`, which divides `index`, or 1. The
/// buffer stores numbers of type `S`, which one computes with in `F`.
#[cube]
pub(crate) fn load<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    index: usize,
) -> Vector<F, N> {
    let (item, width) = (B::value().comptime(), N::value().comptime());
    if comptime!(item == width) {
        Vector::cast_from(x[index / N::value()])
    } else {
        Vector::cast_from(load_unaligned::<Vector<S, B>, S, N>(x, index))
    }
}

/// Writes the elements `index..index + N`, rounded to the nearest that `S` has; see [`load`].
#[cube]
pub(crate) fn store<S: Float, F: Float, B: Size, N: Size>(
    x: &mut [Vector<S, B>],
    index: usize,
    value: Vector<F, N>,
) {
    let (item, width) = (B::value().comptime(), N::value().comptime());
    if comptime!(item == width) {
        x[index / N::value()] = Vector::cast_from(value);
    } else {
        store_unaligned::<Vector<S, B>, S, N>(x, index, Vector::cast_from(value));
    }
}

/// The first `used` of the lanes from `index` on, and zeros: in two loads of `T` that overlap, where that is not the whole vector.
#[cube]
pub(crate) fn load_part<S: Float, F: Float, B: Size, N: Size, T: Size>(
    x: &[Vector<S, B>],
    index: usize,
    #[comptime] used: usize,
) -> Vector<F, N> {
    let (width, piece) = (N::value().comptime(), T::value().comptime());
    if comptime!(used == width) {
        load::<S, F, B, N>(x, index)
    } else {
        let head = load::<S, F, B, T>(x, index);
        let tail = load::<S, F, B, T>(x, index + comptime!(used - piece));
        let mut value = Vector::<F, N>::new(F::new(0.0f32));
        #[unroll]
        for lane in 0..piece {
            value.insert(lane, head.extract(lane));
        }
        #[unroll]
        for lane in 0..piece {
            value.insert(comptime!(lane + used - piece), tail.extract(lane));
        }
        value
    }
}

/// Writes the first `used` lanes; see [`load_part`].
#[cube]
pub(crate) fn store_part<S: Float, F: Float, B: Size, N: Size, T: Size>(
    x: &mut [Vector<S, B>],
    index: usize,
    value: Vector<F, N>,
    #[comptime] used: usize,
) {
    let (width, piece) = (N::value().comptime(), T::value().comptime());
    if comptime!(used == width) {
        store::<S, F, B, N>(x, index, value);
    } else {
        let mut head = Vector::<F, T>::empty();
        let mut tail = Vector::<F, T>::empty();
        #[unroll]
        for lane in 0..piece {
            head.insert(lane, value.extract(lane));
            tail.insert(lane, value.extract(comptime!(lane + used - piece)));
        }
        store::<S, F, B, T>(x, index, head);
        store::<S, F, B, T>(x, index + comptime!(used - piece), tail);
    }
}

/// Copies `len` elements of buffers of scalars, from the type they are stored in to the one to compute in; `B` and `N` are a
/// launch's [`Lanes`], whatever channels they were chosen for.
#[cube]
pub(crate) fn copy<S: Float, F: Float, B: Size, N: Size>(
    from: &[S],
    start: usize,
    to: &mut [F],
    target: usize,
    len: usize,
) {
    let (item, width) = (B::value().comptime(), N::value().comptime());
    let mut copied = 0usize;
    if comptime!(item == 1 && width > 1) {
        copied = len / width * width;
        for i in 0..len / width {
            let value = load_unaligned::<S, S, N>(from, start + i * width);
            store_unaligned::<F, F, N>(to, target + i * width, Vector::cast_from(value));
        }
    }
    for i in copied..len {
        to[target + i] = F::cast_from(from[start + i]);
    }
}

/// The elements `index..index + N` of a buffer of scalars, on a device that takes vectors at any address.
#[cube]
pub(crate) fn load_unaligned<E: CubePrimitive, F: Float, N: Size>(
    x: &[E],
    index: usize,
) -> Vector<F, N> {
    intrinsic!(|scope| {
        let (list, index) = (x.__extract_list(scope), index.read_value(scope));
        let vector = Vector::<F, N>::__expand_as_type(scope);
        let vector_pointer: NativeExpand<Vector<F, N>> =
            vector_pointer(scope, list, index, vector).into();
        vector_pointer.__expand_deref_method(scope)
    })
}

/// Writes the elements `index..index + N` of a buffer of scalars, on a device that takes vectors at any address.
#[cube]
pub(crate) fn store_unaligned<E: CubePrimitive, F: Float, N: Size>(
    x: &mut [E],
    index: usize,
    value: Vector<F, N>,
) {
    intrinsic!(|scope| {
        let (list, index) = (x.__extract_list(scope), index.read_value(scope));
        let vector = Vector::<F, N>::__expand_as_type(scope);
        let mut vector_pointer: NativeExpand<Vector<F, N>> =
            vector_pointer(scope, list, index, vector).into();
        vector_pointer.__expand_assign_method(scope, value);
    })
}

/// A pointer to a `vector` that starts at element `index` of `list`, a buffer of scalars.
fn vector_pointer(scope: &Scope, list: Value, index: Value, vector: TypeHandle) -> Value {
    let element = IndexOp::new(scope.ctx_mut(), list, index, None);
    let element = scope.register_with_result(&element);
    let address_space = {
        let ty = element.get_type(scope.ctx());
        let ty = ty.deref(scope.ctx());
        ty.downcast_ref::<PointerType>()
            .expect("an index of a buffer is a pointer")
            .address_space
    };
    let pointer = PointerType::get(scope.ctx(), vector, address_space).into();
    scope.register_with_result(&ReinterpretCastOp::new(scope.ctx_mut(), pointer, element))
}
