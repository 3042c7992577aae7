use super::optimiser::{Optimiser, below, named};
use crate::methods::Way;
use crate::nn::StoreError;
use crate::recipe::Train;
use crate::run::NamedTensor;
use crate::zoo::Network;
use ghostlight_autodiff::KernelError;
use ghostlight_kernels::planted;

/// What a checkpoint calls what a way trains of its own.
const AIDS: &str = "aids/";
const WEIGHTS: &str = "weights/";

/// What a training changes: the network, and the adaptors of the way in which it learns.
pub(super) struct Learner {
    pub network: Network,
    pub way: Way,
    optimiser: Optimiser,
    /// Of the way's own parameters, where it has any.
    of_aids: Option<Optimiser>,
}

impl Learner {
    pub fn new(mut network: Network, way: Way, train: &Train) -> Self {
        network.fused = train.fused;
        Self {
            optimiser: Optimiser::new(train, &network.store),
            of_aids: way.aids().map(|aids| Optimiser::new(train, aids)),
            network,
            way,
        }
    }

    /// One step of all optimisers.
    pub fn step(&mut self, train: &Train, learning_rate: f64) -> Result<(), KernelError> {
        let Self {
            network,
            way,
            optimiser,
            of_aids,
        } = self;
        optimiser.step(&network.store, train, learning_rate)?;
        if let (Some(optimiser), Some(aids)) = (of_aids, way.aids())
            && !planted::is("adaptors_stand_still")
        {
            optimiser.step(aids, train, learning_rate)?;
        }
        Ok(())
    }

    /// All that a training needs to go on beside the network's weights.
    pub fn memory(&self) -> Result<Vec<NamedTensor>, KernelError> {
        let mut memory = self.optimiser.memory(&self.network.store)?;
        if let (Some(optimiser), Some(aids)) = (&self.of_aids, self.way.aids()) {
            let weights = named(WEIGHTS, aids.weights()?);
            let own = [weights, optimiser.memory(aids)?].concat();
            memory.extend(named(AIDS, own));
        }
        Ok(memory)
    }

    /// Takes over what [`Learner::memory`] gave after `steps` steps.
    pub fn restore(&mut self, memory: &[NamedTensor], steps: usize) -> Result<(), StoreError> {
        if !planted::is("resume_without_velocity") {
            self.optimiser.restore(&self.network.store, memory, steps)?;
        }
        let own = below(AIDS, memory);
        if let (Some(optimiser), Some(aids)) = (&mut self.of_aids, self.way.aids_mut())
            && !planted::is("resume_with_new_adaptors")
        {
            aids.set_weights(&below(WEIGHTS, &own))?;
            optimiser.restore(aids, &own, steps)?;
        }
        Ok(())
    }
}
