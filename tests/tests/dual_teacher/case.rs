//! One batch under two teachers on the host, and the ways to solve it.

use ghostlight_kernels::loss::distill::{self, DistillProblem, Distilled, distill};
use ghostlight_kernels::loss::dual_teacher::{
    DualTeacherOptions, DualTeacherProblem, Rule, Scope, Thresholds, Weighed, reference, weigh,
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
    /// Of each sample, all terms together.
    pub loss: Vec<f64>,
    pub grad: Vec<f64>,
    /// `c1, c2, alpha, beta`, of the batch or of each sample.
    pub weights: Vec<f64>,
    /// Of the cross-entropy and of each teacher.
    pub factors: Vec<f64>,
}

/// Each sample's terms added up.
fn by_sample(losses: &[f64], batch: usize) -> Vec<f64> {
    let of = |n| losses.iter().skip(n).step_by(batch).sum();
    (0..batch).map(of).collect()
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

    fn logits(&self, dtype: DType) -> [ghostlight_kernels::Tensor; 2] {
        let shape = [self.batch(), self.classes];
        self.teachers.each_ref().map(|v| upload(v, &shape, dtype))
    }

    /// The literals of the rule.
    pub fn literals(&mut self) -> &mut Thresholds {
        match &mut self.options.rule {
            Rule::Thresholds(thresholds) => thresholds,
            Rule::Proportional => panic!("it has no literals"),
        }
    }

    pub fn weigh(&self, dtype: DType) -> Weighed {
        let [first, second] = self.logits(dtype);
        weigh(&first, &second, &self.options).expect("the teachers are valid")
    }

    pub fn launch(&self, weighed: &Weighed, dtype: DType) -> Distilled {
        let student = upload(&self.student, &[self.batch(), self.classes], dtype);
        let labels =
            Labels::new(&client(), &self.labels, self.classes).expect("labels are classes");
        let (factors, terms) = (Some(&weighed.factors), self.options.loss());
        distill(
            &student,
            &self.logits(dtype),
            Some(&labels),
            factors,
            &terms,
        )
        .expect("the problem is valid")
    }

    pub fn run(&self, dtype: DType) -> Found {
        let weighed = self.weigh(dtype);
        let out = self.launch(&weighed, dtype);
        Found {
            loss: by_sample(&download(&out.losses), self.batch()),
            grad: download(&out.grad),
            weights: download(&weighed.weights),
            factors: download(&weighed.factors),
        }
    }

    pub fn problem(&self) -> DualTeacherProblem {
        DualTeacherProblem {
            batch: self.batch(),
            classes: self.classes,
            options: self.options,
            dtype: DType::F64,
        }
    }

    /// The reference for teachers of the weights alpha and beta, or of those that their confidences ask for.
    pub fn reference(&self, weights: Option<[f64; 2]>) -> Found {
        let [first, second] = self.teachers.each_ref().map(Vec::as_slice);
        let (mut all, mut factors) = reference::weigh(&self.problem(), first, second);
        if let Some(chosen) = weights {
            all[2..].copy_from_slice(&chosen);
            factors = reference::factors(chosen).to_vec();
        }
        self.reference_of(all, factors)
    }

    /// The reference for these weights and factors.
    pub fn reference_of(&self, weights: Vec<f64>, factors: Vec<f64>) -> Found {
        let problem = DistillProblem {
            batch: self.batch(),
            classes: self.classes,
            options: self.options.loss(),
            factors: factors.len() / 3,
            dtype: DType::F64,
        };
        let teachers = self.teachers.each_ref().map(Vec::as_slice);
        let (losses, grad) = distill::reference::distill(
            &problem,
            &self.student,
            &teachers,
            &self.labels,
            &[],
            &factors,
        );
        Found {
            loss: by_sample(&losses, self.batch()),
            grad,
            weights,
            factors,
        }
    }

    /// The same, each sample weighed by itself.
    pub fn by_sample(mut self) -> Self {
        self.options.scope = Scope::Sample;
        self
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
