//! The operation of `docs/your-own-operation.md`.

#[path = "../../../docs/examples/soft_sign.rs"]
mod example;

// ANCHOR: bench
use example::{SoftSign, reference, soft_sign_backward};
use ghostlight_autodiff::{Cost, DType, Tape, Tensor, Var, check};
use ghostlight_bench::Ops;
use ghostlight_kernels::KernelError;
use serde_json::json;

const OP: &str = "soft_sign";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    let (case, len) = ("n32 56x56 64", 32 * 56 * 56 * 64);
    if !ops.wants(OP, case) {
        return Ok(());
    }
    let values = check::values(1, len);
    let x = Tensor::from_f64(ops.client(), &values, &[len], DType::F32)?;
    let input = Var::constant(x.clone());
    let forward = || Tape::new().apply(SoftSign, &[&input]);
    // What is not right is not timed.
    for (y, x) in forward()?.tensor().to_f64()?.iter().zip(&values) {
        if (y - reference(*x)[0]).abs() > 1e-6 {
            return Err(KernelError::Device(format!(
                "the soft sign of {x} came to {y}"
            )));
        }
    }
    let peer = json!({"len": len});
    let [read_one, read_two] = [1, 2].map(|reads| Cost::traffic(reads * len, len, 4));
    ops.time([OP, case, "forward"], read_one, peer.clone(), forward)?;
    ops.time([OP, case, "backward"], read_two, peer, || {
        soft_sign_backward(&x, &x)
    })
}
// ANCHOR_END: bench
