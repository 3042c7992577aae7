use super::*;
use std::cell::Cell;

/// Asks for a stop at the `left`-th report of images done.
struct StopAfter<'a> {
    left: Cell<usize>,
    stop: &'a AtomicBool,
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
fn timeless(records: Vec<EpochRecord>) -> Vec<EpochRecord> {
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
    assert_resumes(&Fixture::new(&[]));
}

#[test]
fn a_training_with_dropout_stopped_anywhere_ends_as_one_that_was_not() {
    assert_resumes(&Fixture::of("mobilenet_v2", &["train.dropout=0.4"]));
}

fn assert_resumes(fixture: &Fixture) {
    let whole = Place::new(fixture)
        .train(&fixture.session(&Silent), fixture.alone(), &[])
        .unwrap();
    let records = timeless(whole.records);
    assert_eq!(records.len(), 2);
    let mut stops = 0;
    for reports in 1.. {
        let place = Place::new(fixture);
        let stopping = StopAfter {
            left: Cell::new(reports),
            stop: &fixture.stop,
        };
        let outcome = place.train(&fixture.session(&stopping), fixture.alone(), &[]);
        fixture.stop.store(false, Ordering::Relaxed);
        match outcome {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, TrainError::Stopped), "{error}"),
        }
        stops += 1;
        let resumed = place
            .train(&fixture.session(&Silent), fixture.alone(), &[])
            .unwrap();
        let same = resumed.weights == whole.weights;
        assert!(same, "stopped at report {reports}, it ends with other bits");
        assert_eq!(timeless(resumed.records), records, "report {reports}");
        // A finished training is only loaded.
        let loaded = place.train(&fixture.session(&Silent), fixture.alone(), &[]);
        assert!(loaded.unwrap().weights == whole.weights);
    }
    // Two epochs of three steps, the last of which is reported as it ends, and of two batches of test images.
    assert!(stops >= 2 * STEPS, "{stops}");
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
