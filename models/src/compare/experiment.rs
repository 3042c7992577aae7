//! Runs that differ in nothing but their seed, and what their networks come to together.

use serde::Serialize;

use super::run::FinishedRun;
use super::spread::Spread;
use crate::paired::Paired;
use crate::summary::{NetworkSummary, Role};
use ghostlight_kernels::planted;

/// One recipe under one or more seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// The folder that tells it from the others.
    pub label: String,
    /// Its runs by seed.
    pub runs: Vec<RunOfSeed>,
    /// Where its recipe differs from the first experiment's: the key with its value here.
    pub differs: Vec<(String, String)>,
    /// Its networks, in the order of its runs' summaries.
    pub networks: Vec<Compared>,
    /// What each student saves beside each teacher.
    pub ratios: Vec<Ratio>,
}

/// A run of an experiment.
#[derive(Clone, Debug, Serialize)]
pub struct RunOfSeed {
    /// The seed of its random choices.
    pub seed: u64,
    /// Its folder.
    pub run: String,
}

/// One network of an experiment under all of its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// In files.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it is in the runs.
    pub role: Role,
    /// Which student, counted from 1; none for a teacher.
    pub student: Option<usize>,
    /// How it was trained: `alone`, or the method; none for a teacher.
    pub method: Option<String>,
    /// Architecture.
    pub arch: String,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Share of test images predicted right by the weights of the chosen epochs.
    pub accuracy: Spread,
    /// Share of test images predicted right by the last epoch's weights.
    pub last_accuracy: Spread,
    /// Mean over the classes of the share of predictions that are right.
    pub macro_precision: Spread,
    /// Mean over the classes of the share of images that are found.
    pub macro_recall: Spread,
    /// Training speed.
    pub train_images_per_s: Spread,
    /// Inference speed over the test images.
    pub infer_images_per_s: Spread,
    /// Half of the images took no longer by themselves, in milliseconds; where every run measured it.
    pub median_ms: Option<Spread>,
    /// 95 % of them took no longer.
    pub p95_ms: Option<Spread>,
    /// Energy of inference, where every run measured it.
    pub joules_per_image: Option<Spread>,
    /// What teaching changed, for a taught student.
    pub difference: Option<Difference>,
    /// By class, the share of its test images that were recognised; none for a class without any.
    pub recall: Vec<Option<Spread>>,
    /// By class, that less the recall of the same network alone.
    pub recall_difference: Vec<Option<Spread>>,
    /// How its trainings went.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

/// Accuracy of a taught student less that of the same network alone, seed by seed.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The name in files of the same network alone.
    pub alone: String,
    /// The differences.
    pub spread: Spread,
    /// The 95 % interval; none where all seeds agree to the last image.
    pub interval: Option<(f64, f64)>,
    /// What it speaks of.
    pub over: Over,
    /// Whether nothing at all may lie behind the difference: the interval holds 0, or there is none.
    pub may_be_chance: bool,
}

/// What an interval speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Other seeds: Student's interval of the seeds' differences.
    Seeds,
    /// Other test images, under the one seed there is: Tango's score interval and McNemar's test, as in [`Paired`].
    Images,
}

/// A student beside a teacher. Every ratio is above 1 where the student is the lighter or faster one.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// Which student, counted from 1.
    pub student: usize,
    /// Its architecture.
    pub arch: String,
    /// The teacher's name in files.
    pub teacher: String,
    /// The teacher's architecture.
    pub teacher_arch: String,
    /// Compression: the teacher's parameters over the student's.
    pub params: f64,
    /// The teacher's multiply-accumulates over the student's.
    pub macs: f64,
    /// Inference: the student's images per second over the teacher's.
    pub speed: f64,
    /// One image by itself: the teacher's median time over the student's, where both were measured.
    pub latency: Option<f64>,
    /// The teacher's energy per image over the student's, where both were measured.
    pub energy: Option<f64>,
}

/// One value over the epochs that the trainings of all seeds reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is.
    pub value: CurveValue,
    /// Epoch, mean over the seeds, lowest and highest.
    pub points: Vec<(usize, f64, f64, f64)>,
}

/// What a [`Curve`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveValue {
    /// Share of validation images predicted right.
    ValidationAccuracy,
    /// Mean loss over the validation images.
    ValidationLoss,
    /// Share of training images predicted right while learning from them.
    TrainAccuracy,
    /// Mean loss over the training images.
    TrainLoss,
}

impl CurveValue {
    /// All of them, in the order they are drawn.
    pub const ALL: [Self; 4] = [
        Self::ValidationAccuracy,
        Self::ValidationLoss,
        Self::TrainAccuracy,
        Self::TrainLoss,
    ];

    fn of(self, epoch: &super::run::Epoch) -> Option<f64> {
        match self {
            Self::ValidationAccuracy => epoch.validation_accuracy,
            Self::ValidationLoss => epoch.validation_loss,
            Self::TrainAccuracy => epoch.train_accuracy,
            Self::TrainLoss => epoch.train_loss,
        }
    }
}

impl Experiment {
    /// Puts the runs of one recipe together. All of them have the same networks, and no two the same seed.
    pub(super) fn of(label: String, runs: &[FinishedRun], first: &FinishedRun) -> Self {
        let names = runs[0].summary.networks.len();
        let networks: Vec<Compared> = (0..names).map(|place| Compared::of(runs, place)).collect();
        let differs = |key: &&String| runs[0].recipe.get(*key) != first.recipe.get(*key);
        let keys = runs[0].recipe.keys().chain(first.recipe.keys());
        let keys: std::collections::BTreeSet<&String> = keys.filter(differs).collect();
        let value = |key: &String| runs[0].recipe.get(key).map_or("absent", String::as_str);
        Self {
            label,
            runs: runs
                .iter()
                .map(|run| RunOfSeed {
                    seed: run.summary.seed,
                    run: run.path.display().to_string(),
                })
                .collect(),
            differs: keys
                .into_iter()
                .map(|key| (key.clone(), value(key).to_string()))
                .collect(),
            ratios: ratios(&networks),
            networks,
        }
    }
}

impl Compared {
    fn of(runs: &[FinishedRun], place: usize) -> Self {
        let first = &runs[0].summary.networks[place];
        let each = |of: &dyn Fn(&NetworkSummary) -> f64| {
            let networks = runs.iter().map(|run| &run.summary.networks[place]);
            Spread::of(networks.map(of).collect())
        };
        let measured = |of: &dyn Fn(&NetworkSummary) -> Option<f64>| {
            let networks = runs.iter().map(|run| &run.summary.networks[place]);
            Some(Spread::of(networks.map(of).collect::<Option<Vec<f64>>>()?))
        };
        let recall = |place: usize, class: usize| {
            let networks = runs.iter().map(|run| &run.summary.networks[place]);
            let recalls = networks.map(|network| network.confusion.recall(class));
            recalls.collect::<Option<Vec<f64>>>()
        };
        let alone = alone(runs, place);
        let classes = 0..runs[0].summary.data.classes.len();
        Self {
            name: first.name.clone(),
            title: first.title.clone(),
            role: first.role,
            student: first.student,
            method: first.method.clone(),
            arch: first.arch.clone(),
            params: first.params,
            macs: first.macs,
            accuracy: each(&|it| it.confusion.accuracy()),
            last_accuracy: each(&|it| it.last_accuracy),
            macro_precision: each(&|it| it.confusion.macro_precision()),
            macro_recall: each(&|it| it.confusion.macro_recall()),
            train_images_per_s: each(&|it| it.train_images_per_s),
            infer_images_per_s: each(&|it| it.infer_images_per_s),
            median_ms: measured(&|it| Some(it.latency?.median_ms)),
            p95_ms: measured(&|it| Some(it.latency?.p95_ms)),
            joules_per_image: measured(&|it| it.joules_per_image),
            difference: alone.map(|alone| Difference::of(runs, place, alone)),
            recall: classes
                .clone()
                .map(|class| recall(place, class).map(Spread::of))
                .collect(),
            recall_difference: classes
                .map(|class| {
                    let both = recall(place, class)?
                        .into_iter()
                        .zip(recall(alone?, class)?);
                    Some(Spread::of(
                        both.map(|(with, without)| with - without).collect(),
                    ))
                })
                .collect(),
            curves: CurveValue::ALL
                .into_iter()
                .map(|value| Curve::of(runs, &first.name, value))
                .collect(),
        }
    }
}

/// The place of the same student without a teacher, for one that is taught.
fn alone(runs: &[FinishedRun], place: usize) -> Option<usize> {
    let networks = &runs[0].summary.networks;
    let taught = Some(&networks[place]).filter(|it| it.role == Role::Taught)?;
    let mut all = networks.iter();
    all.position(|it| it.role == Role::Alone && it.student == taught.student)
}

impl Difference {
    fn of(runs: &[FinishedRun], taught: usize, alone: usize) -> Self {
        let accuracy =
            |run: &FinishedRun, place: usize| run.summary.networks[place].confusion.accuracy();
        let differences = runs.iter().map(|run| {
            let same_seed = planted::or("seeds_without_their_pairs", run, &runs[0]);
            accuracy(run, taught) - accuracy(same_seed, alone)
        });
        let spread = Spread::of(differences.collect());
        let networks = &runs[0].summary.networks;
        let gain = Some(&runs[0]).filter(|_| runs.len() == 1);
        let gain = gain.and_then(|run| run.gain(&networks[taught].name));
        let paired = gain.map(|gain| Paired {
            images: networks[taught].confusion.total(),
            only_first: gain.only_taught,
            only_second: gain.only_alone,
        });
        let interval = paired.map_or_else(|| spread.interval(), |it| Some(it.interval()));
        let holds_nothing = interval.is_none_or(|(low, high)| low <= 0.0 && high >= 0.0);
        Self {
            alone: networks[alone].name.clone(),
            spread,
            interval,
            over: match runs.len() {
                1 => Over::Images,
                _ => Over::Seeds,
            },
            may_be_chance: paired.map_or(holds_nothing, |it| it.may_be_chance()),
        }
    }
}

/// Every student beside every teacher. A student's speed is that of the same network however it was trained: the mean of them.
fn ratios(networks: &[Compared]) -> Vec<Ratio> {
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| Spread::of(values).mean);
    let mut ratios = Vec::new();
    let mut done = Vec::new();
    for student in networks.iter().filter(|it| it.role != Role::Teacher) {
        if done.contains(&student.student) {
            continue;
        }
        done.push(student.student);
        let same = || networks.iter().filter(|it| it.student == student.student);
        let speed = mean(same().map(|it| it.infer_images_per_s.mean).collect());
        let latency = mean(
            same()
                .filter_map(|it| Some(it.median_ms.as_ref()?.mean))
                .collect(),
        );
        let energy = mean(
            same()
                .filter_map(|it| Some(it.joules_per_image.as_ref()?.mean))
                .collect(),
        );
        for teacher in networks.iter().filter(|it| it.role == Role::Teacher) {
            let over = |teacher: &Option<Spread>, student: Option<f64>| {
                Some(teacher.as_ref()?.mean / student.filter(|it| *it > 0.0)?)
            };
            ratios.push(Ratio {
                student: student.student.unwrap_or(1),
                arch: student.arch.clone(),
                teacher: teacher.name.clone(),
                teacher_arch: teacher.arch.clone(),
                params: teacher.params as f64 / student.params.max(1) as f64,
                macs: teacher.macs as f64 / student.macs.max(1) as f64,
                speed: speed.unwrap_or(0.0) / teacher.infer_images_per_s.mean.max(1e-9),
                latency: over(&teacher.median_ms, latency),
                energy: over(&teacher.joules_per_image, energy),
            });
        }
    }
    ratios
}

impl Curve {
    fn of(runs: &[FinishedRun], name: &str, value: CurveValue) -> Self {
        let of_run = |run: &FinishedRun, epoch: usize| {
            let mut epochs = run.epochs.iter();
            let found = epochs.find(|it| it.phase == name && it.epoch == epoch)?;
            value.of(found)
        };
        let epochs = runs[0].epochs.iter().filter(|it| it.phase == name);
        let points = epochs.filter_map(|it| {
            let values = runs.iter().map(|run| of_run(run, it.epoch));
            let values = values.collect::<Option<Vec<f64>>>()?;
            let (low, high) = values
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(*value), high.max(*value))
                });
            Some((it.epoch, Spread::of(values).mean, low, high))
        });
        Self {
            value,
            points: points.collect(),
        }
    }
}
