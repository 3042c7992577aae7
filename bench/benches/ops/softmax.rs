//! Softmax over the last axis, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::norm::softmax::{backward, cost, softmax};
use serde_json::json;

const OP: &str = "softmax";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for [rows, length] in catalogue::rows() {
        let case = format!("{rows}x{length}");
        if !ops.wants(OP, &case) {
            continue;
        }
        let (client, len, dtype) = (ops.client().clone(), rows * length, DType::F32);
        let random =
            |seed| Tensor::from_f64(&client, &check::values(seed, len), &[rows, length], dtype);
        let (x, grad) = (random(1)?, random(2)?);
        let y = softmax(&x)?;
        let peer = json!({"rows": rows, "length": length});
        let work = cost::forward(len, dtype);
        ops.time([OP, &case, "forward"], work, peer.clone(), || softmax(&x))?;
        let work = cost::backward(len, dtype);
        ops.time([OP, &case, "backward"], work, peer, || backward(&y, &grad))?;
    }
    Ok(())
}
