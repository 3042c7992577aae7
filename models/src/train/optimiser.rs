use crate::nn::{Store, StoreError};
use crate::recipe::{self, Train};
use crate::run::NamedTensor;
use ghostlight_autodiff::{AdamW, KernelError, Sgd};
use ghostlight_kernels::optim::adamw::AdamWOptions;
use ghostlight_kernels::optim::sgd::SgdOptions;

/// The optimiser of one store, whichever the recipe asks for.
pub(super) enum Optimiser {
    Sgd(Box<Sgd>),
    AdamW(Box<AdamW>),
}

/// What a checkpoint calls the memory of each optimiser, before the parameters' names.
const VELOCITY: &str = "velocity/";
const MOMENTS: [&str; 2] = ["first moment/", "second moment/"];

impl Optimiser {
    /// One that has taken no step.
    pub fn new(train: &Train, store: &Store) -> Self {
        match train.optimiser {
            recipe::Optimiser::Sgd => Self::Sgd(Box::new(Sgd::new(store.values()))),
            recipe::Optimiser::AdamW => Self::AdamW(Box::new(AdamW::new(store.values()))),
        }
    }

    /// Takes one step along the gradients of `store`, and clears them.
    pub fn step(
        &mut self,
        store: &Store,
        train: &Train,
        learning_rate: f64,
    ) -> Result<(), KernelError> {
        let (values, grads, decayed) = (store.values(), store.grads(), store.decayed());
        match self {
            Self::Sgd(sgd) => {
                let options = SgdOptions {
                    learning_rate,
                    momentum: train.momentum,
                    weight_decay: train.weight_decay,
                    nesterov: train.nesterov,
                };
                sgd.step(values, grads, decayed, &options)
            }
            Self::AdamW(adamw) => {
                let options = AdamWOptions {
                    learning_rate,
                    beta1: train.beta1,
                    beta2: train.beta2,
                    epsilon: train.epsilon,
                    weight_decay: train.weight_decay,
                };
                adamw.step(values, grads, decayed, &options)
            }
        }
    }

    /// Its memory under the parameters' names.
    pub fn memory(&self, store: &Store) -> Result<Vec<NamedTensor>, KernelError> {
        match self {
            Self::Sgd(sgd) => Ok(named(VELOCITY, store.named(sgd.velocity())?)),
            Self::AdamW(adamw) => {
                let [first, second] = adamw.moments().map(|moment| store.named(moment));
                let [of_first, of_second] = MOMENTS;
                Ok([named(of_first, first?), named(of_second, second?)].concat())
            }
        }
    }

    /// Takes over what [`Optimiser::memory`] gave after `steps` steps, from among `tensors`.
    pub fn restore(
        &mut self,
        store: &Store,
        tensors: &[NamedTensor],
        steps: usize,
    ) -> Result<(), StoreError> {
        let flat = |prefix: &str| store.flat(&below(prefix, tensors));
        match self {
            Self::Sgd(sgd) => Ok(sgd.restore(&flat(VELOCITY)?)?),
            Self::AdamW(adamw) => {
                let [first, second] = MOMENTS.map(flat);
                Ok(adamw.restore([&first?, &second?], steps as u64)?)
            }
        }
    }
}

/// `tensors` with `prefix` before their names.
pub(super) fn named(prefix: &str, tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let named = |tensor: NamedTensor| NamedTensor {
        name: format!("{prefix}{}", tensor.name),
        ..tensor
    };
    tensors.into_iter().map(named).collect()
}

/// Those of `tensors` whose names begin with `prefix`, without it.
pub(super) fn below(prefix: &str, tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let stripped = |tensor: &NamedTensor| {
        Some(NamedTensor {
            name: tensor.name.strip_prefix(prefix)?.to_string(),
            shape: tensor.shape.clone(),
            data: tensor.data.clone(),
        })
    };
    tensors.iter().filter_map(stripped).collect()
}
