//! Long work that a person may end: every loop over images asks for each of them whether it is to go on.

use super::DataError;
use ghostlight_kernels::planted;
use std::sync::atomic::{AtomicBool, Ordering};

/// For work that nobody ends.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// Passes until `stop` is set.
///
/// # Errors
/// [`DataError::Stopped`].
pub fn check(stop: &AtomicBool) -> Result<(), DataError> {
    if stop.load(Ordering::Relaxed) && !planted::is("preparation_goes_on") {
        Err(DataError::Stopped)
    } else {
        Ok(())
    }
}
