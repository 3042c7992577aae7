//! The gate of squeeze-and-excitation, and the sum with ReLU of a G-Ghost stage, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::pointwise::activation::Activation;
use ghostlight_kernels::pointwise::{add_relu, gate};
use serde_json::json;

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for shape in catalogue::activated() {
        let [n, h, w, c] = shape;
        let case = format!("n{n} {h}x{w} {c}");
        if !(ops.wants("gate", &case) || ops.wants("add_relu", &case)) {
            continue;
        }
        let (client, dtype) = (ops.client().clone(), DType::F32);
        let random = |seed, shape: &[usize]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, shape, dtype)
        };
        let (x, grad, s) = (random(1, &shape)?, random(2, &shape)?, random(3, &[n, c])?);
        let peer = json!({"n": n, "h": h, "w": w, "c": c});
        let (work, kind) = (gate::cost::forward(shape, dtype), Activation::HardSigmoid);
        ops.time(["gate", &case, "forward"], work, peer.clone(), || {
            gate::gate(&x, &s, kind)
        })?;
        let work = gate::cost::backward(shape, dtype);
        ops.time(["gate", &case, "backward"], work, peer.clone(), || {
            gate::backward(&x, &s, kind, &grad)
        })?;
        let work = add_relu::cost::forward(shape, dtype);
        ops.time(["add_relu", &case, "forward"], work, peer.clone(), || {
            add_relu::add_relu(&x, &s)
        })?;
        let (work, y) = (
            add_relu::cost::backward(shape, dtype),
            add_relu::add_relu(&x, &s)?,
        );
        ops.time(["add_relu", &case, "backward"], work, peer, || {
            add_relu::backward(&y, &grad)
        })?;
    }
    Ok(())
}
