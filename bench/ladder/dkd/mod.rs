//! Decoupled knowledge distillation (`docs/methods.md` section 2.2) and its gradient with respect to the student, in `f32`.
//!
//! With `p` and `q` the softmaxes of the student's and the teacher's logits over a temperature `T`, `k` the label, and `p^`, `q^` the softmaxes
//! over the other classes: `TCKD = q_k ln(q_k / p_k) + (1 - q_k) ln((1 - q_k) / (1 - p_k))`, `NCKD = sum over j != k of q^_j ln(q^_j / p^_j)`, and
//! with `d = p_k - q_k` and `N` samples
//!
//! - loss of a sample: `T^2 / N (alpha TCKD + beta NCKD)`,
//! - gradient of all losses' sum: `T / N alpha d` at `k`, `T / N (beta (p^_j - q^_j) - alpha d p^_j)` elsewhere.
//!
//! From one launch for each softmax and formula to the project's own operation, a file for each rung, in the order of [`RUNGS`]. Logits are
//! `[n, c]`. Rungs 2 to 6 give a row to a unit: a core of a CPU walks it from end to end. On a GPU neighbouring units then read numbers that
//! lie a row apart, whatever else a rung gains; the project's operation gives a row to a team of units there.
//!
//! **What none of the small kernels can do**: a label whose logit lies more than about 88 temperatures above or below the others' makes an
//! exponential overflow or vanish, and a NaN of it. The project's operation works on log-odds, and has no such margin.

mod composed;
mod fused;
mod kept;
mod online;
mod sums;
mod vectors;

use super::Rung;
use crate::input::{DTYPE, Input, Operands};
use crate::{Expected, Phase, Variant};
use cubecl::prelude::*;
use ghostlight_autodiff::{KernelError, Labels, Tensor};
use ghostlight_kernels::launch;
use ghostlight_kernels::loss::dkd::{DkdOptions, DkdProblem, cost, dkd, reference};

/// What the terms multiply by, as a kernel's argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Scales {
    /// `1 / T`.
    inverse_t: f32,
    /// `T / N alpha`, the gradient's; the loss takes it times `T`.
    alpha: f32,
    /// `T / N beta`.
    beta: f32,
}

/// A network's probability of the label, and of all other classes together.
#[derive(CubeType, Clone, Copy)]
struct Odds {
    label: f32,
    others: f32,
}

#[cube]
impl Odds {
    /// From the label's exponential and the sum of the others'.
    fn of(label: f32, others: f32) -> Odds {
        let all = label + others;
        Odds {
            label: label / all,
            others: others / all,
        }
    }
}

/// TCKD.
#[cube]
fn target_term(student: &Odds, teacher: &Odds) -> f32 {
    teacher.label * (teacher.label / student.label).ln()
        + teacher.others * (teacher.others / student.others).ln()
}

/// That of a logit's distance to another one, over the temperature.
#[cube]
fn exponential(logit: f32, top: f32, scales: &Scales) -> f32 {
    ((logit - top) * scales.inverse_t).exp()
}

/// A sample's loss.
#[cube]
fn loss_of(tckd: f32, nckd: f32, scales: &Scales) -> f32 {
    (scales.alpha * tckd + scales.beta * nckd) / scales.inverse_t
}

/// What a launch reads and writes.
struct Arguments<'a> {
    student: &'a Tensor,
    teacher: &'a Tensor,
    labels: &'a Labels,
    loss: &'a Tensor,
    grad: &'a Tensor,
}

impl Arguments<'_> {
    fn rows(&self) -> usize {
        self.student.shape()[0]
    }

    fn classes(&self) -> usize {
        self.student.shape()[1]
    }

    /// Student, teacher and gradient in vectors of `width` classes, and, last but one, the loss.
    fn buffers(&self, width: usize) -> [BufferArg; 4] {
        let maps = [self.student, self.teacher, self.grad].map(|map| map.arg(width));
        let [student, teacher, grad] = maps;
        [student, teacher, self.loss.arg(1), grad]
    }

    /// A row for a unit, and then for the next one.
    fn grid(&self) -> launch::Grid {
        launch::grid(self.student.client(), self.rows())
    }

    fn scales(&self) -> ScalesLaunch {
        let DkdOptions {
            alpha,
            beta,
            temperature,
            weight,
        } = OPTIONS;
        let scale = weight * temperature / self.rows() as f64;
        let [inverse_t, alpha, beta] =
            [1.0 / temperature, scale * alpha, scale * beta].map(|it| it as f32);
        ScalesLaunch::new(inverse_t, alpha, beta)
    }
}

/// The published hyper-parameters.
const OPTIONS: DkdOptions = DkdOptions {
    alpha: 1.0,
    beta: 8.0,
    temperature: 4.0,
    weight: 1.0,
};

fn launched(operands: &Operands, launch: fn(&Arguments)) -> Result<Vec<Tensor>, KernelError> {
    let (student, teacher) = (&operands[0], &operands[1]);
    let loss = Tensor::empty(student.client(), &student.shape()[..1], student.dtype());
    let grad = Tensor::empty(student.client(), student.shape(), student.dtype());
    launch(&Arguments {
        student,
        teacher,
        labels: operands.labels(),
        loss: &loss,
        grad: &grad,
    });
    Ok(vec![loss, grad])
}

/// From the first to the last.
pub(super) const RUNGS: [Rung; 7] = [
    Rung {
        name: "composed",
        change: "a launch for each softmax and each formula, what one makes is read by the next",
        call: |operands| launched(operands, composed::launch),
    },
    Rung {
        name: "fused",
        change: "one launch: a unit keeps what it knows of its row, and makes an exponential again where it needs it again",
        call: |operands| launched(operands, fused::launch),
    },
    Rung {
        name: "online",
        change: "the sum of the exponentials is made good whenever a larger logit comes: one walk for maximum and sum",
        call: |operands| launched(operands, online::launch),
    },
    Rung {
        name: "sums",
        change: "the divergence from a third sum of the same walk: no walk and no logarithms of its own",
        call: |operands| launched(operands, sums::launch),
    },
    Rung {
        name: "kept",
        change: "the maximum first again, and the exponentials kept for the gradient: each is made once",
        call: |operands| launched(operands, kept::launch),
    },
    Rung {
        name: "vectors",
        change: "a vector of classes at a time instead of one",
        call: |operands| launched(operands, vectors::launch),
    },
    Rung {
        name: "ours",
        change: "the project's operation: an exponential for falling distances alone, all rows' logarithms in vectors, any margin, no cancellation",
        call: |operands| {
            let out = dkd(&operands[0], &operands[1], operands.labels(), &OPTIONS)?;
            Ok(vec![out.loss, out.grad])
        },
    },
];

/// CIFAR-100's classes, and ImageNet's.
pub(super) const PROBLEMS: [&[usize]; 2] = [&[4096, 100], &[1024, 1000]];

/// The loss of logits `[n, c]`.
pub(super) fn phase<'a>(case: &'a str, extents: &[usize], ours: Variant<'a>) -> Phase<'a> {
    let &[batch, classes] = extents else {
        unreachable!("logits are [n, c], not {extents:?}");
    };
    let problem = DkdProblem {
        batch,
        classes,
        options: OPTIONS,
        dtype: DTYPE,
    };
    Phase::of(
        ["dkd", case, "loss+grad"],
        cost::fused(&problem),
        vec![
            Input::between(1, extents, -4.0, 4.0),
            Input::between(2, extents, -4.0, 4.0),
            Input::labels(batch, classes),
        ],
        move |v| {
            let labels: Vec<u32> = v[2].iter().map(|&label| label as u32).collect();
            let (loss, grad) = reference::dkd(&problem, &v[0], &v[1], &labels);
            vec![Expected::Values(loss), Expected::Values(grad)]
        },
        ours,
    )
}
