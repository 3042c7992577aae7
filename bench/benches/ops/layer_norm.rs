//! Layer norm, and group norm of one group, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::norm::layer_norm::{Sample, backward, cost, layer_norm};
use serde_json::json;

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (sample, shape) in catalogue::normed() {
        let [n, pixels, c] = shape;
        let op = match sample {
            Sample::Pixel => "layer_norm",
            Sample::Image => "group_norm",
        };
        let case = format!("n{n} {pixels}x{c}");
        if !ops.wants(op, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: &[usize]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, shape, DType::F32)
        };
        let (x, grad) = (random(1, &shape)?, random(2, &shape)?);
        let (gamma, beta) = (random(3, &[c])?, random(4, &[c])?);
        let (_, saved) = layer_norm(&x, &gamma, &beta, 1e-5, sample)?;
        let peer = json!({"n": n, "pixels": pixels, "c": c});
        let work = cost::forward(saved.problem());
        ops.time([op, &case, "forward"], work, peer.clone(), || {
            layer_norm(&x, &gamma, &beta, 1e-5, sample)
        })?;
        let work = cost::backward(saved.problem());
        ops.time([op, &case, "backward"], work, peer, || {
            backward(&saved, &grad)
        })?;
    }
    Ok(())
}
