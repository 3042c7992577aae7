//! Ctrl-C, `kill` and a terminal that closes stop the work after the current step, with a checkpoint.

use super::INTERRUPTED;
use super::output::note;
use ghostlight_kernels::planted;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the first signal raises; the second ends the process at once. What was ignored when the program started, as
/// `nohup` and a script's background jobs have it, stays ignored.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let ignored = inherited::ignored();
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        note("stopping after this step; press Ctrl-C again to stop at once");
    });
    if let Err(reason) = handler {
        note(format_args!(
            "warning: Ctrl-C will stop without a checkpoint: {reason}"
        ));
    }
    if !planted::is("nohup_overruled") {
        inherited::ignore(&ignored);
    }
    stop
}

#[cfg(unix)]
mod inherited {
    use libc::{SIG_IGN, SIGHUP, SIGINT, SIGTERM, c_int, sigaction, signal};
    use std::mem::MaybeUninit;
    use std::ptr::null;

    /// Those signals that the handler takes over and that are ignored now.
    pub fn ignored() -> Vec<c_int> {
        let is_ignored = |signal: &c_int| {
            let mut action = MaybeUninit::<sigaction>::zeroed();
            // SAFETY: without a new action the call only fills in the current one, for which there is room; all zeros are an action too.
            let current = unsafe {
                sigaction(*signal, null(), action.as_mut_ptr());
                action.assume_init()
            };
            current.sa_sigaction == SIG_IGN
        };
        [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(is_ignored)
            .collect()
    }

    /// Ignores `signals` again.
    pub fn ignore(signals: &[c_int]) {
        for &number in signals {
            // SAFETY: no handler of ours is installed by this; the signals are valid.
            unsafe { signal(number, SIG_IGN) };
        }
    }
}

/// Elsewhere no process starts with a signal ignored.
#[cfg(not(unix))]
mod inherited {
    pub fn ignored() {}
    pub fn ignore((): &()) {}
}
