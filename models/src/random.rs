//! Independent random streams: every choice is a pure function of (seed, purpose, epoch, index), whatever ran before it.

use ghostlight_kernels::planted;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream is for; streams of different purposes never coincide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dividing a data set into training and test images.
    Split,
    /// The order of the images in an epoch.
    Order,
    /// Flips, rotations and shifts of one image in one epoch.
    Augment,
    /// Drawing one image of the synthetic data set.
    Synthetic,
    /// The starting values of one tensor of a model.
    Initialise,
    /// What a training step drops, and what one layer of it does.
    Dropout,
    /// How much of the next image is mixed into each of a batch.
    Mix,
}

/// The stream of `purpose` for `index` (an image, a class or a tensor) in `epoch` (or of a model), under the run's `seed`.
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> ChaCha8Rng {
    let domain: u64 = match purpose {
        Purpose::Split => 1,
        Purpose::Order => 2,
        Purpose::Augment => planted::or("streams_coincide", 3, 2),
        Purpose::Synthetic => 4,
        Purpose::Initialise => 5,
        Purpose::Dropout => 6,
        Purpose::Mix => 7,
    };
    let mut key = [0; 32];
    for (slot, number) in key.chunks_exact_mut(8).zip([seed, domain, epoch, index]) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_differ_in_each_argument_and_repeat_exactly() {
        let first = |s, p, e, i| stream(s, p, e, i).random::<u64>();
        let base = first(1, Purpose::Order, 2, 3);
        assert_eq!(base, first(1, Purpose::Order, 2, 3));
        for other in [
            first(2, Purpose::Order, 2, 3),
            first(1, Purpose::Augment, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }
}
