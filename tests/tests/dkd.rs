//! DKD: golden vectors, the definition's identities, the reference on random problems, hostile values and refusals.

use ghostlight_kernels::loss::LossAndGrad;
use ghostlight_kernels::loss::dkd::{DkdOptions, DkdProblem, dkd, reference};
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::client;
use proptest::prelude::*;

const BOTH: [(DType, f64); 2] = [(DType::F32, 1e-6), (DType::F64, 1e-9)];

/// Student and teacher logits with labels, on the host.
#[derive(Debug, Clone)]
struct Case {
    classes: usize,
    student: Vec<f64>,
    teacher: Vec<f64>,
    labels: Vec<u32>,
    options: DkdOptions,
}

impl Case {
    /// The problem of the golden vectors.
    fn golden(alpha: f64, beta: f64, temperature: f64) -> Self {
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
    fn spread(batch: usize, classes: usize, scale: f64, options: DkdOptions) -> Self {
        let wave = |i: usize, step: f64| f64::from(((i as f64 * step).sin() * scale) as f32);
        Self {
            classes,
            student: (0..batch * classes).map(|i| wave(i, 1.3)).collect(),
            teacher: (0..batch * classes).map(|i| wave(i, 2.1)).collect(),
            labels: (0..batch).map(|n| (n * 7 % classes) as u32).collect(),
            options,
        }
    }

    fn tensors(&self, dtype: DType) -> (Tensor, Tensor, Labels) {
        let (client, shape) = (client(), [self.labels.len(), self.classes]);
        let upload = |values: &[f64]| Tensor::from_f64(&client, values, &shape, dtype).unwrap();
        let labels = Labels::new(&client, &self.labels, self.classes).unwrap();
        (upload(&self.student), upload(&self.teacher), labels)
    }

    fn launch(&self, dtype: DType) -> LossAndGrad {
        let (student, teacher, labels) = self.tensors(dtype);
        dkd(&student, &teacher, &labels, &self.options).unwrap()
    }

    fn run(&self, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let out = self.launch(dtype);
        (out.loss.to_f64().unwrap(), out.grad.to_f64().unwrap())
    }

    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
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
    fn units(&self) -> (f64, f64) {
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

fn options(temperature: f64) -> DkdOptions {
    DkdOptions {
        temperature,
        ..DkdOptions::default()
    }
}

fn assert_near(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len());
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (g - w).abs() <= tolerance,
            "element {i}: {g}, wanted {w} within {tolerance:e}"
        );
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn the_golden_vectors_hold() {
    #[rustfmt::skip]
    let rows = [
        (1.0, 1.0, 1.0, 0.5998609049, [-0.3220482234, 0.3766847326, -0.0076239075, -0.0470126017, 0.0810006691, -0.0087999297, -0.0610979200, -0.0111028194]),
        (1.0, 0.0, 4.0, 0.4796694642, [-0.3170973053, 0.1448573704, 0.0775365630, 0.0947033719, 0.0130483110, 0.0096664265, 0.0180592622, -0.0407739997]),
        (0.0, 1.0, 4.0, 0.2215208962, [0.0, 0.1353713096, -0.0458604145, -0.0895108951, 0.1726139239, -0.0689145185, -0.1036994054, 0.0]),
        (1.0, 8.0, 4.0, 2.2518366334, [-0.3170973053, 1.2278278470, -0.2893467530, -0.6213837887, 1.3939597023, -0.5416497214, -0.8115359812, -0.0407739997]),
    ];
    for (alpha, beta, temperature, loss, grad) in rows {
        let case = Case::golden(alpha, beta, temperature);
        for (dtype, tolerance) in BOTH {
            let (got_loss, got_grad) = case.run(dtype);
            assert_near(&[got_loss.iter().sum()], &[loss], tolerance);
            assert_near(&got_grad, &grad, tolerance);
        }
        let (got_loss, got_grad) = case.reference();
        assert_near(&[got_loss.iter().sum()], &[loss], 1e-9);
        assert_near(&got_grad, &grad, 1e-9);
    }
}

#[test]
fn a_target_logit_far_above_the_rest_keeps_the_loss_finite() {
    let case = Case {
        classes: 4,
        student: vec![120.0, 0.0, 0.0, 0.0],
        teacher: vec![1.0, 2.0, 3.0, 4.0],
        labels: vec![0],
        options: options(1.0),
    };
    for dtype in [DType::F32, DType::F64] {
        let (loss, grad) = case.run(dtype);
        assert_near(&loss, &[117.0775], 5e-5);
        assert_near(&grad, &[0.9679, 1.6238, 0.3862, -2.9779], 5e-5);
    }
}

#[test]
fn two_classes_have_no_non_target_term() {
    for dtype in [DType::F32, DType::F64] {
        let only_nckd = DkdOptions {
            alpha: 0.0,
            ..options(4.0)
        };
        let (loss, grad) = Case::spread(5, 2, 30.0, only_nckd).run(dtype);
        assert_eq!(
            (loss, grad.iter().map(|g| g.abs()).collect()),
            (vec![0.0; 5], vec![0.0; 10])
        );
        let case = Case::spread(5, 2, 30.0, options(4.0));
        let (loss, grad) = case.run(dtype);
        let (wanted_loss, wanted_grad) = case.reference();
        assert_near(&loss, &wanted_loss, 1e-5 * case.units().0);
        assert_near(&grad, &wanted_grad, 1e-5 * case.units().1);
    }
}

#[test]
fn a_student_that_equals_its_teacher_has_no_loss_and_no_gradient() {
    for (dtype, classes) in [
        (DType::F32, 10),
        (DType::F32, 48),
        (DType::F64, 10),
        (DType::F64, 7),
    ] {
        let mut case = Case::spread(6, classes, 9.0, options(3.0));
        case.teacher.clone_from(&case.student);
        let (loss, grad) = case.run(dtype);
        assert!(
            loss.iter().chain(&grad).all(|&v| v == 0.0),
            "{loss:?} {grad:?}"
        );
    }
}

#[test]
fn a_high_temperature_costs_no_digits_in_f32() {
    // Both softmaxes are flat here: summed as q (ln q - ln p), rounding alone would change the loss by percents.
    let case = Case::spread(8, 10, 1.0, options(100.0));
    for (got, wanted) in case.run(DType::F32).0.iter().zip(case.reference().0) {
        assert!((got / wanted - 1.0).abs() < 2e-5, "{got}, wanted {wanted}");
    }
}

#[test]
fn the_warm_up_weight_scales_loss_and_gradient() {
    let whole = Case::spread(4, 10, 5.0, options(4.0));
    let mut quarter = whole.clone();
    quarter.options.weight = 0.25;
    let mut off = whole.clone();
    off.options.weight = 0.0;
    for dtype in [DType::F32, DType::F64] {
        let (loss, grad) = whole.run(dtype);
        let scaled = |values: &[f64]| values.iter().map(|v| v * 0.25).collect::<Vec<_>>();
        assert_eq!(quarter.run(dtype), (scaled(&loss), scaled(&grad)));
        let (loss, grad) = off.run(dtype);
        assert!(loss.iter().chain(&grad).all(|&v| v == 0.0));
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let case = Case::spread(3, 5, 4.0, options(2.0));
    let (_, grad) = case.run(DType::F64);
    let step = 1e-5;
    for (i, wanted) in grad.iter().enumerate() {
        let at = |shift: f64| {
            let mut moved = case.clone();
            moved.student[i] += shift;
            moved.run(DType::F64).0.iter().sum::<f64>()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!(
            (slope - wanted).abs() < 1e-8,
            "logit {i}: {wanted}, central difference {slope}"
        );
    }
}

#[test]
fn hostile_but_finite_logits_give_finite_results() {
    for classes in [2, 3, 10, 1000] {
        for temperature in [0.1, 1.0, 100.0] {
            for scale in [0.0, 1e-30, 1.0, 1e4] {
                let mut case = Case::spread(4, classes, scale, options(temperature));
                // The first label far above all others, the second far below, the third network pair in opposition.
                let target = |n: usize| n * classes + case.labels[n] as usize;
                let (above, below, apart) = (target(0), target(1), target(2));
                case.student[above] = scale;
                case.student[below] = -scale;
                (case.student[apart], case.teacher[apart]) = (scale, -scale);
                let (loss, grad) = case.run(DType::F32);
                assert!(loss.iter().all(|v| v.is_finite() && *v >= 0.0), "{loss:?}");
                assert!(
                    grad.iter().all(|v| v.is_finite()),
                    "{classes} {temperature} {scale}"
                );
                let (wanted, _) = case.reference();
                for (got, wanted) in loss.iter().zip(wanted) {
                    let tolerance = 1e-4 * wanted + 1e-6 * case.units().0;
                    assert!((got - wanted).abs() <= tolerance, "{got}, wanted {wanted}");
                }
            }
        }
    }
}

#[test]
fn a_vocabulary_of_classes_agrees_with_the_reference() {
    let case = Case::spread(2, 131_072, 8.0, options(4.0));
    let ((loss, grad), (wanted_loss, wanted_grad)) = (case.run(DType::F32), case.reference());
    for (got, wanted) in loss.iter().zip(wanted_loss) {
        assert!((got / wanted - 1.0).abs() < 1e-4, "{got}, wanted {wanted}");
    }
    let largest = wanted_grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert_near(&grad, &wanted_grad, 1e-4 * largest);
}

#[test]
fn a_logit_that_is_not_finite_spoils_its_own_row_alone() {
    for (dtype, classes) in [
        (DType::F32, 16),
        (DType::F32, 10),
        (DType::F64, 3),
        (DType::F32, 2),
    ] {
        let clean = Case::spread(3, classes, 5.0, options(4.0));
        let (clean_loss, clean_grad) = clean.run(dtype);
        let target = clean.labels[1] as usize;
        for class in [target, (target + 1) % classes] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for in_teacher in [false, true] {
                    let mut case = clean.clone();
                    let logits = if in_teacher {
                        &mut case.teacher
                    } else {
                        &mut case.student
                    };
                    logits[classes + class] = value;
                    let (loss, grad) = case.run(dtype);
                    assert!(loss[1].is_nan(), "{loss:?} for {value} at {class}");
                    assert!(
                        grad[classes..2 * classes].iter().all(|g| g.is_nan()),
                        "{grad:?}"
                    );
                    for row in [0, 2] {
                        let span = row * classes..(row + 1) * classes;
                        assert_eq!(loss[row].to_bits(), clean_loss[row].to_bits());
                        assert_eq!(bits(&grad[span.clone()]), bits(&clean_grad[span]));
                    }
                }
            }
        }
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    let case = Case::spread(33, 100, 6.0, options(4.0));
    let first = case.run(DType::F32);
    for _ in 0..5 {
        let again = case.run(DType::F32);
        assert_eq!(
            (bits(&again.0), bits(&again.1)),
            (bits(&first.0), bits(&first.1))
        );
    }
}

#[test]
fn an_empty_batch_gives_empty_tensors() {
    let out = Case::spread(0, 10, 1.0, options(4.0)).launch(DType::F32);
    assert_eq!(
        (out.loss.shape(), out.grad.shape()),
        (&[0][..], &[0, 10][..])
    );
    assert_eq!(out.grad.to_f32().unwrap(), Vec::<f32>::new());
}

#[test]
fn a_label_out_of_range_is_named_with_its_sample() {
    let error = Labels::new(&client(), &[3, 4, 1], 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "labels: label 4 of sample 1 is out of range, wanted 0..4"
    );
}

#[test]
fn refusals_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let labels = |count: usize, classes| Labels::new(&client, &vec![0; count], classes).unwrap();
    let bad = DkdOptions {
        alpha: -1.0,
        beta: f64::NAN,
        temperature: 0.0,
        weight: -2.0,
    };
    let (f32, f64) = (DType::F32, DType::F64);
    let refuse = |student: &Tensor, teacher: &Tensor, labels: &Labels, options: DkdOptions| {
        dkd(student, teacher, labels, &options)
            .unwrap_err()
            .to_string()
    };
    let good = of(&[2, 3], f32);
    // Each line repairs what the line before it was refused for.
    let all_wrong = refuse(&of(&[6], f32), &of(&[2, 4], f64), &labels(3, 4), bad);
    assert_eq!(all_wrong, "dkd: student has shape [6], wanted [n, c]");
    let error = refuse(&good, &of(&[2, 4], f64), &labels(3, 4), bad);
    assert_eq!(error, "dkd: teacher has shape [2, 4], wanted [2, 3]");
    let error = refuse(&good, &of(&[2, 3], f64), &labels(3, 4), bad);
    assert_eq!(
        error,
        "dkd: teacher holds F64, wanted F32 as the first argument holds"
    );
    let error = refuse(&good, &good, &labels(3, 4), bad);
    assert_eq!(
        error,
        "dkd: labels has shape [3], wanted [2], one label a row of logits"
    );
    let error = refuse(&good, &good, &labels(2, 4), bad);
    let wanted = "wanted as many as the logits have columns";
    assert_eq!(
        error,
        format!("dkd: number of classes of labels is 4, {wanted}")
    );
    let one = of(&[2, 1], f32);
    let error = refuse(&one, &one, &labels(2, 1), bad);
    assert_eq!(error, "dkd: number of classes is 1, wanted at least 2");
    let mut options = bad;
    for (parameter, value) in [
        ("temperature", "0"),
        ("alpha", "-1"),
        ("beta", "NaN"),
        ("weight", "-2"),
    ] {
        let error = refuse(&good, &good, &labels(2, 3), options);
        assert!(
            error.starts_with(&format!("dkd: {parameter} is {value}, wanted ")),
            "{error}"
        );
        match parameter {
            "temperature" => options.temperature = 1e3,
            "alpha" => options.alpha = 1e36,
            "beta" => options.beta = 8.0,
            _ => options.weight = 1.0,
        }
    }
    let error = refuse(&good, &good, &labels(2, 3), options);
    assert!(
        error.starts_with("dkd: weight alpha T^2 is 1000"),
        "{error}"
    );
    options.alpha = 1.0;
    assert!(dkd(&good, &good, &labels(2, 3), &options).is_ok());
}

#[test]
fn a_temperature_that_the_element_type_cannot_square_or_invert_is_refused() {
    for temperature in [-1.0, f64::NAN, f64::INFINITY, 1e25, 1e-42] {
        let case = Case::golden(1.0, 8.0, temperature);
        let (student, teacher, labels) = case.tensors(DType::F32);
        let error = dkd(&student, &teacher, &labels, &case.options)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("dkd: temperature is"), "{error}");
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let classes = prop_oneof![2usize..40, Just(64), Just(100), Just(256)];
    let shape = (1usize..7, classes);
    let parameters = (0.0..3.0, 0.0..10.0, 0.3..20.0, 0.0..1.0, -2.0..2.0);
    (shape, parameters).prop_flat_map(
        |((batch, classes), (alpha, beta, temperature, weight, log10))| {
            let scale = 10f64.powf(log10) as f32;
            let logits = || prop::collection::vec(-scale..scale, batch * classes);
            let labels = prop::collection::vec(0..classes as u32, batch);
            (logits(), logits(), labels).prop_map(move |(student, teacher, labels)| Case {
                classes,
                student: student.into_iter().map(f64::from).collect(),
                teacher: teacher.into_iter().map(f64::from).collect(),
                labels,
                options: DkdOptions {
                    alpha,
                    beta,
                    temperature,
                    weight,
                },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_problems_agree_with_the_reference(case in cases()) {
        let (wanted_loss, wanted_grad) = case.reference();
        let (loss_unit, grad_unit) = case.units();
        for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
            let (loss, grad) = case.run(dtype);
            for (got, wanted) in loss.iter().zip(&wanted_loss) {
                let allowed = 10.0 * tolerance * wanted + tolerance * loss_unit;
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            for (got, wanted) in grad.iter().zip(&wanted_grad) {
                let allowed = 10.0 * tolerance * grad_unit;
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            for row in grad.chunks(case.classes) {
                prop_assert!(row.iter().sum::<f64>().abs() <= 10.0 * tolerance * grad_unit);
            }
        }
    }

    #[test]
    fn classical_kd_is_the_target_term_and_the_doubted_other(case in cases()) {
        let t = case.options.temperature;
        let log_softmax = |row: &[f64]| {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max) / t;
            let sum = row.iter().map(|z| (z / t - max).exp()).sum::<f64>().ln();
            row.iter().map(|z| z / t - max - sum).collect::<Vec<_>>()
        };
        let rows = case.student.chunks(case.classes).zip(case.teacher.chunks(case.classes));
        for ((z, v), &label) in rows.zip(&case.labels) {
            let (log_p, log_q) = (log_softmax(z), log_softmax(v));
            let kl: f64 = log_q.iter().zip(&log_p).map(|(q, p)| q.exp() * (q - p)).sum();
            let terms = reference::terms(z, v, label, t);
            let doubt = 1.0 - log_q[label as usize].exp();
            let sum = terms.tckd + doubt * terms.nckd;
            prop_assert!((kl - sum).abs() <= 1e-12 * (1.0 + kl), "{kl} against {sum}");
        }
    }
}
