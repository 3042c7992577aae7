//! Depthwise convolutions, all three phases.

use ghostlight_autodiff::{Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::conv::depthwise::{cost, depthwise, grad_input, grad_weight};
use serde_json::json;

const OP: &str = "depthwise";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (case, problem) in catalogue::depthwise() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: &[usize]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, shape, problem.dtype)
        };
        let x = random(1, &problem.input_shape())?;
        let w = random(2, &problem.weight_shape())?;
        let g = random(3, &problem.output_shape())?;
        let peer = json!({
            "n": problem.batch, "h": problem.input[0], "w": problem.input[1],
            "ci": problem.channels, "co": problem.out_channels(), "k": problem.kernel[0],
            "stride": problem.options.stride[0], "dilation": problem.options.dilation[0],
            "groups": problem.channels,
        });
        let o = problem.options;
        ops.time(
            [OP, &case, "forward"],
            cost::forward(&problem),
            peer.clone(),
            || depthwise(&x, &w, None, o),
        )?;
        ops.time(
            [OP, &case, "grad_input"],
            cost::grad_input(&problem),
            peer.clone(),
            || grad_input(&x, &w, &g, o),
        )?;
        ops.time(
            [OP, &case, "grad_weight"],
            cost::grad_weight(&problem),
            peer,
            || grad_weight(&x, &w, &g, o),
        )?;
    }
    Ok(())
}
