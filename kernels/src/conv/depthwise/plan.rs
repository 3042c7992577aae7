use super::DepthwiseProblem;
use super::multiplier::Multiplier;
use crate::prologue::Prologue;

/// Taps of a kernel row that are unrolled, each with its weight in a register, on a CPU and on a GPU. Longer ones load what they
/// multiply from a first-level cache, which a GPU's many multiply-adds outrun.
const MOST_UNROLLED: usize = 7;
const MOST_UNROLLED_BY_GPU: usize = 13;
/// Source columns that one tile spans at most.
const WIDEST: usize = 32;

/// Outputs of a tile of the gradient with respect to the weight by cubes: the sides of most networks' maps are multiples of 7.
const TILE_OF_CUBES: usize = 7;

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
        let plan = if is_cpu {
            Self::of_cpu(problem, transposed)
        } else {
            Self::of_gpu(problem, transposed)
        };
        // A tap leads from neighbouring targets to sources one step apart, but for the gradient's at a stride.
        let shares = Multiplier::new(problem.multiplier).shares();
        let neighbours = shares == 1 && (!transposed || problem.options.stride[1] == 1);
        if plan.unrolled || !neighbours {
            plan
        } else {
            Self { tile: 7, ..plan }
        }
    }

    fn of_cpu(problem: &DepthwiseProblem, transposed: bool) -> Self {
        let unit_step = problem.options.stride[0] == 1 && problem.options.dilation[0] == 1;
        let shares = Multiplier::new(problem.multiplier).shares();
        let rows = if unit_step && shares == 1 { 2 } else { 1 };
        // The sums of long rows wait for each other unless there are enough of them.
        let tile = match (shares, rows, problem.kernel[1]) {
            (1, 2, 4..) => 7,
            (1, 1, 4..) => 8,
            (1..=4, ..) => 4,
            _ => 2,
        };
        Self::of(problem, transposed, tile, rows, MOST_UNROLLED)
    }

    /// A unit of a GPU has few registers, as its multiprocessor holds many: one row of four targets. Only kernel rows whose weights
    /// fill them anyway have more targets, so that each source is loaded for more.
    fn of_gpu(problem: &DepthwiseProblem, transposed: bool) -> Self {
        let tile = match (
            Multiplier::new(problem.multiplier).shares(),
            problem.kernel[1],
        ) {
            (1, 8..) => 7,
            (1, _) => 4,
            _ => 2,
        };
        Self::of(problem, transposed, tile, 1, MOST_UNROLLED_BY_GPU)
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
