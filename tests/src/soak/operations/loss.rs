use super::{Draw, Problem, len};
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::{Client, Function, KernelError, ops};
use ghostlight_kernels::loss::cosine::{self as angles, Comparison, CosineOptions, CosineProblem};
use ghostlight_kernels::loss::cross_entropy::{self as entropy, CrossEntropyProblem};
use ghostlight_kernels::loss::distill::{
    self as sums, CrossEntropyOptions, DistillOptions, DistillProblem, TeacherTerms,
};
use ghostlight_kernels::loss::dkd::{self as decoupled, DkdOptions, DkdProblem};
use ghostlight_kernels::loss::flip_align::{
    self as flips, FlipOptions, FlipProblem, Group, Normalisation, Selection,
};
use ghostlight_kernels::loss::kd::{self as classical, KdOptions, KdProblem};
use ghostlight_kernels::{DType, Labels, Tensor};
use std::rc::Rc;

/// A loss of a batch, in units of what its terms are made of: `weight` for the mean over the samples, and the same for the gradient of one.
fn loss<F: Function>(
    draw: Draw,
    make: impl Fn(&Client, DType) -> Result<F, KernelError> + 'static,
    (student, shape): (Vec<f64>, Vec<usize>),
    reference: impl Fn(&[f64]) -> (f64, Vec<f64>) + 'static,
    [value, gradient]: [f64; 2],
) -> Problem {
    let reference = Rc::new(reference);
    let again = reference.clone();
    let terms = student.len();
    let check = Check::with(make)
        .inputs([(student, shape)])
        .reference(move |x| vec![reference(&x[0]).0])
        .gradient(move |x, g| vec![again(&x[0]).1.iter().map(|v| v * g[0]).collect()])
        .magnitude(move |x, g| vec![vec![value], vec![gradient * g[0].abs(); x[0].len()]])
        .factor(4.0)
        .terms(terms);
    draw.problem(check, true)
}

/// Samples and classes, with logits.
fn logits(draw: &mut Draw) -> ([usize; 2], Vec<f64>) {
    draw.finite();
    let shape = [draw.extent("samples", 1, 6), draw.extent("classes", 2, 70)];
    (shape, draw.values(len(&shape)))
}

/// What logits of up to 8 and their exponents are off by, in units of rounding.
const LOGITS: f64 = 12.0;

pub fn cross_entropy(mut draw: Draw) -> Problem {
    let (shape @ [batch, classes], student) = logits(&mut draw);
    let smoothing = draw.any("smoothing", &[0.0, 0.125]);
    let labels = draw.labels(batch, classes);
    let problem = CrossEntropyProblem {
        batch,
        classes,
        smoothing,
        dtype: DType::F64,
    };
    let own = labels.clone();
    let make = move |client: &Client, _| {
        Ok(ops::CrossEntropy {
            labels: Labels::new(client, &own, classes)?,
            smoothing,
        })
    };
    let reference = move |x: &[f64]| {
        let (loss, grad) = entropy::reference::cross_entropy(&problem, x, &labels);
        (loss.iter().sum(), grad)
    };
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [LOGITS, LOGITS / batch as f64],
    )
}

pub fn kd(mut draw: Draw) -> Problem {
    let (shape @ [batch, classes], student) = logits(&mut draw);
    let temperature = draw.any("temperature", &[1.0, 2.0, 4.0]);
    let teacher = draw.exact(len(&shape));
    let options = KdOptions {
        temperature,
        weight: 0.5,
    };
    let problem = KdProblem {
        batch,
        classes,
        options,
        dtype: DType::F64,
    };
    let own = teacher.clone();
    let make = move |client: &Client, dtype| {
        Ok(ops::Kd {
            teacher: Tensor::from_f64(client, &own, &shape, dtype)?,
            options,
        })
    };
    let reference = move |x: &[f64]| {
        let (loss, grad) = classical::reference::kd(&problem, x, &teacher);
        (loss.iter().sum(), grad)
    };
    let unit = LOGITS * options.weight * temperature;
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [unit * temperature, unit / batch as f64],
    )
}

pub fn dkd(mut draw: Draw) -> Problem {
    let (shape @ [batch, classes], student) = logits(&mut draw);
    let temperature = draw.any("temperature", &[1.0, 4.0]);
    let (teacher, labels) = (draw.exact(len(&shape)), draw.labels(batch, classes));
    let options = DkdOptions {
        alpha: 1.0,
        beta: 4.0,
        temperature,
        weight: 0.5,
    };
    let problem = DkdProblem {
        batch,
        classes,
        options,
        dtype: DType::F64,
    };
    let (own, own_labels) = (teacher.clone(), labels.clone());
    let make = move |client: &Client, dtype| {
        Ok(ops::Dkd {
            teacher: Tensor::from_f64(client, &own, &shape, dtype)?,
            labels: Labels::new(client, &own_labels, classes)?,
            options,
        })
    };
    let reference = move |x: &[f64]| {
        let (loss, grad) = decoupled::reference::dkd(&problem, x, &teacher, &labels);
        (loss.iter().sum(), grad)
    };
    let unit = LOGITS * 2.5 * temperature;
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [unit * temperature, unit / batch as f64],
    )
}

const COMPARISONS: [Comparison; 3] = [
    Comparison::Rows,
    Comparison::CentredRows,
    Comparison::Softmaxes(2.0),
];

pub fn cosine(mut draw: Draw) -> Problem {
    draw.finite();
    let between = draw.any("between", &COMPARISONS);
    let shape @ [batch, length] = [draw.extent("samples", 1, 6), draw.extent("length", 3, 70)];
    let (student, teacher) = (draw.exact(len(&shape)), draw.exact(len(&shape)));
    let options = CosineOptions::of(between);
    let problem = CosineProblem {
        batch,
        length,
        options,
        dtype: DType::F64,
    };
    let own = teacher.clone();
    let make = move |client: &Client, dtype| {
        Ok(ops::Cosine {
            teacher: Tensor::from_f64(client, &own, &shape, dtype)?,
            options,
        })
    };
    // A gradient is divided by its row's length.
    let shortest = student.chunks(length).map(|row| {
        let vector = angles::reference::compared(row, between);
        vector.iter().map(|v| v * v).sum::<f64>().sqrt()
    });
    let shortest = shortest.fold(1.0, f64::min);
    let reference = move |x: &[f64]| {
        let (loss, grad) = angles::reference::cosine(&problem, x, &teacher);
        (loss.iter().sum(), grad)
    };
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [4.0, 4.0 / shortest / batch as f64],
    )
}

pub fn distill(mut draw: Draw) -> Problem {
    let (shape @ [batch, classes], student) = logits(&mut draw);
    let entropy = draw.any("cross-entropy", &[true, false]);
    let (kd, dkd) = (
        draw.any("kd", &[true, false]),
        draw.any("dkd", &[false, true]),
    );
    let count = draw.extent("teachers", 1, 3);
    let terms = TeacherTerms {
        kd: (kd || !dkd).then_some(KdOptions {
            temperature: 2.0,
            weight: 0.5,
        }),
        dkd: dkd.then_some(DkdOptions {
            alpha: 1.0,
            beta: 4.0,
            temperature: 4.0,
            weight: 0.25,
        }),
        cosine: None,
    };
    let options = DistillOptions {
        cross_entropy: entropy.then(CrossEntropyOptions::default),
        teachers: vec![terms; count],
    };
    let teachers: Vec<Vec<f64>> = (0..count).map(|_| draw.exact(len(&shape))).collect();
    let labels = draw.labels(batch, classes);
    let problem = DistillProblem {
        batch,
        classes,
        options: options.clone(),
        factors: 0,
        dtype: DType::F64,
    };
    let (own, own_labels) = (teachers.clone(), labels.clone());
    let make = move |client: &Client, dtype| {
        let teachers = own
            .iter()
            .map(|values| Tensor::from_f64(client, values, &shape, dtype));
        Ok(ops::Distill {
            teachers: teachers.collect::<Result<_, _>>()?,
            labels: Some(Labels::new(client, &own_labels, classes)?),
            factors: None,
            options: options.clone(),
            terms: Rc::default(),
        })
    };
    let reference = move |x: &[f64]| {
        let teachers: Vec<&[f64]> = teachers.iter().map(Vec::as_slice).collect();
        let (loss, grad) = sums::reference::distill(&problem, x, &teachers, &labels, &[], &[]);
        (loss.iter().sum(), grad)
    };
    let unit = LOGITS * 8.0 * count as f64;
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [4.0 * unit, unit / batch as f64],
    )
}

pub fn flip_align(mut draw: Draw) -> Problem {
    draw.finite();
    let group = draw.pick(
        "group",
        &[Flip::D4, Flip::Flips, Flip::Rotations, Flip::Identity],
    );
    let normalisation = draw.pick(
        "norm",
        &[
            Normalisation::None,
            Normalisation::Sample,
            Normalisation::Position,
        ],
    );
    let selection = draw.pick(
        "selection",
        &[
            Selection::Hard,
            Selection::SoftMin { tau: 0.5 },
            // Detached weights are constants in the gradient, which is then no derivative of the value.
            Selection::Attention {
                tau: 0.5,
                detached: false,
            },
        ],
    );
    let [n, h] = [draw.extent("n", 1, 3), draw.extent("h", 1, 6)];
    let w = if group.is_square() {
        h
    } else {
        draw.extent("w", 1, 6)
    };
    let shape = [n, h, w, draw.channels("c")];
    let (student, teacher) = (draw.exact(len(&shape)), draw.exact(len(&shape)));
    let options = FlipOptions {
        group: group.into(),
        selection,
        normalisation,
    };
    let [batch, height, width, channels] = shape;
    let problem = FlipProblem {
        batch,
        height,
        width,
        channels,
        options: options.clone(),
        dtype: DType::F64,
    };
    let own = teacher.clone();
    let make = move |client: &Client, dtype| {
        let teacher = Tensor::from_f64(client, &own, &shape, dtype)?;
        Ok(ops::FlipAlign {
            teacher,
            options: options.clone(),
            report: None,
        })
    };
    let part = match normalisation {
        Normalisation::None => 0,
        Normalisation::Sample => h * w * channels,
        Normalisation::Position => channels,
    };
    // A gradient through a norm is divided by it.
    let shortest = match part {
        0 => 1.0,
        part => {
            let norms = student
                .chunks(part)
                .map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt());
            norms.fold(1.0, f64::min).max(1e-3)
        }
    };
    let reference = move |x: &[f64]| {
        let found = flips::reference::flip_align(&problem, x, &teacher);
        (found.loss.iter().sum(), found.grad)
    };
    loss(
        draw,
        make,
        (student, shape.to_vec()),
        reference,
        [8.0, 8.0 / shortest / batch as f64],
    )
}

/// A group of transforms, as a choice that can be copied.
#[derive(Debug, Clone, Copy)]
enum Flip {
    D4,
    Flips,
    Rotations,
    Identity,
}

impl Flip {
    fn is_square(self) -> bool {
        matches!(self, Self::D4 | Self::Rotations)
    }
}

impl From<Flip> for Group {
    fn from(flip: Flip) -> Self {
        match flip {
            Flip::D4 => Self::D4,
            Flip::Flips => Self::Flips,
            Flip::Rotations => Self::Rotations,
            Flip::Identity => Self::Identity,
        }
    }
}
