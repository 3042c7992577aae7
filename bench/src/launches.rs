use cubecl_runtime::logging::{
    Duration, LaunchObservation, LaunchObserver, TimingMethod, TimingRequest,
};
use std::sync::{Arc, Mutex};

/// The device's own time of each launch, in the order of the launches.
#[derive(Default)]
struct Stopwatch(Mutex<Vec<(&'static str, f64)>>);

impl LaunchObserver for Stopwatch {
    fn launched(&self, _: &'static str) {}

    fn timing(&self) -> TimingRequest {
        TimingRequest::Resolved
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        if let Ok(mut seen) = self.0.lock() {
            seen.push((kernel, duration.as_secs_f64() * 1e3));
        }
    }
}

/// The kernels that `run` launches with the time in ms that each took by itself; each is waited for before the next is launched.
pub fn launches<T>(run: impl FnOnce() -> T) -> Vec<(&'static str, f64)> {
    let stopwatch = Arc::new(Stopwatch::default());
    let watching = LaunchObservation::new(stopwatch.clone());
    run();
    drop(watching);
    match stopwatch.0.lock() {
        Ok(mut seen) => std::mem::take(&mut seen),
        Err(_) => Vec::new(),
    }
}
