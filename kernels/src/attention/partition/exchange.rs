use super::PartitionProblem;
use crate::lanes::{Lanes, View, channel, load, store};
use crate::{Tensor, launch, planted};
use cubecl::prelude::*;
use cubecl::std::FastDivmod;

/// One axis of the map, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    /// Pixels of the map.
    pub extent: usize,
    /// Pixels that are walked, filling included.
    pub walked: usize,
    /// Pixels of a block.
    pub by_size: FastDivmod<usize>,
    /// Tokens from a block to the next.
    pub by_block: usize,
    /// Tokens from a place in a block to the next.
    pub by_place: usize,
}

#[cube]
impl Axis {
    /// What coordinate `i` adds to the number of a token.
    fn token(&self, i: usize) -> usize {
        let (block, place) = self.by_size.div_mod(i);
        block * self.by_block + place * self.by_place
    }
}

/// `tokens = map`, or the other way round where not `cutting`; what is not on the map is 0. One unit owns a run of pixels, or, where a pixel
/// is made of several `pieces`, one of them.
#[cube(launch_unchecked)]
fn exchange<S: Float, F: Float, B: Size, N: Size>(
    source: &[Vector<S, B>],
    target: &mut [Vector<S, B>],
    _unaligned: &[S],
    source_view: View,
    vertical: Axis,
    horizontal: Axis,
    tokens_of_image: usize,
    pixels: usize,
    channels: usize,
    vectors: usize,
    pieces: usize,
    run: usize,
    #[comptime] cutting: bool,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let fills = comptime!(cutting && !planted::is("partition_fills_with_the_edge"));
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let width = horizontal.walked;
    let start = ABSOLUTE_POS * run;
    // Either a pixel is one piece, or a unit owns one piece.
    let first = start / pieces;
    let last = min(first + run, pixels);
    let first_vector = start % pieces * vectors;
    for row in first / width..(last + width - 1) / width {
        let (image, y) = (row / vertical.walked, row % vertical.walked);
        let line = image * tokens_of_image + vertical.token(y);
        let map_line = (image * vertical.extent + min(y, vertical.extent - 1)) * horizontal.extent;
        for pixel in max(first, row * width)..min(last, (row + 1) * width) {
            let x = pixel - row * width;
            let token = line + horizontal.token(x);
            let map_pixel = map_line + min(x, horizontal.extent - 1);
            let mut from = source_view.at(token);
            let mut to = map_pixel * channels;
            if comptime!(cutting) {
                from = source_view.at(map_pixel);
                to = token * channels;
            }
            let mut there = true.runtime();
            if fills {
                there = y < vertical.extent && x < horizontal.extent;
            }
            if there {
                for v in first_vector..first_vector + vectors {
                    let c = channel::<N>(v, channels);
                    let value = load::<S, F, B, N>(source, from + c);
                    store::<S, F, B, N>(target, to + c, value);
                }
            } else {
                for v in first_vector..first_vector + vectors {
                    store::<S, F, B, N>(target, to + channel::<N>(v, channels), zero);
                }
            }
        }
    }
}

/// Launches the cut of `map` into `tokens`.
pub(super) fn launch_partition(problem: &PartitionProblem, map: &Tensor, tokens: &Tensor) {
    launch_exchange(problem, map, tokens, true);
}

/// Launches the joining of `tokens` to `map`.
pub(super) fn launch_merge(problem: &PartitionProblem, tokens: &Tensor, map: &Tensor) {
    launch_exchange(problem, tokens, map, false);
}

fn launch_exchange(problem: &PartitionProblem, source: &Tensor, target: &Tensor, cutting: bool) {
    let (client, dtype) = (source.client(), problem.dtype());
    let [n, .., channels] = problem.map_shape();
    let [height, width] = problem.sides(cutting);
    let [samples, length, _] = problem.tokens_shape();
    let lanes = Lanes::of(client, dtype, channels, &[source, target]);
    let (pieces, vectors) = if launch::is_cpu(client) {
        (1, lanes.vectors())
    } else {
        (lanes.vectors(), 1)
    };
    let pixels = n * height * width;
    let grid = launch::grid_for(client, pixels * pieces, target.len());
    // SAFETY: a pixel that is read or written is one of the map, and a token one of `tokens_of_image` of its image.
    unsafe {
        exchange::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            lanes.item,
            lanes.width,
            lanes.arg(source),
            lanes.arg(target),
            lanes.unaligned(source),
            source.view(),
            problem.axis(0, height),
            problem.axis(1, width),
            samples / n * length,
            pixels,
            channels,
            vectors,
            pieces,
            grid.run,
            cutting,
            dtype.elems(),
        );
    }
    launch::throttle(client);
}
