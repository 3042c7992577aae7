use super::epoch::{Course, Position};
use super::{EpochRecord, Session, TrainError, evaluate};
use crate::methods::Method;
use crate::run::{Checkpoint, MetricsLog, RunDir, weights_digest};
use crate::zoo::{Architecture, Network};
use ghostlight_autodiff::{DType, Sgd};
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};

/// One training of a run.
pub struct Training<'a> {
    /// Its name in files and metrics, as `student_alone`.
    pub name: &'static str,
    /// Its name for people, as `student alone`.
    pub title: &'static str,
    /// The architecture.
    pub arch: &'a str,
    /// Passes over the training images.
    pub epochs: usize,
    /// Seeds the initial weights and what is dropped; equal roles of one architecture start equal and drop the same.
    pub role: u64,
    /// What is learnt.
    pub method: &'a dyn Method,
    /// Whose logits the method wants.
    pub teacher: Option<&'a Network>,
}

/// What a checkpoint remembers beside the tensors.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    position: Position,
    finished: bool,
    /// Digest of the weights of the teacher that is asked, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    teacher: Option<String>,
}

/// Trains a network, or goes on where the run's checkpoint of this phase stands, or only loads it when it is finished.
///
/// A checkpoint replaces the last one after every epoch, and after the current step when [`Session::stop`] is set.
///
/// # Errors
/// An unknown architecture; a damaged or foreign checkpoint; [`TrainError::OtherTeacher`]; what the device or the disk refuses;
/// [`TrainError::Diverged`]; [`TrainError::Stopped`].
pub fn train_network(
    session: &Session,
    run: &RunDir,
    metrics: &mut MetricsLog,
    phase: &Training,
) -> Result<Network, TrainError> {
    // To draw or to read the weights of a large network takes seconds.
    session.check()?;
    let classes = session.dataset.classes.len();
    let seed = session.recipe.seed;
    let (height, width) = (session.dataset.height, session.dataset.width);
    let arch = Architecture::new(phase.arch, classes).images(height, width);
    let mut network = Network::new(session.client, DType::F32, arch, seed, phase.role)?;
    let mut optimiser = Sgd::new(network.store.values());
    let teacher = match phase.teacher {
        Some(teacher) => Some(weights_digest(&teacher.store.weights()?)),
        None => None,
    };
    let mut state = State::default();
    let path = run.checkpoint_path(phase.name);
    if let Some(checkpoint) = run.load_checkpoint(phase.name)? {
        let weights = |source| TrainError::Weights {
            path: path.clone(),
            source,
        };
        network
            .store
            .set_weights(&checkpoint.weights)
            .map_err(weights)?;
        state = serde_json::from_value(checkpoint.state).map_err(|reason| TrainError::State {
            path: path.clone(),
            reason,
        })?;
        // A checkpoint without a digest is older than this record.
        let other = state.teacher.is_some() && state.teacher != teacher;
        if other && !planted::is("any_teacher_will_do") {
            return Err(TrainError::OtherTeacher { path });
        }
        if !state.finished {
            let velocity = network.store.flat(&checkpoint.optimiser).map_err(weights)?;
            if !planted::is("resume_without_velocity") {
                optimiser.restore(&velocity)?;
            }
        }
    }
    state.teacher = teacher;
    if planted::is("resume_without_sums") {
        state.position.sums.clear();
    }
    metrics.keep_epochs(phase.name, state.position.epoch)?;
    if state.position.epoch < phase.epochs {
        run.remove_summary()?;
    }
    while state.position.epoch < phase.epochs {
        let mut course = Course {
            session,
            network: &network,
            optimiser: &mut optimiser,
            method: phase.method,
            teacher: phase.teacher,
            phase: phase.title,
            epochs: phase.epochs,
            role: phase.role,
        };
        let speed = course.run_epoch(&mut state.position)?;
        let lr = course.lr_at(state.position.epoch, session.steps_per_epoch() - 1);
        let Some(speed) = speed else {
            save(run, phase, &network, &optimiser, &state)?;
            return Err(TrainError::Stopped);
        };
        let record = match record(session, phase, &network, &state.position, lr, speed) {
            Ok(record) => record,
            Err(TrainError::Stopped) => {
                // All steps are taken: resuming evaluates again and goes on.
                save(run, phase, &network, &optimiser, &state)?;
                return Err(TrainError::Stopped);
            }
            Err(error) => return Err(error),
        };
        session.progress.end(&summary(phase, &record));
        metrics.append(&record)?;
        state.position = Position {
            epoch: state.position.epoch + 1,
            ..Position::default()
        };
        state.finished = state.position.epoch == phase.epochs;
        save(run, phase, &network, &optimiser, &state)?;
    }
    Ok(network)
}

fn record(
    session: &Session,
    phase: &Training,
    network: &Network,
    position: &Position,
    lr: f64,
    speed: f64,
) -> Result<EpochRecord, TrainError> {
    let what = format!(
        "{} {}/{} test",
        phase.title,
        position.epoch + 1,
        phase.epochs
    );
    let test = evaluate(session, network, &what)?;
    let steps = session.steps_per_epoch() as f64;
    let means = position
        .sums
        .iter()
        .map(|&bits| f64::from_bits(bits) / steps);
    let names = phase.method.names().iter().map(|name| name.to_string());
    let loss_terms: Vec<(String, f64)> = names.zip(means).collect();
    Ok(EpochRecord {
        phase: phase.name.to_string(),
        epoch: position.epoch + 1,
        lr,
        train_loss: loss_terms.iter().map(|(_, mean)| mean).sum(),
        loss_terms,
        train_accuracy: position.correct as f64 / (steps * session.batch() as f64),
        test_accuracy: test.confusion.accuracy(),
        train_images_per_s: speed,
    })
}

fn summary(phase: &Training, record: &EpochRecord) -> String {
    format!(
        "{:17} epoch {:>3}/{}  loss {:.3}  train {:5.2} %  test {:5.2} %  {:.0} images/s",
        phase.title,
        record.epoch,
        phase.epochs,
        record.train_loss,
        100.0 * record.train_accuracy,
        100.0 * record.test_accuracy,
        record.train_images_per_s,
    )
}

fn save(
    run: &RunDir,
    phase: &Training,
    network: &Network,
    optimiser: &Sgd,
    state: &State,
) -> Result<(), TrainError> {
    let store = &network.store;
    let checkpoint = Checkpoint {
        weights: store.weights()?,
        // A finished network's file holds PyTorch keys only.
        optimiser: if state.finished {
            vec![]
        } else {
            store.named(optimiser.velocity())?
        },
        state: serde_json::json!(state),
    };
    Ok(run.save_checkpoint(phase.name, &checkpoint)?)
}
