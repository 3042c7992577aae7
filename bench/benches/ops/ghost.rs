//! Ghost modules: a training step forwards and backwards, and inference.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::conv::dense::ConvOptions;
use ghostlight_kernels::ghost::module::{self, Ghost, GhostProblem, Scales, cost};
use ghostlight_kernels::norm::batch_norm::BatchNorm;
use serde_json::json;

const OP: &str = "ghost_module";

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for [n, side, from, to] in catalogue::ghost() {
        let case = format!("n{n} {side}x{side} {from}->{to}");
        if !ops.wants(OP, &case) {
            continue;
        }
        let client = ops.client().clone();
        let random = |seed, shape: &[usize]| {
            let values = check::values(seed, shape.iter().product());
            Tensor::from_f64(&client, &values, shape, DType::F32)
        };
        let m = to.div_ceil(2);
        let ones = Tensor::from_f32(&client, &vec![1.0; m], &[m])?;
        let norm = || {
            Ok::<_, KernelError>(BatchNorm {
                gamma: random(3, &[m])?,
                beta: random(4, &[m])?,
                running_mean: Tensor::zeros(&client, &[m], DType::F32),
                running_var: ones.clone(),
                epsilon: 1e-5,
                momentum: 0.1,
            })
        };
        let (primary, cheap) = (random(1, &[1, 1, from, m])?, random(2, &[3, 3, m])?);
        let (primary_norm, cheap_norm) = (norm()?, norm()?);
        let ghost = Ghost {
            primary: &primary,
            primary_norm: &primary_norm,
            cheap: &cheap,
            cheap_norm: &cheap_norm,
            options: ConvOptions::square(1, 0),
            channels: to,
            relu: true,
        };
        let (x, g) = (
            random(5, &[n, side, side, from])?,
            random(6, &[n, side, side, to])?,
        );
        let problem = GhostProblem::new(&x, &ghost)?;
        let peer = json!({"n": n, "h": side, "w": side, "ci": from, "co": to});
        let scales = Scales::of(&ghost)?;
        ops.time(
            [OP, &case, "inference"],
            cost::infer(&problem),
            peer.clone(),
            || module::infer(&x, &ghost, &scales),
        )?;
        let work = cost::train(&problem) + cost::backward(&problem);
        ops.time([OP, &case, "train"], work, peer, || {
            let (y, saved) = module::train(&x, &ghost)?;
            Ok((y, module::backward(&ghost, &saved, &g)?.input))
        })?;
    }
    Ok(())
}
