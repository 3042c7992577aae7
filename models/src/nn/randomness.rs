use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::RngExt;
use std::cell::Cell;

/// What chance decides in one training step of one network: a function of the run's seed and of which step it is, so that a training
/// that goes on where it stopped draws what it would have drawn. One pass uses it up.
#[derive(Debug, Clone)]
pub struct Randomness {
    seed: u64,
    /// Replaces the rates of the network's own dropout layers.
    rate: Option<f64>,
    /// Dropout layers that have drawn.
    layers: Cell<u64>,
}

impl Randomness {
    /// That of step `step` of epoch `epoch`, both counted from 0, under the run's `seed`; `role` tells the networks of the run apart.
    /// A `rate` replaces those of the network's own dropout layers.
    pub fn of_step(seed: u64, role: u64, epoch: usize, step: usize, rate: Option<f64>) -> Self {
        let step = match planted::is("dropout_with_a_memory") {
            false => planted::or("dropout_frozen", step as u64, 0),
            true => steps_of_this_process(),
        };
        Self {
            seed: draw(draw(seed, role, epoch as u64), step, 0),
            rate,
            layers: Cell::new(0),
        }
    }

    /// A seed for what a way to teach leaves to chance in this step.
    pub(crate) fn for_methods(&self) -> u64 {
        draw(self.seed, u64::MAX, 0)
    }

    /// The mask's seed and the rate of the next dropout layer, whose own rate is `rate`.
    pub(super) fn next_dropout(&self, rate: f64) -> (u64, f64) {
        let layer = self.layers.get();
        self.layers.set(layer + 1);
        let layer = planted::or("dropout_alike", layer, 0);
        (draw(self.seed, layer, 0), self.rate.unwrap_or(rate))
    }
}

/// A seed that follows from `seed` and two numbers.
fn draw(seed: u64, a: u64, b: u64) -> u64 {
    stream(seed, Purpose::Dropout, a, b).random()
}

/// A count that no checkpoint knows: a bug to plant.
fn steps_of_this_process() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static STEPS: AtomicU64 = AtomicU64::new(0);
    STEPS.fetch_add(1, Ordering::Relaxed)
}
