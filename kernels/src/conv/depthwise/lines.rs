//! The source rows that a few neighbouring target rows read, each row once for all of them.

use super::axis::Axis;
use super::plan::Blueprint;
use cubecl::prelude::*;

/// The source rows of one or two target rows, from the lowest on: the `i`-th is `first + i step`, for `i` in `0..count`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Lines {
    pub first: usize,
    pub count: usize,
    pub step: usize,
    /// The kernel's rows between one source row and the next, to be added, and taken off in a transposed walk.
    pub tap_step: usize,
    pub upper: Line,
    pub lower: Line,
}

/// The part of one target row in [`Lines`]: it reads the source rows `begin..end`, the first of them with the kernel's row `tap`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Line {
    pub begin: usize,
    pub end: usize,
    pub tap: usize,
}

/// The source rows of one target row: `taps` of them, from `source` on.
#[derive(CubeType, Clone, Copy)]
struct Reach {
    source: usize,
    taps: usize,
    tap: usize,
}

#[cube]
impl Lines {
    /// The source rows of target row `target` and, where the blueprint has two rows a tile, of the next one, if there is one.
    pub fn of(axis: &Axis, target: usize, #[comptime] plan: Blueprint) -> Lines {
        let mut step = axis.dilation;
        let mut tap_step = 1usize.runtime();
        if comptime!(plan.transposed) {
            step = axis.source_step;
            tap_step = axis.tap_step;
        }
        let upper = reach(axis, target, plan.transposed);
        if comptime!(plan.rows == 1) {
            Lines {
                first: upper.source,
                count: upper.taps,
                step,
                tap_step,
                upper: Line {
                    begin: 0usize.runtime(),
                    end: upper.taps,
                    tap: upper.tap,
                },
                lower: Line {
                    begin: 0usize.runtime(),
                    end: upper.taps,
                    tap: upper.tap,
                },
            }
        } else {
            let next = min(target + 1, axis.target - 1);
            let mut lower = reach(axis, next, plan.transposed);
            if target + 1 >= axis.target || lower.taps == 0 {
                lower.taps = 0;
                lower.source = upper.source;
            }
            let mut first = min(upper.source, lower.source);
            if upper.taps == 0 {
                first = lower.source;
            }
            // What reads no row ends before every one.
            let mut upper = Line {
                begin: upper.source - first,
                end: upper.source + upper.taps - first,
                tap: upper.tap,
            };
            if upper.end == upper.begin {
                upper.end = 0;
            }
            let mut lower = Line {
                begin: lower.source - first,
                end: lower.source + lower.taps - first,
                tap: lower.tap,
            };
            if lower.end == lower.begin {
                lower.end = 0;
            }
            Lines {
                first,
                count: max(upper.end, lower.end),
                step,
                tap_step,
                upper,
                lower,
            }
        }
    }
}

#[cube]
fn reach(axis: &Axis, target: usize, #[comptime] transposed: bool) -> Reach {
    let walk = axis.walk(target, transposed);
    let mut reach = Reach {
        source: walk.source,
        taps: walk.taps,
        tap: walk.tap,
    };
    if comptime!(transposed) {
        // A transposed walk goes up the source: its last tap meets the lowest row.
        if walk.taps > 0 {
            reach.source = walk.source - (walk.taps - 1) * axis.source_step;
            reach.tap = walk.tap + (walk.taps - 1) * axis.tap_step;
        }
    }
    reach
}
