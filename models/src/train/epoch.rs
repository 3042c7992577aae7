use super::cache::{CachedEpoch, Key};
use super::evaluate::argmax;
use super::learner::Learner;
use super::{EpochRecord, Session, TrainError};
use crate::data::{AugmentSeed, Batch, Loader, LoaderOptions, batches};
use crate::methods::{Answers, Lesson, Need, Reading, Values, Way};
use crate::nn::{Mode, Randomness};
use crate::recipe::{Moment, Train, lr_at};
use crate::run::{Platform, digest_of, weights_digest};
use crate::zoo::Network;
use ghostlight_autodiff::{KernelError, Labels, Tensor, Var};
use ghostlight_kernels::Later;
use ghostlight_kernels::loss::distill::Mixed;
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
    /// Sum over those steps of each weighted loss term, in the way's order, as the bits of an f64.
    pub sums: Vec<u64>,
    /// The same of what the way watches.
    #[serde(default)]
    pub watched: Vec<u64>,
    /// Images predicted right in those steps.
    pub correct: usize,
}

impl Position {
    /// The epoch's means, once its `steps` steps of `batch` images are taken.
    pub fn record(&self, way: &Way, steps: usize, batch: usize) -> EpochRecord {
        let means = |names: &[String], sums: &[u64]| -> Vec<(String, f64)> {
            let means = sums.iter().map(|&bits| f64::from_bits(bits) / steps as f64);
            names.iter().cloned().zip(means).collect()
        };
        let loss_terms = means(way.names(), &self.sums);
        EpochRecord {
            phase: String::new(),
            epoch: self.epoch + 1,
            lr: 0.0,
            train_loss: loss_terms.iter().map(|(_, mean)| mean).sum(),
            loss_terms,
            train_accuracy: self.correct as f64 / (steps * batch) as f64,
            validation_accuracy: None,
            validation_loss: None,
            watched: means(way.watches(), &self.watched),
            train_images_per_s: 0.0,
        }
    }
}

/// One training in progress.
pub(super) struct Course<'a> {
    pub session: &'a Session<'a>,
    pub learner: &'a mut Learner,
    pub train: &'a Train,
    pub teachers: &'a [Network],
    pub title: &'a str,
    pub epochs: usize,
    pub role: u64,
    /// Of the learning rate, at plateaus.
    pub drops: usize,
}

/// A step whose results are on their way: they are wanted when the next step is launched, so that nobody waits for them.
struct Pending {
    terms: Vec<Coming>,
    watched: Vec<Coming>,
    logits: Later<Vec<f64>>,
    labels: Vec<u32>,
}

/// Values on their way, by name.
struct Coming {
    names: Vec<String>,
    values: Values,
}

/// Begins to read all of `readings`.
fn begin(readings: Vec<Reading>) -> Result<Vec<Coming>, KernelError> {
    let coming = |Reading { names, begin }: Reading| {
        let values = begin()?;
        Ok(Coming { names, values })
    };
    readings.into_iter().map(coming).collect()
}

/// What an epoch asks of a teacher, and its answers that are known.
struct Asked<'a> {
    need: Need,
    known: Option<CachedEpoch<'a>>,
}

impl<'a> Course<'a> {
    pub fn lr_at(&self, epoch: usize, step: usize) -> f64 {
        let epoch_steps = self.session.steps_per_epoch(self.train);
        let moment = Moment {
            step: planted::or("lr_of_the_first_epoch", epoch, 0) * epoch_steps + step,
            steps: self.epochs * epoch_steps,
            epoch_steps,
            drops: self.drops,
        };
        f64::from(lr_at(self.train, moment))
    }

    /// Takes the steps of the current epoch from `position` on. Returns the images per second, or `None` when it was stopped;
    /// `position` says in either case what was done.
    pub fn run_epoch(&mut self, position: &mut Position) -> Result<Option<f64>, TrainError> {
        let session = self.session;
        let batch_size = session.batch_of(self.train);
        let steps = session.steps_per_epoch(self.train);
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
            mixup: session.recipe.augment.mixup,
        };
        let loader = Loader::new(session.dataset.clone(), order, options)?;
        let what = format!("{} {}/{}", self.title, position.epoch + 1, self.epochs);
        let taken = (position.step * batch_size) as u64;
        session
            .progress
            .begin(&what, taken, (steps * batch_size) as u64);
        let mut asked = self.asked(position.epoch)?;
        let (start, first) = (Instant::now(), position.step);
        let mut pending: Option<Pending> = None;
        session.host("loading");
        for batch in loader {
            let batch = batch?;
            if session.stopped() {
                break;
            }
            let next = self.step(batch, &mut asked, position.epoch, position.step)?;
            position.step += 1;
            if let Some(done) = pending.replace(next) {
                self.settle(done, position)?;
            }
            session.host("loading");
        }
        if let Some(done) = pending {
            self.settle(done, position)?;
        }
        session.progress.end("");
        let images = (position.step - first) * batch_size;
        let speed = images as f64 / start.elapsed().as_secs_f64().max(1e-9);
        Ok((position.step == steps).then_some(speed))
    }

    /// Whom the epoch asks for what, with the answers that the cache has.
    fn asked(&self, epoch: usize) -> Result<Vec<Asked<'a>>, TrainError> {
        let session = self.session;
        let (steps, batch) = (
            session.steps_per_epoch(self.train),
            session.batch_of(self.train),
        );
        let mut all = Vec::new();
        for need in self.learner.way.needs(epoch + 1, self.epochs) {
            let known = match session.cache.filter(|_| need.stages.is_empty()) {
                Some(cache) => {
                    let stats = [session.stats.mean, session.stats.std].concat();
                    let key = Key {
                        weights: match planted::is("cache_of_any_teacher") {
                            false => weights_digest(&self.teachers[need.teacher].store.weights()?),
                            true => String::new(),
                        },
                        arch: self.teachers[need.teacher].arch.clone(),
                        platform: Platform::of(session.client).to_string(),
                        data: session.dataset.fingerprint.clone(),
                        images: digest_of(&serde_json::json!(session.split.train).to_string()),
                        stats: stats.into_iter().map(f32::to_bits).collect(),
                        seed: session.recipe.seed,
                        augment: match planted::is("cache_of_any_augmentation") {
                            false => format!("{:?}", session.recipe.augment),
                            true => String::new(),
                        },
                        batch,
                    };
                    Some(cache.epoch(&key, epoch, steps, session.dataset.classes.len())?)
                }
                None => None,
            };
            all.push(Asked { need, known });
        }
        Ok(all)
    }

    /// What the teachers say of a batch, by their numbers.
    fn taught(
        &self,
        images: &Var,
        asked: &mut [Asked],
        step: usize,
    ) -> Result<Vec<Option<Answers<Tensor>>>, TrainError> {
        let mut all: Vec<_> = self.teachers.iter().map(|_| None).collect();
        let shape = [
            images.tensor().shape()[0],
            self.session.dataset.classes.len(),
        ];
        for Asked { need, known } in asked {
            if let Some(logits) = known.as_ref().and_then(|known| known.answer(step)) {
                all[need.teacher] = Some(Answers {
                    logits: Tensor::from_f32(self.session.client, logits, &shape)?,
                    stages: Vec::new(),
                });
                continue;
            }
            let start = Instant::now();
            let mode = planted::or("teacher_in_training_mode", Mode::Infer, Mode::Train);
            let stages: Vec<&str> = need.stages.iter().map(String::as_str).collect();
            let teacher = &self.teachers[need.teacher];
            let (logits, found) =
                teacher.forward_with_stages(&self.session.tape(), mode, images, &stages)?;
            let found = found.iter().map(|value| value.tensor().clone());
            if let Some(known) = known {
                let values = logits.tensor().to_f32()?;
                known.learn(step, &values, start.elapsed().as_secs_f64())?;
            }
            all[need.teacher] = Some(Answers {
                logits: logits.tensor().clone(),
                stages: need.stages.iter().cloned().zip(found).collect(),
            });
        }
        Ok(all)
    }

    /// Launches one step.
    fn step(
        &mut self,
        batch: Batch,
        asked: &mut [Asked],
        epoch: usize,
        step: usize,
    ) -> Result<Pending, TrainError> {
        let session = self.session;
        let dataset = session.dataset;
        session.host("uploading");
        let shape = [batch.labels.len(), dataset.height, dataset.width, 3];
        let images = Tensor::from_staged(session.client, batch.images, &shape)?;
        let images = Var::constant(images);
        let labels = Labels::new(session.client, &batch.labels, dataset.classes.len())?;
        session.host("teachers");
        let mixed = match &batch.mixed {
            Some(mixed) => Some(Mixed {
                labels: Labels::new(session.client, &mixed.labels, dataset.classes.len())?,
                share: mixed.share,
            }),
            None => None,
        };
        let teachers = self.taught(&images, asked, step)?;
        session.host("forward");
        let tape = session.tape();
        let seed = session.recipe.seed;
        let rate = self.train.dropout.rate();
        let randomness = Randomness::of_step(seed, self.role, epoch, step, rate);
        let chance = randomness.for_methods();
        let stages = self.learner.way.student_stages();
        let wanted: Vec<&str> = stages.iter().map(String::as_str).collect();
        let (logits, found) = self
            .learner
            .network
            .forward_training(&tape, randomness, &images, &wanted)?;
        let student = Answers {
            logits,
            stages: stages.into_iter().zip(found).collect(),
        };
        let lesson = Lesson {
            tape: &tape,
            student: &student,
            teachers: &teachers,
            labels: &labels,
            mixed,
            epoch: epoch + 1,
            seed: chance,
        };
        session.host("loss");
        let loss = self.learner.way.loss(&lesson, self.epochs)?;
        let outputs: Vec<(&Var, f64)> = loss
            .outputs
            .iter()
            .map(|(value, weight)| (value, *weight))
            .collect();
        session.host("backward");
        tape.backward(&outputs)?;
        session.host("optimiser");
        let rate = self.lr_at(epoch, step);
        self.learner.step(self.train, rate)?;
        session.host("reading results");
        Ok(Pending {
            terms: begin(loss.terms)?,
            watched: begin(loss.watched)?,
            logits: student.logits.tensor().to_f64_later()?,
            labels: batch.labels,
        })
    }

    /// Reads a step's results and adds them to the sums.
    fn settle(&self, done: Pending, position: &mut Position) -> Result<(), TrainError> {
        let way = &self.learner.way;
        let loss = add(done.terms, way.names(), &mut position.sums)?;
        add(done.watched, way.watches(), &mut position.watched)?;
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                phase: self.title.to_string(),
                epoch: position.epoch + 1,
                loss,
                peak_lr: self.train.peak_lr,
            });
        }
        let classes = self.session.dataset.classes.len();
        let logits: Vec<f32> = done
            .logits
            .wait()?
            .into_iter()
            .map(|it| it as f32)
            .collect();
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

/// Adds what is read to the sums of its names, and returns the sum of all that was read.
fn add(coming: Vec<Coming>, names: &[String], sums: &mut Vec<u64>) -> Result<f64, TrainError> {
    sums.resize(names.len(), 0.0f64.to_bits());
    let mut all = 0.0;
    for Coming { names: of, values } in coming {
        for (name, value) in of.iter().zip(values()?) {
            all += value;
            if let Some(place) = names.iter().position(|known| known == name) {
                sums[place] = (f64::from_bits(sums[place]) + value).to_bits();
            }
        }
    }
    Ok(all)
}
