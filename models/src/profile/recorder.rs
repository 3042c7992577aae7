use super::memory::{Held, Ledger};
use super::nan::{self, NotFinite};
use cubecl_runtime::logging::{Duration as Measured, LaunchObserver, TimingMethod, TimingRequest};
use ghostlight_autodiff::{Client, Event, Observer, Phase, Tensor};
use ghostlight_kernels::launch;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// One launch of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Its path in the crate, as `conv::dense::tiled`.
    pub name: String,
    /// Its own time.
    pub time: Duration,
    /// When it had ended, from the beginning of the watch.
    pub ended: Duration,
}

/// One operation that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// What it was and cost.
    pub event: Event,
    /// When the operation before it had ended, from the beginning of the watch.
    pub began: Duration,
    /// When it had ended itself.
    pub ended: Duration,
    /// Its launches.
    pub kernels: Vec<Kernel>,
    /// Buffers that it asked the pool for.
    pub allocations: u64,
    /// Bytes that are held after it.
    pub held: u64,
}

impl Ran {
    /// The time of its kernels.
    pub fn device_time(&self) -> Duration {
        self.kernels.iter().map(|kernel| kernel.time).sum()
    }
}

/// What the host did for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// As `loading`.
    pub what: &'static str,
    /// From the beginning of the watch.
    pub began: Duration,
    /// From the beginning of the watch.
    pub ended: Duration,
}

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// The operations, in order.
    pub operations: Vec<Ran>,
    /// Launches between operations that belong to none: the optimiser's.
    pub others: Vec<Kernel>,
    /// What the host did, in order.
    pub spans: Vec<Span>,
    /// Memory over time, and what held it at its peak.
    pub held: Held,
    /// The first result that was not finite, if it was hunted.
    pub not_finite: Option<NotFinite>,
}

/// The device's own time of each launch that one thread issues: the runtime tells of those of all threads.
pub(super) struct Stopwatch {
    seen: Mutex<Vec<(&'static str, Duration, Instant)>>,
    thread: ThreadId,
}

impl LaunchObserver for Stopwatch {
    fn launched(&self, _: &'static str) {}

    fn timing(&self) -> TimingRequest {
        TimingRequest::Resolved
    }

    fn timed(&self, kernel: &'static str, duration: Measured, _: TimingMethod) {
        if thread::current().id() != self.thread {
            return;
        }
        if let Ok(mut seen) = self.seen.lock() {
            seen.push((kernel, duration, Instant::now()));
        }
    }
}

/// Collects what tape and device tell.
pub(super) struct Recorder {
    client: Client,
    stopwatch: Arc<Stopwatch>,
    start: Instant,
    last: Duration,
    allocations: u64,
    ledger: Ledger,
    hunt_nan: bool,
    host: Option<(&'static str, Duration)>,
    found: Profile,
}

impl Recorder {
    pub fn new(client: &Client, hunt_nan: bool) -> (Self, Arc<Stopwatch>) {
        let stopwatch = Arc::new(Stopwatch {
            seen: Mutex::default(),
            thread: thread::current().id(),
        });
        launch::reset_peak();
        let recorder = Self {
            client: client.clone(),
            stopwatch: stopwatch.clone(),
            start: Instant::now(),
            last: Duration::ZERO,
            allocations: launch::allocations(),
            ledger: Ledger::new(launch::held_and_peak()[0]),
            hunt_nan,
            host: None,
            found: Profile::default(),
        };
        (recorder, stopwatch)
    }

    /// Ends what the host did and begins `what`.
    pub fn host(&mut self, what: &'static str) {
        self.rest();
        let now = self.start.elapsed();
        if let Some((what, began)) = self.host.replace((what, now)) {
            let ended = now;
            self.found.spans.push(Span { what, began, ended });
        }
        self.last = now;
        if self.found.operations.is_empty() {
            // Parameters and the optimiser's memory, which were made since the watch began.
            self.ledger = Ledger::new(launch::held_and_peak()[0]);
        }
    }

    /// The launches since the last call.
    fn launches(&mut self) -> Vec<Kernel> {
        let seen = self.stopwatch.seen.lock();
        let seen = seen.map(|mut seen| std::mem::take(&mut *seen));
        let kernel = |(name, time, ended): (&str, Duration, Instant)| Kernel {
            name: short(name),
            time,
            ended: ended.duration_since(self.start),
        };
        seen.unwrap_or_default().into_iter().map(kernel).collect()
    }

    /// Puts the launches that no operation made with the others.
    fn rest(&mut self) {
        let launches = self.launches();
        self.found.others.extend(launches);
        self.allocations = launch::allocations();
    }

    pub fn finish(&mut self) -> Profile {
        self.host("end");
        let mut found = std::mem::take(&mut self.found);
        found.held = self.ledger.finish();
        found
    }
}

/// A kernel's path without crates, generics and the type that launches it.
fn short(name: &str) -> String {
    let name = name.split('<').next().unwrap_or(name);
    let path = name.strip_prefix("ghostlight_kernels::").unwrap_or(name);
    let parts: Vec<&str> = path.split("::").collect();
    // A kernel is a type within a module of the function's name.
    let kept = match parts.as_slice() {
        [front @ .., last] if last.chars().next().is_some_and(char::is_uppercase) => front,
        all => all,
    };
    kept.join("::")
}

impl Observer for Recorder {
    fn saw(&mut self, event: &Event, output: &Tensor) {
        if self.hunt_nan && self.found.not_finite.is_none() {
            self.found.not_finite = nan::look(event, output, self.found.operations.len());
        }
    }

    fn ran(&mut self, event: Event) {
        // A failed launch shows when the results are read.
        let _ = cubecl::future::block_on(self.client.sync());
        let kernels = self.launches();
        let ended = self.start.elapsed();
        let allocations = launch::allocations();
        let held = launch::held_and_peak()[0];
        self.ledger
            .note(event.op, event.phase == Phase::Backward, held, ended);
        self.found.operations.push(Ran {
            event,
            began: self.last,
            ended,
            kernels,
            allocations: allocations - self.allocations,
            held,
        });
        self.allocations = launch::allocations();
        self.last = self.start.elapsed();
    }
}
