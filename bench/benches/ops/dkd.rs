//! The decoupled distillation loss with its gradient.

use ghostlight_autodiff::{DType, Labels, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::loss::dkd::{DkdOptions, DkdProblem, dkd};
use serde_json::json;

const OP: &str = "dkd";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (batch, classes) in catalogue::logits() {
        let case = format!("n{batch} c{classes}");
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed| {
            let values = check::values(seed, batch * classes);
            Tensor::from_f64(&client, &values, &[batch, classes], DType::F32)
        };
        let (student, teacher) = (random(1)?, random(2)?);
        let labels: Vec<u32> = (0..batch).map(|i| (i * 7919 % classes) as u32).collect();
        let labels = Labels::new(&client, &labels, classes)?;
        let options = DkdOptions::default();
        let problem = DkdProblem::new(&student, &teacher, &labels, &options)?;
        let peer = json!({"n": batch, "c": classes});
        ops.time([OP, &case, "loss+grad"], problem.cost(), peer, || {
            dkd(&student, &teacher, &labels, &options)
        })?;
    }
    Ok(())
}
