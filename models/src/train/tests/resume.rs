use super::*;
use std::cell::Cell;

/// Asks for a stop at the `left`-th report of images done.
pub(super) struct StopAfter<'a> {
    pub left: Cell<usize>,
    pub stop: &'a AtomicBool,
}

impl Progress for StopAfter<'_> {
    fn begin(&self, _what: &str, _done: u64, _total: u64) {}

    fn advance(&self, _images: u64, _note: &str) {
        self.left.set(self.left.get().wrapping_sub(1));
        if self.left.get() == 0 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self, _summary: &str) {}
}

/// Epochs without their speed, which is no function of the recipe.
pub(super) fn timeless(records: Vec<EpochRecord>) -> Vec<EpochRecord> {
    let timeless = |record| EpochRecord {
        train_images_per_s: 0.0,
        ..record
    };
    records.into_iter().map(timeless).collect()
}

#[test]
fn a_training_that_is_stopped_before_it_begins_takes_no_step() {
    let fixture = Fixture::new(&[]);
    let place = Place::new(&fixture);
    let steps = StopAfter {
        left: Cell::new(0),
        stop: &fixture.stop,
    };
    fixture.stop.store(true, Ordering::Relaxed);
    let outcome = place.train(&fixture.session(&steps), fixture.alone(), &[]);
    assert!(matches!(outcome, Err(TrainError::Stopped)));
    assert_eq!(steps.left.get(), 0, "a step was reported");
}

#[test]
fn a_training_stopped_anywhere_ends_as_one_that_was_not() {
    let fixture = Fixture::new(&[]);
    assert_resumes(&fixture, &|| fixture.alone(), &[]);
}

#[test]
fn a_training_with_dropout_stopped_anywhere_ends_as_one_that_was_not() {
    let fixture = Fixture::of("mobilenet_v2", &["train.dropout=0.4"]);
    assert_resumes(&fixture, &|| fixture.alone(), &[]);
}

#[test]
fn two_teachers_an_adaptor_and_epochs_that_are_judged_stopped_anywhere_end_as_if_they_had_not_been()
{
    let mut fixture = Fixture::of(
        "mobilenet_v2",
        &[
            "data.validation_fraction=0.3",
            "train.optimiser=adamw",
            "train.peak_lr=0.01",
            "train.dropout=0.3",
            "train.schedule=plateau",
            "train.plateau_epochs=1",
            "train.early_stop=2",
            "distill.kd.weight=1",
            "distill.cosine.of=features",
            "distill.align.group=random",
            "distill.align.batch_norm=true",
        ],
    );
    fixture.epochs = 3;
    let teachers = [0, 1].map(|index| fixture.teacher(index));
    assert_resumes(&fixture, &|| fixture.way(2), &teachers);
}

fn assert_resumes(fixture: &Fixture, way: &dyn Fn() -> Way, teachers: &[Network]) {
    let whole = Place::new(fixture)
        .train(&fixture.session(&Silent), way(), teachers)
        .unwrap();
    let records = timeless(whole.records);
    assert!(records.len() >= 2, "{records:?}");
    let mut stops = 0;
    for reports in 1.. {
        let place = Place::new(fixture);
        let stopping = StopAfter {
            left: Cell::new(reports),
            stop: &fixture.stop,
        };
        let outcome = place.train(&fixture.session(&stopping), way(), teachers);
        fixture.stop.store(false, Ordering::Relaxed);
        match outcome {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, TrainError::Stopped), "{error}"),
        }
        stops += 1;
        let resumed = place
            .train(&fixture.session(&Silent), way(), teachers)
            .unwrap();
        let same = resumed.weights == whole.weights && resumed.last == whole.last;
        assert!(same, "stopped at report {reports}, it ends with other bits");
        assert_eq!(timeless(resumed.records), records, "report {reports}");
        // A finished training is only loaded.
        let loaded = place.train(&fixture.session(&Silent), way(), teachers);
        let loaded = loaded.unwrap();
        assert!(loaded.weights == whole.weights && loaded.last == whole.last);
        assert_eq!(loaded.chosen_epoch, whole.chosen_epoch);
    }
    // Every step is reported once the next one is launched, and so is every batch of validation images. Whoever stops in the last step of all comes
    // too late.
    let steps = fixture
        .session(&Silent)
        .steps_per_epoch(&fixture.recipe.train);
    assert!(stops + 2 >= records.len() * steps, "{stops}");
}

#[test]
fn a_resumed_training_says_how_far_it_was() {
    struct Heard(Cell<Option<(u64, u64)>>);
    impl Progress for Heard {
        fn begin(&self, _what: &str, done: u64, total: u64) {
            self.0.set(self.0.get().or(Some((done, total))));
        }
        fn advance(&self, _images: u64, _note: &str) {}
        fn end(&self, _summary: &str) {}
    }
    let fixture = Fixture::new(&[]);
    let place = Place::new(&fixture);
    let stopping = StopAfter {
        left: Cell::new(1),
        stop: &fixture.stop,
    };
    let stopped = place.train(&fixture.session(&stopping), fixture.alone(), &[]);
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    fixture.stop.store(false, Ordering::Relaxed);
    let heard = Heard(Cell::new(None));
    place
        .train(&fixture.session(&heard), fixture.alone(), &[])
        .unwrap();
    // A step is reported when the next one is under way: two were taken.
    assert_eq!(heard.0.get(), Some((10, 15)));
}
