//! Max, average and adaptive average pooling, both phases.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::pool::{adaptive_average, average, max};
use serde_json::json;

fn random(ops: &Ops, seed: u64, shape: [usize; 4]) -> Result<Tensor, KernelError> {
    let values = check::values(seed, shape.iter().product());
    Tensor::from_f64(ops.client(), &values, &shape, DType::F32)
}

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    max_pools(ops)?;
    average_pools(ops)?;
    adaptive_averages(ops)
}

fn max_pools(ops: &mut Ops) -> Result<(), KernelError> {
    const OP: &str = "max_pool";
    for (case, problem) in catalogue::max_pools() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let ([n, h, w, c], options) = (problem.input_shape(), problem.options());
        let x = random(ops, 1, problem.input_shape())?;
        let g = random(ops, 2, problem.output_shape())?;
        let (k, s, p) = (options.kernel[0], options.stride[0], options.padding[0]);
        let peer = json!({"n": n, "h": h, "w": w, "c": c, "k": k, "s": s, "p": p});
        let (_, winners) = max::train(&x, options)?;
        let cost = max::cost::inference(&problem);
        ops.time([OP, &case, "inference"], cost, peer.clone(), || {
            max::max_pool(&x, options)
        })?;
        let cost = max::cost::forward(&problem);
        ops.time([OP, &case, "forward"], cost, peer.clone(), || {
            max::train(&x, options)
        })?;
        let cost = max::cost::backward(&problem);
        ops.time([OP, &case, "grad_input"], cost, peer, || {
            max::backward(&winners, &g)
        })?;
    }
    Ok(())
}

fn average_pools(ops: &mut Ops) -> Result<(), KernelError> {
    const OP: &str = "average_pool";
    for (case, problem) in catalogue::average_pools() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let ([n, h, w, c], options) = (problem.input_shape(), problem.options());
        let x = random(ops, 1, problem.input_shape())?;
        let g = random(ops, 2, problem.output_shape())?;
        let (k, s, p) = (options.kernel[0], options.stride[0], options.padding[0]);
        let peer = json!({"n": n, "h": h, "w": w, "c": c, "k": k, "s": s, "p": p});
        let cost = average::cost::forward(&problem);
        ops.time([OP, &case, "forward"], cost, peer.clone(), || {
            average::average_pool(&x, options)
        })?;
        let cost = average::cost::backward(&problem);
        ops.time([OP, &case, "grad_input"], cost, peer, || {
            average::backward(&problem, &g)
        })?;
    }
    Ok(())
}

fn adaptive_averages(ops: &mut Ops) -> Result<(), KernelError> {
    const OP: &str = "adaptive_average";
    for (case, problem) in catalogue::adaptive_averages() {
        if !ops.wants(OP, &case) {
            continue;
        }
        let ([n, h, w, c], [_, oh, ow, _]) = (problem.input_shape(), problem.output_shape());
        let x = random(ops, 1, problem.input_shape())?;
        let g = random(ops, 2, problem.output_shape())?;
        let peer = json!({"n": n, "h": h, "w": w, "c": c, "oh": oh, "ow": ow});
        let cost = adaptive_average::cost::forward(&problem);
        ops.time([OP, &case, "forward"], cost, peer.clone(), || {
            adaptive_average::adaptive_average(&x, [oh, ow])
        })?;
        let cost = adaptive_average::cost::backward(&problem);
        ops.time([OP, &case, "grad_input"], cost, peer, || {
            adaptive_average::backward(&problem, &g)
        })?;
    }
    Ok(())
}
