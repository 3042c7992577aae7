//! One step of AdamW over all parameters of a model.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::optim::adamw::{AdamWOptions, AdamWState, cost, step};
use serde_json::json;

const OP: &str = "adamw";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for len in catalogue::parameters() {
        let case = format!("{len} parameters");
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed| {
            let values: Vec<f64> = check::values(seed, len).iter().map(|v| v.abs()).collect();
            Tensor::from_f64(&client, &values, &[len], DType::F32)
        };
        let (params, first, second, grads) = (random(1)?, random(2)?, random(3)?, random(4)?);
        let decayed = Tensor::from_f64(&client, &vec![1.0; len], &[len], DType::F32)?;
        let state = AdamWState {
            params: &params,
            first: &first,
            second: &second,
        };
        let work = cost::step(len, DType::F32);
        ops.time([OP, &case, "train"], work, json!({"len": len}), || {
            step(state, &grads, &decayed, &AdamWOptions::default(), 100)
        })?;
    }
    Ok(())
}
