use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use ghostlight_kernels::launch::allocations;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// What a call asks of the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels that were launched.
    pub launches: u64,
    /// Tensors and scratch buffers that were allocated from the pool.
    pub allocations: u64,
}

struct Watcher {
    thread: ThreadId,
    launches: AtomicU64,
}

impl LaunchObserver for Watcher {
    // Of all launches of the process, it is called on the thread that launches.
    fn launched(&self, _: &'static str) {
        if thread::current().id() == self.thread {
            self.launches.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Held while somebody watches: a process has room for one observer, and tests run side by side.
static WATCHING: Mutex<()> = Mutex::new(());

/// Counts what `call` launches and allocates, both from this thread.
pub fn count<T>(call: impl FnOnce() -> T) -> (T, Counts) {
    let _alone = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let watcher = Arc::new(Watcher {
        thread: thread::current().id(),
        launches: AtomicU64::new(0),
    });
    let watching = LaunchObservation::new(watcher.clone());
    let before = allocations();
    let result = call();
    drop(watching);
    let counts = Counts {
        launches: watcher.launches.load(Ordering::Relaxed),
        allocations: allocations() - before,
    };
    (result, counts)
}
