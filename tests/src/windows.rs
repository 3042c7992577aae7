use crate::{download, upload};
use ghostlight_kernels::{DType, Tensor};

/// A channel window inside a larger tensor whose other channels hold NaN: a kernel that reads one of them spoils its result, and
/// one that writes one of them is found out by [`Windowed::assert_gaps_untouched`].
pub struct Windowed {
    whole: Tensor,
    /// The window, of the shape that was asked for.
    pub window: Tensor,
    channels: std::ops::Range<usize>,
}

impl Windowed {
    /// `values` of `shape`, with `before` channels ahead of each pixel's own and `after` behind them.
    pub fn of(values: &[f64], shape: &[usize], dtype: DType, before: usize, after: usize) -> Self {
        let channels = *shape.last().expect("a window has channels");
        let mut wide = shape.to_vec();
        *wide.last_mut().expect("a window has channels") += before + after;
        let mut all = vec![f64::NAN; wide.iter().product()];
        for (pixel, own) in all
            .chunks_mut(before + channels + after)
            .zip(values.chunks(channels.max(1)))
        {
            pixel[before..][..channels].copy_from_slice(own);
        }
        let whole = upload(&all, &wide, dtype);
        let window = whole.window(before, channels).expect("it lies within");
        Self {
            whole,
            window,
            channels: before..before + channels,
        }
    }

    /// Room for a result of `shape`, NaN throughout.
    pub fn room(shape: &[usize], dtype: DType, before: usize, after: usize) -> Self {
        let values = vec![f64::NAN; shape.iter().product()];
        Self::of(&values, shape, dtype, before, after)
    }

    /// Asserts that every channel outside of the window still holds NaN.
    pub fn assert_gaps_untouched(&self, what: &str) {
        let wide = *self.whole.shape().last().expect("a window has channels");
        for (i, value) in download(&self.whole).iter().enumerate() {
            let (pixel, channel) = (i / wide, i % wide);
            assert!(
                self.channels.contains(&channel) || value.is_nan(),
                "{what}: {value} was written to channel {channel} of pixel {pixel}, outside of {:?}",
                self.channels
            );
        }
    }
}
