//! The flip alignment of feature maps, with its gradient.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, FlipProblem, Normalisation, Selection, flip_align,
};
use serde_json::json;

const OP: &str = "flip_align";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    let hard = FlipOptions::default();
    let by_position = FlipOptions {
        normalisation: Normalisation::Position,
        ..hard.clone()
    };
    let soft = FlipOptions {
        selection: Selection::SoftMin { tau: 0.1 },
        ..hard.clone()
    };
    let mixed = FlipOptions {
        selection: Selection::Mixed { tau: 0.1 },
        normalisation: Normalisation::None,
        ..hard.clone()
    };
    for shape @ [n, h, w, c] in catalogue::feature_maps() {
        for (name, options) in [
            ("hard", &hard),
            ("hard by position", &by_position),
            ("soft-min", &soft),
            ("mixed", &mixed),
        ] {
            let case = format!("n{n} {h}x{w} {c} {name}");
            if !ops.wants(OP, &case) {
                continue;
            }
            let client = ops.client().clone();
            let random = |seed| {
                let values = check::values(seed, shape.iter().product());
                Tensor::from_f64(&client, &values, &shape, DType::F32)
            };
            let (student, teacher) = (random(1)?, random(2)?);
            let problem = FlipProblem::new(&student, &teacher, options)?;
            let peer = json!({"n": n, "h": h, "w": w, "c": c, "selection": name});
            ops.time([OP, &case, "loss+grad"], problem.cost(), peer, || {
                flip_align(&student, &teacher, options)
            })?;
        }
    }
    Ok(())
}
