//! What all sliding windows share: where they fall, and what is refused.

use crate::KernelError;

/// The largest side of an image: products of two sides then fit 31 bits, within which devices of 32-bit indices divide fast.
const LARGEST_SIDE: usize = 32_767;
/// The largest kernel side, stride and dilation: far past any published model.
const LARGEST_STEP: usize = 1024;
/// The largest side of a dilated window: positions within a window are then numbers that f32 holds exactly.
const LARGEST_REACH: usize = 4096;

/// The windows along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub ceil_mode: bool,
}

impl Sliding {
    /// From the first pixel that a window reads to the one behind the last.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// How many windows fit on `size` pixels.
    ///
    /// With `ceil_mode` a last window may reach past the padding, if it starts within the image or the padding ahead of it.
    ///
    /// # Errors
    /// [`KernelError::Range`] for, in this order, `kernel`, `stride`, `padding`, `dilation`, the window's reach and `input`.
    pub fn count(&self, op: &'static str, size: usize) -> Result<usize, KernelError> {
        let steps = 1..=LARGEST_STEP;
        if !steps.contains(&self.kernel) {
            return Err(KernelError::range(op, "kernel", self.kernel, "1 to 1024"));
        }
        if !steps.contains(&self.stride) {
            return Err(KernelError::range(op, "stride", self.stride, "1 to 1024"));
        }
        if self.padding > self.kernel / 2 {
            let wanted = "at most half of the kernel";
            return Err(KernelError::range(op, "padding", self.padding, wanted));
        }
        if !steps.contains(&self.dilation) {
            let wanted = "1 to 1024";
            return Err(KernelError::range(op, "dilation", self.dilation, wanted));
        }
        if self.reach() > LARGEST_REACH {
            let wanted = "a dilated kernel of at most 4096 pixels";
            return Err(KernelError::range(op, "dilation", self.dilation, wanted));
        }
        let padded = size + 2 * self.padding;
        let beyond = if self.ceil_mode { self.stride - 1 } else { 0 };
        if padded + beyond < self.reach() {
            let wanted = "at least the dilated kernel less its padding";
            return Err(KernelError::range(op, "input", size, wanted));
        }
        let count = (padded + beyond - self.reach()) / self.stride + 1;
        let starts_behind = self.ceil_mode && (count - 1) * self.stride >= size + self.padding;
        Ok(count - usize::from(starts_behind))
    }
}

/// Passes when every extent of `[n, h, w, c]` is one that the kernels can index.
///
/// # Errors
/// [`KernelError::Shape`] when a side is not in `1..=32,767`, there is no channel, or the elements cannot be counted.
pub(super) fn check_images(
    op: &'static str,
    tensor: &'static str,
    shape: [usize; 4],
) -> Result<(), KernelError> {
    let sides = 1..=LARGEST_SIDE;
    let countable = shape
        .iter()
        .try_fold(8usize, |bytes, &extent| bytes.checked_mul(extent))
        .is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if sides.contains(&shape[1]) && sides.contains(&shape[2]) && shape[3] > 0 && countable {
        return Ok(());
    }
    Err(KernelError::Shape {
        op,
        tensor,
        got: shape.to_vec(),
        wanted: "[n, h, w, c] with sides from 1 to 32,767 and c > 0".to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_counted_windows() {
        let count = |kernel, stride, padding, dilation, ceil_mode, size| {
            let windows = Sliding {
                kernel,
                stride,
                padding,
                dilation,
                ceil_mode,
            };
            windows.count("pool", size).ok()
        };
        assert_eq!(count(3, 2, 1, 1, false, 112), Some(56));
        assert_eq!(count(2, 2, 0, 1, false, 5), Some(2));
        assert_eq!(count(2, 2, 0, 1, true, 5), Some(3));
        // A third window would start in the padding behind the image.
        assert_eq!(count(2, 2, 1, 1, true, 3), Some(2));
        assert_eq!(count(3, 1, 1, 2, false, 5), Some(3));
        assert_eq!(count(3, 2, 0, 1, false, 2), None);
        assert_eq!(count(3, 2, 0, 1, true, 2), Some(1));
    }
}
