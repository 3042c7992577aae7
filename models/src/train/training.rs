use super::epoch::{Course, Position};
use super::evaluate::{Evaluation, evaluate};
use super::learner::Learner;
use super::{EpochRecord, Session, TrainError};
use crate::methods::Way;
use crate::recipe::{Schedule, Train};
use crate::run::{Checkpoint, MetricsLog, NamedTensor, RunDir, weights_digest};
use crate::zoo::{Architecture, Network};
use ghostlight_autodiff::DType;
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One training of a run.
pub struct Training<'a> {
    /// Its name in files and metrics, as `student_alone`.
    pub name: String,
    /// Its name for people, as `snt_resnet8 alone`.
    pub title: String,
    /// The architecture.
    pub arch: &'a str,
    /// Passes over the training images, at most.
    pub epochs: usize,
    /// Optimiser, learning rate and when to stop.
    pub train: Train,
    /// Seeds the initial weights and what is dropped; equal roles of one architecture start equal and drop the same.
    pub role: u64,
    /// What is learnt.
    pub way: Way,
    /// Whom the way may ask.
    pub teachers: &'a [Network],
}

/// A network at the end of its training.
pub struct Trained {
    /// With the weights of the chosen epoch.
    pub network: Network,
    /// The epoch that did best on the validation images, or the last one where none are kept; counted from 1.
    pub chosen_epoch: usize,
    /// Epochs taken.
    pub epochs: usize,
    /// The weights of the last epoch, where another was chosen.
    pub last: Option<Vec<NamedTensor>>,
}

/// What a checkpoint remembers beside the tensors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    position: Position,
    finished: bool,
    /// Digests of the weights of the teachers that may be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    teachers: Vec<String>,
    /// The best epoch so far on the validation images.
    #[serde(default)]
    best: Option<Best>,
    /// Of the schedule that drops at plateaus.
    #[serde(default)]
    plateau: Plateau,
}

/// An epoch and how well it did. Numbers are kept as bits: JSON may drop a last digit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Best {
    /// Counted from 1.
    epoch: usize,
    accuracy: u64,
    loss: u64,
}

/// The lowest loss on the validation images, since when it stands, and how often the learning rate has dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Plateau {
    lowest: Option<u64>,
    epochs: usize,
    drops: usize,
}

impl State {
    /// Takes up how the epoch `epoch`, counted from 1, did on the validation images; whether it is the best so far.
    fn judge(&mut self, epoch: usize, found: &Evaluation, train: &Train) -> bool {
        let accuracy = found.confusion.accuracy();
        let better = self.best.is_none_or(|best| {
            let (was, loss) = (f64::from_bits(best.accuracy), f64::from_bits(best.loss));
            accuracy > was || (accuracy == was && found.loss < loss)
        });
        let better = planted::or("the_last_epoch_is_the_best", better, true);
        if better {
            self.best = Some(Best {
                epoch,
                accuracy: accuracy.to_bits(),
                loss: found.loss.to_bits(),
            });
        }
        let plateau = &mut self.plateau;
        match plateau.lowest {
            Some(lowest) if found.loss >= f64::from_bits(lowest) => plateau.epochs += 1,
            _ => {
                plateau.lowest = Some(found.loss.to_bits());
                plateau.epochs = 0;
            }
        }
        if train.schedule == Schedule::Plateau && plateau.epochs >= train.plateau_epochs {
            plateau.drops += 1;
            plateau.epochs = 0;
        }
        better
    }

    /// Whether `train` gives up on a better epoch.
    fn is_idle(&self, train: &Train) -> bool {
        let best = self.best.map_or(self.position.epoch, |best| best.epoch);
        train.early_stop > 0 && self.position.epoch - best >= train.early_stop
    }
}

/// The names of the checkpoints of the best epoch so far, and of the last one of a training that has ended.
fn best_of(name: &str) -> String {
    format!("{name}.best")
}

fn last_of(name: &str) -> String {
    format!("{name}.last")
}

/// Trains a network, or goes on where the run's checkpoint of this phase stands, or only loads it when it is finished.
///
/// A checkpoint replaces the last one after every epoch, and after the current step when [`Session::stop`] is set. At the end the
/// checkpoint holds the weights of the chosen epoch, and one beside it, `NAME.last`, those of the last, where another was chosen.
///
/// # Errors
/// An unknown architecture; a damaged or foreign checkpoint; [`TrainError::OtherTeacher`]; what the device or the disk refuses;
/// [`TrainError::Diverged`]; [`TrainError::Stopped`].
pub fn train_network(
    session: &Session,
    run: &RunDir,
    metrics: &mut MetricsLog,
    phase: Training,
) -> Result<Trained, TrainError> {
    // To draw or to read the weights of a large network takes seconds.
    session.check()?;
    let classes = session.dataset.classes.len();
    let seed = session.recipe.seed;
    let (height, width) = (session.dataset.height, session.dataset.width);
    let arch = Architecture::new(phase.arch, classes).images(height, width);
    let network = Network::new(session.client, DType::F32, arch, seed, phase.role)?;
    let Training {
        name,
        title,
        epochs,
        train,
        role,
        way,
        teachers,
        ..
    } = phase;
    let mut learner = Learner::new(network, way, &train);
    let needs = (1..=epochs).flat_map(|epoch| learner.way.needs(epoch, epochs));
    let asked: BTreeSet<usize> = needs.map(|need| need.teacher).collect();
    let mut digests = Vec::new();
    for teacher in asked {
        digests.push(weights_digest(&teachers[teacher].store.weights()?));
    }
    let mut state = State::default();
    let path = run.checkpoint_path(&name);
    let weights = |source| TrainError::Weights {
        path: path.clone(),
        source,
    };
    if let Some(checkpoint) = run.load_checkpoint(&name)? {
        let store = &mut learner.network.store;
        store.set_weights(&checkpoint.weights).map_err(weights)?;
        state = serde_json::from_value(checkpoint.state).map_err(|reason| TrainError::State {
            path: path.clone(),
            reason,
        })?;
        if state.teachers != digests && !planted::is("any_teacher_will_do") {
            return Err(TrainError::OtherTeacher { path });
        }
        if !state.finished {
            let steps =
                state.position.epoch * session.steps_per_epoch(&train) + state.position.step;
            learner
                .restore(&checkpoint.optimiser, steps)
                .map_err(weights)?;
        }
    }
    state.teachers = digests;
    if planted::is("resume_without_sums") {
        state.position.sums.clear();
    }
    metrics.keep_epochs(&name, state.position.epoch)?;
    if !state.finished {
        run.remove_summary()?;
    }
    while !state.finished {
        let mut course = Course {
            session,
            learner: &mut learner,
            train: &train,
            teachers,
            title: &title,
            epochs,
            role,
            drops: state.plateau.drops,
        };
        let speed = course.run_epoch(&mut state.position)?;
        let lr = course.lr_at(state.position.epoch, session.steps_per_epoch(&train) - 1);
        let Some(speed) = speed else {
            save(run, &name, &learner, &state)?;
            return Err(TrainError::Stopped);
        };
        let epoch = state.position.epoch + 1;
        let found = match validate(
            session,
            &learner.network,
            &format!("{title} {epoch}/{epochs}"),
        ) {
            Ok(found) => found,
            Err(TrainError::Stopped) => {
                // All steps are taken: resuming evaluates again and goes on.
                save(run, &name, &learner, &state)?;
                return Err(TrainError::Stopped);
            }
            Err(error) => return Err(error),
        };
        let record = EpochRecord {
            phase: name.clone(),
            lr,
            train_images_per_s: speed,
            validation_accuracy: found.as_ref().map(|found| found.confusion.accuracy()),
            validation_loss: found.as_ref().map(|found| found.loss),
            ..state.position.record(
                &learner.way,
                session.steps_per_epoch(&train),
                session.batch_of(&train),
            )
        };
        session.progress.end(&summary(&title, epochs, &record));
        metrics.append(&record)?;
        if let Some(found) = &found
            && state.judge(epoch, found, &train)
        {
            let best = Checkpoint {
                weights: learner.network.store.weights()?,
                ..Checkpoint::default()
            };
            run.save_checkpoint(&best_of(&name), &best)?;
        }
        state.position = Position {
            epoch,
            ..Position::default()
        };
        if epoch == epochs || state.is_idle(&train) {
            finish(run, &name, &mut learner, &mut state)?;
        }
        save(run, &name, &learner, &state)?;
    }
    run.remove_checkpoint(&best_of(&name))?;
    let epochs = state.position.epoch;
    let chosen_epoch = state.best.map_or(epochs, |best| best.epoch);
    let last = match chosen_epoch == epochs {
        true => None,
        false => run
            .load_checkpoint(&last_of(&name))?
            .map(|last| last.weights),
    };
    Ok(Trained {
        network: learner.network,
        chosen_epoch,
        epochs,
        last,
    })
}

/// One epoch of a training from its beginning, of which nothing is kept: images per second. For whoever watches, and for timing.
///
/// # Errors
/// Those of [`train_network`], but for checkpoints.
pub fn take_epoch(session: &Session, phase: Training) -> Result<f64, TrainError> {
    let classes = session.dataset.classes.len();
    let (height, width) = (session.dataset.height, session.dataset.width);
    let arch = Architecture::new(phase.arch, classes).images(height, width);
    let seed = session.recipe.seed;
    let network = Network::new(session.client, DType::F32, arch, seed, phase.role)?;
    let mut learner = Learner::new(network, phase.way, &phase.train);
    let mut course = Course {
        session,
        learner: &mut learner,
        train: &phase.train,
        teachers: phase.teachers,
        title: &phase.title,
        epochs: phase.epochs,
        role: phase.role,
        drops: 0,
    };
    course
        .run_epoch(&mut Position::default())?
        .ok_or(TrainError::Stopped)
}

/// Puts the weights of the best epoch in the place of the last one's, which are kept beside.
fn finish(
    run: &RunDir,
    name: &str,
    learner: &mut Learner,
    state: &mut State,
) -> Result<(), TrainError> {
    state.finished = true;
    if state
        .best
        .is_none_or(|best| best.epoch == state.position.epoch)
    {
        return Ok(());
    }
    let last = Checkpoint {
        weights: learner.network.store.weights()?,
        ..Checkpoint::default()
    };
    run.save_checkpoint(&last_of(name), &last)?;
    let best = run.load_checkpoint(&best_of(name))?.unwrap_or(last);
    let path = run.checkpoint_path(&best_of(name));
    let store = &mut learner.network.store;
    let weights = |source| TrainError::Weights { path, source };
    store.set_weights(&best.weights).map_err(weights)
}

/// How the network does on the validation images, if any are kept.
fn validate(
    session: &Session,
    network: &Network,
    what: &str,
) -> Result<Option<Evaluation>, TrainError> {
    let images = &session.split.validation;
    if images.is_empty() {
        return Ok(None);
    }
    let test = &session.split.test;
    let images = planted::or("epochs_chosen_by_the_test_images", images, test);
    evaluate(session, network, images, &format!("{what} validation")).map(Some)
}

fn summary(title: &str, epochs: usize, record: &EpochRecord) -> String {
    let validation = record.validation_accuracy;
    let validation = validation.map(|it| format!("  validation {:5.2} %", 100.0 * it));
    format!(
        "{title:24} epoch {:>3}/{epochs}  loss {:.3}  train {:5.2} %{}  {:.0} images/s{}",
        record.epoch,
        record.train_loss,
        100.0 * record.train_accuracy,
        validation.unwrap_or_default(),
        record.train_images_per_s,
        match record.teachers_are_silent() {
            true => "  its teachers weigh 0",
            false => "",
        }
    )
}

fn save(run: &RunDir, name: &str, learner: &Learner, state: &State) -> Result<(), TrainError> {
    let checkpoint = Checkpoint {
        weights: learner.network.store.weights()?,
        // A finished network's file holds PyTorch keys only.
        optimiser: match state.finished {
            true => vec![],
            false => learner.memory()?,
        },
        state: serde_json::json!(state),
    };
    Ok(run.save_checkpoint(name, &checkpoint)?)
}
