use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use ghostlight_kernels::launch::allocations;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a call asks of the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels that were launched.
    pub launches: u64,
    /// Tensors and scratch buffers that were allocated from the pool.
    pub allocations: u64,
}

#[derive(Default)]
struct Watcher(AtomicU64);

impl LaunchObserver for Watcher {
    fn launched(&self, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts what `call` launches and allocates, both from this thread.
pub fn count<T>(call: impl FnOnce() -> T) -> (T, Counts) {
    let watcher = Arc::new(Watcher::default());
    let watching = LaunchObservation::new(watcher.clone());
    let before = allocations();
    let result = call();
    drop(watching);
    let counts = Counts {
        launches: watcher.0.load(Ordering::Relaxed),
        allocations: allocations() - before,
    };
    (result, counts)
}
