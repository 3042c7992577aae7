use crate::zoo::{Architecture, Network, ZooError};
use ghostlight_autodiff::DType;
use ghostlight_kernels::planted;

/// What training steps of one network hold in memory at once.
#[derive(Debug, Clone, Copy)]
pub struct StepMemory<'a> {
    /// The network.
    pub arch: Architecture<'a>,
    /// What the recipe's `train.fused` says.
    pub fused: bool,
}

impl StepMemory<'_> {
    /// Bytes of a step of `images`: parameters, gradients, the optimiser's memory and which parameters decay, and what
    /// [`Network::step_bytes`] counts without taking a step.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], and those of the kernels.
    pub fn needs(&self, images: usize) -> Result<u64, ZooError> {
        let images = planted::or("memory_of_one_image", images, 1);
        let parameters = Network::sketch(self.arch)?.store.values().len();
        let step = Network::step_bytes(self.arch, images, self.fused)?;
        Ok((4 * parameters * DType::F32.size()) as u64 + step)
    }

    /// The largest batch of fewer than `images` that `available` bytes hold; 0 if they do not hold one image.
    ///
    /// # Errors
    /// Those of [`StepMemory::needs`].
    pub fn fits(&self, available: u64, images: usize) -> Result<usize, ZooError> {
        let (mut fits, mut too_many) = (0, images);
        while too_many - fits > 1 {
            let middle = fits.midpoint(too_many);
            if self.needs(middle)? <= available {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_what_the_backward_pass_needs_of_every_image() {
        let step = |side| StepMemory {
            arch: Architecture::new("resnet8", 3).images(side, side),
            fused: true,
        };
        let needs = |side, images| step(side).needs(images).unwrap();
        // The image, and what norms and convolutions keep: 16 channels at 8 x 8, 32 at 4 x 4 and 64 at 2 x 2.
        let kept = 4 * (8 * 8 * 3 + 6 * 16 * 64 + 6 * 32 * 16 + 6 * 64 * 4);
        // Past 32 images, of which partial sums of weights are kept too.
        let of_64 = needs(8, 128) - needs(8, 64);
        assert!(
            (64 * kept * 3 / 4..64 * kept * 4).contains(&of_64),
            "{of_64}"
        );
        // Values, gradients, velocities and what decays.
        assert!(needs(8, 1) > 4 * 4 * 77_587);
        assert!(needs(16, 128) - needs(16, 64) > 3 * of_64);
        let available = needs(8, 100);
        assert_eq!(step(8).fits(available, 128).unwrap(), 100);
        assert!(step(8).fits(available - 1, 128).unwrap() < 100);
        assert_eq!(step(8).fits(0, 128).unwrap(), 0);
        let (fused, mut unfused) = (step(8), step(8));
        unfused.fused = false;
        assert!(unfused.needs(64).unwrap() > fused.needs(64).unwrap());
    }
}
