//! The `ghostlight` command.

use ghostlight_models::command;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
