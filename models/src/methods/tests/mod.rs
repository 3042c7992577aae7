//! Ways to teach on a few numbers: values, gradients and what is watched, against the definitions.

mod align;
mod features;
mod golden;
mod several;

use super::*;
use crate::recipe::Recipe;
use crate::zoo::Architecture;
use ghostlight_autodiff::DType;
use ghostlight_autodiff::check::values;
use ghostlight_kernels::loss::dkd::reference::terms;
use ghostlight_tests::{client, download, has_f64_exp, upload};

const CLASSES: usize = 4;
const LABELS: [u32; 3] = [3, 0, 2];

/// Logits `[3, 4]` of one of the networks.
fn logits(seed: u64) -> Vec<f64> {
    let drawn = values(seed, LABELS.len() * CLASSES);
    drawn.into_iter().map(|v| 3.0 * v).collect()
}

/// The way that `text` describes, a recipe's `[distill]`, for small networks of four classes.
fn way(text: &str, smoothing: f64, teachers: usize) -> Way {
    let recipe = Recipe::parse("test", text).unwrap();
    let arch = Architecture::new("resnet8", CLASSES).images(8, 8);
    let teachers = vec![arch; teachers];
    Way::new(
        &client(),
        &recipe.distill[0],
        smoothing,
        arch,
        &teachers,
        (3, 1),
    )
    .unwrap()
}

/// Logits of all networks for one batch, in f64.
struct Scene {
    student: Vec<f64>,
    teachers: Vec<Vec<f64>>,
    labels: Vec<u32>,
}

/// What a way makes of a batch.
struct Found {
    /// By name, as they enter the sum.
    terms: Vec<(String, f64)>,
    watched: Vec<(String, f64)>,
    /// Of the sum, with respect to the student's logits.
    gradient: Vec<f64>,
}

impl Found {
    fn total(&self) -> f64 {
        self.terms.iter().map(|(_, value)| value).sum()
    }
}

impl Scene {
    fn of(teachers: usize) -> Self {
        Self {
            student: logits(1),
            teachers: (0..teachers as u64).map(|seed| logits(2 + seed)).collect(),
            labels: LABELS.to_vec(),
        }
    }

    /// What `way` makes of it in epoch `epoch` of `epochs`, counted from 1, asking only whom it says that it asks.
    fn under(&self, way: &Way, epoch: usize, epochs: usize) -> Found {
        let asked: Vec<usize> = way
            .needs(epoch, epochs)
            .iter()
            .map(|need| need.teacher)
            .collect();
        self.asking(&asked, way, epoch, epochs).unwrap()
    }

    fn asking(
        &self,
        asked: &[usize],
        way: &Way,
        epoch: usize,
        epochs: usize,
    ) -> Result<Found, KernelError> {
        let classes = self.student.len() / self.labels.len();
        let shape = [self.labels.len(), classes];
        let tape = Tape::new();
        let grads = upload(&vec![0.0; self.student.len()], &shape, DType::F64);
        let student = Answers {
            logits: tape.leaf(&upload(&self.student, &shape, DType::F64), &grads)?,
            stages: Vec::new(),
        };
        let answers = |logits: &Vec<f64>| Answers {
            logits: upload(logits, &shape, DType::F64),
            stages: Vec::new(),
        };
        let teachers = self.teachers.iter().enumerate();
        let teachers: Vec<_> = teachers
            .map(|(index, logits)| asked.contains(&index).then(|| answers(logits)))
            .collect();
        let lesson = Lesson {
            tape: &tape,
            student: &student,
            teachers: &teachers,
            labels: &Labels::new(&client(), &self.labels, classes)?,
            mixed: None,
            epoch,
            seed: 1,
        };
        let loss = way.loss(&lesson, epochs)?;
        let outputs: Vec<_> = loss
            .outputs
            .iter()
            .map(|(value, weight)| (value, *weight))
            .collect();
        tape.backward(&outputs)?;
        Ok(Found {
            terms: read(loss.terms)?,
            watched: read(loss.watched)?,
            gradient: download(&grads),
        })
    }
}

fn read(readings: Vec<Reading>) -> Result<Vec<(String, f64)>, KernelError> {
    let mut all = Vec::new();
    for reading in readings {
        all.extend(reading.names.into_iter().zip((reading.begin)()?()?));
    }
    Ok(all)
}

/// `- sum of target log p`, averaged over the batch.
fn cross_entropy(smoothing: f64) -> f64 {
    let logits = logits(1);
    let losses = logits.chunks(CLASSES).zip(LABELS).map(|(row, label)| {
        let sum = row.iter().map(|z| z.exp()).sum::<f64>();
        let target = |class: usize| {
            let hit = if class == label as usize {
                1.0 - smoothing
            } else {
                0.0
            };
            hit + smoothing / CLASSES as f64
        };
        let products = row
            .iter()
            .enumerate()
            .map(|(j, z)| -target(j) * (z.exp() / sum).ln());
        products.sum::<f64>()
    });
    losses.sum::<f64>() / LABELS.len() as f64
}

#[track_caller]
fn assert_terms(found: &[(String, f64)], wanted: &[(&str, f64)]) {
    let close = |(a, b): (&(String, f64), &(&str, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9;
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    assert!(
        found.iter().zip(wanted).all(close),
        "{found:?}, wanted {wanted:?}"
    );
}

#[test]
fn a_network_that_learns_alone_minimises_the_smoothed_cross_entropy() {
    if !has_f64_exp() {
        return;
    }
    for smoothing in [0.0, 0.3] {
        let alone = Way::alone(smoothing);
        assert!(alone.needs(1, 1).is_empty());
        assert_eq!(alone.names(), ["ce"]);
        let wanted = [("ce", cross_entropy(smoothing))];
        assert_terms(&Scene::of(0).under(&alone, 1, 1).terms, &wanted);
    }
}

#[test]
fn dkd_adds_its_two_parts_to_the_cross_entropy_each_with_its_weight_and_ramps_up() {
    if !has_f64_exp() {
        return;
    }
    let (student, teacher) = (logits(1), logits(2));
    let text = "distill = { ce_weight = 0.75, warmup_epochs = 4, dkd = { alpha = 0.5, beta = 3, temperature = 2.5 } }";
    let way = way(text, 0.2, 1);
    assert_eq!(way.names(), ["ce", "dkd"]);
    let rows = student
        .chunks(CLASSES)
        .zip(teacher.chunks(CLASSES))
        .zip(LABELS);
    let dkd = rows.map(|((student, teacher), label)| {
        let parts = terms(student, teacher, label, 2.5);
        2.5 * 2.5 * (0.5 * parts.tckd + 3.0 * parts.nckd)
    });
    let dkd = dkd.sum::<f64>() / LABELS.len() as f64;
    for (epoch, share) in [(1, 0.25), (3, 0.75), (4, 1.0), (9, 1.0)] {
        let wanted = [("ce", 0.75 * cross_entropy(0.2)), ("dkd", share * dkd)];
        assert_terms(&Scene::of(1).under(&way, epoch, 9).terms, &wanted);
    }
}

#[test]
fn a_way_whose_teacher_was_not_asked_is_refused_with_its_number() {
    if !has_f64_exp() {
        return;
    }
    let way = way("[distill]", 0.0, 1);
    let refused = Scene::of(1).asking(&[], &way, 1, 1).err();
    let refused = refused.expect("a refusal").to_string();
    assert!(refused.contains("teacher is 1"), "{refused}");
}
