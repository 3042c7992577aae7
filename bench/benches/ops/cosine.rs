//! The cosine losses with their gradients: between softmaxes, between centred logits, and between features.

use ghostlight_autodiff::{DType, Tensor, check};
use ghostlight_bench::{Ops, catalogue};
use ghostlight_kernels::KernelError;
use ghostlight_kernels::loss::cosine::{Between, CosineOptions, CosineProblem, cosine};
use serde_json::json;

const OP: &str = "cosine";
const TEMPERATURE: f64 = 4.0;

pub fn run(ops: &mut Ops) -> Result<(), KernelError> {
    for (name, between) in [
        ("softmaxes", Between::Softmaxes(TEMPERATURE)),
        ("centred", Between::CentredRows),
    ] {
        for (n, c) in catalogue::distilled_logits() {
            time(ops, &format!("{name} n{n} c{c}"), name, between, &[n, c])?;
        }
    }
    for [n, h, w, c] in catalogue::features() {
        let case = format!("features n{n} {h}x{w} {c}");
        time(ops, &case, "features", Between::Rows, &[n, h, w, c])?;
    }
    Ok(())
}

fn time(
    ops: &mut Ops,
    case: &str,
    name: &str,
    between: Between,
    shape: &[usize],
) -> Result<(), KernelError> {
    if !ops.wants(OP, case) {
        return Ok(());
    }
    let client = ops.client().clone();
    let length = shape[1..].iter().product::<usize>();
    let random = |seed| {
        let values = check::values(seed, shape[0] * length);
        Tensor::from_f64(&client, &values, shape, DType::F32)
    };
    let (student, teacher) = (random(1)?, random(2)?);
    let options = CosineOptions::of(between);
    let cost = CosineProblem::new(&student, &teacher, &options)?.cost();
    let peer = json!({"n": shape[0], "c": length, "between": name, "temperature": TEMPERATURE});
    ops.time([OP, case, "loss+grad"], cost, peer, || {
        cosine(&student, &teacher, &options)
    })
}
