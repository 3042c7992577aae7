//! The launch that every map over whole tensors of one length makes.

use crate::launch::Grid;
use crate::{Client, Tensor, launch};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// The vectors of whole tensors of one length, and how they lie over the device: one run a unit.
pub(crate) struct Flat<'a> {
    pub client: &'a Client,
    /// Elements of a vector; divides the length.
    pub width: usize,
    /// The types that elements are stored and computed with in.
    pub elems: [ElemType; 2],
    vectors: usize,
    grid: Grid,
}

/// The run of vectors that a unit owns, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Span {
    count: usize,
    run: usize,
}

impl<'a> Flat<'a> {
    /// The vectors of `tensor`, which is not empty and no window, and of every tensor of its length.
    pub fn over(tensor: &'a Tensor) -> Self {
        let client = tensor.client();
        let width = launch::width(client, tensor.dtype(), tensor.len());
        let vectors = tensor.len() / width;
        Self {
            client,
            width,
            elems: tensor.dtype().elems(),
            vectors,
            grid: launch::grid(client, vectors),
        }
    }

    /// The launch's cubes.
    pub fn cubes(&self) -> CubeCount {
        self.grid.count.clone()
    }

    /// The units of a cube.
    pub fn units(&self) -> CubeDim {
        self.grid.dim
    }

    /// `tensor`, of the same length, as an argument.
    pub fn arg(&self, tensor: &Tensor) -> BufferArg {
        tensor.arg(self.width)
    }

    /// The kernel's [`Span`].
    pub fn span(&self) -> SpanLaunch {
        SpanLaunch::new(self.vectors, self.grid.run)
    }
}

#[cube]
impl Span {
    /// How many vectors there are in all.
    pub fn all(&self) -> usize {
        self.count
    }

    /// The unit's first vector.
    pub fn first(&self) -> usize {
        ABSOLUTE_POS * self.run
    }

    /// One past the unit's last vector; before the first one for a unit without any.
    pub fn end(&self) -> usize {
        min(ABSOLUTE_POS * self.run + self.run, self.count)
    }
}
