use crate::client;
use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use ghostlight_kernels::launch;
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

/// Asserts that `run` launches `wanted` kernels on a CPU, and no more elsewhere: a GPU adds up the weight of a small problem in one
/// launch where a CPU takes partial sums. Returns what `run` returns.
pub fn assert_launches<T>(what: &str, wanted: usize, run: impl FnOnce() -> T) -> T {
    let (result, seen) = launches(run);
    let count = seen.len();
    let right = count == wanted || (count < wanted && !launch::is_cpu(&client()));
    assert!(right, "{what}: {wanted} launches expected, seen {seen:?}");
    result
}
