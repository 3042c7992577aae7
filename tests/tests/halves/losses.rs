use super::assert_rounded_once;
use ghostlight_kernels::loss::cosine::{Between, CosineOptions, cosine};
use ghostlight_kernels::loss::distill::{CrossEntropyOptions, DistillOptions, distill};
use ghostlight_kernels::loss::dkd::{DkdOptions, dkd};
use ghostlight_kernels::loss::dual_teacher::{Teachers, dual_teacher};
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, Group, Normalisation, Selection, flip_align,
};
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_kernels::loss::sum;
use proptest::prelude::*;

fn classes() -> impl Strategy<Value = usize> {
    prop::sample::select(&[2usize, 3, 10, 16, 45, 100, 1000, 3000][..])
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(4))]

    #[test]
    fn distillation(batch in 0usize..40, classes in classes(), temperature in 1u8..9) {
        let temperature = f64::from(temperature);
        assert_rounded_once(|draw| {
            let student = draw.scaled(&[batch, classes], 8.0);
            let teacher = draw.scaled(&[batch, classes], 16.0);
            let labels = draw.labels(batch, classes);
            let options = DkdOptions { temperature, ..DkdOptions::default() };
            let alone = dkd(&student, &teacher, &labels, &options).unwrap();
            let options = DistillOptions {
                cross_entropy: Some(CrossEntropyOptions { smoothing: 0.125, weight: 1.0 }),
                kd: Some(KdOptions { temperature: 2.0, weight: 0.5 }),
                dkd: Some(options),
            };
            let all = distill(&student, Some(&teacher), Some(&labels), &options).unwrap();
            vec![
                ("dkd, mean", sum(&alone.loss).unwrap()),
                ("dkd, loss", alone.loss),
                ("dkd, gradient", alone.grad),
                ("sum, losses", all.losses),
                ("sum, gradient", all.grad),
            ]
        });
    }

    #[test]
    fn two_teachers(batch in 0usize..40, classes in classes()) {
        assert_rounded_once(|draw| {
            let logits = || draw.scaled(&[batch, classes], 8.0);
            let (student, first, second) = (logits(), logits(), logits());
            let teachers = Teachers::weigh(&first, &second, &Default::default()).unwrap();
            let labels = draw.labels(batch, classes);
            let out = dual_teacher(&student, &teachers, &labels).unwrap();
            vec![
                ("weights", teachers.weights().clone()),
                ("loss", out.loss),
                ("gradient", out.grad),
            ]
        });
    }

    #[test]
    fn cosines(batch in 0usize..40, length in classes()) {
        for between in [Between::Rows, Between::CentredRows, Between::Softmaxes(2.0)] {
            assert_rounded_once(|draw| {
                let rows = || draw.scaled(&[batch, length], 4.0);
                let out = cosine(&rows(), &rows(), &CosineOptions::of(between)).unwrap();
                vec![("loss", out.loss), ("gradient", out.grad)]
            });
        }
    }
}

#[test]
fn flip_alignment() {
    let tau = 0.5;
    let detached = false;
    let selections = [
        Selection::Hard,
        Selection::SoftMin { tau },
        Selection::Attention { tau, detached },
        Selection::Mixed { tau },
    ];
    let all = [
        Normalisation::None,
        Normalisation::Sample,
        Normalisation::Position,
    ];
    for selection in selections {
        for normalisation in all {
            if matches!(selection, Selection::Mixed { .. }) && normalisation != Normalisation::None
            {
                continue;
            }
            assert_rounded_once(|draw| {
                let maps = || draw.stored(&[3, 6, 6, 20]);
                let options = FlipOptions {
                    group: Group::D4,
                    selection,
                    normalisation,
                };
                let out = flip_align(&maps(), &maps(), &options).unwrap();
                vec![
                    ("loss", out.loss),
                    ("gradient", out.grad),
                    ("distances", out.distances),
                    ("weights", out.weights),
                ]
            });
        }
    }
}
