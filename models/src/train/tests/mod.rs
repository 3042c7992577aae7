//! Trainings of a few steps, in this process: what they compute, what they record, and how they go on.

mod cache;
mod choice;
mod evaluation;
mod recipes;
mod resume;
mod steps;

use super::*;
use crate::data::stop::NEVER;
use crate::methods::Way;
use crate::run::{MetricsLog, NamedTensor, PlannedRun, RunDir};
use crate::zoo::{Architecture, Network};
use ghostlight_autodiff::DType;
use ghostlight_autodiff::check::values;
use ghostlight_tests::client;
use tempfile::TempDir;

const SIDE: usize = 8;
/// Images of each class: unequal, so that no count is mistaken for another.
const IMAGES: [usize; 3] = [7, 8, 10];
/// Steps of an epoch: 18 training images in batches of 5.
const STEPS: usize = 3;
/// Test images: in batches of 5 the last one is not full.
const TESTED: usize = 7;

/// All that a [`Session`] borrows but its progress, and the network to train.
struct Fixture {
    arch: &'static str,
    client: Client,
    recipe: Recipe,
    dataset: Arc<Dataset>,
    split: Split,
    stop: AtomicBool,
    /// Of its trainings.
    epochs: usize,
}

impl Fixture {
    /// `changes` of the recipe, as the command line gives them.
    fn new(changes: &[&str]) -> Self {
        Self::of("resnet8", changes)
    }

    /// [`Fixture::new`] with another network.
    fn of(arch: &'static str, changes: &[&str]) -> Self {
        let mut recipe = Recipe::default();
        let fixed = [
            "seed=3",
            "data.test_fraction=0.3",
            "data.validation_fraction=0",
            "augment.shift=2",
            "train.batch=5",
            "train.peak_lr=0.05",
            "train.warmup=0.4",
        ];
        for assignment in fixed.iter().chain(changes) {
            recipe.set(assignment).unwrap();
        }
        let labels: Vec<u32> = (0..)
            .zip(IMAGES)
            .flat_map(|(label, n)| vec![label; n])
            .collect();
        let classes = ["a", "b", "c"].map(String::from).to_vec();
        let bytes = values(1, labels.len() * SIDE * SIDE * 3);
        let pixels = bytes.iter().map(|v| (127.5 + 127.0 * v) as u8).collect();
        let files = (0..labels.len()).map(|i| i.to_string()).collect();
        let dataset = Dataset::new("t".into(), classes, (SIDE, SIDE), pixels, labels, files);
        let dataset = Arc::new(dataset.unwrap());
        let split = Split::stratified(
            &dataset.labels,
            &dataset.classes,
            &recipe.data.shares(),
            recipe.seed,
        );
        let fixture = Self {
            arch,
            client: client(),
            recipe,
            dataset,
            split: split.unwrap(),
            stop: AtomicBool::new(false),
            epochs: 2,
        };
        let session = fixture.session(&Silent);
        let whole = fixture.split.validation.is_empty() && fixture.recipe.train.batch == 5;
        let steps = session.steps_per_epoch(&fixture.recipe.train);
        assert!(!whole || steps == STEPS, "{steps}");
        drop(session);
        assert_eq!(fixture.split.test.len(), TESTED);
        fixture
    }

    fn session<'a>(&'a self, progress: &'a dyn Progress) -> Session<'a> {
        Session {
            client: &self.client,
            recipe: &self.recipe,
            dataset: &self.dataset,
            split: &self.split,
            stats: ChannelStats::of(&self.dataset, &self.split.train, &NEVER).unwrap(),
            progress,
            cache: None,
            watch: None,
            stop: &self.stop,
        }
    }

    /// A network of this data's classes, as the training of `role` begins with.
    fn network(&self, role: u64) -> Network {
        let seed = self.recipe.seed;
        Network::new(&self.client, DType::F32, self.architecture(), seed, role).unwrap()
    }

    fn architecture(&self) -> Architecture<'static> {
        self.architecture_of(self.arch)
    }

    fn architecture_of(&self, name: &'static str) -> Architecture<'static> {
        Architecture::new(name, IMAGES.len()).images(SIDE, SIDE)
    }

    /// The labels alone.
    fn alone(&self) -> Way {
        Way::alone(self.recipe.train.label_smoothing)
    }

    /// The teacher `index`, counted from 0: a small network that has learnt nothing.
    fn teacher(&self, index: u64) -> Network {
        let arch = self.architecture_of("resnet8");
        Network::new(&self.client, DType::F32, arch, self.recipe.seed, 7 * index).unwrap()
    }

    /// The recipe's first way to teach, by that many [`Fixture::teacher`]s.
    fn way(&self, teachers: usize) -> Way {
        let student = self.architecture();
        let teachers = vec![self.architecture_of("resnet8"); teachers];
        let smoothing = self.recipe.train.label_smoothing;
        let (distill, seeds) = (&self.recipe.distill[0], (self.recipe.seed, 1));
        Way::new(&self.client, distill, smoothing, student, &teachers, seeds).unwrap()
    }
}

/// A run's folder, gone with its test.
struct Place {
    arch: &'static str,
    epochs: usize,
    run: RunDir,
    _folder: TempDir,
}

impl Place {
    fn new(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let planned = PlannedRun::new(Some(folder.path())).unwrap();
        let run = planned.create(&fixture.recipe, &fixture.split).unwrap();
        Self {
            arch: fixture.arch,
            epochs: fixture.epochs,
            run,
            _folder: folder,
        }
    }

    /// Trains for the fixture's epochs, or goes on with what was begun here.
    fn train(
        &self,
        session: &Session,
        way: Way,
        teachers: &[Network],
    ) -> Result<Ended, TrainError> {
        let mut metrics: MetricsLog = self.run.metrics()?;
        let phase = Training {
            name: "student".into(),
            title: "student".into(),
            arch: self.arch,
            epochs: self.epochs,
            train: session.recipe.train.clone(),
            role: 1,
            way,
            teachers,
        };
        let trained = train_network(session, &self.run, &mut metrics, phase)?;
        let records = metrics.lines()?.into_iter();
        let weights = trained.network.store.weights()?;
        Ok(Ended {
            weights,
            chosen_epoch: trained.chosen_epoch,
            epochs: trained.epochs,
            last: trained.last,
            records: records
                .map(|line| serde_json::from_value(line).unwrap())
                .collect(),
        })
    }
}

/// What a training leaves behind.
struct Ended {
    weights: Vec<NamedTensor>,
    chosen_epoch: usize,
    epochs: usize,
    last: Option<Vec<NamedTensor>>,
    records: Vec<EpochRecord>,
}
