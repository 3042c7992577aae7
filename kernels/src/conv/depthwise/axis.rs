//! Where the taps of one axis fall, in a forward pass and in the gradient with respect to the input ("transposed").

use super::DepthwiseProblem;
use super::plan::Blueprint;
use cubecl::prelude::*;

/// One axis of a convolution, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    /// Extent of the tensor that is read.
    pub source: usize,
    /// Extent of the tensor that is written.
    pub target: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the input's first row or column.
    pub padding: usize,
    /// Taps between two that reach one pixel of the input: `stride / gcd(stride, dilation)`.
    pub tap_step: usize,
    /// Outputs between the two that such taps belong to: `dilation / gcd(stride, dilation)`.
    pub source_step: usize,
}

/// The taps that reach one target, without those in the padding: `tap_at(j)` meets `source_at(j)` for `j` in `0..taps`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Walk {
    pub taps: usize,
    pub tap: usize,
    pub source: usize,
}

/// A tile of neighbouring targets along the horizontal axis, of a comptime size.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Tile {
    /// The target under the tile's first place, which may lie before the image: the sum wraps around.
    pub target: usize,
    /// The places whose targets exist: `first..last`.
    pub first: usize,
    pub last: usize,
    /// The source under the tile's first source place; it may lie before the image as well.
    pub source: usize,
    /// The source places that exist: `lower..upper`.
    pub lower: usize,
    pub upper: usize,
    /// Whether all of both exist.
    pub inside: bool,
}

#[cube]
impl Tile {
    /// Whether this is a tile to be walked with guards, or without.
    pub fn suits(&self, #[comptime] guarded: bool, #[comptime] plan: Blueprint) -> bool {
        if comptime!(plan.walks() == 1) {
            true.runtime()
        } else if comptime!(guarded) {
            !self.inside
        } else {
            self.inside
        }
    }
}

#[cube]
impl Axis {
    /// The `t`-th tile of a row.
    pub fn tile(&self, t: usize, #[comptime] plan: Blueprint) -> Tile {
        if comptime!(!plan.unrolled) {
            let target = t * plan.tile;
            let last = min(self.target - target, plan.tile);
            Tile {
                target,
                first: 0usize.runtime(),
                last,
                source: 0usize.runtime(),
                lower: 0usize.runtime(),
                upper: 0usize.runtime(),
                inside: last == plan.tile,
            }
        } else {
            self.unrolled_tile(t, plan)
        }
    }

    fn unrolled_tile(&self, t: usize, #[comptime] plan: Blueprint) -> Tile {
        let (size, sources) = comptime!((plan.tile, plan.sources()));
        // In padded columns, where nothing is negative.
        let mut start = t * size;
        let mut target_lead = 0usize.runtime();
        let mut from = start * self.stride;
        let mut source_lead = self.padding;
        if comptime!(plan.transposed) {
            start += self.padding - self.padding % self.stride;
            target_lead = self.padding;
            from = start / self.stride;
            source_lead = comptime!(plan.lead()).runtime();
        }
        let first = max(target_lead, start) - start;
        let last = min(max(target_lead + self.target, start) - start, size);
        let lower = max(source_lead, from) - from;
        let upper = min(max(source_lead + self.source, from) - from, sources);
        Tile {
            target: start - target_lead,
            first,
            last,
            source: from - source_lead,
            lower,
            upper,
            inside: first == 0 && last == size && lower == 0 && upper == sources,
        }
    }

    /// The taps that reach `target`; `transposed` for the gradient with respect to the input.
    pub fn walk(&self, target: usize, #[comptime] transposed: bool) -> Walk {
        if comptime!(transposed) {
            self.walk_back(target)
        } else {
            self.walk_forward(target)
        }
    }

    fn walk_forward(&self, target: usize) -> Walk {
        let start = target * self.stride;
        let before = max(self.padding, start) - start;
        let behind = max(self.padding + self.source, start) - start;
        let stop = min((behind + self.dilation - 1) / self.dilation, self.kernel);
        let tap = min((before + self.dilation - 1) / self.dilation, stop);
        Walk {
            taps: stop - tap,
            tap,
            source: start + tap * self.dilation - self.padding,
        }
    }

    /// Tap `k` of output `o` reaches padded input `u` where `u = o stride + k dilation`: every `tap_step`-th tap does.
    fn walk_back(&self, target: usize) -> Walk {
        let u = target + self.padding;
        let mut tap = 0usize;
        let mut residue = u % self.stride;
        while residue != 0 && tap < self.tap_step {
            tap += 1;
            // `u - tap dilation` modulo the stride, without leaving the unsigned numbers.
            residue = (u + tap * (self.stride - 1) * self.dilation) % self.stride;
        }
        let reaches = residue == 0 && tap < self.kernel && tap * self.dilation <= u;
        let mut taps = 0usize;
        let mut source = 0usize;
        if reaches {
            let top = (u - tap * self.dilation) / self.stride;
            let all = (self.kernel - tap + self.tap_step - 1) / self.tap_step;
            let stop = min(all, top / self.source_step + 1);
            let beyond = max(top + self.source_step, self.source) - self.source;
            let first = min(beyond / self.source_step, stop);
            taps = stop - first;
            tap += first * self.tap_step;
            source = top - first * self.source_step;
        }
        Walk { taps, tap, source }
    }

    /// The kernel's row or column of the walk's `j`-th tap.
    pub fn tap_at(&self, walk: &Walk, j: usize, #[comptime] transposed: bool) -> usize {
        if comptime!(transposed) {
            walk.tap + j * self.tap_step
        } else {
            walk.tap + j
        }
    }

    /// The source's row or column under the walk's `j`-th tap.
    pub fn source_at(&self, walk: &Walk, j: usize, #[comptime] transposed: bool) -> usize {
        if comptime!(transposed) {
            walk.source - j * self.source_step
        } else {
            walk.source + j * self.dilation
        }
    }
}

/// The vertical (0) or horizontal (1) axis of `problem`.
pub(super) fn axis(problem: &DepthwiseProblem, axis: usize, transposed: bool) -> AxisLaunch {
    let (input, output) = (problem.input[axis], problem.output()[axis]);
    let (source, target) = if transposed {
        (output, input)
    } else {
        (input, output)
    };
    let (stride, dilation) = (problem.options.stride[axis], problem.options.dilation[axis]);
    let divisor = gcd(stride, dilation);
    let padding = problem.options.padding[2 * axis];
    AxisLaunch::new(
        source,
        target,
        problem.kernel[axis],
        stride,
        dilation,
        crate::planted::or("depthwise_padding", padding, padding + 1),
        stride / divisor,
        dilation / divisor,
    )
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
