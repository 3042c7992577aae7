use super::*;
use crate::data::{AugmentSeed, Normaliser, batches};
use crate::methods::{DkdMethod, Lesson, Supervised, Term};
use crate::nn::{Mode, Randomness};
use crate::recipe::lr_at;
use ghostlight_autodiff::{KernelError, Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::sgd::SgdOptions;

/// What one epoch comes to: every term's mean, and the share of images that were predicted right.
type Epoch = (Vec<f64>, f64);

/// Two epochs in one plain loop: no loader, no step in flight while the last one is read, no checkpoint.
fn plainly(
    fixture: &Fixture,
    session: &Session,
    method: &dyn Method,
    teacher: Option<&Network>,
) -> (Vec<NamedTensor>, Vec<Epoch>) {
    let Fixture {
        client,
        recipe,
        dataset,
        split,
        ..
    } = fixture;
    let (seed, batch) = (recipe.seed, recipe.train.batch);
    let augment = Augment {
        dihedral: recipe.augment.dihedral,
        shift: recipe.augment.shift,
    };
    let normaliser = Normaliser::new(&session.stats);
    let network = fixture.network(1);
    let mut optimiser = Sgd::new(network.store.values());
    let mut epochs: Vec<Epoch> = Vec::new();
    for epoch in 0..2 {
        let order = batches::order(&split.train, seed, epoch as u64);
        let (mut sums, mut right) = (vec![0.0; method.names().len()], 0);
        for (step, indices) in order.chunks_exact(batch).enumerate() {
            let mut images = vec![0.0; batch * dataset.image_bytes()];
            for (out, &index) in images.chunks_mut(dataset.image_bytes()).zip(indices) {
                let changes = AugmentSeed {
                    seed,
                    epoch: epoch as u64,
                };
                let placement = augment.draw(changes, index, true);
                let image = &dataset.image(index as usize).unwrap();
                placement.write(image, (SIDE, SIDE), &normaliser, out);
            }
            let labels: Vec<u32> = indices
                .iter()
                .map(|&i| dataset.labels[i as usize])
                .collect();
            let images = Tensor::from_f32(client, &images, &[batch, SIDE, SIDE, 3]).unwrap();
            let images = Var::constant(images);
            let taught = teacher.map(|teacher| {
                let answers = teacher.forward(&Tape::new(), Mode::Infer, &images);
                answers.unwrap()
            });
            let tape = Tape::new();
            let rate = recipe.train.dropout.rate();
            let randomness = Randomness::of_step(seed, 1, epoch, step, rate);
            let logits = network
                .forward_dropping(&tape, randomness, &images)
                .unwrap();
            let lesson = Lesson {
                tape: &tape,
                student: &logits,
                teacher: taught.as_ref().map(Var::tensor),
                labels: &Labels::new(client, &labels, IMAGES.len()).unwrap(),
                epoch: epoch + 1,
            };
            let terms = method.terms(&lesson).unwrap();
            let outputs: Vec<_> = terms
                .iter()
                .map(|term| (&term.value, term.weight))
                .collect();
            tape.backward(&outputs).unwrap();
            let options = SgdOptions {
                learning_rate: lr_at(&recipe.train, epoch * STEPS + step, 2 * STEPS).into(),
                momentum: recipe.train.momentum,
                weight_decay: recipe.train.weight_decay,
                nesterov: recipe.train.nesterov,
            };
            let store = &network.store;
            optimiser
                .step(store.values(), store.grads(), store.decayed(), &options)
                .unwrap();
            for (sum, term) in sums.iter_mut().zip(&terms) {
                *sum += term.weight * term.value.tensor().to_f64().unwrap()[0];
            }
            let logits = logits.tensor().to_f32().unwrap();
            let largest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            let rows = logits.chunks(IMAGES.len()).zip(labels);
            right += rows
                .filter(|(row, label)| largest(row) == Some(*label as usize))
                .count();
        }
        sums.iter_mut().for_each(|sum| *sum /= STEPS as f64);
        epochs.push((sums, right as f64 / (STEPS * batch) as f64));
    }
    (network.store.weights().unwrap(), epochs)
}

#[track_caller]
fn assert_trains_plainly(fixture: &Fixture, method: &dyn Method, teacher: Option<&Network>) {
    let session = fixture.session(&Silent);
    let trained = Place::new(fixture)
        .train(&session, method, teacher)
        .unwrap();
    let (weights, epochs) = plainly(fixture, &session, method, teacher);
    assert!(trained.weights == weights, "the weights have other bits");
    assert_eq!(trained.records.len(), epochs.len());
    for (record, (means, accuracy)) in trained.records.iter().zip(&epochs) {
        let (names, found): (Vec<_>, Vec<f64>) = record.loss_terms.iter().cloned().unzip();
        assert_eq!(names, method.names());
        // Numbers on their way through JSON may lose a last digit.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
        let same = found.iter().zip(means).all(|(&a, &b)| close(a, b));
        assert!(
            same && close(record.train_accuracy, *accuracy),
            "{record:?}"
        );
        assert!(close(record.train_loss, means.iter().sum()), "{record:?}");
        let last = lr_at(&fixture.recipe.train, record.epoch * STEPS - 1, 2 * STEPS);
        assert!(close(record.lr, last.into()), "{record:?}");
        assert_eq!(record.phase, "student");
    }
}

#[test]
fn a_training_takes_the_steps_that_its_recipe_describes() {
    for changes in [
        &["train.label_smoothing=0.2"][..],
        // Weight decay so strong, and momentum so weak, that a forgotten one shows in a few steps.
        &[
            "train.nesterov=false",
            "train.momentum=0.5",
            "train.weight_decay=0.1",
            "train.schedule=constant",
        ],
        &["augment.dihedral=false", "train.schedule=cosine"],
    ] {
        let fixture = Fixture::new(changes);
        let smoothing = fixture.recipe.train.label_smoothing;
        assert_trains_plainly(&fixture, &Supervised { smoothing }, None);
    }
}

#[test]
fn a_training_drops_at_the_rates_of_the_network_or_of_the_recipe() {
    let method = Supervised { smoothing: 0.0 };
    let weights = ["own", "0.4", "0"].map(|rate| {
        let rate = format!("train.dropout={rate}");
        let fixture = Fixture::of("mobilenet_v2", &[&rate]);
        assert_trains_plainly(&fixture, &method, None);
        let session = fixture.session(&Silent);
        let trained = Place::new(&fixture).train(&session, &method, None);
        trained.unwrap().weights
    });
    assert!(weights[0] != weights[1] && weights[1] != weights[2] && weights[0] != weights[2]);
}

fn dkd(fixture: &Fixture) -> DkdMethod {
    DkdMethod {
        distill: fixture.recipe.distill.clone(),
        supervised: Supervised { smoothing: 0.0 },
    }
}

#[test]
fn a_distillation_takes_the_steps_that_its_recipe_describes() {
    let fixture = Fixture::new(&["distill.ce_weight=0.5"]);
    let teacher = fixture.network(0);
    assert_trains_plainly(&fixture, &dkd(&fixture), Some(&teacher));
}

#[test]
fn teaching_leaves_the_teacher_as_it_was() {
    let fixture = Fixture::new(&[]);
    let teacher = fixture.network(0);
    let before = teacher.store.weights().unwrap();
    let session = fixture.session(&Silent);
    let place = Place::new(&fixture);
    place
        .train(&session, &dkd(&fixture), Some(&teacher))
        .unwrap();
    assert!(before == teacher.store.weights().unwrap());
}

/// The cross-entropy as two terms of other weights.
struct Halves;

impl Method for Halves {
    fn needs_teacher(&self) -> bool {
        false
    }

    fn names(&self) -> &'static [&'static str] {
        &["quarter", "rest"]
    }

    fn terms(&self, lesson: &Lesson) -> Result<Vec<Term>, KernelError> {
        let mut terms = Vec::new();
        for (name, weight) in [("quarter", 0.25), ("rest", 0.75)] {
            let mut part = Supervised { smoothing: 0.0 }.terms(lesson)?;
            let Term { value, .. } = part.remove(0);
            terms.push(Term {
                name,
                value,
                weight,
            });
        }
        Ok(terms)
    }
}

#[test]
fn terms_are_recorded_as_they_enter_the_sum() {
    let fixture = Fixture::new(&[]);
    let session = fixture.session(&Silent);
    let trained = Place::new(&fixture).train(&session, &Halves, None).unwrap();
    for EpochRecord {
        loss_terms,
        train_loss,
        ..
    } in &trained.records
    {
        let [(_, quarter), (_, rest)] = &loss_terms[..] else {
            panic!("{loss_terms:?}");
        };
        assert!((3.0 * quarter - rest).abs() < 1e-6, "{loss_terms:?}");
        assert!((quarter + rest - train_loss).abs() < 1e-12);
        // Three classes, and nothing learnt yet: about the logarithm of 3.
        assert!((0.5..3.0).contains(train_loss), "{train_loss}");
    }
}

#[test]
fn a_batch_larger_than_the_training_images_is_all_of_them() {
    let mut fixture = Fixture::new(&[]);
    fixture.recipe.train.batch = 4096;
    let session = fixture.session(&Silent);
    assert_eq!((session.batch(), session.steps_per_epoch()), (18, 1));
    let method = Supervised { smoothing: 0.0 };
    let trained = Place::new(&fixture).train(&session, &method, None).unwrap();
    assert_eq!(trained.records.len(), 2);
}
