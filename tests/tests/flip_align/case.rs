//! One alignment on the host, and the ways to solve it.

use ghostlight_kernels::loss::flip_align::reference::{Aligned, normalised, transformed};
use ghostlight_kernels::loss::flip_align::{
    FlipAlignment, FlipOptions, FlipProblem, Group, Normalisation, Selection, Transform,
    flip_align, reference,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{download, poison, reals, upload};
use proptest::prelude::*;

pub const NORMALISATIONS: [Normalisation; 3] = [
    Normalisation::None,
    Normalisation::Sample,
    Normalisation::Position,
];

/// Every selection that the normalisation allows.
pub fn selections(normalisation: Normalisation, tau: f64) -> Vec<Selection> {
    let mut all = vec![
        Selection::Hard,
        Selection::SoftMin { tau },
        Selection::Attention {
            tau,
            detached: true,
        },
        Selection::Attention {
            tau,
            detached: false,
        },
    ];
    if normalisation == Normalisation::None {
        all.push(Selection::Mixed { tau });
    }
    all
}

/// Student and teacher maps `[n, h, w, c]` with the options.
#[derive(Debug, Clone)]
pub struct Case {
    pub shape: [usize; 4],
    pub student: Vec<f64>,
    pub teacher: Vec<f64>,
    pub options: FlipOptions,
}

impl Case {
    /// Maps of values between -1 and 1.
    pub fn new(shape: [usize; 4], seed: u64, options: FlipOptions) -> Self {
        let len = shape.iter().product();
        Self {
            shape,
            student: reals(seed, len),
            teacher: reals(seed ^ 0x5eed, len),
            options,
        }
    }

    /// The elements of one map.
    pub fn elements(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub fn size(&self) -> [usize; 2] {
        [self.shape[1], self.shape[2]]
    }

    pub fn tensors(&self, dtype: DType) -> [Tensor; 2] {
        [&self.student, &self.teacher].map(|map| upload(map, &self.shape, dtype))
    }

    /// The alignment, on memory full of NaN.
    pub fn launch(&self, dtype: DType) -> FlipAlignment {
        let [student, teacher] = self.tensors(dtype);
        let n = self.shape[0];
        poison(dtype, &[student.len(), n, n * self.options.group.columns()]);
        flip_align(&student, &teacher, &self.options).unwrap()
    }

    pub fn problem(&self) -> FlipProblem {
        let [batch, height, width, channels] = self.shape;
        FlipProblem {
            batch,
            height,
            width,
            channels,
            options: self.options.clone(),
            dtype: DType::F64,
        }
    }

    pub fn reference(&self) -> Aligned {
        reference::flip_align(&self.problem(), &self.student, &self.teacher)
    }

    /// The magnitude of the terms of each distance `[n, columns]`: what a wrong sign everywhere would come to.
    pub fn magnitudes(&self) -> Vec<f64> {
        let problem = self.problem();
        let part = match self.options.normalisation {
            Normalisation::None => 0,
            Normalisation::Sample => self.elements(),
            Normalisation::Position => self.shape[3],
        };
        let given = self.options.group.given(self.shape[0]);
        let mut all = Vec::new();
        for n in 0..self.shape[0] {
            let map = |x: &[f64]| x[n * self.elements()..][..self.elements()].to_vec();
            let t = normalised(&map(&self.teacher), part);
            let choices = match &given {
                Some(given) => vec![given[n]],
                None => self.options.group.choices().unwrap().to_vec(),
            };
            for g in choices {
                let a = normalised(&transformed(g, &map(&self.student), self.size()), part);
                let sum: f64 = a
                    .iter()
                    .zip(&t)
                    .map(|(a, t)| (a.abs() + t.abs()).powi(2))
                    .sum();
                all.push(sum / problem.divisor() as f64);
            }
        }
        all
    }
}

/// The parts of an alignment, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub loss: Vec<f64>,
    pub grad: Vec<f64>,
    pub distances: Vec<f64>,
    pub weights: Vec<f64>,
    pub chosen: Vec<Transform>,
}

impl Found {
    pub fn of(out: &FlipAlignment) -> Self {
        Self {
            loss: download(&out.loss),
            grad: download(&out.grad),
            distances: download(&out.distances),
            weights: download(&out.weights),
            chosen: out.chosen.to_transforms().unwrap(),
        }
    }
}

pub fn options(group: Group, selection: Selection, normalisation: Normalisation) -> FlipOptions {
    FlipOptions {
        group,
        selection,
        normalisation,
    }
}

/// Groups for `n` maps, those that transpose only where maps are square.
pub fn groups(n: usize, square: bool, seed: u64) -> BoxedStrategy<Group> {
    let flips = Transform::draw(seed, n, &Transform::ALL[..4]);
    let flip = Transform::ALL[(seed % 4) as usize];
    let any = Transform::ALL[(seed % 8) as usize];
    let mut all = vec![
        Group::Flips,
        Group::Identity,
        Group::Fixed(flip),
        Group::Each(flips),
    ];
    if square {
        let each = Transform::draw(seed, n, &Transform::ALL);
        all.extend([
            Group::D4,
            Group::D4,
            Group::Rotations,
            Group::Random { seed },
            Group::Fixed(any),
            Group::Each(each),
        ]);
    }
    prop::sample::select(all).boxed()
}
