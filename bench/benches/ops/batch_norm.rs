//! Batch norm and ReLU, forward and backward of one training step.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm, BatchNormProblem, cost};
use serde_json::json;

const OP: &str = "batch_norm_relu";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for [n, h, w, c] in catalogue::maps() {
        let case = format!("n{n} {h}x{w} {c}");
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: &[usize]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, shape, DType::F32)
        };
        let (x, g) = (random(1, &[n, h, w, c])?, random(2, &[n, h, w, c])?);
        let norm = BatchNorm {
            gamma: random(3, &[c])?,
            beta: random(4, &[c])?,
            running_mean: Tensor::zeros(&client, &[c], DType::F32),
            running_var: Tensor::zeros(&client, &[c], DType::F32),
            epsilon: 1e-5,
            momentum: 0.1,
        };
        let problem = BatchNormProblem::new(&x, &norm, None)?;
        let work = cost::forward(&problem, false) + cost::backward(&problem, false);
        let peer = json!({"n": n, "h": h, "w": w, "c": c});
        ops.time([OP, &case, "train"], work, peer, || {
            let (y, saved) = batch_norm::train(&x, &norm, None, true)?;
            Ok((y, batch_norm::backward(&norm, &saved, &g)?.input))
        })?;
    }
    Ok(())
}
