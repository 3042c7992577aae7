//! Which epoch is chosen, when a training gives up, and when its learning rate drops: by the validation images alone.

use super::resume::timeless;
use super::*;

/// A network that learns too fast for its epochs to improve one after the other.
fn fixture(seed: u64, changes: &[&str]) -> Fixture {
    let seed = format!("seed={seed}");
    let fixed = [
        seed.as_str(),
        "data.validation_fraction=0.35",
        "train.schedule=constant",
        "train.warmup=0",
        "train.peak_lr=0.3",
    ];
    let mut fixture = Fixture::new(&[&fixed[..], changes].concat());
    fixture.epochs = 5;
    assert!(fixture.split.validation.len() >= 5);
    fixture
}

/// The epoch that does best on the validation images: by accuracy, of equal ones by loss, of equal ones the first.
fn best(records: &[EpochRecord]) -> usize {
    let mut best = &records[0];
    for record in records {
        let better = |of: fn(&EpochRecord) -> Option<f64>| (of(record).unwrap(), of(best).unwrap());
        let (accuracy, was) = better(|record| record.validation_accuracy);
        let (loss, lowest) = better(|record| record.validation_loss);
        if accuracy > was || (accuracy == was && loss < lowest) {
            best = record;
        }
    }
    best.epoch
}

fn train(fixture: &Fixture, place: &Place) -> Ended {
    let session = fixture.session(&Silent);
    place.train(&session, fixture.alone(), &[]).unwrap()
}

/// Accuracy and loss of these weights on the validation images.
fn validated(fixture: &Fixture, weights: &[NamedTensor]) -> (f64, f64) {
    let mut network = fixture.network(0);
    network.store.set_weights(weights).unwrap();
    let session = fixture.session(&Silent);
    let found = evaluate(&session, &network, &fixture.split.validation, "").unwrap();
    (found.confusion.accuracy(), found.loss)
}

#[test]
fn the_best_epoch_on_the_validation_images_is_chosen_and_the_last_is_kept_beside() {
    let mut earlier = 0;
    for seed in 0..8 {
        let fixture = fixture(seed, &[]);
        let place = Place::new(&fixture);
        let ended = train(&fixture, &place);
        assert_eq!((ended.epochs, ended.records.len()), (5, 5));
        let chosen = best(&ended.records);
        assert_eq!(ended.chosen_epoch, chosen, "{:?}", ended.records);
        let assert_is_epoch = |weights: &[NamedTensor], epoch: usize| {
            let record = &ended.records[epoch - 1];
            let (accuracy, loss) = validated(&fixture, weights);
            assert!((accuracy - record.validation_accuracy.unwrap()).abs() < 1e-12);
            assert!((loss - record.validation_loss.unwrap()).abs() < 1e-12);
        };
        assert_is_epoch(&ended.weights, chosen);
        let kept = place.run.checkpoint_path("student.last");
        assert!(!place.run.checkpoint_path("student.best").exists());
        assert_eq!(
            (ended.last.is_some(), kept.exists()),
            (chosen < 5, chosen < 5)
        );
        if let Some(last) = ended.last {
            assert_is_epoch(&last, 5);
            earlier += 1;
        }
    }
    assert!(earlier > 0, "the last epoch was always the best");
}

#[test]
fn test_images_have_no_say_in_what_is_chosen() {
    for seed in 0..3 {
        let honest = fixture(seed, &["train.early_stop=2"]);
        let mut other = fixture(seed, &["train.early_stop=2"]);
        let test = other.split.test.clone();
        let dataset = Arc::get_mut(&mut other.dataset).expect("nobody else has it");
        for index in test {
            let label = &mut dataset.labels[index as usize];
            *label = (*label + 1) % IMAGES.len() as u32;
        }
        let [a, b] = [&honest, &other].map(|fixture| train(fixture, &Place::new(fixture)));
        assert!(a.weights == b.weights, "other test labels, another network");
        assert_eq!((a.chosen_epoch, a.epochs), (b.chosen_epoch, b.epochs));
        assert_eq!(timeless(a.records), timeless(b.records));
    }
}

#[test]
fn a_training_gives_up_after_as_many_epochs_without_a_better_one_as_its_recipe_says() {
    let mut stopped = 0;
    for seed in 0..6 {
        let whole = fixture(seed, &[]);
        let whole = timeless(train(&whole, &Place::new(&whole)).records);
        for patience in [1, 2] {
            let setting = format!("train.early_stop={patience}");
            let fixture = fixture(seed, &[&setting]);
            let ended = train(&fixture, &Place::new(&fixture));
            let idle = |epoch: &usize| epoch - best(&whole[..*epoch]) >= patience;
            let wanted = (1..=5).find(idle).unwrap_or(5);
            assert_eq!(ended.epochs, wanted, "{whole:?}");
            assert_eq!(timeless(ended.records), whole[..wanted]);
            assert_eq!(ended.chosen_epoch, best(&whole[..wanted]));
            stopped += usize::from(wanted < 5);
        }
    }
    assert!(stopped > 0, "no training gave up");
}

#[test]
fn a_plateau_of_the_validation_loss_lets_the_learning_rate_drop() {
    let mut drops = 0;
    for (seed, patience) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        let setting = format!("train.plateau_epochs={patience}");
        let fixture = fixture(
            seed,
            &["train.schedule=plateau", "train.drop_factor=0.5", &setting],
        );
        let records = train(&fixture, &Place::new(&fixture)).records;
        let (mut rate, mut lowest, mut since) = (0.3, f64::INFINITY, 0);
        for record in &records {
            assert!((record.lr - rate).abs() < 1e-7, "{rate}, {records:?}");
            let loss = record.validation_loss.unwrap();
            since = if loss < lowest { 0 } else { since + 1 };
            lowest = lowest.min(loss);
            if since == patience {
                (rate, since) = (0.5 * rate, 0);
                drops += 1;
            }
        }
    }
    assert!(drops > 0, "no rate dropped");
}

#[test]
fn without_validation_images_the_last_epoch_is_the_result() {
    let fixture = Fixture::new(&["train.early_stop=1", "train.schedule=plateau"]);
    let place = Place::new(&fixture);
    let ended = train(&fixture, &place);
    assert_eq!((ended.chosen_epoch, ended.epochs), (2, 2));
    assert!(ended.last.is_none() && !place.run.checkpoint_path("student.last").exists());
    for record in &ended.records {
        assert_eq!(
            (record.validation_accuracy, record.validation_loss),
            (None, None)
        );
    }
}
