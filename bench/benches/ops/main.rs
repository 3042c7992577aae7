//! Times single operations, one JSON object a line, beside PyTorch where an interpreter that has it is named:
//!
//! ```text
//! cargo xtask bench --bench ops -- [--torch PYTHON] [--ceiling] [--launches] [FILTER]...
//! ```
//!
//! `--ceiling` measures the device's copy bandwidth by working set first, and gives each row's bandwidth as a fraction of it; `--launches`
//! adds the device's own time of every launch.

mod activation;
mod adamw;
mod batch_norm;
mod cosine;
mod dense;
mod depthwise;
mod distill;
mod dkd;
mod dual_teacher;
mod flip_align;
mod gate;
mod ghost;
mod grouped;
mod layer_norm;
mod pool;
mod resize;
mod soft_sign;
mod softmax;

use ghostlight_bench::Ops;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut ops = Ops::from_arguments(&cubecl::Device::default().client())?;
    let families = [
        activation::run,
        adamw::run,
        batch_norm::run,
        cosine::run,
        dense::run,
        depthwise::run,
        distill::kd,
        distill::sum,
        dkd::run,
        dual_teacher::run,
        flip_align::run,
        gate::run,
        ghost::run,
        grouped::run,
        layer_norm::run,
        pool::run,
        resize::run,
        soft_sign::run,
        softmax::run,
    ];
    for family in families {
        family(&mut ops)?;
    }
    Ok(())
}
