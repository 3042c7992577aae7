use cubecl::prelude::*;

/// One axis of a resizing, as a kernel argument: output `o` lies at `max(o num + lead - back, 0) / den`.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub num: usize,
    pub lead: usize,
    pub back: usize,
    pub den: usize,
}

#[cube]
impl Axis {
    /// The place of output `o`, in parts of a pixel of which `den` are one pixel.
    pub fn place(&self, o: usize) -> usize {
        max(o * self.num + self.lead, self.back) - self.back
    }

    /// The input at or before `place`.
    pub fn below(&self, place: usize) -> usize {
        min(place / self.den, self.input - 1)
    }

    /// How far past input `i` `place` is, as a share of a pixel.
    pub fn share<F: Float>(&self, place: usize, i: usize) -> F {
        F::cast_from((place - i * self.den) as u32) / F::cast_from(self.den as u32)
    }

    /// The first output at or past `place`; `num` is 0 only where every output lies at 0.
    pub fn first_past(&self, place: usize) -> usize {
        let needed = max(place + self.back, self.lead) - self.lead;
        let step = max(self.num, 1);
        min((needed + step - 1) / step, self.output)
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
        let place = self.place(o);
        let mut weight = F::new(1.0f32);
        if place < i * self.den {
            weight = self.share::<F>(place, i - 1);
        } else if i + 1 < self.input {
            weight = F::new(1.0f32) - self.share::<F>(place, i);
        }
        weight
    }
}
