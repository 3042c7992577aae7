//! Times single operations, one JSON object a line, beside PyTorch where an interpreter that has it is named:
//!
//! ```text
//! cargo xtask bench --bench ops -- [--torch PYTHON] [--launches] [FILTER]...
//! ```

mod batch_norm;
mod cosine;
mod dense;
mod depthwise;
mod dkd;
mod dual_teacher;
mod flip_align;
mod ghost;
mod grouped;
mod pool;
mod resize;
mod soft_sign;

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
        batch_norm::run,
        cosine::run,
        dense::run,
        depthwise::run,
        dkd::run,
        dual_teacher::run,
        flip_align::run,
        ghost::run,
        grouped::run,
        pool::run,
        resize::run,
        soft_sign::run,
    ];
    for family in families {
        family(&mut ops)?;
    }
    Ok(())
}
