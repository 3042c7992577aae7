//! Times single operations, one JSON object a line, beside PyTorch where an interpreter that has it is named:
//!
//! ```text
//! cargo xtask bench --bench ops -- [--torch PYTHON] [FILTER]...
//! ```

mod batch_norm;
mod dense;
mod dkd;
mod flip_align;

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
    for family in [dense::run, batch_norm::run, dkd::run, flip_align::run] {
        family(&mut ops)?;
    }
    Ok(())
}
