use super::{Draw, assert_rounded_once, halves, unit};
use ghostlight_autodiff::{Tape, Var, ops};
use ghostlight_kernels::loss::cosine::{Comparison, CosineOptions, cosine};
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, TeacherTerms, distill,
};
use ghostlight_kernels::loss::dkd::{DkdOptions, dkd};
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Scope, weigh};
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, Group, Normalisation, Selection, flip_align,
};
use ghostlight_kernels::loss::kd::KdOptions;
use ghostlight_kernels::loss::sum;
use ghostlight_kernels::{DType, KernelError, Tensor};
use ghostlight_tests::download;
use proptest::prelude::*;
use std::slice::from_ref;

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
                cross_entropy: Some(CrossEntropyOptions { smoothing: 0.125, ..Default::default() }),
                teachers: vec![TeacherTerms {
                    kd: Some(KdOptions { temperature: 2.0, weight: 0.5 }),
                    dkd: Some(options),
                    cosine: Some(CosineOptions::default()),
                }],
            };
            let teachers = from_ref(&teacher);
            let factors = draw.positive_row(2);
            let factors = Some(&factors);
            let all = distill(&student, teachers, Some(&labels), factors, &options).unwrap();
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
    fn two_teachers(batch in 0usize..40, classes in classes(), by_sample in any::<bool>()) {
        let scope = if by_sample { Scope::Sample } else { Scope::Batch };
        let options = DualTeacherOptions { scope, ..DualTeacherOptions::default() };
        assert_rounded_once(|draw| {
            let logits = || draw.scaled(&[batch, classes], 8.0);
            let (student, teachers) = (logits(), [logits(), logits()]);
            let found = weigh(&teachers[0], &teachers[1], &options).unwrap();
            let (labels, factors) = (draw.labels(batch, classes), Some(&found.factors));
            let loss = options.loss();
            let out = distill(&student, &teachers, Some(&labels), factors, &loss).unwrap();
            vec![
                ("weights", found.weights.clone()),
                ("losses", out.losses),
                ("gradient", out.grad),
            ]
        });
    }

    #[test]
    fn cosines(batch in 0usize..40, length in classes()) {
        for between in [Comparison::Rows, Comparison::CentredRows, Comparison::Softmaxes(2.0)] {
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

/// Records a loss of logits or features `[n, c]`.
type Loss = fn(&Draw, &Tape, &Var) -> Result<Var, KernelError>;

const BATCH: usize = 64;
const CLASSES: usize = 100;

/// Every loss on rows, and that on maps.
const LOSSES: [(&str, Loss); 7] = [
    ("cross_entropy", |draw, tape, logits| {
        let labels = draw.labels(BATCH, CLASSES);
        let smoothing = 0.0;
        tape.apply(ops::CrossEntropy { labels, smoothing }, &[logits])
    }),
    ("kd", |draw, tape, logits| {
        let teacher = draw.scaled(&[BATCH, CLASSES], 8.0);
        let options = KdOptions::default();
        tape.apply(ops::Kd { teacher, options }, &[logits])
    }),
    ("dkd", |draw, tape, logits| {
        let teacher = draw.scaled(&[BATCH, CLASSES], 8.0);
        let labels = draw.labels(BATCH, CLASSES);
        let options = DkdOptions::default();
        let loss = ops::Dkd {
            teacher,
            labels,
            options,
        };
        tape.apply(loss, &[logits])
    }),
    ("distill", |draw, tape, logits| {
        let loss = ops::Distill {
            teachers: vec![draw.scaled(&[BATCH, CLASSES], 8.0)],
            labels: Some(draw.labels(BATCH, CLASSES)),
            factors: None,
            options: DistillOptions {
                cross_entropy: Some(CrossEntropyOptions::default()),
                teachers: vec![TeacherTerms {
                    kd: Some(KdOptions::default()),
                    ..TeacherTerms::default()
                }],
            },
            terms: Default::default(),
        };
        tape.apply(loss, &[logits])
    }),
    ("dual_teacher", |draw, tape, logits| {
        let options = DualTeacherOptions::default();
        let teacher = || draw.scaled(&[BATCH, CLASSES], 8.0);
        let teachers = vec![teacher(), teacher()];
        let found = weigh(&teachers[0], &teachers[1], &options)?;
        let loss = ops::Distill {
            teachers,
            labels: Some(draw.labels(BATCH, CLASSES)),
            factors: Some(found.factors),
            options: options.loss(),
            terms: Default::default(),
        };
        tape.apply(loss, &[logits])
    }),
    ("cosine", |draw, tape, logits| {
        let teacher = draw.scaled(&[BATCH, CLASSES], 8.0);
        let options = CosineOptions::of(Comparison::Softmaxes(1.0));
        tape.apply(ops::Cosine { teacher, options }, &[logits])
    }),
    ("flip_align", |draw, tape, maps| {
        let loss = ops::FlipAlign {
            teacher: draw.scaled(&[BATCH, 2, 2, CLASSES / 4], 8.0),
            options: FlipOptions {
                normalisation: Normalisation::None,
                ..FlipOptions::default()
            },
            report: None,
        };
        tape.apply(loss, &[maps])
    }),
];

#[test]
fn a_loss_scale_saves_what_16_bits_would_round_to_zero() {
    // Most of these gradients are below the least number of f16, 6e-8, before they are scaled.
    let scale = 4096.0;
    for half in halves() {
        for (name, loss) in LOSSES {
            let gradient = |stored: DType| {
                let draw = Draw::new(half, stored);
                let shape = match name {
                    "flip_align" => vec![BATCH, 2, 2, CLASSES / 4],
                    _ => vec![BATCH, CLASSES],
                };
                let logits = draw.scaled(&shape, 8.0);
                let grad = Tensor::zeros(logits.client(), &shape, stored);
                let tape = Tape::new();
                let leaf = tape.leaf(&logits, &grad).unwrap();
                let loss = loss(&draw, &tape, &leaf).unwrap();
                tape.backward(&[(&loss, scale)]).unwrap();
                assert_eq!(grad.dtype(), stored);
                download(&grad)
            };
            let (narrow, wide) = (gradient(half), gradient(DType::F32));
            let least = if half == DType::F16 { 6e-8 } else { 0.0 };
            for (i, (got, wanted)) in narrow.iter().zip(&wide).enumerate() {
                assert!(
                    (got - wanted).abs() <= 0.6 * unit(half) * wanted.abs() + 0.6 * least,
                    "{name} in {half:?}, element {i}: {got}, in 32 bits {wanted}"
                );
            }
        }
    }
}
