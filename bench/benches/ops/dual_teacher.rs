//! The dual-teacher loss with its gradient, the weighing of the teachers included.

use ghostlight_autodiff::{DType, Labels, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::loss::dual_teacher::{DualTeacherOptions, Teachers, dual_teacher};
use serde_json::json;

const OP: &str = "dual_teacher";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (batch, classes) in catalogue::distilled_logits() {
        let case = format!("n{batch} c{classes}");
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed| {
            // Far enough apart that the teachers are confident, and the divergences count.
            let values = check::values(seed, batch * classes);
            let values: Vec<f64> = values.into_iter().map(|v| 32.0 * v).collect();
            Tensor::from_f64(&client, &values, &[batch, classes], DType::F32)
        };
        let (student, first, second) = (random(1)?, random(2)?, random(3)?);
        let labels: Vec<u32> = (0..batch).map(|i| (i * 7919 % classes) as u32).collect();
        let labels = Labels::new(&client, &labels, classes)?;
        let options = DualTeacherOptions::default();
        let weighed = Teachers::weigh(&first, &second, &options)?;
        let work = weighed.problem().cost_of_weighing() + weighed.problem().cost();
        let peer = json!({"n": batch, "c": classes});
        ops.time([OP, &case, "loss+grad"], work, peer, || {
            dual_teacher(
                &student,
                &Teachers::weigh(&first, &second, &options)?,
                &labels,
            )
        })?;
    }
    Ok(())
}
