use super::evaluate::argmax;
use super::{Session, TrainError};
use crate::data::{AugmentSeed, Batch, Loader, LoaderOptions, batches};
use crate::methods::{Lesson, Method, Term};
use crate::nn::{Mode, Randomness};
use crate::zoo::Network;
use ghostlight_autodiff::{Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::sgd::SgdOptions;
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How far a training is, with the running sums of the current epoch. Sums are kept as bits: JSON may drop a last digit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Epochs finished.
    pub epoch: usize,
    /// Steps of the current epoch that were taken.
    pub step: usize,
    /// Sum over those steps of each weighted loss term, in the method's order, as the bits of an f64.
    pub sums: Vec<u64>,
    /// Images predicted right in those steps.
    pub correct: usize,
}

/// One training in progress.
pub(super) struct Course<'a> {
    pub session: &'a Session<'a>,
    pub network: &'a Network,
    pub optimiser: &'a mut Sgd,
    pub method: &'a dyn Method,
    pub teacher: Option<&'a Network>,
    pub phase: &'static str,
    pub epochs: usize,
    pub role: u64,
}

/// A step whose results are still on the device: reading them one step late keeps the device busy meanwhile.
struct Pending {
    terms: Vec<Term>,
    logits: Tensor,
    labels: Vec<u32>,
}

impl Course<'_> {
    pub fn lr_at(&self, epoch: usize, step: usize) -> f64 {
        let steps = self.session.steps_per_epoch();
        f64::from(self.session.recipe.lr_at(
            planted::or("lr_of_the_first_epoch", epoch, 0) * steps + step,
            self.epochs * steps,
        ))
    }

    /// Takes the steps of the current epoch from `position` on. Returns the images per second, or `None` when it was stopped;
    /// `position` says in either case what was done.
    pub fn run_epoch(&mut self, position: &mut Position) -> Result<Option<f64>, TrainError> {
        let session = self.session;
        let (batch_size, steps) = (session.batch(), session.steps_per_epoch());
        let seed = AugmentSeed {
            seed: session.recipe.seed,
            epoch: planted::or("augmentation_frozen", position.epoch as u64, 0),
        };
        let order = batches::order(&session.split.train, seed.seed, seed.epoch);
        let options = LoaderOptions {
            batch_size,
            stats: session.stats,
            augment: Some((session.augment(), seed)),
            first_batch: planted::or("resume_from_the_first_batch", position.step, 0),
            drop_last: true,
        };
        let loader = Loader::new(session.dataset.clone(), order, options)?;
        let what = format!("{} {}/{}", self.phase, position.epoch + 1, self.epochs);
        let taken = (position.step * batch_size) as u64;
        session
            .progress
            .begin(&what, taken, (steps * batch_size) as u64);
        let (start, first) = (Instant::now(), position.step);
        let mut pending: Option<Pending> = None;
        for batch in loader {
            let batch = batch?;
            if session.stopped() {
                break;
            }
            let next = self.step(&batch, position.epoch, position.step)?;
            position.step += 1;
            if let Some(done) = pending.replace(next) {
                self.settle(done, position)?;
            }
        }
        if let Some(done) = pending {
            self.settle(done, position)?;
        }
        session.progress.end("");
        let images = (position.step - first) * batch_size;
        let speed = images as f64 / start.elapsed().as_secs_f64().max(1e-9);
        Ok((position.step == steps).then_some(speed))
    }

    /// Launches one step.
    fn step(&mut self, batch: &Batch, epoch: usize, step: usize) -> Result<Pending, TrainError> {
        let session = self.session;
        let dataset = session.dataset;
        let shape = [batch.labels.len(), dataset.height, dataset.width, 3];
        let images = Var::constant(Tensor::from_f32(session.client, &batch.images, &shape)?);
        let labels = Labels::new(session.client, &batch.labels, dataset.classes.len())?;
        let taught = match self.teacher {
            Some(teacher) => {
                let mode = planted::or("teacher_in_training_mode", Mode::Infer, Mode::Train);
                Some(teacher.forward(&Tape::new(), mode, &images)?)
            }
            None => None,
        };
        let tape = Tape::new();
        let recipe = session.recipe;
        let rate = recipe.train.dropout.rate();
        let randomness = Randomness::of_step(recipe.seed, self.role, epoch, step, rate);
        let logits = self.network.forward_dropping(&tape, randomness, &images)?;
        let terms = self.method.terms(&Lesson {
            tape: &tape,
            student: &logits,
            teacher: taught.as_ref().map(Var::tensor),
            labels: &labels,
            epoch: epoch + 1,
        })?;
        let outputs: Vec<(&Var, f64)> = terms
            .iter()
            .map(|term| (&term.value, term.weight))
            .collect();
        tape.backward(&outputs)?;
        let train = &session.recipe.train;
        let options = SgdOptions {
            learning_rate: self.lr_at(epoch, step),
            momentum: train.momentum,
            weight_decay: train.weight_decay,
            nesterov: train.nesterov,
        };
        let store = &self.network.store;
        self.optimiser
            .step(store.values(), store.grads(), store.decayed(), &options)?;
        Ok(Pending {
            terms,
            logits: logits.tensor().clone(),
            labels: batch.labels.clone(),
        })
    }

    /// Reads a step's results and adds them to the sums.
    fn settle(&self, done: Pending, position: &mut Position) -> Result<(), TrainError> {
        position.sums.resize(done.terms.len(), 0.0f64.to_bits());
        let mut loss = 0.0;
        for (sum, term) in position.sums.iter_mut().zip(&done.terms) {
            let weight = planted::or("terms_without_weight", term.weight, 1.0);
            let value = weight * f64::from(term.value.tensor().to_f32()?[0]);
            *sum = (f64::from_bits(*sum) + value).to_bits();
            loss += value;
        }
        if !loss.is_finite() {
            let (phase, epoch) = (self.phase, position.epoch + 1);
            let peak_lr = self.session.recipe.train.peak_lr;
            return Err(TrainError::Diverged {
                phase,
                epoch,
                loss,
                peak_lr,
            });
        }
        let classes = self.session.dataset.classes.len();
        let logits = done.logits.to_f32()?;
        let hits = logits.chunks(classes).zip(&done.labels);
        position.correct += hits
            .filter(|(row, label)| argmax(row) == **label as usize)
            .count();
        self.session
            .progress
            .advance(done.labels.len() as u64, &format!("loss {loss:.3}"));
        Ok(())
    }
}
