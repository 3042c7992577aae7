use super::*;
use crate::data::{AugmentSeed, Normaliser, batches};
use crate::methods::{Answers, Lesson};
use crate::nn::{Mode, Randomness, Store};
use crate::recipe::{Moment, Optimiser, lr_at};
use ghostlight_autodiff::{AdamW, Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::adamw::AdamWOptions;
use ghostlight_kernels::optim::sgd::SgdOptions;

/// What one epoch comes to: every term's mean, and the share of images that were predicted right.
type Epoch = (Vec<f64>, f64);

/// Step `step` of two epochs' learning rate.
fn rate_of(train: &Train, step: usize) -> f64 {
    let moment = Moment {
        step,
        steps: 2 * STEPS,
        epoch_steps: STEPS,
        drops: 0,
    };
    lr_at(train, moment).into()
}

/// A step of `store`'s optimiser, as the kernels take it.
fn stepper<'a>(train: &'a Train, store: &'a Store) -> Box<dyn FnMut(f64) + 'a> {
    let (values, grads, decayed) = (store.values(), store.grads(), store.decayed());
    match train.optimiser {
        Optimiser::Sgd => {
            let mut sgd = Sgd::new(values);
            Box::new(move |learning_rate| {
                let options = SgdOptions {
                    learning_rate,
                    momentum: train.momentum,
                    weight_decay: train.weight_decay,
                    nesterov: train.nesterov,
                };
                sgd.step(values, grads, decayed, &options).unwrap();
            })
        }
        Optimiser::AdamW => {
            let mut adamw = AdamW::new(values);
            Box::new(move |learning_rate| {
                let options = AdamWOptions {
                    learning_rate,
                    beta1: train.beta1,
                    beta2: train.beta2,
                    epsilon: train.epsilon,
                    weight_decay: train.weight_decay,
                };
                adamw.step(values, grads, decayed, &options).unwrap();
            })
        }
    }
}

/// What the teachers say of `images`, stages of all that are asked in this epoch included.
fn answers_of(
    teachers: &[Network],
    way: &Way,
    epoch: usize,
    images: &Var,
) -> Vec<Option<Answers<Tensor>>> {
    let mut all: Vec<_> = teachers.iter().map(|_| None).collect();
    for need in way.needs(epoch + 1, 2) {
        let stages: Vec<&str> = need.stages.iter().map(String::as_str).collect();
        let teacher = &teachers[need.teacher];
        let answers = teacher.forward_with_stages(&Tape::new(), Mode::Infer, images, &stages);
        let (logits, found) = answers.unwrap();
        let found = found.iter().map(|value| value.tensor().clone());
        all[need.teacher] = Some(Answers {
            logits: logits.tensor().clone(),
            stages: need.stages.iter().cloned().zip(found).collect(),
        });
    }
    all
}

/// Two epochs in one plain loop: no loader, no step in flight while the last one is read, no checkpoint.
fn plainly(
    fixture: &Fixture,
    session: &Session,
    way: &Way,
    teachers: &[Network],
) -> (Vec<NamedTensor>, Vec<Epoch>) {
    let Fixture {
        client,
        recipe,
        dataset,
        split,
        ..
    } = fixture;
    let (seed, batch) = (recipe.seed, recipe.train.batch);
    let augment = recipe.augment.changes();
    let normaliser = Normaliser::new(&session.stats);
    let network = fixture.network(1);
    let stores = [Some(&network.store), way.aids()];
    let mut optimisers: Vec<_> = stores
        .into_iter()
        .flatten()
        .map(|store| stepper(&recipe.train, store))
        .collect();
    let stages = way.student_stages();
    let wanted: Vec<&str> = stages.iter().map(String::as_str).collect();
    let mut epochs: Vec<Epoch> = Vec::new();
    for epoch in 0..2 {
        let order = batches::order(&split.train, seed, epoch as u64);
        let (mut sums, mut right) = (vec![0.0; way.names().len()], 0);
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
            let taught = answers_of(teachers, way, epoch, &images);
            let tape = Tape::new();
            let rate = recipe.train.dropout.rate();
            let randomness = Randomness::of_step(seed, 1, epoch, step, rate);
            let chance = randomness.for_methods();
            let (logits, found) = network
                .forward_training(&tape, randomness, &images, &wanted)
                .unwrap();
            let student = Answers {
                logits,
                stages: stages.iter().cloned().zip(found).collect(),
            };
            let lesson = Lesson {
                tape: &tape,
                student: &student,
                teachers: &taught,
                labels: &Labels::new(client, &labels, IMAGES.len()).unwrap(),
                mixed: None,
                epoch: epoch + 1,
                seed: chance,
            };
            let loss = way.loss(&lesson, 2).unwrap();
            let outputs = loss.outputs.iter().map(|(value, weight)| (value, *weight));
            tape.backward(&outputs.collect::<Vec<_>>()).unwrap();
            let rate = rate_of(&recipe.train, epoch * STEPS + step);
            optimisers.iter_mut().for_each(|step| step(rate));
            for reading in loss.terms {
                for (name, value) in reading
                    .names
                    .iter()
                    .zip((reading.begin)().unwrap()().unwrap())
                {
                    let term = way.names().iter().position(|known| known == name);
                    sums[term.expect("a term of the way")] += value;
                }
            }
            let logits = student.logits.tensor().to_f32().unwrap();
            let largest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            let rows = logits.chunks(IMAGES.len()).zip(labels);
            right += rows
                .filter(|(row, label)| largest(row) == Some(*label as usize))
                .count();
        }
        sums.iter_mut().for_each(|sum| *sum /= STEPS as f64);
        epochs.push((sums, right as f64 / (STEPS * batch) as f64));
    }
    drop(optimisers);
    (network.store.weights().unwrap(), epochs)
}

#[track_caller]
fn assert_trains_plainly(fixture: &Fixture, way: &dyn Fn() -> Way, teachers: &[Network]) -> Ended {
    let session = fixture.session(&Silent);
    let trained = Place::new(fixture)
        .train(&session, way(), teachers)
        .unwrap();
    let way = way();
    let (weights, epochs) = plainly(fixture, &session, &way, teachers);
    assert!(trained.weights == weights, "the weights have other bits");
    assert_eq!(trained.records.len(), epochs.len());
    for (record, (means, accuracy)) in trained.records.iter().zip(&epochs) {
        let (names, found): (Vec<_>, Vec<f64>) = record.loss_terms.iter().cloned().unzip();
        assert_eq!(names, way.names());
        // Numbers on their way through JSON may lose a last digit.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
        let same = found.iter().zip(means).all(|(&a, &b)| close(a, b));
        assert!(
            same && close(record.train_accuracy, *accuracy),
            "{record:?}"
        );
        assert!(close(record.train_loss, means.iter().sum()), "{record:?}");
        let last = rate_of(&fixture.recipe.train, record.epoch * STEPS - 1);
        assert!(close(record.lr, last), "{record:?}");
        assert_eq!(record.phase, "student");
    }
    trained
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
        &[
            "train.optimiser=adamw",
            "train.beta1=0.7",
            "train.beta2=0.9",
            "train.epsilon=0.001",
            "train.weight_decay=0.1",
            "train.schedule=step",
            "train.drop_every=1",
        ],
    ] {
        let fixture = Fixture::new(changes);
        assert_trains_plainly(&fixture, &|| fixture.alone(), &[]);
    }
}

#[test]
fn a_training_drops_at_the_rates_of_the_network_or_of_the_recipe() {
    let weights = ["own", "0.4", "0"].map(|rate| {
        let rate = format!("train.dropout={rate}");
        let fixture = Fixture::of("mobilenet_v2", &[&rate]);
        assert_trains_plainly(&fixture, &|| fixture.alone(), &[]).weights
    });
    assert!(weights[0] != weights[1] && weights[1] != weights[2] && weights[0] != weights[2]);
}

#[test]
fn a_distillation_takes_the_steps_that_its_recipe_describes() {
    let fixture = Fixture::new(&["distill.ce_weight=0.5"]);
    let teachers = [fixture.network(0)];
    assert_trains_plainly(&fixture, &|| fixture.way(1), &teachers);
}

#[test]
fn adaptors_and_projectors_take_the_same_steps_as_the_student() {
    for optimiser in ["train.optimiser=sgd", "train.optimiser=adamw"] {
        let fixture = Fixture::new(&[
            optimiser,
            "distill.align.batch_norm=true",
            "distill.align.group=random",
            "distill.cosine.of=features",
        ]);
        let teachers = [fixture.network(0)];
        assert_trains_plainly(&fixture, &|| fixture.way(1), &teachers);
    }
}

#[test]
fn teaching_leaves_the_teacher_as_it_was() {
    let fixture = Fixture::new(&[]);
    let teacher = fixture.network(0);
    let before = teacher.store.weights().unwrap();
    let session = fixture.session(&Silent);
    let place = Place::new(&fixture);
    let teachers = [teacher];
    place.train(&session, fixture.way(1), &teachers).unwrap();
    assert!(before == teachers[0].store.weights().unwrap());
}

#[test]
fn terms_are_recorded_as_they_enter_the_sum() {
    let terms = |weight: &str| {
        let weight = format!("distill.align.weight={weight}");
        // Rates so low that both trainings see the same networks.
        let fixture = Fixture::new(&["train.peak_lr=1e-6", &weight]);
        let session = fixture.session(&Silent);
        let place = Place::new(&fixture);
        let trained = place.train(&session, fixture.way(1), &[fixture.network(0)]);
        trained.unwrap().records.remove(0)
    };
    let (quarter, whole) = (terms("0.25"), terms("1"));
    let align = |record: &EpochRecord| {
        let term = record.loss_terms.iter().find(|(name, _)| name == "align");
        term.expect("a term on features").1
    };
    let ratio = align(&whole) / align(&quarter);
    assert!((ratio - 4.0).abs() < 1e-3, "{quarter:?} and {whole:?}");
    for record in [quarter, whole] {
        let sum: f64 = record.loss_terms.iter().map(|(_, mean)| mean).sum();
        assert!((sum - record.train_loss).abs() < 1e-12, "{record:?}");
        // Three classes, and nothing learnt yet: about the logarithm of 3.
        let (name, cross_entropy) = &record.loss_terms[0];
        assert!(
            name == "ce" && (0.5..3.0).contains(cross_entropy),
            "{record:?}"
        );
    }
}

#[test]
fn a_batch_larger_than_the_training_images_is_all_of_them() {
    let mut fixture = Fixture::new(&[]);
    fixture.recipe.train.batch = 4096;
    let session = fixture.session(&Silent);
    let steps = session.steps_per_epoch(&fixture.recipe.train);
    assert_eq!((session.batch(), steps), (18, 1));
    let trained = Place::new(&fixture).train(&session, fixture.alone(), &[]);
    assert_eq!(trained.unwrap().records.len(), 2);
}
