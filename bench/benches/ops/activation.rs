//! Activations, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::pointwise::activation::{activation, backward, cost};
use serde_json::json;

const OP: &str = "activation";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for [n, h, w, c] in catalogue::activated() {
        for kind in catalogue::activations() {
            let case = format!("{} n{n} {h}x{w} {c}", kind.name());
            if !ops.wants(OP, &case) {
                continue;
            }
            let (client, len, dtype) = (ops.client().clone(), n * h * w * c, DType::F32);
            let random = |seed| {
                let values: Vec<f64> = check::values(seed, len).iter().map(|v| 6.0 * v).collect();
                Tensor::from_f64(&client, &values, &[n, h, w, c], dtype)
            };
            let (x, grad) = (random(1)?, random(2)?);
            let peer = json!({"kind": kind.name(), "n": n, "h": h, "w": w, "c": c});
            let work = cost::forward(len, dtype);
            ops.time([OP, &case, "forward"], work, peer.clone(), || {
                Ok(activation(&x, kind))
            })?;
            let work = cost::backward(len, dtype);
            ops.time([OP, &case, "backward"], work, peer, || {
                backward(&x, &grad, kind)
            })?;
        }
    }
    Ok(())
}
