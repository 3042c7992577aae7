//! The operations: verified, then timed by criterion, and beside other libraries. `cargo bench -- --help` says how.

mod activation;
mod adamw;
mod attention;
mod batch_norm;
mod cosine;
mod dense;
mod depthwise;
mod distill;
mod dkd;
mod dropout;
mod dual_teacher;
mod flip_align;
mod gate;
mod ghost;
mod ghost_unfused;
mod grouped;
mod layer_norm;
mod linear_attention;
mod norm_conv;
mod partition;
mod pool;
mod resize;
mod separable;
mod soft_sign;
mod softmax;

use ghostlight_bench::Family;
use std::process::ExitCode;

const FAMILIES: &[Family] = &[
    depthwise::run,
    grouped::run,
    dense::run,
    ghost::run,
    batch_norm::run,
    norm_conv::run,
    dkd::run,
    distill::kd,
    distill::sum,
    distill::two_teachers,
    dual_teacher::run,
    cosine::run,
    flip_align::run,
    activation::run,
    dropout::run,
    gate::gates,
    gate::sums,
    pool::max_pools,
    pool::average_pools,
    pool::adaptive_averages,
    resize::run,
    layer_norm::layer_norms,
    layer_norm::group_norms,
    softmax::run,
    attention::attentions,
    attention::products,
    partition::run,
    separable::run,
    linear_attention::run,
    adamw::run,
    soft_sign::run,
];

fn main() -> ExitCode {
    ghostlight_bench::main(FAMILIES)
}
