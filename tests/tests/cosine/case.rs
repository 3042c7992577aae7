//! One cosine problem on the host, the ways to solve it, and how far rounding may take a result.

use ghostlight_kernels::DType;
use ghostlight_kernels::loss::LossAndGrad;
use ghostlight_kernels::loss::cosine::{
    Comparison, CosineOptions, CosineProblem, cosine, reference,
};
use ghostlight_tests::{GRADIENT, VALUE, assert_near, download, naive, reals, upload};

/// Student and teacher, on the host.
#[derive(Debug, Clone)]
pub struct Case {
    pub length: usize,
    pub student: Vec<f64>,
    pub teacher: Vec<f64>,
    pub options: CosineOptions,
}

impl Case {
    /// The problem of the golden vectors.
    pub fn golden(between: Comparison) -> Self {
        Self {
            length: 4,
            student: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
            teacher: vec![3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0],
            options: CosineOptions::of(between),
        }
    }

    /// Random rows in `[-scale, scale]`; `scale` is a power of two, so that f32 holds them.
    pub fn random(seed: u64, batch: usize, length: usize, scale: f64, between: Comparison) -> Self {
        let of = |seed| -> Vec<f64> {
            let values = reals(seed, batch * length);
            values.iter().map(|v| v * scale).collect()
        };
        Self {
            length,
            student: of(seed),
            teacher: of(seed ^ 0x5eed),
            options: CosineOptions::of(between),
        }
    }

    pub fn batch(&self) -> usize {
        self.student.len() / self.length
    }

    pub fn launch(&self, dtype: DType) -> LossAndGrad {
        let shape = [self.batch(), self.length];
        let student = upload(&self.student, &shape, dtype);
        let teacher = upload(&self.teacher, &shape, dtype);
        let out = cosine(&student, &teacher, &self.options).expect("the problem is valid");
        assert_eq!(
            (out.loss.shape(), out.grad.shape()),
            (&shape[..1], &shape[..])
        );
        out
    }

    pub fn run(&self, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let out = self.launch(dtype);
        (download(&out.loss), download(&out.grad))
    }

    pub fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let problem = CosineProblem {
            batch: self.batch(),
            length: self.length,
            options: self.options,
            dtype: DType::F64,
        };
        reference::cosine(&problem, &self.student, &self.teacher)
    }

    /// Asserts that the kernel agrees with the reference, as closely as rounding lets it.
    pub fn assert_agrees(&self, dtype: DType) {
        let out = self.launch(dtype);
        let (loss, grad) = self.reference();
        let (loss_size, grad_size) = self.magnitudes(&loss, dtype);
        let terms = naive(self.length);
        assert_near("loss", &out.loss, &loss, &loss_size, VALUE * terms);
        assert_near("gradient", &out.grad, &grad, &grad_size, GRADIENT * terms);
    }

    /// The sums of the magnitudes that loss and gradient are made of. A rounding of a divided vector is one of its distance
    /// from the other: of `d^2 / 2` a share of `d`. What a vector's element is computed from is rounded too: `x - mean` by a
    /// unit of both, an exponential by a unit of its exponent.
    fn magnitudes(&self, loss: &[f64], dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let batch = self.batch() as f64;
        // The kernel's error where the vectors are parallel is a squared rounding; the reference's, which takes 1 - cos, is one of f64.
        let floor = if dtype == DType::F64 {
            1.0
        } else {
            f64::from(f32::EPSILON)
        };
        let (mut loss_size, mut grad_size) = (Vec::new(), Vec::new());
        for n in 0..self.batch() {
            let row = n * self.length..(n + 1) * self.length;
            let (u, u_norm) = self.sized(&self.student[row.clone()]);
            let (w, _) = self.sized(&self.teacher[row]);
            let doubt = (loss[n] * batch).max(0.0);
            let noise: f64 = u.iter().zip(&w).map(|(u, w)| (u + w).powi(2)).sum();
            loss_size.push((doubt + (2.0 * doubt * noise).sqrt() + floor * noise) / batch);
            let scale = match self.options.between {
                Comparison::Softmaxes(temperature) => 1.0 / temperature,
                _ => 1.0 / u_norm.max(self.options.epsilon),
            };
            let pairs = u.iter().zip(&w);
            grad_size.extend(pairs.map(|(u, w)| match self.options.between {
                // The reference subtracts an inner product that is 0 but for its rounding.
                Comparison::Softmaxes(_) => u * (u + w + 2.0 * floor) * scale / batch,
                _ => (u + w) * scale / batch,
            }));
        }
        (loss_size, grad_size)
    }

    /// The magnitudes of one divided vector's elements, and its norm.
    fn sized(&self, row: &[f64]) -> (Vec<f64>, f64) {
        let vector = reference::compared(row, self.options.between);
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        let divisor = match self.options.between {
            Comparison::Softmaxes(_) => norm,
            _ => norm.max(self.options.epsilon),
        };
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sizes = row
            .iter()
            .zip(&vector)
            .map(|(x, v)| match self.options.between {
                Comparison::Rows => v.abs(),
                Comparison::CentredRows => (x - mean).abs() + mean.abs() * 2.0f64.powi(-20),
                Comparison::Softmaxes(t) => v * (1.0 + (max - x) / t),
            });
        (sizes.map(|size| size / divisor).collect(), norm)
    }
}
