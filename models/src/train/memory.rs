use crate::zoo::{Network, ZooError};
use ghostlight_autodiff::DType;
use ghostlight_kernels::planted;

/// Bytes that a training step holds at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// Whatever the batch: parameters, gradients, the optimiser's memory, which parameters decay, and scratch.
    pub fixed: u64,
    /// For each image of a batch: the image, what waits for the backward pass, and gradients under way.
    pub per_image: u64,
}

impl StepMemory {
    /// Counts what a step of `arch` holds of images of `height` x `width`, without taking one; see [`Network::step_bytes`].
    ///
    /// # Errors
    /// [`ZooError::Unknown`], and those of the kernels.
    pub fn of(
        arch: &str,
        classes: usize,
        (height, width): (usize, usize),
    ) -> Result<Self, ZooError> {
        // Two counts make a line; a kernel keeps no more partial sums than these have images.
        const BATCHES: [usize; 2] = [64, 128];
        let held = |batch| Network::step_bytes(arch, classes, batch, [height, width]);
        let (few, many) = (held(BATCHES[0])?, held(BATCHES[1])?);
        let per_image = many.saturating_sub(few) / (BATCHES[1] - BATCHES[0]) as u64;
        let parameters = Network::sketch(arch, classes)?.store.values().len();
        let rest = many.saturating_sub(per_image * BATCHES[1] as u64);
        Ok(Self {
            fixed: (4 * parameters * DType::F32.size()) as u64 + rest,
            per_image,
        })
    }

    /// Bytes for a batch of `images`.
    pub fn needs(&self, images: usize) -> u64 {
        let images = planted::or("memory_of_one_image", images, 1) as u64;
        self.fixed
            .saturating_add(self.per_image.saturating_mul(images))
    }

    /// The largest batch that `available` bytes hold.
    pub fn fits(&self, available: u64) -> usize {
        let images = available.saturating_sub(self.fixed) / self.per_image.max(1);
        usize::try_from(images).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_what_the_backward_pass_needs_of_every_image() {
        let step = StepMemory::of("resnet8", 3, (8, 8)).unwrap();
        // The image, and what norms and convolutions save: 16 channels at 8 x 8, 32 at 4 x 4 and 64 at 2 x 2, of two tensors a layer.
        let floats = 8 * 8 * 3 + 6 * 16 * 64 + 6 * 32 * 16 + 6 * 64 * 4;
        let saved = 4 * floats as u64;
        assert!(
            (saved * 3 / 4..saved * 2).contains(&step.per_image),
            "{step:?}, {saved} bytes saved"
        );
        // Values, gradients, velocities and what decays, each rounded up to whole vectors.
        let parameters = 4 * 4 * 77_587;
        assert!(step.fixed > parameters, "{step:?}");
        let larger = StepMemory::of("resnet8", 3, (16, 16)).unwrap();
        assert!(
            larger.per_image > 3 * step.per_image,
            "{larger:?} for four times the pixels of {step:?}"
        );
        assert_eq!(step.needs(128), step.fixed + 128 * step.per_image);
        assert_eq!(step.fits(step.needs(128)), 128);
        assert_eq!(step.fits(step.needs(128) - 1), 127);
        assert_eq!(step.fits(0), 0);
    }
}
