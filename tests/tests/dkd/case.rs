//! One DKD problem on the host, and the ways to solve it.

use ghostlight_kernels::loss::LossAndGrad;
use ghostlight_kernels::loss::dkd::{DkdOptions, DkdProblem, dkd, reference};
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::client;

/// Student and teacher logits with labels, on the host.
#[derive(Debug, Clone)]
pub struct Case {
    pub classes: usize,
    pub student: Vec<f64>,
    pub teacher: Vec<f64>,
    pub labels: Vec<u32>,
    pub options: DkdOptions,
}

impl Case {
    /// The problem of the golden vectors.
    pub fn golden(alpha: f64, beta: f64, temperature: f64) -> Self {
        Self {
            classes: 4,
            student: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
            teacher: vec![3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0],
            labels: vec![0, 3],
            options: DkdOptions {
                alpha,
                beta,
                temperature,
                weight: 1.0,
            },
        }
    }

    /// `batch` rows of logits in `[-scale, scale]` from a fixed sequence, representable in f32.
    pub fn spread(batch: usize, classes: usize, scale: f64, options: DkdOptions) -> Self {
        let wave = |i: usize, step: f64| f64::from(((i as f64 * step).sin() * scale) as f32);
        Self {
            classes,
            student: (0..batch * classes).map(|i| wave(i, 1.3)).collect(),
            teacher: (0..batch * classes).map(|i| wave(i, 2.1)).collect(),
            labels: (0..batch).map(|n| (n * 7 % classes) as u32).collect(),
            options,
        }
    }

    pub fn tensors(&self, dtype: DType) -> (Tensor, Tensor, Labels) {
        let (client, shape) = (client(), [self.labels.len(), self.classes]);
        let upload = |values: &[f64]| Tensor::from_f64(&client, values, &shape, dtype).unwrap();
        let labels = Labels::new(&client, &self.labels, self.classes).unwrap();
        (upload(&self.student), upload(&self.teacher), labels)
    }

    pub fn launch(&self, dtype: DType) -> LossAndGrad {
        let (student, teacher, labels) = self.tensors(dtype);
        dkd(&student, &teacher, &labels, &self.options).unwrap()
    }

    pub fn run(&self, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let out = self.launch(dtype);
        (out.loss.to_f64().unwrap(), out.grad.to_f64().unwrap())
    }

    pub fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let &Self {
            classes, options, ..
        } = self;
        let problem = DkdProblem {
            batch: self.labels.len(),
            classes,
            options,
            dtype: DType::F64,
        };
        reference::dkd(&problem, &self.student, &self.teacher, &self.labels)
    }

    /// What a sample's loss and the gradient would be for terms of 1.
    pub fn units(&self) -> (f64, f64) {
        let DkdOptions {
            alpha,
            beta,
            temperature,
            weight,
        } = self.options;
        let grad = weight * temperature * (alpha + beta) / self.labels.len() as f64;
        (grad * temperature, grad)
    }
}

pub fn options(temperature: f64) -> DkdOptions {
    DkdOptions {
        temperature,
        ..DkdOptions::default()
    }
}

pub fn assert_near(got: &[f64], wanted: &[f64], tolerance: f64) {
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
