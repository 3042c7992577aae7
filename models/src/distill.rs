//! One run: teach the teacher, the student alone, and the student with the teacher's help; then compare.

use crate::data::{ChannelStats, Dataset, ImageDigest, Skipped, Split, Stretch};
use crate::methods::{DkdMethod, Method, Supervised};
use crate::paired::Paired;
use crate::recipe::{self, Recipe};
use crate::report::{DataSummary, EpochPoint, ModelReport, Prediction, Report, Sample, render};
use crate::run::{MetricsLog, Platform, RunDir, RunError};
use crate::train::{
    EpochRecord, Evaluation, Session, TrainError, Training, answers, measure, train_network,
};
use crate::zoo::Network;
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The trainings of a run in order: name in files, name for people.
pub const TRAININGS: [(&str, &str); 3] = [
    ("teacher", "teacher"),
    ("student_alone", "student alone"),
    ("student_distilled", "student distilled"),
];

/// Test images shown in the report.
const SAMPLES: usize = 24;

/// What a run remembers of its data: `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunData {
    /// `synthetic`, or the folder.
    pub source: String,
    /// The data set's fingerprint.
    pub fingerprint: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Statistics of the training images.
    pub stats: ChannelStats,
    /// How samples of more than 8 bits became pixels, if there were any.
    pub stretch: Option<Stretch>,
    /// What was left out because it could not be used.
    pub skipped: Skipped,
    /// Whether such files are to be left out.
    #[serde(default)]
    pub skip_bad: bool,
    /// Which images train, which validate and which test.
    pub split: Split,
    /// One digest per image, by which `eval` recognises what was trained on; none in a run older than this record.
    #[serde(default)]
    pub digests: Vec<ImageDigest>,
}

impl RunData {
    /// Splits `dataset` and takes the training images' statistics, unless `stop` is set before.
    ///
    /// # Errors
    /// An `augment.shift` that is too wide for the images; those of the split and of the statistics.
    pub fn new(
        source: &str,
        dataset: &Dataset,
        skipped: impl Into<Skipped>,
        recipe: &Recipe,
        stop: &AtomicBool,
    ) -> Result<Self, TrainError> {
        recipe.augment.changes().check(dataset)?;
        let division = recipe.data.division();
        let split = Split::new(
            dataset.labelled(),
            Path::new(source),
            &division,
            recipe.seed,
        )?;
        Ok(Self {
            source: source.to_string(),
            fingerprint: dataset.fingerprint.clone(),
            classes: dataset.classes.clone(),
            height: dataset.height,
            width: dataset.width,
            stats: match planted::is("statistics_of_all_images") {
                false => ChannelStats::of(dataset, &split.train, stop)?,
                true => ChannelStats::of(dataset, &[&split.train[..], &split.test].concat(), stop)?,
            },
            stretch: dataset.stretch,
            skipped: skipped.into(),
            skip_bad: false,
            split,
            digests: dataset.digests.clone(),
        })
    }

    /// Images per training step: the recipe's, or all there are.
    pub fn batch(&self, recipe: &Recipe) -> usize {
        recipe.train.batch.min(self.split.train.len())
    }

    /// The digests of the images that the run was trained on or its epochs chosen by, to be looked for in `dataset`; `None` for a run that has no record of
    /// them, unless `dataset` is its own.
    pub fn trained_on(&self, dataset: &Dataset) -> Option<HashSet<ImageDigest>> {
        let digests = if self.fingerprint == dataset.fingerprint {
            &dataset.digests
        } else {
            &self.digests
        };
        let trained = self.split.train.iter().chain(&self.split.validation);
        trained.map(|&i| digests.get(i as usize).copied()).collect()
    }

    /// Refuses a data set that is not the run's.
    ///
    /// # Errors
    /// [`RunError::OtherData`].
    pub fn check(&self, run: &RunDir, dataset: &Dataset) -> Result<(), RunError> {
        if self.fingerprint == dataset.fingerprint {
            return Ok(());
        }
        let (was, now) = (self.source.clone(), dataset.name.clone());
        Err(RunError::OtherData {
            path: run.path().to_path_buf(),
            was,
            now,
        })
    }
}

/// A network's row of the closing table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Architecture.
    pub arch: String,
    /// Trainable parameters.
    pub params: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Share of test images predicted right.
    pub accuracy: f64,
    /// Mean over the classes of the share of predictions that are right.
    pub macro_precision: f64,
    /// Mean over the classes of the share of images that are found.
    pub macro_recall: f64,
    /// Training speed: the median over the epochs.
    pub train_images_per_s: f64,
    /// Inference speed over the test images.
    pub infer_images_per_s: f64,
}

/// What the teacher's help changed in the student's accuracy on the same test images; see [`Paired`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Accuracy of the distilled student less that of the student alone.
    pub difference: f64,
    /// The 95 % interval of that, over other images like these.
    pub interval: (f64, f64),
    /// McNemar's exact test: how often chance alone makes as much of a difference.
    pub p_value: f64,
    /// Whether that is too often to speak of a gain or a loss.
    pub may_be_chance: bool,
    /// Test images on which the distilled student alone is right.
    pub only_distilled: u64,
    /// Those on which the student alone is right and the distilled one is not.
    pub only_alone: u64,
}

impl Gain {
    fn of(students: &Paired) -> Self {
        Self {
            difference: students.difference(),
            interval: students.interval(),
            p_value: students.p_value(),
            may_be_chance: students.may_be_chance(),
            only_distilled: students.only_first,
            only_alone: students.only_second,
        }
    }
}

/// What a run came to: `summary.json`, and what `--json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The teacher.
    pub teacher: Row,
    /// The student with labels alone.
    pub student_alone: Row,
    /// The student with labels and teacher.
    pub student_distilled: Row,
    /// What the teacher's help changed.
    pub gain: Gain,
    /// The run directory.
    pub run: String,
}

impl Summary {
    /// The rows in the order of [`TRAININGS`].
    pub fn rows(&self) -> [&Row; 3] {
        [&self.teacher, &self.student_alone, &self.student_distilled]
    }
}

/// Trains the three networks, or goes on where the run stands, and writes summary and report. `command` repeats the run.
///
/// # Errors
/// Those of [`train_network`] and of the run directory.
pub fn distill(
    session: &Session,
    data: &RunData,
    run: &RunDir,
    command: &str,
) -> Result<Summary, TrainError> {
    let recipe = session.recipe;
    let mut metrics = run.metrics()?;
    run.add_platform(&Platform::of(session.client))?;
    let supervised = || Supervised {
        smoothing: recipe.train.label_smoothing,
    };
    let alone = supervised();
    let distilled: Box<dyn Method> = match recipe.distill.method {
        recipe::DistillMethod::Dkd => Box::new(DkdMethod {
            distill: recipe.distill.clone(),
            supervised: supervised(),
        }),
    };
    let mut train = |place: usize, method: &dyn Method, teacher: Option<&Network>| {
        let (name, title) = TRAININGS[place];
        let (arch, epochs) = match place {
            0 => (&recipe.teacher.arch, recipe.teacher.epochs),
            _ => (&recipe.student.arch, recipe.student.epochs),
        };
        // Both students start from the same weights: the teacher is the only difference.
        let role = planted::or("students_start_apart", place.min(1), place) as u64;
        let teacher = teacher.filter(|_| method.needs_teacher());
        let phase = Training {
            name,
            title,
            arch,
            epochs,
            role,
            method,
            teacher,
        };
        train_network(session, run, &mut metrics, &phase)
    };
    let teacher = train(0, &alone, None)?;
    let student = train(1, &alone, None)?;
    let taught = train(2, &*distilled, Some(&teacher))?;
    let networks = [&teacher, &student, &taught];
    let tested = [0, 1, 2].map(|place| model_report(session, &mut metrics, networks[place], place));
    let [teacher, student, taught] = tested;
    let ((teacher, _), (student, alone_right), (taught, taught_right)) =
        (teacher?, student?, taught?);
    let models = [teacher, student, taught];
    let students = Paired::new(&taught_right, &alone_right);
    let summary = Summary {
        teacher: row(&models[0]),
        student_alone: row(&models[1]),
        student_distilled: row(&models[2]),
        gain: Gain::of(&students),
        run: run.path().display().to_string(),
    };
    let (samples, samples_note) = samples(session, networks)?;
    session.check()?;
    let report = Report {
        title: format!(
            "{}: {} taught by {}",
            session.dataset.name, models[2].arch, models[0].arch
        ),
        command: command.to_string(),
        recipe_toml: recipe.to_toml(),
        platforms: run.platforms()?.iter().map(Platform::to_string).collect(),
        data: DataSummary {
            name: data.source.clone(),
            classes: data.classes.clone(),
            train_images: data.split.train.len(),
            test_images: data.split.test.len(),
            image_size: data.height.max(data.width),
            skipped: data.skipped.clone(),
        },
        models,
        students,
        samples,
        samples_note,
    };
    run.write_report(&render(&report)?)?;
    run.write_summary(&summary)?;
    Ok(summary)
}

/// The network's part of the report, and whether it is right about each test image.
fn model_report(
    session: &Session,
    metrics: &mut MetricsLog,
    network: &Network,
    place: usize,
) -> Result<(ModelReport, Vec<bool>), TrainError> {
    let (name, title) = TRAININGS[place];
    let Evaluation {
        confusion,
        right,
        images_per_s,
    } = measure(session, network, &format!("{title} test"))?;
    let size = network.size()?;
    let records: Vec<EpochRecord> = metrics
        .lines()?
        .into_iter()
        .filter_map(|line| serde_json::from_value(line).ok())
        .filter(|record: &EpochRecord| record.phase == name)
        .collect();
    // An epoch that was stopped after its last step has no speed.
    let mut speeds: Vec<f64> = records
        .iter()
        .map(|record| record.train_images_per_s)
        .filter(|&speed| speed > 0.0)
        .collect();
    speeds.sort_by(f64::total_cmp);
    let report = ModelReport {
        arch: network.arch.clone(),
        params: size.params as u64,
        macs: size.macs,
        train_images_per_s: speeds.get(speeds.len() / 2).copied().unwrap_or(0.0),
        infer_images_per_s: images_per_s,
        confusion,
        curve: records.into_iter().map(point).collect(),
    };
    Ok((report, right))
}

fn point(record: EpochRecord) -> EpochPoint {
    let EpochRecord {
        epoch,
        lr,
        train_loss,
        loss_terms,
        train_accuracy,
        test_accuracy,
        ..
    } = record;
    EpochPoint {
        epoch,
        lr,
        train_loss,
        loss_terms,
        train_accuracy,
        test_accuracy,
    }
}

fn row(model: &ModelReport) -> Row {
    Row {
        arch: model.arch.clone(),
        params: model.params as usize,
        macs: model.macs,
        accuracy: model.confusion.accuracy(),
        macro_precision: model.confusion.macro_precision(),
        macro_recall: model.confusion.macro_recall(),
        train_images_per_s: model.train_images_per_s,
        infer_images_per_s: model.infer_images_per_s,
    }
}

/// Test images spread evenly over the test split, with every network's answer.
fn samples(
    session: &Session,
    networks: [&Network; 3],
) -> Result<(Vec<Sample>, String), TrainError> {
    let test = &session.split.test;
    let count = SAMPLES.min(test.len());
    let shown: Vec<u32> = (0..count).map(|i| test[i * test.len() / count]).collect();
    let answers = networks.map(|network| answers(session, network, &shown).map(|found| found.0));
    let [teacher, student, taught] = answers;
    let answers = [teacher?, student?, taught?];
    let sample = |(i, &index): (usize, &u32)| {
        let pixels = session.dataset.image(index as usize)?;
        Ok::<_, TrainError>(Sample {
            rgb: pixels.into_owned(),
            width: session.dataset.width as u32,
            height: session.dataset.height as u32,
            truth: session.dataset.labels[index as usize] as usize,
            predictions: [0, 1, 2].map(|place: usize| {
                let answer = answers[place][i];
                Prediction {
                    class: answer.class,
                    confidence: answer.confidence,
                }
            }),
        })
    };
    let samples = shown
        .iter()
        .enumerate()
        .map(sample)
        .collect::<Result<_, _>>()?;
    let note =
        format!("{count} test images, spread evenly over the classes, not picked by result.");
    Ok((samples, note))
}

#[cfg(test)]
mod tests;
