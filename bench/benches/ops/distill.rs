//! Classical distillation, and cross-entropy, classical and decoupled distillation in one sum, each with its gradient.

use ghostlight_autodiff::{DType, Labels, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::loss::distill::{
    CrossEntropyOptions, DistillOptions, DistillProblem, distill,
};
use ghostlight_kernels::loss::dkd::DkdOptions;
use ghostlight_kernels::loss::kd::{KdOptions, KdProblem, kd as kd_loss};
use serde_json::json;

/// Student's and teacher's logits.
fn logits(ops: &Ops, batch: usize, classes: usize) -> Result<[Tensor; 2], KernelError> {
    let random = |seed| {
        let values = check::values(seed, batch * classes);
        Tensor::from_f64(ops.client(), &values, &[batch, classes], DType::F32)
    };
    Ok([random(1)?, random(2)?])
}

pub fn kd(ops: &mut Ops) -> Result<(), KernelError> {
    for (batch, classes) in catalogue::logits() {
        let case = format!("n{batch} c{classes}");
        if !ops.wants("kd", &case) {
            continue;
        }
        let [student, teacher] = logits(ops, batch, classes)?;
        let options = KdOptions::default();
        let problem = KdProblem::new(&student, &teacher, &options)?;
        let peer = json!({"n": batch, "c": classes});
        ops.time(["kd", &case, "loss+grad"], problem.cost(), peer, || {
            kd_loss(&student, &teacher, &options)
        })?;
    }
    Ok(())
}

pub fn sum(ops: &mut Ops) -> Result<(), KernelError> {
    let options = DistillOptions {
        cross_entropy: Some(CrossEntropyOptions {
            smoothing: 0.1,
            weight: 1.0,
        }),
        kd: Some(KdOptions {
            weight: 0.9,
            ..KdOptions::default()
        }),
        dkd: Some(DkdOptions::default()),
    };
    for (batch, classes) in catalogue::logits() {
        let case = format!("n{batch} c{classes}");
        if !ops.wants("distill", &case) {
            continue;
        }
        let [student, teacher] = logits(ops, batch, classes)?;
        let labels: Vec<u32> = (0..batch).map(|i| (i * 7919 % classes) as u32).collect();
        let labels = Labels::new(ops.client(), &labels, classes)?;
        let (teacher, labels) = (Some(&teacher), Some(&labels));
        let problem = DistillProblem::new(&student, teacher, labels, &options)?;
        let peer = json!({"n": batch, "c": classes});
        ops.time(
            ["distill", &case, "loss+grad"],
            problem.cost(),
            peer,
            || distill(&student, teacher, labels, &options),
        )?;
    }
    Ok(())
}
