//! One sum of losses on the host, and the ways to solve it.

use ghostlight_kernels::loss::cosine::{Comparison, reference::compared};
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, DistillProblem, Distilled, Mixed, TeacherTerms, distill,
    reference,
};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::{client, upload};

/// The logits of all networks with labels and factors, on the host.
#[derive(Debug, Clone)]
pub struct Case {
    pub classes: usize,
    pub student: Vec<f64>,
    pub teachers: Vec<Vec<f64>>,
    pub labels: Vec<u32>,
    /// The second classes, and their share; or none.
    pub mixed: Option<(Vec<u32>, f64)>,
    /// One for each term's network and, perhaps, sample; or none.
    pub factors: Vec<f64>,
    pub options: DistillOptions,
}

/// The cross-entropy and both divergences from one teacher, each with a weight of its own.
pub fn all(kd_temperature: f64, dkd_temperature: f64) -> DistillOptions {
    DistillOptions {
        cross_entropy: Some(CrossEntropyOptions {
            smoothing: 0.1,
            weight: 0.7,
            mixed: None,
        }),
        teachers: vec![TeacherTerms {
            kd: Some(KdOptions {
                temperature: kd_temperature,
                weight: 0.9,
            }),
            dkd: Some(DkdOptions {
                alpha: 1.5,
                beta: 6.0,
                temperature: dkd_temperature,
                weight: 0.5,
            }),
            cosine: None,
        }],
    }
}

impl Case {
    /// The problem of the golden vectors.
    pub fn golden(options: DistillOptions) -> Self {
        Self {
            classes: 4,
            student: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
            teachers: vec![vec![3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0]],
            labels: vec![0, 3],
            mixed: None,
            factors: Vec::new(),
            options,
        }
    }

    /// `batch` rows of logits in `[-scale, scale]` from a fixed sequence, representable in f32.
    pub fn spread(batch: usize, classes: usize, scale: f64, options: DistillOptions) -> Self {
        let wave = |i: usize, step: f64| f64::from(((i as f64 * step).sin() * scale) as f32);
        Self {
            classes,
            student: (0..batch * classes).map(|i| wave(i, 1.3)).collect(),
            teachers: (0..options.teachers.len())
                .map(|t| {
                    let logits = 0..batch * classes;
                    logits.map(|i| wave(i, 2.1 + t as f64)).collect()
                })
                .collect(),
            labels: (0..batch).map(|n| (n * 7919 % classes) as u32).collect(),
            mixed: None,
            factors: Vec::new(),
            options,
        }
    }

    pub fn tensors(&self, dtype: DType) -> (Tensor, Vec<Tensor>, Labels) {
        let shape = [self.labels.len(), self.classes];
        let labels = Labels::new(&client(), &self.labels, self.classes).expect("labels in range");
        let teachers = self.teachers.iter();
        (
            upload(&self.student, &shape, dtype),
            teachers.map(|v| upload(v, &shape, dtype)).collect(),
            labels,
        )
    }

    pub fn factors(&self, dtype: DType) -> Option<Tensor> {
        let width = 1 + self.teachers.len();
        let shape = match self.factors.len() {
            0 => return None,
            shared if shared == width => vec![width],
            all => vec![all / width, width],
        };
        Some(upload(&self.factors, &shape, dtype))
    }

    /// The options, with the second classes on the device.
    pub fn options(&self) -> DistillOptions {
        let mut options = self.options.clone();
        if let (Some(term), Some((labels, share))) = (&mut options.cross_entropy, &self.mixed) {
            let labels = Labels::new(&client(), labels, self.classes).expect("labels in range");
            term.mixed = Some(Mixed {
                labels,
                share: *share,
            });
        }
        options
    }

    pub fn launch(&self, dtype: DType) -> Distilled {
        let (student, teachers, labels) = self.tensors(dtype);
        let factors = self.factors(dtype);
        distill(
            &student,
            &teachers,
            Some(&labels),
            factors.as_ref(),
            &self.options(),
        )
        .expect("a valid problem")
    }

    /// Losses and gradient.
    pub fn run(&self, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let out = self.launch(dtype);
        (
            ghostlight_tests::download(&out.losses),
            ghostlight_tests::download(&out.grad),
        )
    }

    pub fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let problem = DistillProblem {
            batch: self.labels.len(),
            classes: self.classes,
            options: self.options(),
            factors: self.factors.len() / (1 + self.teachers.len()),
            dtype: DType::F64,
        };
        let teachers: Vec<&[f64]> = self.teachers.iter().map(Vec::as_slice).collect();
        reference::distill(
            &problem,
            &self.student,
            &teachers,
            &self.labels,
            self.mixed.as_ref().map_or(&[], |(labels, _)| labels),
            &self.factors,
        )
    }

    /// What a sample's losses, and the gradient, would be for divergences, doubts and differences of 1.
    pub fn units(&self) -> (f64, f64) {
        let of = |weight: f64, t: f64| (weight * t * t, weight * t);
        let entropy = self.options.cross_entropy.as_ref();
        let mut parts = vec![of(entropy.map_or(0.0, |term| term.weight), 1.0)];
        for terms in &self.options.teachers {
            if let Some(kd) = terms.kd {
                parts.push(of(kd.weight, kd.temperature));
            }
            if let Some(dkd) = terms.dkd {
                parts.push(of(dkd.weight * (dkd.alpha + dkd.beta), dkd.temperature));
            }
            if let Some(cosine) = terms.cosine {
                let length = |row: &[f64]| {
                    let vector = compared(row, cosine.between);
                    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
                };
                let shortest = (self.student.chunks(self.classes).map(length))
                    .fold(f64::INFINITY, f64::min)
                    .max(cosine.epsilon);
                let slope = match cosine.between {
                    Comparison::Softmaxes(temperature) => 1.0 / temperature,
                    _ => 1.0 / shortest,
                };
                parts.push((cosine.weight, cosine.weight * slope));
            }
        }
        let largest = self.factors.iter().fold(1.0f64, |m, f| m.max(f.abs()));
        let mean = largest / self.labels.len() as f64;
        (
            mean * parts.iter().fold(0.0f64, |m, p| m.max(p.0)),
            mean * parts.iter().map(|p| p.1).sum::<f64>(),
        )
    }

    /// Asserts that losses and gradient are the reference's within `tolerance`.
    pub fn assert_agrees(&self, dtype: DType, tolerance: f64) {
        let ((losses, grad), (wanted_losses, wanted_grad)) = (self.run(dtype), self.reference());
        let (loss_unit, grad_unit) = self.units();
        for (i, (got, wanted)) in losses.iter().zip(&wanted_losses).enumerate() {
            let allowed = tolerance * (10.0 * wanted + loss_unit);
            assert!(
                (got - wanted).abs() <= allowed,
                "loss {i} in {dtype:?}: {got}, wanted {wanted} within {allowed:e}"
            );
        }
        for (i, (got, wanted)) in grad.iter().zip(&wanted_grad).enumerate() {
            let allowed = 10.0 * tolerance * grad_unit;
            assert!(
                (got - wanted).abs() <= allowed,
                "gradient {i} in {dtype:?}: {got}, wanted {wanted} within {allowed:e}"
            );
        }
    }
}

pub fn assert_close(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len());
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (g - w).abs() <= tolerance,
            "element {i}: {g}, wanted {w} within {tolerance:e}"
        );
    }
}

pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}
