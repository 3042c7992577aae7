//! Times whole training, distillation and inference steps:
//!
//! ```text
//! cargo xtask bench --bench step -- [--torch PYTHON] [--write FILE.md] [CASE]...
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    ghostlight_bench::step::main()
}
