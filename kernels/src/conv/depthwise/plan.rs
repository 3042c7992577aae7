use super::DepthwiseProblem;
use super::multiplier::Multiplier;
use crate::planted;
use crate::prologue::Prologue;
use crate::tune::Knob;

/// Taps of a kernel row that are unrolled, each with its weight in a register, on a CPU and on a GPU. Longer ones load what they
/// multiply from a first-level cache, which a GPU's many multiply-adds outrun.
const MOST_UNROLLED: usize = 7;
const MOST_UNROLLED_BY_GPU: usize = 13;
/// Source columns that one tile spans at most.
const WIDEST: usize = 32;

/// Outputs of a tile of the gradient with respect to the weight by cubes: the sides of most networks' maps are multiples of 7.
const TILE_OF_CUBES: usize = 7;

/// Neighbouring targets and target rows of a tile, which hold as many sums in registers. Of rows there are two at most, and one where
/// neighbouring targets share no source rows.
const TILE: Knob<11, 2> = Knob {
    op: "depthwise",
    class: [
        "transposed",
        "kernel_h",
        "kernel_w",
        "stride_h",
        "stride_w",
        "dilation_h",
        "dilation_w",
        "multiplier",
        "channels",
        "height",
        "width",
    ],
    sizes: [
        ("tile", &[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14]),
        ("rows", &[1, 2]),
    ],
};
/// Sums that a tile which is tried has at most: more do not fit the registers of any device.
const MOST_SUMS: usize = 16;

/// The comptime variant of a kernel's horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    /// Whether the taps of a row are unrolled over a tile of neighbouring targets, rather than walked one by one.
    pub unrolled: bool,
    /// Whether this is the gradient with respect to the input.
    pub transposed: bool,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Neighbouring targets held in registers.
    pub tile: usize,
    /// Target rows of a tile: two share the source rows that both read.
    pub rows: usize,
    /// The kernel's height where it is known as well, so that the sums of all taps are held in registers.
    pub height: Option<usize>,
    /// What the input goes through as it is loaded.
    pub prologue: Prologue,
}

impl Blueprint {
    /// For the convolution, or, `transposed`, for the gradient with respect to the input.
    pub fn new(problem: &DepthwiseProblem, transposed: bool, is_cpu: bool) -> Self {
        let (rule, most_unrolled) = match is_cpu {
            true => (Self::of_cpu(problem), MOST_UNROLLED),
            false => (Self::of_gpu(problem), MOST_UNROLLED_BY_GPU),
        };
        let plan =
            |[tile, rows]: [usize; 2]| Self::of(problem, transposed, tile, rows, most_unrolled);
        let shares = Multiplier::new(problem.multiplier).shares();
        if plan(rule).unrolled {
            return plan(Self::tuned(problem, transposed, rule, |tile| {
                plan(tile).unrolled
            }));
        }
        // A tap leads from neighbouring targets to sources one step apart, but for the gradient's at a stride.
        let neighbours = shares == 1 && (!transposed || problem.options.stride[1] == 1);
        let tile = if neighbours { 7 } else { 1 };
        Self { tile, ..plan(rule) }
    }

    /// The tile `rule`, or what was found to be faster; `fits` says whether a tile can be unrolled.
    fn tuned(
        problem: &DepthwiseProblem,
        transposed: bool,
        rule: [usize; 2],
        fits: impl Fn([usize; 2]) -> bool,
    ) -> [usize; 2] {
        let (options, [height, width]) = (problem.options, problem.input);
        let [kernel_h, kernel_w] = problem.kernel;
        let class = [
            usize::from(transposed),
            kernel_h,
            kernel_w,
            options.stride[0],
            options.stride[1],
            options.dilation[0],
            options.dilation[1],
            problem.multiplier,
            problem.channels,
            height,
            width,
        ];
        let step = if transposed { options.stride[1] } else { 1 };
        let most_rows = Self::most_rows(problem);
        let most_rows = planted::or("depthwise_rows_at_any_stride", most_rows, 2);
        TILE.choose(problem.dtype, class, rule, |[tile, rows]| {
            let sums = tile * rows * Multiplier::new(problem.multiplier).shares();
            tile.is_multiple_of(step)
                && rows <= most_rows
                && sums <= MOST_SUMS
                && fits([tile, rows])
        })
    }

    /// The target rows that share the source rows which all of them read.
    fn most_rows(problem: &DepthwiseProblem) -> usize {
        let unit_step = problem.options.stride[0] == 1 && problem.options.dilation[0] == 1;
        let shares = Multiplier::new(problem.multiplier).shares();
        if unit_step && shares == 1 { 2 } else { 1 }
    }

    fn of_cpu(problem: &DepthwiseProblem) -> [usize; 2] {
        let shares = Multiplier::new(problem.multiplier).shares();
        let rows = Self::most_rows(problem);
        // The sums of long rows wait for each other unless there are enough of them.
        let tile = match (shares, rows, problem.kernel[1]) {
            (1, 2, 4..) => 7,
            (1, 1, 4..) => 8,
            (1..=4, ..) => 4,
            _ => 2,
        };
        [tile, rows]
    }

    /// A unit of a GPU has few registers, as its multiprocessor holds many: one row of four targets. Only kernel rows whose weights
    /// fill them anyway have more targets, so that each source is loaded for more.
    fn of_gpu(problem: &DepthwiseProblem) -> [usize; 2] {
        let tile = match (
            Multiplier::new(problem.multiplier).shares(),
            problem.kernel[1],
        ) {
            (1, 8..) => 7,
            (1, _) => 4,
            _ => 2,
        };
        [tile, 1]
    }

    /// For the gradient with respect to the weight.
    pub fn of_weight(problem: &DepthwiseProblem) -> Self {
        let unit_step = problem.options.stride[0] == 1 && problem.options.dilation[0] == 1;
        let (tile, rows) = match Multiplier::new(problem.multiplier).shares() {
            1 if unit_step => (8, 2),
            1 => (8, 1),
            2..=4 => (4, 1),
            _ => (2, 1),
        };
        let plan = Self::of(problem, false, tile, rows, MOST_UNROLLED);
        let few = problem.kernel.iter().all(|&side| side <= 3);
        Self {
            height: (plan.unrolled && rows == 2 && few).then_some(problem.kernel[0]),
            ..plan
        }
    }

    /// For the gradient with respect to the weight by cubes: the taps of a unit's part of a kernel row are the blueprint's kernel.
    pub fn of_weight_by_cubes(problem: &DepthwiseProblem) -> Self {
        let shares = Multiplier::new(problem.multiplier).shares();
        let most = (MOST_UNROLLED_BY_GPU / shares).max(1);
        let kernel = problem.kernel[1];
        let kernel = kernel.div_ceil(kernel.div_ceil(most));
        let tile = if shares == 1 { TILE_OF_CUBES } else { 2 };
        let unrolled = Self {
            unrolled: true,
            transposed: false,
            kernel,
            stride: problem.options.stride[1],
            dilation: problem.options.dilation[1],
            tile,
            rows: 1,
            height: None,
            prologue: Prologue::default(),
        };
        if unrolled.stride <= 2 && unrolled.sources() <= WIDEST {
            return unrolled;
        }
        Self {
            unrolled: false,
            stride: 1,
            dilation: 1,
            ..unrolled
        }
    }

    fn of(
        problem: &DepthwiseProblem,
        transposed: bool,
        tile: usize,
        rows: usize,
        most_unrolled: usize,
    ) -> Self {
        let (kernel, stride, dilation) = (
            problem.kernel[1],
            problem.options.stride[1],
            problem.options.dilation[1],
        );
        let unrolled = Self {
            unrolled: true,
            transposed,
            kernel,
            stride,
            dilation,
            // A tile of the gradient begins at a multiple of the stride, so that its taps are known before it runs.
            tile: tile.next_multiple_of(if transposed { stride } else { 1 }),
            rows,
            height: None,
            prologue: Prologue::default(),
        };
        if kernel <= most_unrolled && stride <= 2 && unrolled.sources() <= WIDEST {
            return unrolled;
        }
        // One variant serves all the others.
        Self {
            unrolled: false,
            transposed,
            kernel: 1,
            stride: 1,
            dilation: 1,
            tile: 1,
            rows: 1,
            height: None,
            prologue: Prologue::default(),
        }
    }

    /// The ways in which a tile is walked: with guards, which ask which columns exist, and, where the taps are unrolled, also without.
    pub fn walks(&self) -> usize {
        if self.unrolled { 2 } else { 1 }
    }

    /// Tiles of a target row.
    pub fn tiles(&self, problem: &DepthwiseProblem) -> usize {
        let padding = problem.options.padding[2];
        match (self.unrolled, self.transposed) {
            (true, true) => (padding % self.stride + problem.input[1]).div_ceil(self.tile),
            (false, true) => problem.input[1].div_ceil(self.tile),
            (_, false) => problem.output()[1].div_ceil(self.tile),
        }
    }

    /// Source columns before the one under the first target of a tile.
    pub fn lead(&self) -> usize {
        if self.transposed {
            (self.kernel - 1) * self.dilation / self.stride
        } else {
            0
        }
    }

    /// Source columns that a tile spans.
    pub fn sources(&self) -> usize {
        if self.transposed {
            self.lead() + self.tile / self.stride
        } else {
            (self.tile - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        }
    }

    /// The tap that leads from source column `source` of a tile to its target `target`.
    pub fn tap(&self, target: usize, source: usize) -> Option<usize> {
        let span = if self.transposed {
            (target + self.lead() * self.stride).checked_sub(source * self.stride)?
        } else {
            source.checked_sub(target * self.stride)?
        };
        let tap = span / self.dilation;
        let tap = if crate::planted::is("depthwise_flip") && self.transposed {
            (self.kernel - 1).checked_sub(tap)?
        } else {
            tap
        };
        (span.is_multiple_of(self.dilation) && tap < self.kernel).then_some(tap)
    }

    /// Whether any target of a tile reads source column `source`.
    pub fn reads(&self, source: usize) -> bool {
        (0..self.tile).any(|target| self.tap(target, source).is_some())
    }

    /// The source column of a tile that tap `tap` leads to from its target `target`; none where the stride jumps over it.
    pub fn source(&self, target: usize, tap: usize) -> Option<usize> {
        (0..self.sources()).find(|&source| self.tap(target, source) == Some(tap))
    }
}
