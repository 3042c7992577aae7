use cubecl::prelude::*;
use cubecl::std::FastDivmod;

/// One axis of a resizing, as a kernel argument: output `o` lies at `max(o num + lead - back, 0) / den`.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub num: usize,
    pub lead: usize,
    pub back: usize,
    pub den: usize,
    /// `num`, or 1 where that is 0 and every output lies at 0.
    pub step: usize,
    pub by_step: FastDivmod<usize>,
    pub by_den: FastDivmod<usize>,
}

#[cube]
impl Axis {
    /// The position of output `o`, in parts of a pixel of which `den` are one pixel.
    pub fn position(&self, o: usize) -> usize {
        max(o * self.num + self.lead, self.back) - self.back
    }

    /// The input at or before `position`.
    pub fn below(&self, position: usize) -> usize {
        min(self.by_den.div(position), self.input - 1)
    }

    /// One of the `den` parts of a pixel.
    fn part<F: Float>(&self) -> F {
        F::new(1.0f32) / F::cast_from(self.den as u32)
    }

    /// How far past input `i` `position` is, as a share of a pixel.
    pub fn share<F: Float>(&self, position: usize, i: usize) -> F {
        F::cast_from((position - i * self.den) as u32) * self.part::<F>()
    }

    /// What the share leaves of a pixel. In one rounding, since a compiler may make it two or one, for each width of vectors another.
    pub fn rest<F: Float>(&self, position: usize, i: usize) -> F {
        let past = F::cast_from((position - i * self.den) as u32);
        fma(F::new(0.0f32) - past, self.part::<F>(), F::new(1.0f32))
    }

    /// The first output at or past `position`.
    pub fn first_past(&self, position: usize) -> usize {
        let needed = max(position + self.back, self.lead) - self.lead;
        min(self.by_step.div(needed + self.step - 1), self.output)
    }

    /// The first output that reads input `i`: the first at or past the input before it.
    pub fn first_over(&self, i: usize) -> usize {
        let mut first = 0usize.runtime();
        if i > 1 {
            first = self.first_past((i - 1) * self.den);
        }
        first
    }

    /// The output behind the last one that reads input `i`: the first at or past the input behind it.
    pub fn end_over(&self, i: usize) -> usize {
        let mut end = self.output;
        if i + 1 < self.input {
            end = self.first_past((i + 1) * self.den);
        }
        end
    }

    /// With which weight output `o`, one of those over input `i`, reads it.
    pub fn weight<F: Float>(&self, o: usize, i: usize) -> F {
        let last = (self.input - 1) * self.den;
        let (position, here) = (min(self.position(o), last), i * self.den);
        // Past the pixel before this one, or past this one; no branch, as neighbouring outputs take turns.
        let below = position < here;
        let past = select(
            below,
            position + self.den - here,
            position - min(here, position),
        );
        let (past, part) = (F::cast_from(past as u32), self.part::<F>());
        let rest = fma(F::new(0.0f32) - past, part, F::new(1.0f32));
        select(below, past * part, rest)
    }
}
