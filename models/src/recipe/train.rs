//! `[train]`: the optimiser, and how its learning rate goes.

use serde::{Deserialize, Serialize};

/// `[train]`: how a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Images per step. Default 128.
    pub batch: usize,
    /// What turns gradients into updates. Default `"sgd"`.
    pub optimiser: Optimiser,
    /// Highest learning rate. Default 0.2.
    pub peak_lr: f64,
    /// Course of the learning rate. Default `"one_cycle"`.
    pub schedule: Schedule,
    /// Share of all steps in which the learning rate rises to the peak. Default 0.25.
    pub warmup: f64,
    /// Last learning rate over the peak, of the schedules that fall along a cosine. Default 0.001.
    pub final_ratio: f64,
    /// Epochs from one drop of the schedule `"step"` to the next. Default 7.
    pub drop_every: usize,
    /// Epochs without a lower loss on the validation images after which the schedule `"plateau"` drops. Default 5.
    pub plateau_epochs: usize,
    /// What a drop multiplies the learning rate by. Default 0.1.
    pub drop_factor: f64,
    /// Share of the last update kept in the next, of `"sgd"`. Default 0.9.
    pub momentum: f64,
    /// Take the gradient one momentum step ahead, which wants a momentum above 0, of `"sgd"`. Default true.
    pub nesterov: bool,
    /// Share of the mean gradient kept, of `"adamw"`. Default 0.9.
    pub beta1: f64,
    /// Share of the mean squared gradient kept, of `"adamw"`. Default 0.999.
    pub beta2: f64,
    /// Added to the root of the mean square, of `"adamw"`. Default 1e-8.
    pub epsilon: f64,
    /// Pull of the weights towards 0: under `"sgd"` added to the gradient as weight times this, under `"adamw"` apart from it. Default
    /// 5e-4.
    pub weight_decay: f64,
    /// Probability mass the cross-entropy targets spread evenly over all classes. Default 0.
    pub label_smoothing: f64,
    /// Probability with which dropout layers drop an element. Networks without any stay without. Default `"own"`, each layer's own.
    pub dropout: Dropout,
    /// Epochs without a better accuracy on the validation images after which a training ends; 0 goes on to its last epoch. Default 0.
    pub early_stop: usize,
    /// Leave a norm to the convolution that reads it, which then costs fewer passes over memory and has the same bits; false to compare.
    /// Default true.
    pub fused: bool,
}

/// What turns gradients into updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW,
}

/// With which probability dropout layers drop: `"own"`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dropout {
    /// As the network's paper has it.
    Own(OwnRates),
    /// One rate for all layers.
    Rate(f64),
}

/// The word for rates that are the networks' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnRates {
    /// `"own"`.
    Own,
}

impl Dropout {
    /// What replaces the layers' own rates, if anything does.
    pub fn rate(self) -> Option<f64> {
        match self {
            Self::Own(_) => None,
            Self::Rate(rate) => Some(rate),
        }
    }
}

/// Course of the learning rate over a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Along a cosine from 1/25 of the peak up to it, then along a cosine down.
    OneCycle,
    /// Straight up from near zero to the peak, then along a cosine down.
    Cosine,
    /// Straight up from near zero to the peak, then level.
    Constant,
    /// Straight up from near zero to the peak, then down at once every [`Train::drop_every`] epochs.
    Step,
    /// Straight up from near zero to the peak, then down at once whenever the loss on the validation images stays where it is for
    /// [`Train::plateau_epochs`].
    Plateau,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            batch: 128,
            optimiser: Optimiser::Sgd,
            peak_lr: 0.2,
            schedule: Schedule::OneCycle,
            warmup: 0.25,
            final_ratio: 0.001,
            drop_every: 7,
            plateau_epochs: 5,
            drop_factor: 0.1,
            momentum: 0.9,
            nesterov: true,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 5e-4,
            label_smoothing: 0.0,
            dropout: Dropout::Own(OwnRates::Own),
            early_stop: 0,
            fused: true,
        }
    }
}
