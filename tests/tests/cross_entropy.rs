//! Cross-entropy: the golden vector, the reference on random problems, hostile values and refusals; and the sum of losses.

use ghostlight_kernels::loss::cross_entropy::{CrossEntropyProblem, cross_entropy, reference};
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{DType, Labels, Tensor};
use ghostlight_tests::{client, dtypes_with_exp, has_f64_exp, tolerances_with_exp};
use proptest::prelude::*;

/// Logits with labels, on the host.
#[derive(Debug, Clone)]
struct Case {
    classes: usize,
    logits: Vec<f64>,
    labels: Vec<u32>,
    smoothing: f64,
}

impl Case {
    /// `batch` rows of logits in `[-scale, scale]` from a fixed sequence, representable in f32.
    fn spread(batch: usize, classes: usize, scale: f64, smoothing: f64) -> Self {
        let wave = |i: usize| f64::from(((i as f64 * 1.3).sin() * scale) as f32);
        let logits = (0..batch * classes).map(wave).collect();
        let labels = (0..batch).map(|n| (n * 7 % classes) as u32).collect();
        Self {
            classes,
            logits,
            labels,
            smoothing,
        }
    }

    fn run(&self, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let (client, shape) = (client(), [self.labels.len(), self.classes]);
        let logits = Tensor::from_f64(&client, &self.logits, &shape, dtype).unwrap();
        let labels = Labels::new(&client, &self.labels, self.classes).unwrap();
        let out = cross_entropy(&logits, &labels, self.smoothing).unwrap();
        assert_eq!(
            (out.loss.shape(), out.grad.shape()),
            (&shape[..1], &shape[..])
        );
        (out.loss.to_f64().unwrap(), out.grad.to_f64().unwrap())
    }

    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let &Self {
            classes, smoothing, ..
        } = self;
        let (batch, dtype) = (self.labels.len(), DType::F64);
        let problem = CrossEntropyProblem {
            batch,
            classes,
            smoothing,
            dtype,
        };
        reference::cross_entropy(&problem, &self.logits, &self.labels)
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
fn the_golden_vector_holds() {
    let case = Case {
        classes: 4,
        logits: vec![1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0],
        labels: vec![0, 3],
        smoothing: 0.0,
    };
    #[rustfmt::skip]
    let wanted = [-0.3873365694, 0.3062509562, 0.0251386093, 0.0559470039, 0.0863673965, 0.0260133599, 0.3169076001, -0.4292883564];
    let results =
        tolerances_with_exp(1e-6, 1e-9).map(|(dtype, tolerance)| (case.run(dtype), tolerance));
    for ((loss, grad), tolerance) in results.chain([(case.reference(), 1e-9)]) {
        assert_near(&[loss.iter().sum()], &[1.7231005320], tolerance);
        assert_near(&grad, &wanted, tolerance);
    }
}

#[test]
fn smoothing_by_hand_on_even_logits() {
    // p is 1/4 everywhere, so every -ln p is ln 4 and smoothing moves the gradient alone: 1/4 - (0.8 [j = k] + 0.05).
    let case = Case {
        classes: 4,
        logits: vec![3.0; 4],
        labels: vec![1],
        smoothing: 0.2,
    };
    for (dtype, tolerance) in tolerances_with_exp(1e-6, 1e-14) {
        let (loss, grad) = case.run(dtype);
        assert_near(&loss, &[4f64.ln()], tolerance);
        assert_near(&grad, &[0.2, -0.6, 0.2, 0.2], tolerance);
    }
}

#[test]
fn a_confident_sample_keeps_the_digits_of_its_loss() {
    let case = Case {
        classes: 2,
        logits: vec![50.0, 0.0],
        labels: vec![0],
        smoothing: 0.0,
    };
    let (loss, grad) = case.run(DType::F32);
    let wanted = (-50f64).exp();
    for (got, wanted) in [loss[0], grad[0], grad[1]]
        .into_iter()
        .zip([wanted, -wanted, wanted])
    {
        assert!((got / wanted - 1.0).abs() < 1e-5, "{got}, wanted {wanted}");
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    if !has_f64_exp() {
        return;
    }
    let case = Case::spread(3, 5, 4.0, 0.1);
    let (_, grad) = case.run(DType::F64);
    let step = 1e-5;
    for (i, wanted) in grad.iter().enumerate() {
        let at = |shift: f64| {
            let mut moved = case.clone();
            moved.logits[i] += shift;
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
    for classes in [2, 3, 10, 1000, 131_072] {
        for scale in [0.0, 1e-30, 1.0, 1e4] {
            let mut case = Case::spread(2, classes, scale, 0.1);
            let (above, below) = (case.labels[0] as usize, classes + case.labels[1] as usize);
            case.logits[above] = scale;
            case.logits[below] = -scale;
            let (loss, grad) = case.run(DType::F32);
            assert!(
                grad.iter().all(|v| v.is_finite()),
                "{classes} classes, scale {scale}"
            );
            for (got, wanted) in loss.iter().zip(case.reference().0) {
                assert!((got / wanted - 1.0).abs() < 1e-4, "{got}, wanted {wanted}");
            }
        }
    }
}

#[test]
fn a_logit_that_is_not_finite_spoils_its_own_row_alone() {
    for (dtype, classes) in [
        (DType::F32, 16),
        (DType::F32, 10),
        (DType::F64, 3),
        (DType::F32, 2),
    ] {
        if !dtypes_with_exp().contains(&dtype) {
            continue;
        }
        let clean = Case::spread(3, classes, 5.0, 0.1);
        let (clean_loss, clean_grad) = clean.run(dtype);
        let target = clean.labels[1] as usize;
        for class in [target, (target + 1) % classes] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut case = clean.clone();
                case.logits[classes + class] = value;
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

#[test]
fn repeated_launches_give_the_same_bits() {
    let case = Case::spread(33, 100, 6.0, 0.1);
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
    assert_eq!(
        Case::spread(0, 10, 1.0, 0.0).run(DType::F32),
        (vec![], vec![])
    );
}

#[test]
fn refusals_come_in_the_documented_order() {
    let client = client();
    let of = |shape: &[usize]| Tensor::zeros(&client, shape, DType::F32);
    let labels = |count: usize, classes| Labels::new(&client, &vec![0; count], classes).unwrap();
    let refuse = |logits: &[usize], labels: &Labels| {
        cross_entropy(&of(logits), labels, 1.0)
            .unwrap_err()
            .to_string()
    };
    let name = "cross_entropy";
    // Each line repairs what the line before it was refused for.
    let wanted = format!("{name}: logits has shape [6], wanted [n, c]");
    assert_eq!(refuse(&[6], &labels(3, 4)), wanted);
    let wanted = format!("{name}: labels has shape [3], wanted [2], one label a row of logits");
    assert_eq!(refuse(&[2, 3], &labels(3, 4)), wanted);
    let wanted = "number of classes of labels is 4, wanted as many as the logits have columns";
    assert_eq!(refuse(&[2, 3], &labels(2, 4)), format!("{name}: {wanted}"));
    let wanted = format!("{name}: number of classes is 1, wanted at least 2");
    assert_eq!(refuse(&[2, 1], &labels(2, 1)), wanted);
    let wanted = format!("{name}: smoothing is 1, wanted at least 0, less than 1");
    assert_eq!(refuse(&[2, 3], &labels(2, 3)), wanted);
    for smoothing in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(cross_entropy(&of(&[2, 3]), &labels(2, 3), smoothing).is_err());
    }
}

#[test]
fn a_label_out_of_range_is_named_with_its_sample() {
    let error = Labels::new(&client(), &[0, 1, 9], 9).unwrap_err();
    assert_eq!(
        error.to_string(),
        "labels: label 9 of sample 2 is out of range, wanted 0..9"
    );
}

#[test]
fn many_small_losses_sum_without_drift() {
    let client = client();
    for count in [1usize, 2, 3, 1000, 100_003] {
        let values: Vec<f32> = (0..count).map(|i| 0.1 + (i % 7) as f32 * 1e-3).collect();
        let wanted: f64 = values.iter().map(|&v| f64::from(v)).sum();
        let values = Tensor::from_f32(&client, &values, &[count]).unwrap();
        let total = sum(&values).unwrap().to_f64().unwrap();
        assert!(
            (total[0] / wanted - 1.0).abs() < 3e-6,
            "{total:?}, wanted {wanted}"
        );
        assert_eq!(sum(&values).unwrap().to_f64().unwrap(), total);
    }
}

#[test]
fn the_sum_of_nothing_is_zero_and_a_matrix_is_refused() {
    let client = client();
    let nothing = Tensor::empty(&client, &[0], DType::F64);
    assert_eq!(sum(&nothing).unwrap().to_f64().unwrap(), [0.0]);
    let error = sum(&Tensor::zeros(&client, &[2, 3], DType::F32)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sum: values has shape [2, 3], wanted [n]"
    );
}

fn cases() -> impl Strategy<Value = Case> {
    let classes = prop_oneof![2usize..40, Just(64), Just(100), Just(256)];
    // Few rows of any length, and rows of few classes in any number.
    let shape = prop_oneof![(1usize..7, classes), (1usize..40, 2usize..=20)];
    (shape, 0.0..0.99, -2.0..2.0).prop_flat_map(
        |((batch, classes), smoothing, log10): (_, _, f64)| {
            let scale = 10f64.powf(log10) as f32;
            let logits = prop::collection::vec(-scale..scale, batch * classes);
            let labels = prop::collection::vec(0..classes as u32, batch);
            (logits, labels).prop_map(move |(logits, labels)| Case {
                classes,
                logits: logits.into_iter().map(f64::from).collect(),
                labels,
                smoothing,
            })
        },
    )
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(96))]

    #[test]
    fn random_problems_agree_with_the_reference(case in cases()) {
        let (wanted_loss, wanted_grad) = case.reference();
        let mean = 1.0 / case.labels.len() as f64;
        for (dtype, tolerance) in tolerances_with_exp(1e-6, 1e-13) {
            let (loss, grad) = case.run(dtype);
            for (got, wanted) in loss.iter().zip(&wanted_loss) {
                let allowed = tolerance * (10.0 * wanted + mean);
                prop_assert!((got - wanted).abs() <= allowed, "{got}, wanted {wanted}");
            }
            for (got, wanted) in grad.iter().zip(&wanted_grad) {
                prop_assert!((got - wanted).abs() <= 10.0 * tolerance * mean, "{got}, wanted {wanted}");
            }
            for row in grad.chunks(case.classes) {
                prop_assert!(row.iter().sum::<f64>().abs() <= 10.0 * tolerance * mean);
            }
        }
    }
}
