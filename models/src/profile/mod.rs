//! Where the time and the memory of a training step go: by operation and by kernel, over time, and in a trace that Perfetto opens.
//!
//! A step is taken as a run takes it, data loading, teachers and optimiser included, first unobserved for its true length, then
//! observed: the device is waited for after every launch, so that each kernel's time is its own. Nothing overlaps then, and the
//! sum is longer than the step.

mod ceilings;
mod memory;
mod nan;
mod recorder;
mod table;
mod trace;

pub use ceilings::Ceilings;
pub use memory::{Held, Holder};
pub use nan::NotFinite;
pub use recorder::{Kernel, Profile, Ran, Span};
pub use table::{KernelLine, OperationLine, kernels, operations};
pub use trace::trace;

use recorder::Recorder;
use std::cell::RefCell;
use std::rc::Rc;

/// An observer that waits for the device after every launch, while it is held.
pub struct Watching {
    recorder: Rc<RefCell<Recorder>>,
    launches: cubecl_runtime::logging::LaunchObservation,
}

impl Watching {
    /// Begins to watch; with `hunt_nan`, every result is read back and looked through, which takes its time.
    pub fn begin(client: &ghostlight_autodiff::Client, hunt_nan: bool) -> Self {
        let (recorder, stopwatch) = Recorder::new(client, hunt_nan);
        Self {
            recorder: Rc::new(RefCell::new(recorder)),
            launches: cubecl_runtime::logging::LaunchObservation::new(stopwatch),
        }
    }

    /// What a tape tells.
    pub fn observer(&self) -> Rc<RefCell<dyn ghostlight_autodiff::Observer>> {
        self.recorder.clone()
    }

    /// Marks what the host does from now on, as `loading`; the part before it ends.
    pub fn host(&self, what: &'static str) {
        self.recorder.borrow_mut().host(what);
    }

    /// Ends the watch.
    pub fn end(self) -> Profile {
        drop(self.launches);
        self.recorder.borrow_mut().finish()
    }
}

#[cfg(test)]
mod tests;
