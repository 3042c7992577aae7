use super::{Planned, RunData};
use crate::data::{Loader, LoaderOptions};
use crate::measure;
use crate::metrics::Confusion;
use crate::paired::Paired;
use crate::report::{Comparison, DataSummary, EpochPoint, ModelReport, Prediction, Report, Sample};
use crate::run::{MetricsLog, Platform, RunDir};
use crate::summary::{DataUsed, Gain, Latency, NetworkSummary, Role, Summary};
use crate::train::{self, Answer, EpochRecord, Session, TrainError, Trained, answers, evaluate};
use crate::zoo::{Network, Size};
use std::time::Duration;

/// Test images shown in the report.
const SAMPLES: usize = 24;
/// How long single images are classified for, to tell how long one takes.
const SINGLE_IMAGES: Duration = Duration::from_millis(300);

/// What one training came to.
pub(super) struct Outcome {
    name: String,
    title: String,
    role: Role,
    student: Option<usize>,
    method: Option<String>,
    arch: String,
    size: Size,
    epochs: usize,
    chosen_epoch: usize,
    last_accuracy: f64,
    confusion: Confusion,
    /// Whether each test image was classified right.
    right: Vec<bool>,
    train_images_per_s: f64,
    infer_images_per_s: f64,
    one_image: measure::Latency,
    curve: Vec<EpochPoint>,
    /// Of the test images that the report shows.
    samples: Vec<Answer>,
}

impl Outcome {
    /// Tests what was `trained`, and gives the network back.
    pub fn of(
        session: &Session,
        metrics: &mut MetricsLog,
        planned: &Planned,
        trained: Trained,
    ) -> Result<(Self, Network), TrainError> {
        let Trained {
            mut network,
            chosen_epoch,
            epochs,
            last,
        } = trained;
        let what = format!("{} test", planned.title);
        let test = train::measure(session, &network, &what)?;
        let samples = answers(session, &network, &shown(session))?.0;
        let images = images(session, &shown(session))?;
        let one_image = measure::latency_within(session.client, &network, &images, SINGLE_IMAGES)?;
        let accuracy = test.confusion.accuracy();
        let last_accuracy = match last {
            None => accuracy,
            Some(last) => {
                let chosen = network.store.weights()?;
                let fits = |source| TrainError::Weights {
                    path: planned.name.clone().into(),
                    source,
                };
                network.store.set_weights(&last).map_err(fits)?;
                let found = evaluate(session, &network, &session.split.test, &what)?;
                network.store.set_weights(&chosen).map_err(fits)?;
                found.confusion.accuracy()
            }
        };
        let records: Vec<EpochRecord> = metrics
            .lines()?
            .into_iter()
            .filter_map(|line| serde_json::from_value(line).ok())
            .filter(|record: &EpochRecord| record.phase == planned.name)
            .collect();
        // An epoch that was stopped after its last step has no speed.
        let mut speeds: Vec<f64> = records
            .iter()
            .map(|record| record.train_images_per_s)
            .filter(|&speed| speed > 0.0)
            .collect();
        speeds.sort_by(f64::total_cmp);
        let outcome = Self {
            name: planned.name.clone(),
            title: planned.title.clone(),
            role: planned.role,
            student: planned.student,
            method: planned.method(),
            arch: network.arch.clone(),
            size: network.size()?,
            epochs,
            chosen_epoch,
            last_accuracy,
            confusion: test.confusion,
            right: test.right,
            train_images_per_s: speeds.get(speeds.len() / 2).copied().unwrap_or(0.0),
            infer_images_per_s: test.images_per_s,
            one_image,
            curve: records.into_iter().map(point).collect(),
            samples,
        };
        Ok((outcome, network))
    }

    fn latency(&self) -> Latency {
        Latency {
            median_ms: 1e3 * self.one_image.median_s,
            p95_ms: 1e3 * self.one_image.p95_s,
        }
    }

    fn report(&self) -> ModelReport {
        ModelReport {
            name: self.name.clone(),
            title: self.title.clone(),
            role: self.role,
            arch: self.arch.clone(),
            params: self.size.params as u64,
            macs: self.size.macs,
            train_images_per_s: self.train_images_per_s,
            infer_images_per_s: self.infer_images_per_s,
            confusion: self.confusion.clone(),
            curve: self.curve.clone(),
            chosen_epoch: self.chosen_epoch,
            last_accuracy: self.last_accuracy,
            latency: Some(self.latency()),
            joules_per_image: self.one_image.joules_per_image,
        }
    }

    fn summary(&self) -> NetworkSummary {
        NetworkSummary {
            name: self.name.clone(),
            title: self.title.clone(),
            role: self.role,
            student: self.student,
            method: self.method.clone(),
            arch: self.arch.clone(),
            params: self.size.params as u64,
            macs: self.size.macs,
            accuracy: self.confusion.accuracy(),
            macro_precision: self.confusion.macro_precision(),
            macro_recall: self.confusion.macro_recall(),
            chosen_epoch: self.chosen_epoch,
            epochs: self.epochs,
            last_accuracy: self.last_accuracy,
            train_images_per_s: self.train_images_per_s,
            infer_images_per_s: self.infer_images_per_s,
            latency: Some(self.latency()),
            joules_per_image: self.one_image.joules_per_image,
            confusion: self.confusion.clone(),
        }
    }
}

fn point(record: EpochRecord) -> EpochPoint {
    EpochPoint {
        epoch: record.epoch,
        lr: record.lr,
        train_loss: record.train_loss,
        loss_terms: record.loss_terms,
        train_accuracy: record.train_accuracy,
        validation_accuracy: record.validation_accuracy,
        validation_loss: record.validation_loss,
        watched: record.watched,
    }
}

/// The test images that the report shows, spread evenly over the test split.
fn shown(session: &Session) -> Vec<u32> {
    let test = &session.split.test;
    let count = SAMPLES.min(test.len());
    (0..count).map(|i| test[i * test.len() / count]).collect()
}

/// The normalised pixels of `indices`, without augmentation.
fn images(session: &Session, indices: &[u32]) -> Result<Vec<f32>, TrainError> {
    let options = LoaderOptions {
        batch_size: indices.len().max(1),
        stats: session.stats,
        augment: None,
        first_batch: 0,
        drop_last: false,
        mixup: 0.0,
    };
    let loader = Loader::new(session.dataset.clone(), indices.to_vec(), options)?;
    let mut pixels = Vec::new();
    for batch in loader {
        pixels.extend_from_slice(&batch?.images);
    }
    Ok(pixels)
}

/// What the run comes to, for people and for programs.
pub(super) fn conclude(
    session: &Session,
    data: &RunData,
    run: &RunDir,
    command: &str,
    outcomes: Vec<Outcome>,
) -> Result<(Report, Summary), TrainError> {
    let mut comparisons = Vec::new();
    let mut gains = Vec::new();
    for (taught, outcome) in outcomes.iter().enumerate() {
        let alone = |it: &Outcome| it.role == Role::Alone && it.student == outcome.student;
        let Some(alone) = outcomes.iter().position(alone) else {
            continue;
        };
        if outcome.role != Role::Taught {
            continue;
        }
        let students = Paired::new(&outcome.right, &outcomes[alone].right);
        gains.push(Gain::of(&outcome.name, &outcomes[alone].name, &students));
        comparisons.push(Comparison {
            taught,
            alone,
            students,
        });
    }
    let recipe = session.recipe;
    let archs = |role: Role| {
        let mut names: Vec<&str> = Vec::new();
        for outcome in outcomes.iter().filter(|outcome| outcome.role == role) {
            if !names.contains(&outcome.arch.as_str()) {
                names.push(&outcome.arch);
            }
        }
        names.join(" and ")
    };
    let shown = shown(session);
    let sample = |(i, &index): (usize, &u32)| {
        Ok::<_, TrainError>(Sample {
            rgb: session.dataset.image(index as usize)?.into_owned(),
            width: session.dataset.width as u32,
            height: session.dataset.height as u32,
            truth: session.dataset.labels[index as usize] as usize,
            predictions: outcomes
                .iter()
                .map(|outcome| Prediction {
                    class: outcome.samples[i].class,
                    confidence: outcome.samples[i].confidence,
                })
                .collect(),
        })
    };
    let samples = shown.iter().enumerate().map(sample);
    let report = Report {
        title: format!(
            "{}: {} taught by {}",
            session.dataset.name,
            archs(Role::Taught),
            archs(Role::Teacher)
        ),
        command: command.to_string(),
        recipe_toml: recipe.to_toml(),
        platforms: run.platforms()?.iter().map(Platform::to_string).collect(),
        data: DataSummary {
            name: data.source.clone(),
            classes: data.classes.clone(),
            train_images: data.split.train.len(),
            validation_images: data.split.validation.len(),
            test_images: data.split.test.len(),
            image_size: data.height.max(data.width),
            skipped: data.skipped.clone(),
        },
        models: outcomes.iter().map(Outcome::report).collect(),
        comparisons,
        samples: samples.collect::<Result<_, _>>()?,
        samples_note: format!(
            "{} test images, spread evenly over the classes, not picked by result.",
            shown.len()
        ),
    };
    let summary = Summary {
        run: run.path().display().to_string(),
        seed: recipe.seed,
        data: DataUsed {
            name: data.source.clone(),
            fingerprint: data.fingerprint.clone(),
            classes: data.classes.clone(),
            train: data.split.train.len(),
            validation: data.split.validation.len(),
            test: data.split.test.len(),
            height: data.height,
            width: data.width,
        },
        networks: outcomes.iter().map(Outcome::summary).collect(),
        gains,
    };
    Ok((report, summary))
}
