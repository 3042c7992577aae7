use super::error::CommandError;
use std::fmt::Display;
use std::io::{self, Write};

/// One line of the result, on standard output. `println!` would panic when the disk is full or nobody reads any more.
pub(super) fn result(line: impl Display) -> Result<(), CommandError> {
    writeln!(io::stdout(), "{line}").map_err(CommandError::Output)
}

/// One line beside the result, on standard error. The work goes on when nobody reads it any more.
pub(super) fn note(line: impl Display) {
    _ = writeln!(io::stderr(), "{line}");
}
