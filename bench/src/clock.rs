//! Criterion's clock: the device's own durations where it measures them.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use cubecl::client::ProfileWindow;
use cubecl_runtime::logging::TimingMethod;
use ghostlight_autodiff::{Client, Cost};
use std::time::{Duration, Instant};

/// A [`Measurement`] that brackets iterations by marks on the device's own clock where the runtime has one (the CPU, CUDA, HIP and
/// wgpu's timestamps do), and by the caller's, up to the end of the work, where not.
pub struct DeviceTime {
    client: Client,
}

impl DeviceTime {
    /// The clock of `client`'s device.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
        }
    }

    /// What it reads: `device` or `wall`.
    pub fn name(&self) -> &'static str {
        match self.client.properties().timing_method {
            TimingMethod::Device => "device",
            TimingMethod::System => "wall",
        }
    }
}

impl Measurement for DeviceTime {
    type Intermediate = (Instant, Option<ProfileWindow>);
    type Value = Duration;

    fn start(&self) -> Self::Intermediate {
        (Instant::now(), self.client.profile_start().ok())
    }

    fn end(&self, (start, window): Self::Intermediate) -> Duration {
        // Work that is still queued has not ended.
        let _ = cubecl::future::block_on(self.client.sync());
        let elapsed = start.elapsed();
        let profile = window.and_then(|window| self.client.profile_end(window).ok());
        profile
            .and_then(|profile| cubecl::future::block_on(profile.resolve()))
            .map_or(elapsed, |ticks| ticks.duration())
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Operations of work that computes, bytes of work that moves: below 10 FLOP a byte it is the bytes that count on every device.
pub fn throughput(cost: Cost) -> Throughput {
    let (flop, bytes) = (2 * cost.macs, cost.bytes_read + cost.bytes_written);
    match flop > 10 * bytes {
        true => Throughput::Elements(flop),
        false => Throughput::Bytes(bytes),
    }
}
