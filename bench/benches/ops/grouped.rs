//! Grouped convolutions, all three phases.

use ghostlight_autodiff::{Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::conv::grouped::{conv, cost, grad_input, grad_weight};
use serde_json::json;

const OP: &str = "grouped";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (case, problem) in catalogue::grouped() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: [usize; 4]| {
            Tensor::from_f64(
                &client,
                &check::values(seed, shape.iter().product()),
                &shape,
                problem.dtype,
            )
        };
        let x = random(1, problem.input_shape())?;
        let w = random(2, problem.weight_shape())?;
        let g = random(3, problem.output_shape())?;
        let peer = json!({
            "n": problem.batch, "h": problem.input[0], "w": problem.input[1],
            "ci": problem.in_channels, "co": problem.out_channels,
            "k": problem.kernel[0], "stride": problem.options.stride[0], "groups": problem.groups,
        });
        let o = problem.options;
        ops.time(
            [OP, &case, "forward"],
            cost::forward(&problem),
            peer.clone(),
            || conv(&x, &w, problem.groups, o),
        )?;
        ops.time(
            [OP, &case, "grad_input"],
            cost::grad_input(&problem),
            peer.clone(),
            || grad_input(&x, &w, &g, problem.groups, o),
        )?;
        ops.time(
            [OP, &case, "grad_weight"],
            cost::grad_weight(&problem),
            peer,
            || grad_weight(&x, &w, &g, problem.groups, o),
        )?;
    }
    Ok(())
}
