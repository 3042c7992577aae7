//! Classical distillation, and cross-entropy, classical and decoupled distillation in one sum, each with its gradient.

use ghostlight_bench::{
    Case, DTYPE, Expected, Input, Phase, Suite, SuiteError, Variant, catalogue,
};
use ghostlight_kernels::loss::cross_entropy::cross_entropy;
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, DistillProblem, cost, distill, reference,
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

/// The three losses by themselves, added up.
fn unfused<'a>() -> Variant<'a> {
    Variant::new("unfused", |t| {
        let (kd, dkd) = (
            kd::kd(&t[0], &t[1], &weighted_kd())?,
            dkd(&t[0], &t[1], t.labels(), &DkdOptions::default())?,
        );
        let first = cross_entropy(&t[0], t.labels(), SMOOTHING)?;
        Ok(vec![
            add(&add(&first.loss, &kd.loss)?, &dkd.loss)?,
            add(&add(&first.grad, &kd.grad)?, &dkd.grad)?,
        ])
    })
}

pub fn sum(suite: &mut Suite) -> Result<(), SuiteError> {
    let options = DistillOptions {
        cross_entropy: Some(CrossEntropyOptions {
            smoothing: SMOOTHING,
            weight: 1.0,
        }),
        kd: Some(weighted_kd()),
        dkd: Some(DkdOptions::default()),
    };
    for case in suite.cases("distill", catalogue::logits())? {
        // One sweep over the classes, kd's, is enough for this kernel.
        if case.sweep.is_some() {
            continue;
        }
        let problem = DistillProblem {
            batch: case.n,
            classes: case.c,
            options,
            dtype: DTYPE,
        };
        let mut inputs = logits(case.n, case.c);
        inputs.push(Input::labels(case.n, case.c));
        suite.phase(
            Phase::new(
                ["distill", &case.name(), "loss+grad"],
                cost::fused(&problem),
                inputs,
                |v| {
                    let labels: Vec<u32> = v[2].iter().map(|&label| label as u32).collect();
                    let (losses, grad) = reference::distill(&problem, &v[0], &v[1], &labels);
                    vec![Expected::Sum(losses.iter().sum()), Expected::Values(grad)]
                },
                |t| {
                    let out = distill(&t[0], Some(&t[1]), Some(t.labels()), &options)?;
                    Ok(vec![out.losses, out.grad])
                },
            )
            .beside(unfused())
            .for_peers(&case.arguments()),
        )?;
    }
    Ok(())
}
