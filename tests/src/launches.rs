use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

thread_local! {
    static SEEN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

struct Watcher;

impl LaunchObserver for Watcher {
    /// Called on the thread that launches, so that tests which run side by side count their own.
    fn launched(&self, kernel: &'static str) {
        SEEN.with_borrow_mut(|seen| seen.push(kernel));
    }
}

/// The kernels that `run` launches, by name, in order.
pub fn launches<T>(run: impl FnOnce() -> T) -> (T, Vec<&'static str>) {
    static WATCHING: LazyLock<LaunchObservation> =
        LazyLock::new(|| LaunchObservation::new(Arc::new(Watcher)));
    LazyLock::force(&WATCHING);
    SEEN.take();
    let result = run();
    (result, SEEN.take())
}

/// Asserts that `run` launches `wanted` kernels, and returns what it returns.
pub fn assert_launches<T>(what: &str, wanted: usize, run: impl FnOnce() -> T) -> T {
    let (result, seen) = launches(run);
    assert_eq!(seen.len(), wanted, "{what}: launched {seen:?}");
    result
}
