//! The angle between averaged maps, the student's through a projector.

use super::super::cosine::Features;
use super::*;
use crate::nn::{Declarations, Mode, Pass, Store};
use crate::recipe::{Compared, Cosine};
use ghostlight_tests::reals;

/// Images and pixels of both maps, and the channels of each.
const IMAGES: usize = 3;
const PIXELS: usize = 4;
const OURS: usize = 5;
const THEIRS: usize = 2;

/// The mean over the pixels of every image.
fn averaged(map: &[f64], channels: usize) -> Vec<Vec<f64>> {
    let mean = |image: &[f64], c: usize| {
        image.iter().skip(c).step_by(channels).sum::<f64>() / PIXELS as f64
    };
    let images = map.chunks(PIXELS * channels);
    images
        .map(|image| (0..channels).map(|c| mean(image, c)).collect())
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Value, gradient of the student's map and of the projector, of the term with weight 1.
fn run(
    method: &CosineMethod,
    aids: &Store,
    ours: &[f64],
    theirs: &[f64],
) -> (f64, Vec<f64>, Vec<f64>) {
    let tape = Tape::new();
    let map = |values: &[f64], channels| upload(values, &[IMAGES, 2, 2, channels], DType::F64);
    let grads = map(&vec![0.0; ours.len()], OURS);
    let none = || upload(&[0.0; 2 * IMAGES], &[IMAGES, 2], DType::F64);
    let student = Answers {
        logits: Var::constant(none()),
        stages: vec![("ours".into(), tape.leaf(&map(ours, OURS), &grads).unwrap())],
    };
    let teacher = Answers {
        logits: none(),
        stages: vec![("theirs".into(), map(theirs, THEIRS))],
    };
    let lesson = Lesson {
        tape: &tape,
        student: &student,
        teachers: &[None, Some(teacher)],
        labels: &Labels::new(&client(), &[0; IMAGES], 2).unwrap(),
        mixed: None,
        epoch: 1,
        seed: 1,
    };
    let pass = Pass::new(&tape, aids, Mode::Train);
    let mut loss = Loss::default();
    method.on_features(&lesson, 0.5, &pass, &mut loss).unwrap();
    ghostlight_kernels::pointwise::fill(aids.grads(), 0.0);
    let outputs: Vec<_> = loss
        .outputs
        .iter()
        .map(|(value, weight)| (value, *weight))
        .collect();
    tape.backward(&outputs).unwrap();
    let value = read(loss.terms).unwrap()[0].1;
    (value, download(&grads), download(aids.grads()))
}

#[test]
fn projected_features_are_compared_by_their_angle_and_both_learn() {
    if !has_f64_exp() {
        return;
    }
    let mut declarations = Declarations::default();
    let path = &mut declarations.root();
    let features = Features::new(
        path.at("cosine"),
        ("ours".into(), OURS),
        1,
        ("theirs".into(), THEIRS),
    );
    let mut aids = Store::new(&client(), DType::F64, declarations, 5, 9).unwrap();
    // Files hold 32 bits: what is read back here is what the device has.
    let in_32_bits = aids.weights().unwrap();
    aids.set_weights(&in_32_bits).unwrap();
    let method = CosineMethod {
        cosine: Cosine {
            weight: 2.0,
            of: Compared::Features,
            ..Cosine::default()
        },
        features: Some(features),
    };
    assert_eq!(method.stages().student, ["ours"]);
    assert_eq!(method.stages().teacher, Some((1, vec!["theirs".into()])));
    let (ours, theirs) = (
        reals(1, IMAGES * PIXELS * OURS),
        reals(2, IMAGES * PIXELS * THEIRS),
    );
    let (value, of_map, of_aids) = run(&method, &aids, &ours, &theirs);
    let weights = aids.weights().unwrap().remove(0);
    assert_eq!(weights.shape, [THEIRS, OURS]);
    let rows: Vec<Vec<f64>> = weights
        .data
        .chunks(OURS)
        .map(|row| row.iter().map(|&v| v.into()).collect())
        .collect();
    let angles = averaged(&ours, OURS)
        .into_iter()
        .zip(averaged(&theirs, THEIRS))
        .map(|(u, w)| {
            let u: Vec<f64> = rows.iter().map(|row| dot(row, &u)).collect();
            1.0 - dot(&u, &w) / (dot(&u, &u) * dot(&w, &w)).sqrt()
        });
    let wanted = angles.sum::<f64>() / IMAGES as f64;
    assert!((value - wanted).abs() < 1e-9, "{value}, wanted {wanted}");
    let step = 1e-6;
    let along = values(7, ours.len());
    let moved = |by: f64| {
        let ours: Vec<f64> = ours.iter().zip(&along).map(|(x, d)| x + by * d).collect();
        run(&method, &aids, &ours, &theirs).0
    };
    let numeric = (moved(step) - moved(-step)) / (2.0 * step);
    assert!((numeric - dot(&of_map, &along)).abs() < 1e-6, "{numeric}");
    let along = values(8, of_aids.len());
    let moved = |by: f64| {
        let shift: Vec<f64> = along.iter().map(|d| by * d).collect();
        let shift = upload(&shift, &[shift.len()], DType::F64);
        ghostlight_kernels::pointwise::add_into(aids.values(), &shift).unwrap();
        run(&method, &aids, &ours, &theirs).0
    };
    let (up, down) = (moved(step), moved(-2.0 * step));
    let numeric = (up - down) / (2.0 * step);
    assert!((numeric - dot(&of_aids, &along)).abs() < 1e-6, "{numeric}");
    assert!(of_aids.iter().any(|g| g.abs() > 1e-3));
}
