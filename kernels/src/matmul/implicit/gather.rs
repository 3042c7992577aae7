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

/// What a pixel, or a tap and a channel, adds to where an element of the gathered matrix lies: elements, rows and columns of the image, the
/// last two below zero modulo 2^32 where that is beside it. A kernel has the fourth for itself.
pub(super) type Spot = Vector<u32, Const<4>>;

#[cube]
fn spot(offset: u32, y: u32, x: u32) -> Spot {
    let mut spot = Spot::new(offset);
    spot.insert(1usize, y);
    spot.insert(2usize, x);
    spot
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
    pub fn pixel(&self, residue: &Residue, view: &View, index: usize, end: usize) -> Spot {
        let x = index % residue.across;
        let y = index / residue.across % residue.lines;
        let image = index / residue.across / residue.lines;
        let x = x * residue.h.in_step + residue.h.up;
        let y = y * residue.v.in_step + residue.v.up;
        let pixel = (image * self.vertical.source + y) * self.horizontal.source + x;
        let beside = residue.v.lead + self.vertical.source;
        let row = select(index < end, y, beside);
        spot(view.at(pixel) as u32, row as u32, x as u32)
    }

    /// The tap and channel `index` of `residue`; beside every image from `end` on.
    pub fn tap(&self, residue: &Residue, view: &View, index: usize, end: usize) -> Spot {
        let tap = index / self.channels;
        let y = (tap / residue.wide) as u32 - residue.v.lead as u32;
        let x = (tap % residue.wide) as u32 - residue.h.lead as u32;
        let pixels = y * self.horizontal.source as u32 + x;
        let offset = pixels * view.pitch as u32 + (index % self.channels) as u32;
        let row = select(index < end, y, self.vertical.source as u32);
        spot(offset, row, x)
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

    /// The `A` neighbours from where a pixel and a tap meet on, whose group starts at channel `group`; zeros where that is beside the image.
    pub fn elements<S: Float, F: Float, A: Size>(
        &self,
        x: &[Vector<S, A>],
        view: &View,
        group: usize,
        pixel: Spot,
        tap: Spot,
    ) -> Vector<F, A> {
        let row = pixel.extract(1usize) + tap.extract(1usize);
        let column = pixel.extract(2usize) + tap.extract(2usize);
        let there = row < self.vertical.source as u32 && column < self.horizontal.source as u32;
        let offset = (pixel.extract(0usize) + tap.extract(0usize)) as usize + group;
        // A load of what is not used costs less than a branch.
        let value = Vector::<F, A>::cast_from(x[select(there, offset, view.base) / A::value()]);
        select(there, value, Vector::<F, A>::new(F::new(0.0f32)))
    }
}
