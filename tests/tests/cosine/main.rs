//! The cosine loss: golden vectors, the reference on random problems, near-parallel and hostile vectors, and refusals.

mod case;
mod hostile;

use case::Case;
use ghostlight_autodiff::check::{GradcheckOptions, gradcheck, values};
use ghostlight_autodiff::ops::Cosine;
use ghostlight_kernels::DType;
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions, cosine};
use ghostlight_tests::{
    Fingerprint, assert_exact, assert_launches, assert_same_bits, assert_same_bits_on_one_core,
    cases, client, download, dtypes_with_exp, reals, upload,
};
use proptest::prelude::*;

fn assert_within(got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len());
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        let distance = (g - w).abs();
        assert!(
            distance <= tolerance,
            "element {i}: {g}, wanted {w} within {tolerance:e}"
        );
    }
}

#[test]
fn the_golden_vectors_hold() {
    #[rustfmt::skip]
    let rows = [
        (Comparison::Rows, 0.3387842537, [-0.1457970260, 0.0801124283, 0.0391070148, 0.0170855890, 0.0720024212, -0.1185976186, -0.0886654019, -0.1005893697]),
        (Comparison::Softmaxes(2.0), 0.1391479355, [-0.0684278521, 0.0625104688, 0.0023478513, 0.0035695320, 0.0221265141, -0.0020637378, -0.0164028138, -0.0036599625]),
        (Comparison::Softmaxes(4.0), 0.0405231435, [-0.0193945683, 0.0159297501, 0.0017771877, 0.0016876305, 0.0082611377, -0.0017012933, -0.0044553065, -0.0021045378]),
    ];
    for (between, loss, grad) in rows {
        let case = Case::golden(between);
        let mut found = vec![(case.reference(), 1e-9)];
        for dtype in dtypes_with_exp() {
            let tolerance = if dtype == DType::F32 { 2e-7 } else { 1e-9 };
            found.push((case.run(dtype), tolerance));
        }
        for ((got_loss, got_grad), tolerance) in found {
            assert_within(&[got_loss.iter().sum()], &[loss], tolerance);
            assert_within(&got_grad, &grad, tolerance);
        }
    }
}

#[test]
fn a_right_angle_and_its_gradient_are_exact() {
    // |u| = 5: the gradient of the mean over two samples is -w^ / (2 |u|).
    let case = Case {
        length: 2,
        student: vec![5.0, 0.0, 0.0, -4.0],
        teacher: vec![0.0, 2.0, 8.0, 0.0],
        options: CosineOptions::of(Comparison::Rows),
    };
    for dtype in dtypes_with_exp() {
        let out = case.launch(dtype);
        assert_exact("loss", &out.loss, &[0.5, 0.5]);
        let wanted = [0.0, -0.1, -0.125, 0.0];
        assert_within(&download(&out.grad), &wanted, 1e-8);
    }
}

#[test]
fn rows_that_agree_up_to_a_power_of_two_have_no_loss_and_no_gradient() {
    for dtype in dtypes_with_exp() {
        for length in [1, 3, 10, 16, 100, 1000] {
            let mut case = Case::random(7, 3, length, 4.0, Comparison::Rows);
            case.teacher = case.student.iter().map(|v| v * 0.25).collect();
            let out = case.launch(dtype);
            assert_exact("loss", &out.loss, &[0.0; 3]);
            assert_exact("gradient", &out.grad, &vec![0.0; 3 * length]);
        }
    }
}

#[test]
fn a_constant_on_all_logits_changes_nothing_once_they_are_centred() {
    for (shift, length) in [(64.0, 10), (8192.0, 45), (8192.0, 1000)] {
        let mut case = Case::random(3, 4, length, 1.0, Comparison::CentredRows);
        // On a grid that f32 still holds after the shift.
        for v in case.student.iter_mut().chain(&mut case.teacher) {
            *v = (*v * 512.0).round() / 512.0;
        }
        let (loss, grad) = case.run(DType::F32);
        case.student.iter_mut().for_each(|v| *v += shift);
        let (shifted_loss, shifted_grad) = case.run(DType::F32);
        assert_within(&shifted_loss, &loss, 1e-6);
        assert_within(&shifted_grad, &grad, 1e-6);
    }
}

#[test]
fn nearly_parallel_vectors_keep_the_digits_of_their_loss() {
    // Plain 1 - cos in f32 has no digit left here: the loss is below the rounding of 1.
    for length in [10, 100, 25_088] {
        for between in [Comparison::Rows, Comparison::CentredRows] {
            let mut case = Case::random(11, 2, length, 1.0, between);
            let noise = reals(12, 2 * length);
            let near = case.student.iter().zip(noise).map(|(s, e)| s + e * 2e-4);
            case.teacher = ghostlight_tests::narrow(&near.collect::<Vec<_>>());
            let ((loss, grad), (wanted, wanted_grad)) = (case.run(DType::F32), case.reference());
            for (got, wanted) in loss.iter().zip(&wanted) {
                assert!(*wanted < 1e-7 && *wanted > 0.0, "{wanted} is no hard case");
                assert!(
                    (got / wanted - 1.0).abs() < 2e-2,
                    "{between:?} {length}: {got}, wanted {wanted}"
                );
            }
            let largest = wanted_grad.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            assert_within(&grad, &wanted_grad, 5e-3 * largest);
        }
    }
}

#[test]
fn a_high_temperature_costs_few_digits() {
    let case = Case::random(5, 8, 10, 1.0, Comparison::Softmaxes(100.0));
    for (got, wanted) in case.run(DType::F32).0.iter().zip(case.reference().0) {
        assert!((got / wanted - 1.0).abs() < 1e-4, "{got}, wanted {wanted}");
    }
}

#[test]
fn a_map_is_compared_sample_by_sample() {
    let (shape, flat) = ([3, 5, 7, 12], [3, 5 * 7 * 12]);
    let (s, t) = (reals(1, 3 * 420), reals(2, 3 * 420));
    let options = CosineOptions::of(Comparison::Rows);
    for dtype in dtypes_with_exp() {
        let run = |shape: &[usize]| {
            let (s, t) = (upload(&s, shape, dtype), upload(&t, shape, dtype));
            cosine(&s, &t, &options).unwrap()
        };
        let (maps, rows) = (run(&shape), run(&flat));
        assert_eq!(
            (maps.loss.shape(), maps.grad.shape()),
            (&[3][..], &shape[..])
        );
        assert_same_bits("loss", &maps.loss, &rows.loss);
        assert_eq!(download(&maps.grad), download(&rows.grad));
    }
}

#[test]
fn rows_inside_a_larger_buffer_start_at_any_address() {
    let values = reals(4, 1000);
    for length in [1usize, 3, 7, 16, 33, 100] {
        for dtype in dtypes_with_exp() {
            let whole = upload(&values, &[1000], dtype);
            let part = |start| whole.slice(start, &[3, length]).unwrap();
            for between in [
                Comparison::Rows,
                Comparison::CentredRows,
                Comparison::Softmaxes(2.0),
            ] {
                let options = CosineOptions::of(between);
                // A binding starts at a multiple of 256 bytes on wgpu, of 512 on CUDA.
                let (a, b) = (128, 128 + 512);
                let inside = cosine(&part(a), &part(b), &options).unwrap();
                let case = Case {
                    length,
                    student: values[a..a + 3 * length].to_vec(),
                    teacher: values[b..b + 3 * length].to_vec(),
                    options,
                };
                let alone = case.launch(dtype);
                assert_same_bits("loss", &inside.loss, &alone.loss);
                assert_same_bits("gradient", &inside.grad, &alone.grad);
            }
        }
    }
}

#[test]
fn loss_and_gradient_take_one_launch() {
    for between in [
        Comparison::Rows,
        Comparison::CentredRows,
        Comparison::Softmaxes(2.0),
    ] {
        let case = Case::random(1, 5, 33, 1.0, between);
        assert_launches("cosine", 1, || case.launch(DType::F32));
    }
    let none = Case::random(1, 0, 33, 1.0, Comparison::Rows);
    let out = assert_launches("an empty batch", 0, || none.launch(DType::F32));
    assert_eq!((download(&out.loss), download(&out.grad)), (vec![], vec![]));
}

#[test]
fn results_have_the_same_bits_on_one_core() {
    let mut fingerprint = Fingerprint::default();
    for between in [
        Comparison::Rows,
        Comparison::CentredRows,
        Comparison::Softmaxes(4.0),
    ] {
        for (batch, length) in [(33, 100), (3, 5000)] {
            let case = Case::random(9, batch, length, 2.0, between);
            let out = case.launch(DType::F32);
            let again = case.launch(DType::F32);
            assert_same_bits("loss", &again.loss, &out.loss);
            assert_same_bits("gradient", &again.grad, &out.grad);
            fingerprint.add(&out.loss);
            fingerprint.add(&out.grad);
        }
    }
    assert_same_bits_on_one_core("results_have_the_same_bits_on_one_core", &fingerprint);
}

fn between() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Rows),
        Just(Comparison::CentredRows),
        (0.3f64..20.0).prop_map(Comparison::Softmaxes),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    let awkward = prop::sample::select(vec![10, 12, 36, 60, 100, 1000, 1024 + 5, 3000]);
    prop_oneof![1usize..50, awkward]
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn random_problems_agree_with_the_reference(
        (batch, length, between) in (1usize..6, length(), between()),
        (seed, power) in (any::<u64>(), -6i32..7),
    ) {
        let case = Case::random(seed, batch, length, 2f64.powi(power), between);
        for dtype in dtypes_with_exp() {
            case.assert_agrees(dtype);
        }
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_gradient_is_that_of_the_loss(
        (batch, length, between) in (1usize..4, 2usize..20, between()),
        seed: u32,
    ) {
        if dtypes_with_exp().contains(&DType::F64) {
            let shape = vec![batch, length];
            let teacher = upload(&values(seed.into(), batch * length), &shape, DType::F64);
            let op = Cosine { teacher, options: CosineOptions::of(between) };
            let input = (values(u64::from(seed) + 1, batch * length), shape);
            let options = GradcheckOptions::default();
            gradcheck(&client(), &[input], |tape, v| tape.apply(op.clone(), &[&v[0]]), options)?;
        }
    }
}
