use super::Pass;
use crate::lanes::View;
use crate::taps::{Axis, Taps};
use cubecl::prelude::*;

/// The images that are gathered from, as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Images {
    pub batch: usize,
    /// Channels of a group.
    pub channels: usize,
    pub vertical: Axis,
    pub horizontal: Axis,
}

/// The outputs of one residue of the stride, and the taps that reach them; all of both but in the transposed pass.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Residue {
    v: Taps,
    h: Taps,
    residue_v: usize,
    residue_h: usize,
    /// Its outputs.
    pub pixels: usize,
    /// Elements that its taps read for one output.
    pub taps: usize,
    /// Rows of its outputs in an image, outputs of such a row, and taps of a kernel row: divisors, at least 1.
    lines: usize,
    across: usize,
    wide: usize,
}

/// What a pixel or a tap adds to the place of an element of the gathered matrix.
#[derive(CubeType, Clone, Copy)]
pub(super) struct ElementOffset {
    /// Elements.
    pub start: usize,
    /// Rows, those of padding counted.
    pub y: usize,
    /// Columns, likewise.
    pub x: usize,
}

#[cube]
impl Images {
    /// The phase `index`, of as many as the strides' product in the transposed pass, of one in the others.
    pub fn residue(&self, index: usize, #[comptime] pass: Pass) -> Residue {
        let transposed = comptime!(pass == Pass::Transposed);
        let (mut residue_v, mut residue_h) = (0usize.runtime(), 0usize.runtime());
        if transposed {
            residue_v = index / self.horizontal.stride;
            residue_h = index % self.horizontal.stride;
        }
        let v = self.vertical.taps(residue_v, transposed);
        let h = self.horizontal.taps(residue_h, transposed);
        // A stride may be longer than the image.
        let lines = max(self.vertical.target, residue_v) - residue_v;
        let across = max(self.horizontal.target, residue_h) - residue_h;
        let lines = (lines + v.out_step - 1) / v.out_step;
        let across = (across + h.out_step - 1) / h.out_step;
        let pixels = self.batch * lines * across;
        let taps = v.taps * h.taps * self.channels;
        let wide = max(h.taps, 1);
        Residue {
            v,
            h,
            residue_v,
            residue_h,
            pixels,
            taps,
            lines: max(lines, 1),
            across: max(across, 1),
            wide,
        }
    }

    /// The output `index` of `residue`; beside every image from `end` on.
    pub fn pixel(&self, residue: &Residue, view: &View, index: usize, end: usize) -> ElementOffset {
        let x = index % residue.across;
        let y = index / residue.across % residue.lines;
        let image = index / residue.across / residue.lines;
        ElementOffset {
            start: image * self.vertical.source * self.horizontal.source * view.pitch,
            y: self.row_or_none(residue, y * residue.v.in_step + residue.v.up, index < end),
            x: x * residue.h.in_step + residue.h.up,
        }
    }

    /// The tap and channel `index` of `residue`; beside every image from `end` on.
    pub fn tap(&self, residue: &Residue, index: usize, end: usize) -> ElementOffset {
        let tap = index / self.channels;
        ElementOffset {
            start: index % self.channels,
            y: self.row_or_none(residue, tap / residue.wide, index < end),
            x: tap % residue.wide,
        }
    }

    /// The row of the weight that belongs to the tap and channel `index` of `residue`.
    pub fn row_of(&self, residue: &Residue, index: usize) -> usize {
        let tap = index / self.channels;
        let y = residue.v.start + tap / residue.wide;
        let x = residue.h.start + tap % residue.wide;
        (y * self.horizontal.kernel + x) * self.channels + index % self.channels
    }

    /// The pixel of the result that is the output `index` of `residue`.
    pub fn target(&self, residue: &Residue, index: usize) -> usize {
        let x = index % residue.across * residue.h.out_step + residue.residue_h;
        let y = index / residue.across % residue.lines * residue.v.out_step + residue.residue_v;
        let image = index / residue.across / residue.lines;
        (image * self.vertical.target + y) * self.horizontal.target + x
    }

    /// The element where a pixel and a tap meet, whose group starts at channel `group`; zero where that is beside the image.
    pub fn element<S: Float, F: Float>(
        &self,
        x: &[S],
        view: &View,
        residue: &Residue,
        group: usize,
        pixel: &ElementOffset,
        tap: &ElementOffset,
    ) -> F {
        let (row, column) = (pixel.y + tap.y, pixel.x + tap.x);
        let (top, left) = (residue.v.lead, residue.h.lead);
        let there = row >= top
            && row < top + self.vertical.source
            && column >= left
            && column < left + self.horizontal.source;
        let offset = (row - top) * self.horizontal.source + column - left;
        let offset = view.at(offset) + pixel.start + tap.start + group;
        // A load of what is not used costs less than a branch.
        let value = F::cast_from(x[select(there, offset, view.base)]);
        select(there, value, F::new(0.0f32))
    }

    /// `row`, or one that is below the image whatever is added to it.
    fn row_or_none(&self, residue: &Residue, row: usize, there: bool) -> usize {
        select(there, row, residue.v.lead + self.vertical.source)
    }
}
