//! Bilinear resizing, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::resize::bilinear::{self, Alignment, cost};
use serde_json::json;

const OP: &str = "bilinear";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (case, problem) in catalogue::bilinears() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: [usize; 4]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, &shape, DType::F32)
        };
        let ([n, h, w, c], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
        let (x, g) = (
            random(1, problem.input_shape())?,
            random(2, problem.output_shape())?,
        );
        let alignment = problem.alignment();
        let corners = alignment == Alignment::Corners;
        let peer = json!({"n": n, "h": h, "w": w, "c": c, "oh": oh, "ow": ow, "corners": corners});
        ops.time(
            [OP, &case, "forward"],
            cost::forward(&problem),
            peer.clone(),
            || bilinear::bilinear(&x, [oh, ow], alignment),
        )?;
        ops.time(
            [OP, &case, "grad_input"],
            cost::backward(&problem),
            peer,
            || bilinear::backward(&problem, &g),
        )?;
    }
    Ok(())
}
