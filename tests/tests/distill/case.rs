//! One sum of losses on the host, and the ways to solve it.

use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, DistillProblem, Distilled, distill, reference,
};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::{client, upload};

/// Student and teacher logits with labels, on the host.
#[derive(Debug, Clone)]
pub struct Case {
    pub classes: usize,
    pub student: Vec<f64>,
    pub teacher: Vec<f64>,
    pub labels: Vec<u32>,
    pub options: DistillOptions,
}

/// All three terms, each with a weight of its own.
pub fn all(kd_temperature: f64, dkd_temperature: f64) -> DistillOptions {
    DistillOptions {
        cross_entropy: Some(CrossEntropyOptions {
            smoothing: 0.1,
            weight: 0.7,
        }),
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
    }
}

impl Case {
    /// The problem of the golden vectors.
    pub fn golden(options: DistillOptions) -> Self {
        Self {
            classes: 4,
            student: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
            teacher: vec![3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0],
            labels: vec![0, 3],
            options,
        }
    }

    /// `batch` rows of logits in `[-scale, scale]` from a fixed sequence, representable in f32.
    pub fn spread(batch: usize, classes: usize, scale: f64, options: DistillOptions) -> Self {
        let wave = |i: usize, step: f64| f64::from(((i as f64 * step).sin() * scale) as f32);
        Self {
            classes,
            student: (0..batch * classes).map(|i| wave(i, 1.3)).collect(),
            teacher: (0..batch * classes).map(|i| wave(i, 2.1)).collect(),
            labels: (0..batch).map(|n| (n * 7919 % classes) as u32).collect(),
            options,
        }
    }

    pub fn tensors(&self, dtype: DType) -> (Tensor, Tensor, Labels) {
        let shape = [self.labels.len(), self.classes];
        let labels = Labels::new(&client(), &self.labels, self.classes).expect("labels in range");
        (
            upload(&self.student, &shape, dtype),
            upload(&self.teacher, &shape, dtype),
            labels,
        )
    }

    pub fn launch(&self, dtype: DType) -> Distilled {
        let (student, teacher, labels) = self.tensors(dtype);
        distill(&student, Some(&teacher), Some(&labels), &self.options).expect("a valid problem")
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
            options: self.options,
            dtype: DType::F64,
        };
        reference::distill(&problem, &self.student, &self.teacher, &self.labels)
    }

    /// What a sample's losses, and the gradient, would be for divergences and differences of 1.
    pub fn units(&self) -> (f64, f64) {
        let DistillOptions {
            cross_entropy,
            kd,
            dkd,
        } = self.options;
        let of = |weight: f64, t: f64| (weight * t * t, weight * t);
        let parts = [
            of(cross_entropy.map_or(0.0, |term| term.weight), 1.0),
            kd.map_or((0.0, 0.0), |term| of(term.weight, term.temperature)),
            dkd.map_or((0.0, 0.0), |term| {
                of(term.weight * (term.alpha + term.beta), term.temperature)
            }),
        ];
        let mean = 1.0 / self.labels.len() as f64;
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
