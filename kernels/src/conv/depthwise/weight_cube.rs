//! The gradient with respect to the weight on GPUs: partial sums by cubes.
//!
//! **One cube owns** a slice of a pixel's vectors, a group of parts of the kernel (a part is a kernel row, or a run of at most seven
//! taps of a longer one) and a partial sum, which is a run of strips of output rows ([`Spread`]). **A unit owns** one vector and one part,
//! whose sums it holds in registers while it walks strips, tile by tile: the gradients of a tile in registers, each input loaded once
//! for all of them. Vectors go fastest over the units, so that neighbours read a whole line; the parts of a cube read the same
//! gradients, and its walkers neighbouring rows, of which each input row serves several. Every thousand terms a unit adds its sums to
//! those it has in shared memory, where in the end all walkers' are added up in their order.
//!
//! **The bias** is a part of its own with one sum, that of the gradients.
//!
//! **Variants.** Strides up to 2 and short dilations go tile by tile. All others, and what a strip has past its last whole tile, go output
//! by output: each asks which of the part's taps have an input. A tile at an edge asks so for each column. What does not exist is
//! skipped, here as everywhere.
//!
//! **Why this shape.** On a CPU a unit walks all channels and keeps the sums of all taps in memory of its own, in its first-level
//! cache; a GPU made 8 cubes and eight lines for one of that. The sums of a whole 3x3 in the registers of a unit would be 36 of them,
//! those of a 7x7 196: a kernel row a unit serves all kernels alike. Up to 13 taps are not split, as each part reads all gradients
//! again: the instructions of a 9x9 took 4.7 us in two parts and 3.5 us in one (8x28x28x128).
//!
//! **What it costs**, on an H100 that is not there: a unit of a 3x3 has 80 registers (37 % of the warps that a multiprocessor has room
//! for), of a 7x7 and longer 128 (25 %). Tiles of four outputs need hardly fewer, 76 and 128, since the assembler takes registers for
//! loads that are on their way, and a 7x7 then takes 3.9 us of instructions for 3.2.
//!
//! **What is lost.** Of the instructions of a 7x7 six in ten are multiply-adds: from there on the least time is 1.4 to 1.7 times that of
//! the bytes or the multiply-adds. Cubes that take few parts of a kernel, as those of small problems do, read the same rows again from
//! the second-level cache. A pixel that is no whole line costs up to 1.7 lines for one.

use super::DepthwiseProblem;
use super::axis::axis;
use super::grad_weight::{Geometry, GeometryLaunch, TERMS_IN_CHAIN};
use super::multiplier::{Channels, Multiplier, Vectors, load_apart, store_woven};
use super::plan::Blueprint;
use super::weight_spread::{Spread, most_units};
use super::weight_tile::products;
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// [`Spread`] as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Work {
    vectors: usize,
    slice: usize,
    slices: usize,
    parts_of_row: usize,
    parts: usize,
    parts_each: usize,
    groups: usize,
    walkers: usize,
    strip: usize,
    strips_of_row: usize,
    strips: usize,
    each: usize,
    partials: usize,
}

/// What a unit owns.
#[derive(CubeType, Clone, Copy)]
struct Own {
    vector: usize,
    /// The kernel's row, the padded column of the part's first tap from that of an output's window, and the part's first tap.
    kernel_row: usize,
    shift: usize,
    tap: usize,
    /// Whether the part is the bias.
    is_bias: bool,
    walker: usize,
    partial: usize,
    /// Whether there is such a vector, part and partial sum.
    there: bool,
}

/// The outputs of a strip, and the input row under them; indices are of vectors.
#[derive(CubeType, Clone, Copy)]
struct Strip {
    /// Where the row of gradients begins, with the unit's channels, and the strip's outputs in it.
    grad: usize,
    first: usize,
    last: usize,
    /// Where the input row begins, with the unit's channels, if there is one.
    x: usize,
    exists: bool,
}

#[cube]
impl Work {
    /// What the unit owns, of parts of `taps` taps.
    fn own(&self, geometry: &Geometry, #[comptime] taps: usize) -> Own {
        let (unit, cube) = (UNIT_POS as usize, CUBE_POS);
        let of_slices = cube / self.slices;
        let vector = cube % self.slices * self.slice + unit % self.slice;
        let of_vectors = unit / self.slice;
        // From the last on: the first unit of a cube, whose steps speak for all on a card that is not there, then meets an input also in
        // the first row of an image.
        let turn = of_slices % self.groups * self.parts_each + of_vectors % self.parts_each;
        let part = max(self.parts, turn + 1) - turn - 1;
        let kernel_row = part / self.parts_of_row;
        let tap = part % self.parts_of_row * taps;
        let partial = of_slices / self.groups;
        Own {
            vector,
            kernel_row,
            shift: tap * geometry.horizontal.dilation,
            tap,
            is_bias: kernel_row == geometry.vertical.kernel,
            walker: of_vectors / self.parts_each,
            partial,
            there: vector < self.vectors && turn < self.parts && partial < self.partials,
        }
    }

    /// Strip `s` of the launch; neighbouring strips are of neighbouring rows.
    fn strip<N: Size>(
        &self,
        s: usize,
        own: &Own,
        geometry: &Geometry,
        channels: &Channels,
    ) -> Strip {
        let (vertical, horizontal) = (&geometry.vertical, &geometry.horizontal);
        let row = s % vertical.target;
        let column = s / vertical.target;
        let image = column / self.strips_of_row;
        let first = column % self.strips_of_row * self.strip;
        let grad = (image * vertical.target + row) * horizontal.target;
        // In padded rows, where nothing is negative.
        let line = row * vertical.stride + own.kernel_row * vertical.dilation;
        let x = (image * vertical.source + line - vertical.padding) * horizontal.source;
        Strip {
            grad: (geometry.grad.at(grad) + channels.wide) / N::value(),
            first,
            last: min(first + self.strip, horizontal.target),
            x: (geometry.x.at(x) + channels.narrow) / N::value(),
            exists: line >= vertical.padding && line < vertical.padding + vertical.source,
        }
    }
}

#[cube(launch_unchecked)]
fn partial_sums_by_cubes<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    partials: &mut [Vector<F, B>],
    geometry: Geometry,
    work: Work,
    #[comptime] plan: Blueprint,
    #[comptime] sharing: Multiplier,
    #[comptime] bias: bool,
    #[comptime] units: usize,
    #[define(S, F)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    let shares = comptime!(sharing.shares());
    let held = comptime!(plan.kernel * shares);
    let zero = Vector::<F, N>::new(F::new(0.0f32));
    let own = work.own(&geometry, plan.kernel);
    let unit = UNIT_POS as usize;
    let channels = Channels::of::<N>(
        min(own.vector, work.vectors - 1),
        geometry.channels,
        geometry.multiplier,
        true,
        sharing,
    );
    let mut kept = Shared::<[Vector<F, N>]>::new_slice(comptime!(held * units));
    let mut sum = Array::<Vector<F, N>>::new(held);
    #[unroll]
    for k in 0..held {
        sum[k] = zero;
    }
    if own.there {
        let mut terms = 0usize;
        let mut chains = 0usize;
        for i in 0..work.each {
            let s = (own.partial * work.each + i) * work.walkers + own.walker;
            if s < work.strips {
                let strip = work.strip::<N>(s, &own, &geometry, &channels);
                if comptime!(bias) {
                    if own.is_bias {
                        gradients::<S, F, B, N>(grad, &mut sum, &geometry, &strip, shares);
                    } else if strip.exists {
                        walk::<S, F, B, N>(
                            x, grad, &mut sum, &geometry, &strip, own.shift, plan, shares,
                        );
                    }
                } else if strip.exists {
                    walk::<S, F, B, N>(
                        x, grad, &mut sum, &geometry, &strip, own.shift, plan, shares,
                    );
                }
                terms += strip.last - strip.first;
                if terms >= comptime!(TERMS_IN_CHAIN) {
                    terms = 0;
                    #[unroll]
                    for k in 0..held {
                        let mut chain = sum[k];
                        if chains > 0 {
                            chain += kept[k * units + unit];
                        }
                        kept[k * units + unit] = chain;
                        sum[k] = zero;
                    }
                    chains += 1;
                }
            }
        }
        if chains > 0 {
            #[unroll]
            for k in 0..held {
                sum[k] += kept[k * units + unit];
            }
        }
        #[unroll]
        for k in 0..held {
            kept[k * units + unit] = sum[k];
        }
    }
    sync_cube();
    if own.there {
        let apart = work.slice * work.parts_each;
        let mut taps = min(geometry.horizontal.kernel - own.tap, plan.kernel);
        if own.is_bias {
            taps = 1;
        }
        let row = own.kernel_row * geometry.horizontal.kernel + own.tap;
        let mut rows = geometry.vertical.kernel * geometry.horizontal.kernel;
        if comptime!(bias) {
            rows += 1;
        }
        let wide_channels = geometry.channels * geometry.multiplier;
        // The walkers share the taps.
        let mut tap = own.walker;
        while tap < taps {
            let mut all = Array::<Vector<F, N>>::new(shares);
            #[unroll]
            for k in 0..shares {
                let first = (tap * shares + k) * units + unit % apart;
                let mut total = kept[first];
                for walker in 1..work.walkers {
                    total += kept[first + walker * apart];
                }
                all[k] = total;
            }
            let to = (own.partial * rows + row + tap) * wide_channels + channels.wide;
            store_woven::<F, F, B, N>(partials, to, &all, 0usize, shares);
            tap += work.walkers;
        }
    }
}

/// Reads the vectors of all shares from vector `index` on to `to[first..]`. Devices with cubes load no vector from within another.
#[cube]
fn read<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    index: usize,
    to: &mut Array<Vector<F, N>>,
    #[comptime] first: usize,
    #[comptime] shares: usize,
) {
    if comptime!(shares == 1) {
        to[first] = Vector::cast_from(x[index]);
    } else {
        load_apart::<S, F, B, N>(x, index * N::value(), to, first, shares);
    }
}

/// Adds a strip's gradients to the sums of the bias.
#[cube]
fn gradients<S: Float, F: Float, B: Size, N: Size>(
    grad: &[Vector<S, B>],
    sum: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    strip: &Strip,
    #[comptime] shares: usize,
) {
    let pitch = geometry.grad.pitch / N::value();
    for o in strip.first..strip.last {
        let mut g = Array::<Vector<F, N>>::new(shares);
        let from = strip.grad + o * pitch;
        read::<S, F, B, N>(grad, from, &mut g, 0usize, shares);
        #[unroll]
        for k in 0..shares {
            sum[k] += g[k];
        }
    }
}

/// Adds the products of a strip to the sums of the taps whose windows begin `shift` columns behind the outputs'.
#[cube]
fn walk<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    grad: &[Vector<S, B>],
    sum: &mut Array<Vector<F, N>>,
    geometry: &Geometry,
    strip: &Strip,
    shift: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
) {
    let axis = &geometry.horizontal;
    let end = axis.padding + axis.source;
    let x_pitch = geometry.x.pitch / N::value();
    let grad_pitch = geometry.grad.pitch / N::value();
    let mut whole = strip.first;
    if comptime!(plan.unrolled) {
        let span = comptime!(plan.sources());
        let tiles = (strip.last - strip.first) / plan.tile;
        whole += tiles * plan.tile;
        for t in 0..tiles {
            let o = strip.first + t * plan.tile;
            // The tile's first column is a padded one, and may lie before the image: the sum wraps around.
            let column = o * plan.stride + shift;
            let from = strip.x + (column - axis.padding) * x_pitch;
            let mut g = Array::<Vector<F, N>>::new(comptime!(plan.tile * shares));
            #[unroll]
            for i in 0..plan.tile {
                let from = strip.grad + (o + i) * grad_pitch;
                read::<S, F, B, N>(grad, from, &mut g, comptime!(i * shares), shares);
            }
            if column >= axis.padding && column + span <= end {
                tile::<S, F, B, N>(
                    x, &g, sum, from, x_pitch, 0usize, 0usize, plan, shares, false,
                );
            } else {
                let lower = max(axis.padding, column) - column;
                let count = max(end, column) - column - lower;
                tile::<S, F, B, N>(x, &g, sum, from, x_pitch, lower, count, plan, shares, true);
            }
        }
    }
    for o in whole..strip.last {
        let mut g = Array::<Vector<F, N>>::new(shares);
        let from = strip.grad + o * grad_pitch;
        read::<S, F, B, N>(grad, from, &mut g, 0usize, shares);
        let first = o * axis.stride + shift;
        #[unroll]
        for k in 0..plan.kernel {
            let column = first + k * axis.dilation;
            if column >= axis.padding && column < end {
                let from = strip.x + (column - axis.padding) * x_pitch;
                product::<S, F, B, N>(x, &g, sum, from, 0usize, comptime!(k * shares), shares);
            }
        }
    }
}

/// Adds the products of a tile of outputs, whose first source place lies at `from`; `count` places exist from `lower` on where it is
/// `guarded`, and all where it is not.
#[cube]
fn tile<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    g: &Array<Vector<F, N>>,
    sum: &mut Array<Vector<F, N>>,
    from: usize,
    pitch: usize,
    lower: usize,
    count: usize,
    #[comptime] plan: Blueprint,
    #[comptime] shares: usize,
    #[comptime] guarded: bool,
) {
    #[unroll]
    for p in 0..plan.sources() {
        if comptime!(plan.reads(p)) {
            let mut exists = true.runtime();
            if comptime!(guarded) {
                // Wraps around before the first.
                exists = p - lower < count;
            }
            if exists {
                let mut value = Array::<Vector<F, N>>::new(1usize);
                let from = from + p * pitch;
                read::<S, F, B, N>(x, from, &mut value, 0usize, 1usize);
                #[unroll]
                for i in 0..plan.tile {
                    if comptime!(plan.tap(i, p).is_some()) {
                        let tap = comptime!(plan.tap(i, p).unwrap_or(0) * shares);
                        products::<F, N>(value[0], g, sum, comptime!(i * shares), tap, shares);
                    }
                }
            }
        }
    }
}

/// Adds the products of the input at `from` with the gradients from `g[of]` on to the sums from `sum[tap]` on.
#[cube]
fn product<S: Float, F: Float, B: Size, N: Size>(
    x: &[Vector<S, B>],
    g: &Array<Vector<F, N>>,
    sum: &mut Array<Vector<F, N>>,
    from: usize,
    #[comptime] of: usize,
    #[comptime] tap: usize,
    #[comptime] shares: usize,
) {
    let mut value = Array::<Vector<F, N>>::new(1usize);
    read::<S, F, B, N>(x, from, &mut value, 0usize, 1usize);
    products::<F, N>(value[0], g, sum, of, tap, shares);
}

/// Launches the partial sums `[partials, kh kw, c m]`, or one row more where `bias` asks for that of the bias.
pub(super) fn launch_partials(
    problem: &DepthwiseProblem,
    x: &Tensor,
    grad: &Tensor,
    bias: bool,
) -> Result<Tensor, KernelError> {
    let (client, dtype) = (x.client(), problem.dtype);
    let plan = Blueprint::of_weight_by_cubes(problem);
    let vectors = Vectors::new(problem, &[x, grad]);
    let (lanes, count) = (&vectors.lanes, vectors.count(true));
    let spread = Spread::of(problem, &plan, count, bias);
    let [kh, kw, channels] = problem.weight_shape();
    let shape = [spread.partials, (kh * kw + usize::from(bias)) * channels];
    let op = "depthwise grad_weight";
    let partials = Tensor::room(op, "scratch", client, &shape, dtype.accumulator())?;
    // SAFETY: `DepthwiseProblem` relates all extents; strips and tiles are cut to what exists, and every cube writes its own sums.
    unsafe {
        partial_sums_by_cubes::launch_unchecked(
            client,
            launch::cubes(client, spread.cubes()),
            CubeDim::new_1d(spread.units() as u32),
            lanes.item,
            lanes.width,
            lanes.arg(x),
            lanes.arg(grad),
            lanes.arg(&partials),
            GeometryLaunch::new(
                axis(problem, 0, false),
                axis(problem, 1, false),
                x.view(),
                grad.view(),
                problem.channels,
                problem.multiplier,
            ),
            WorkLaunch::new(
                count,
                spread.slice,
                spread.slices,
                spread.parts_of_row,
                spread.parts,
                spread.parts_each,
                spread.groups,
                spread.walkers,
                spread.strip,
                spread.strips_of_row,
                spread.strips,
                spread.each,
                spread.partials,
            ),
            plan,
            Multiplier::new(problem.multiplier),
            bias,
            most_units(&plan, problem),
            dtype.elems(),
        );
    }
    launch::throttle(client);
    Ok(partials)
}
