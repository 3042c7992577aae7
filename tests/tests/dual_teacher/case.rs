//! One batch under two teachers on the host, and the ways to solve it.

use ghostlight_kernels::loss::LossAndGrad;
use ghostlight_kernels::loss::dual_teacher::{
    DualTeacherOptions, DualTeacherProblem, Teachers, dual_teacher, reference,
};
use ghostlight_kernels::{DType, Labels};
use ghostlight_tests::{client, download, reals, upload};

/// The logits of a student and of both teachers, with labels, on the host.
#[derive(Debug, Clone)]
pub struct Case {
    pub classes: usize,
    pub student: Vec<f64>,
    pub teachers: [Vec<f64>; 2],
    pub labels: Vec<u32>,
    pub options: DualTeacherOptions,
}

/// What a launch left, on the host.
pub struct Found {
    pub loss: Vec<f64>,
    pub grad: Vec<f64>,
    /// `c1, c2, alpha, beta`.
    pub weights: Vec<f64>,
}

pub fn at(temperature: f64) -> DualTeacherOptions {
    DualTeacherOptions {
        temperature,
        ..DualTeacherOptions::default()
    }
}

impl Case {
    /// The problem of the golden vectors.
    pub fn golden(temperature: f64) -> Self {
        Self {
            classes: 4,
            student: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
            teachers: [
                vec![3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0],
                vec![6.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 9.0],
            ],
            labels: vec![0, 3],
            options: at(temperature),
        }
    }

    /// Random logits in `[-scale, scale]`; `scale` is a power of two, so that f32 holds them.
    pub fn random(seed: u64, batch: usize, classes: usize, scale: f64, t: f64) -> Self {
        let of = |which: u64| -> Vec<f64> {
            let values = reals(seed ^ (which << 40), batch * classes);
            values.iter().map(|v| v * scale).collect()
        };
        Self {
            classes,
            student: of(1),
            teachers: [of(2), of(3)],
            labels: (0..batch).map(|n| (n * 7 % classes) as u32).collect(),
            options: at(t),
        }
    }

    pub fn batch(&self) -> usize {
        self.labels.len()
    }

    pub fn teachers(&self, dtype: DType) -> Teachers {
        let shape = [self.batch(), self.classes];
        let [first, second] = self.teachers.each_ref().map(|v| upload(v, &shape, dtype));
        Teachers::weigh(&first, &second, &self.options).expect("the teachers are valid")
    }

    pub fn launch(&self, teachers: &Teachers, dtype: DType) -> LossAndGrad {
        let student = upload(&self.student, &[self.batch(), self.classes], dtype);
        let labels =
            Labels::new(&client(), &self.labels, self.classes).expect("labels are classes");
        dual_teacher(&student, teachers, &labels).expect("the problem is valid")
    }

    pub fn run(&self, dtype: DType) -> Found {
        let teachers = self.teachers(dtype);
        let out = self.launch(&teachers, dtype);
        Found {
            loss: download(&out.loss),
            grad: download(&out.grad),
            weights: download(teachers.weights()),
        }
    }

    /// The reference for teachers of the weights alpha and beta, or of those that their confidences ask for.
    pub fn reference(&self, weights: Option<[f64; 2]>) -> Found {
        let problem = DualTeacherProblem {
            batch: self.batch(),
            classes: self.classes,
            options: self.options,
            dtype: DType::F64,
        };
        let confidence =
            |v: &Vec<f64>| reference::confidence(v, self.classes, self.options.temperature);
        let c = self.teachers.each_ref().map(confidence);
        let chosen = weights.unwrap_or(reference::weights(c, &self.options));
        let teachers = self.teachers.each_ref().map(Vec::as_slice);
        let (loss, grad) =
            reference::dual_teacher(&problem, &self.student, teachers, &self.labels, chosen);
        Found {
            loss,
            grad,
            weights: [c, chosen].concat(),
        }
    }

    /// What a sample's loss and the gradient would be for terms of 1.
    pub fn units(&self) -> (f64, f64) {
        let (t, batch) = (self.options.temperature, self.batch() as f64);
        ((1.0 + t * t) / batch, (1.0 + t) / batch)
    }
}

pub fn assert_near(what: &str, got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        let distance = (g - w).abs();
        assert!(
            distance <= tolerance,
            "{what}, element {i}: {g}, wanted {w} within {tolerance:e}"
        );
    }
}
