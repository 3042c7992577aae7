//! Vectors and options at the edge of what is allowed, and past it.

use crate::case::Case;
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions, CosineProblem, cosine};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    assert_refuses_dtype, assert_refuses_range, assert_refuses_shape, cases, client, download,
    dtypes_with_exp, upload,
};
use proptest::prelude::*;

const ALL: [Comparison; 3] = [
    Comparison::Rows,
    Comparison::CentredRows,
    Comparison::Softmaxes(4.0),
];

#[test]
fn a_zero_vector_stands_at_a_right_angle_to_all_others() {
    let case = Case {
        length: 3,
        // Zero against something, something against zero, and zero against zero.
        student: vec![0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 0.0, 0.0, 0.0],
        teacher: vec![0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        options: CosineOptions {
            between: Comparison::Rows,
            epsilon: 2f64.powi(-10),
            weight: 1.0,
        },
    };
    for dtype in dtypes_with_exp() {
        let out = case.launch(dtype);
        for (got, wanted) in download(&out.loss).iter().zip(case.reference().0) {
            assert!((got - wanted).abs() < 1e-6, "{got}, wanted {wanted}");
            assert!((got - 1.0 / 3.0).abs() < 1e-6, "{got}");
        }
        let grad = download(&out.grad);
        let pull = 1024.0 / 3.0;
        for (got, wanted) in grad.iter().zip([0.0, -0.6 * pull, -0.8 * pull]) {
            assert!((got - wanted).abs() < 1e-3, "{grad:?}");
        }
        for got in &grad[3..] {
            assert!(got.abs() < 1e-7, "{grad:?}");
        }
    }
}

#[test]
fn vectors_about_as_short_as_epsilon_agree_with_the_reference() {
    for between in [Comparison::Rows, Comparison::CentredRows] {
        for power in [-12, -9, -8, -7, -5] {
            let mut case = Case::random(3, 4, 20, 2f64.powi(power), between);
            case.options.epsilon = 2f64.powi(-7);
            for dtype in dtypes_with_exp() {
                case.assert_agrees(dtype);
            }
        }
    }
}

#[test]
fn equal_logits_have_no_direction_once_they_are_centred() {
    for length in [1, 3, 10, 45, 1000] {
        for level in [0.1f32, -1e4, 1e30] {
            let mut case = Case::random(3, 2, length, 1.0, Comparison::CentredRows);
            case.teacher.fill(f64::from(level));
            let right_angles = |loss: &Tensor| {
                let loss = download(loss);
                assert!(loss.iter().all(|l| (l - 0.5).abs() < 1e-6), "{loss:?}");
            };
            right_angles(&case.launch(DType::F32).loss);
            let student = case.student.clone();
            (case.student, case.teacher) = (case.teacher, student);
            let out = case.launch(DType::F32);
            right_angles(&out.loss);
            assert!(download(&out.grad).iter().all(|g| g.is_finite()));
        }
    }
}

#[test]
fn hostile_but_finite_rows_give_finite_results() {
    let temperatures = [0.1, 1.0, 100.0].map(Comparison::Softmaxes);
    for between in [Comparison::Rows, Comparison::CentredRows]
        .into_iter()
        .chain(temperatures)
    {
        for length in [1, 2, 3, 10, 100, 1000] {
            for scale in [0.0, 1e-30, 1e-8, 1.0, 1e4] {
                let mut case = Case::random(8, 3, length, 1.0, between);
                for v in case.student.iter_mut().chain(&mut case.teacher) {
                    *v = f64::from((*v * scale) as f32);
                }
                case.student[0] = scale;
                case.teacher[0] = -scale;
                let (loss, grad) = case.run(DType::F32);
                let what = format!("{between:?} {length} {scale}");
                // From -1 to 1, over the batch of three.
                assert!(
                    loss.iter().all(|l| (0.0..0.6667).contains(l)),
                    "{what}: {loss:?}"
                );
                assert!(grad.iter().all(|g| g.is_finite()), "{what}: {grad:?}");
                if scale >= 1.0 {
                    for (got, wanted) in loss.iter().zip(case.reference().0) {
                        let allowed = 1e-4 * wanted + 1e-6;
                        assert!(
                            (got - wanted).abs() <= allowed,
                            "{what}: {got}, wanted {wanted}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_longest_rows_agree_with_the_reference() {
    for between in ALL {
        for length in [65_537, 131_072] {
            Case::random(4, 2, length, 4.0, between).assert_agrees(DType::F32);
        }
    }
}

#[test]
fn a_value_that_is_not_finite_spoils_its_own_sample_alone() {
    for between in ALL {
        for (dtype, length) in dtypes_with_exp()
            .into_iter()
            .flat_map(|d| [16, 10, 35, 2].map(|l| (d, l)))
        {
            let clean = Case::random(2, 3, length, 4.0, between);
            let (clean_loss, clean_grad) = clean.run(dtype);
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for (in_teacher, place) in [(false, 0), (false, length - 1), (true, length / 2)] {
                    let mut case = clean.clone();
                    let rows = match in_teacher {
                        true => &mut case.teacher,
                        false => &mut case.student,
                    };
                    rows[length + place] = value;
                    let (loss, grad) = case.run(dtype);
                    let what = format!("{between:?}, {value} at {place} of {length}");
                    assert!(loss[1].is_nan(), "{what}: {loss:?}");
                    let spoilt = &grad[length..2 * length];
                    assert!(spoilt.iter().all(|g| g.is_nan()), "{what}: {spoilt:?}");
                    for row in [0, 2] {
                        let span = row * length..(row + 1) * length;
                        assert_eq!(loss[row], clean_loss[row], "{what}");
                        assert_eq!(grad[span.clone()], clean_grad[span], "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn squares_that_overflow_are_not_mistaken_for_a_right_angle() {
    let mut case = Case::random(1, 2, 10, 1.0, Comparison::Rows);
    case.student[3] = 1e25;
    let (loss, grad) = case.run(DType::F32);
    assert!(loss[0].is_nan() && loss[1].is_finite(), "{loss:?}");
    assert!(grad[..10].iter().all(|g| g.is_nan()), "{grad:?}");
    assert!(grad[10..].iter().all(|g| g.is_finite()), "{grad:?}");
}

#[test]
fn refusals_come_in_the_documented_order() {
    let (client, bad) = (
        client(),
        CosineOptions {
            between: Comparison::Softmaxes(0.0),
            epsilon: 0.0,
            weight: -1.0,
        },
    );
    let of = |shape: &[usize], dtype| Tensor::zeros(&client, shape, dtype);
    let window = |shape: &[usize]| {
        let mut wide = shape.to_vec();
        *wide.last_mut().unwrap() += 1;
        of(&wide, DType::F32)
            .window(1, shape[shape.len() - 1])
            .unwrap()
    };
    let good = of(&[2, 3], DType::F32);
    // Each line repairs what the line before it was refused for.
    let other = of(&[2, 4], DType::F64);
    assert_refuses_shape(cosine(&window(&[6]), &other, &bad), "student", &[6]);
    let error = cosine(&window(&[2, 3]), &other, &bad)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cosine: student [2, 3] is a window"),
        "{error}"
    );
    assert_refuses_shape(cosine(&good, &other, &bad), "teacher", &[2, 4]);
    let other = of(&[2, 3], DType::F64);
    assert_refuses_dtype(cosine(&good, &other, &bad), "teacher", DType::F64);
    let error = cosine(&good, &window(&[2, 3]), &bad)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cosine: teacher [2, 3] is a window"),
        "{error}"
    );
    let empty = of(&[2, 0, 3], DType::F32);
    assert_refuses_shape(cosine(&empty, &empty, &bad), "student", &[2, 0, 3]);
    assert_refuses_range(cosine(&good, &good, &bad), "temperature", 0);
    let mut options = bad;
    for temperature in [-1.0, f64::NAN, f64::INFINITY, 1e-42] {
        options.between = Comparison::Softmaxes(temperature);
        assert_refuses_range(cosine(&good, &good, &options), "temperature", temperature);
    }
    options.between = Comparison::Softmaxes(1e-3);
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-20, 1e20] {
        options.epsilon = epsilon;
        assert_refuses_range(cosine(&good, &good, &options), "epsilon", epsilon);
    }
    options.epsilon = 1e-18;
    for weight in [-1.0, f64::NAN, f64::INFINITY, 1e39] {
        options.weight = weight;
        assert_refuses_range(cosine(&good, &good, &options), "weight", weight);
    }
    options.weight = 0.0;
    assert!(cosine(&good, &good, &options).is_ok());
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn no_problem_panics(
        shapes in [prop::collection::vec(0usize..4, 0..4), prop::collection::vec(0usize..4, 0..4)],
        alike in any::<bool>(),
        [temperature, epsilon, weight] in prop::array::uniform3(any::<f64>()),
        which in 0usize..3,
    ) {
        let [student, teacher] = shapes;
        let teacher = if alike { student.clone() } else { teacher };
        let between = [Comparison::Rows, Comparison::CentredRows, Comparison::Softmaxes(temperature)][which];
        let options = CosineOptions { between, epsilon, weight };
        let of = |shape: &[usize]| {
            upload(&vec![0.5; shape.iter().product()], shape, DType::F32)
        };
        let (student, teacher) = (of(&student), of(&teacher));
        if CosineProblem::new(&student, &teacher, &options).is_ok() {
            let out = cosine(&student, &teacher, &options).unwrap();
            prop_assert!(download(&out.loss).iter().all(|l| !l.is_nan()));
        }
    }
}
