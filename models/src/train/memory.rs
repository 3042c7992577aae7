use crate::nn::Mode;
use crate::zoo::{Network, ZooError};
use ghostlight_autodiff::{Client, DType, Event, Tape, Tensor, Var};
use ghostlight_kernels::planted;
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes that a training step keeps at once, at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// Whatever the batch: parameters, gradients, the optimiser's memory, and which parameters decay.
    pub fixed: u64,
    /// For each image of a batch: the image, and every operation's output, which waits for the backward pass.
    pub per_image: u64,
}

impl StepMemory {
    /// Counts what `arch` keeps of images of `height` x `width` by the forward pass of one image, as the operations report it. Gradients
    /// under way come in where outputs are given back, and are left out.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], and those of the kernels.
    pub fn of(
        client: &Client,
        arch: &str,
        classes: usize,
        (height, width): (usize, usize),
    ) -> Result<Self, ZooError> {
        // A network of its own: a forward pass that trains moves running statistics.
        let network = Network::new(client, DType::F32, arch, classes, 0, 0)?;
        let events = Rc::new(RefCell::new(Vec::<Event>::new()));
        let tape = Tape::observed(events.clone());
        let image = Tensor::zeros(client, &[1, height, width, 3], DType::F32);
        network.forward(&tape, Mode::Train, &Var::constant(image))?;
        let bytes = |elements: usize| (elements * DType::F32.size()) as u64;
        let events = events.borrow();
        let outputs = events
            .iter()
            .map(|event| event.shape.iter().product::<usize>());
        Ok(Self {
            fixed: bytes(4 * network.store.values().len()),
            per_image: bytes(3 * height * width + outputs.sum::<usize>()),
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
    fn a_step_keeps_every_output_of_every_image() {
        let client = ghostlight_tests::client();
        let step = StepMemory::of(&client, "resnet8", 3, (8, 8)).unwrap();
        // The image; convolutions and norms of 16 channels at 8 x 8, 32 at 4 x 4 and 64 at 2 x 2; pooled features; logits.
        let floats = 8 * 8 * 3 + 6 * 16 * 64 + 6 * 32 * 16 + 6 * 64 * 4 + 64 + 3;
        assert_eq!(step.per_image, 4 * floats);
        // Values, gradients, velocities and what decays, each rounded up to whole vectors.
        let parameters = 4 * 4 * 77_587;
        assert!(
            (parameters..parameters + parameters / 50).contains(&step.fixed),
            "{step:?}"
        );
        assert_eq!(step.needs(128), step.fixed + 128 * step.per_image);
        assert_eq!(step.fits(step.needs(128)), 128);
        assert_eq!(step.fits(step.needs(128) - 1), 127);
        assert_eq!(step.fits(0), 0);
    }
}
