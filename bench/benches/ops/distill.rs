//! Classical distillation; cross-entropy, classical and decoupled distillation in one sum; and the same with cosines from two teachers;
//! each with its gradient.

use ghostlight_bench::catalogue::LogitsCase;
use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, Variant, catalogue,
};
use ghostlight_kernels::loss::cosine::{CosineOptions, cosine};
use ghostlight_kernels::loss::cross_entropy::cross_entropy;
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, DistillProblem, TeacherTerms, cost, distill, reference,
};
use ghostlight_kernels::loss::dkd::{DkdOptions, dkd};
use ghostlight_kernels::loss::kd::{self, KdOptions, KdProblem};
use ghostlight_kernels::pointwise::add;

const SMOOTHING: f64 = 0.1;

/// Student's and teacher's logits.
fn logits(n: usize, c: usize) -> Vec<Input> {
    [1, 2]
        .map(|seed| Input::between(seed, &[n, c], -4.0, 4.0))
        .into()
}

pub fn kd(suite: &mut Suite) -> Result<(), SuiteError> {
    let options = KdOptions::default();
    for case in suite.cases("kd", catalogue::logits())? {
        let problem = KdProblem {
            batch: case.n,
            classes: case.c,
            options,
            dtype: DTYPE,
        };
        suite.phase(
            Phase::new(
                ["kd", &case.name(), "loss+grad"],
                kd::cost::fused(&problem),
                logits(case.n, case.c),
                |v| {
                    let (loss, grad) = kd::reference::kd(&problem, &v[0], &v[1]);
                    vec![Expected::Sum(loss.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let out = kd::kd(&t[0], &t[1], &options)?;
                    Ok(vec![out.loss, out.grad])
                },
            )
            .for_peers(&case.arguments())
            .point(case.sweep.clone()),
        )?;
    }
    Ok(())
}

fn weighted_kd() -> KdOptions {
    KdOptions {
        weight: 0.9,
        ..KdOptions::default()
    }
}

/// The losses by themselves, added up: of each teacher the terms of [`options`].
fn unfused<'a>(teachers: usize) -> Variant<'a> {
    Variant::new("unfused", move |t| {
        let first = cross_entropy(&t[0], t.labels(), SMOOTHING)?;
        let (mut loss, mut grad) = (first.loss, first.grad);
        for teacher in 1..=teachers {
            let teacher = &t[teacher];
            let mut terms = vec![
                kd::kd(&t[0], teacher, &weighted_kd())?,
                dkd(&t[0], teacher, t.labels(), &DkdOptions::default())?,
            ];
            if teachers > 1 {
                terms.push(cosine(&t[0], teacher, &CosineOptions::default())?);
            }
            for term in terms {
                loss = add(&loss, &term.loss)?;
                grad = add(&grad, &term.grad)?;
            }
        }
        Ok(vec![loss, grad])
    })
}

/// The cross-entropy, and of each teacher both divergences; with cosines where there are several.
fn options(teachers: usize) -> DistillOptions {
    let terms = TeacherTerms {
        kd: Some(weighted_kd()),
        dkd: Some(DkdOptions::default()),
        cosine: (teachers > 1).then(CosineOptions::default),
    };
    DistillOptions {
        cross_entropy: Some(CrossEntropyOptions {
            smoothing: SMOOTHING,
            ..CrossEntropyOptions::default()
        }),
        teachers: vec![terms; teachers],
    }
}

pub fn sum(suite: &mut Suite) -> Result<(), SuiteError> {
    // One sweep over the classes, kd's, is enough for this kernel.
    let cases = suite.cases("distill", catalogue::logits())?.into_iter();
    sums(
        suite,
        "distill",
        1,
        cases.filter(|case| case.sweep.is_none()),
    )
}

pub fn two_teachers(suite: &mut Suite) -> Result<(), SuiteError> {
    let cases = suite.cases(TWO, catalogue::distilled_logits())?;
    sums(suite, TWO, 2, cases.into_iter())
}

const TWO: &str = "distill_two";

fn sums(
    suite: &mut Suite,
    op: &str,
    teachers: usize,
    cases: impl Iterator<Item = LogitsCase>,
) -> Result<(), SuiteError> {
    let options = options(teachers);
    for case in cases {
        let problem = DistillProblem {
            batch: case.n,
            classes: case.c,
            options: options.clone(),
            factors: 0,
            dtype: DTYPE,
        };
        let logits = |seed| Input::between(seed, &[case.n, case.c], -4.0, 4.0);
        let mut inputs: Vec<Input> = (1..=1 + teachers as u64).map(logits).collect();
        inputs.push(Input::labels(case.n, case.c));
        suite.phase(
            Phase::new(
                [op, &case.name(), "loss+grad"],
                cost::fused(&problem),
                inputs,
                |v| {
                    let last = 1 + teachers;
                    let labels: Vec<u32> = v[last].iter().map(|&label| label as u32).collect();
                    let teachers: Vec<&[f64]> = v[1..last].iter().map(Vec::as_slice).collect();
                    let (losses, grad) =
                        reference::distill(&problem, &v[0], &teachers, &labels, &[], &[]);
                    vec![Expected::Sum(losses.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let taught: Vec<_> = (1..=teachers).map(|i| t[i].clone()).collect();
                    let out = distill(&t[0], &taught, Some(t.labels()), None, &options)?;
                    Ok(vec![out.losses, out.grad])
                },
            )
            .beside(unfused(teachers))
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
