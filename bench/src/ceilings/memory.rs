//! Bandwidths: of what is in a cache, and of what none holds.

use super::measure::best;
use cubecl::prelude::*;
use cubecl::std::throughput::measure_peak_throughput;
use cubecl::throughput::{MemoryAccess, MemorySpec, ThroughputKey, ThroughputMode};
use ghostlight_autodiff::{Client, DType, Tensor};
use ghostlight_kernels::launch;

/// Bytes that one launch of the hot copy moves at least, so that the launch itself does not count.
const MOVED: usize = 64 << 20;

/// Copies `rounds` times, each time a little more so that no round can be left out.
#[cube(launch_unchecked)]
fn copy_again<N: Size>(
    from: &[Vector<f32, N>],
    to: &mut [Vector<f32, N>],
    vectors: usize,
    run: usize,
    rounds: usize,
) {
    let first = ABSOLUTE_POS * run;
    let last = min(first + run, vectors);
    for round in 0..rounds {
        let more = Vector::new(f32::cast_from(round));
        for i in first..last {
            to[i] = from[i] + more;
        }
    }
}

/// CubeCL's probe of a window that moves over a buffer which no cache holds, in GB/s.
pub(super) fn cold(client: &Client, access: MemoryAccess, bytes: u64) -> Option<f64> {
    let mode = ThroughputMode::Memory(MemorySpec::new(access, bytes));
    let key = ThroughputKey { mode };
    let value = measure_peak_throughput(client, key).ok()?;
    Some(value.bytes_per_s(&key) / 1e9)
}

/// A copy that stays in the caches that hold `bytes`, those of both buffers, in GB/s.
pub(super) fn hot_copy(client: &Client, bytes: usize) -> Result<f64, String> {
    let width = launch::widest(client, DType::F32);
    let vectors = bytes / 2 / 4 / width;
    let rounds = (MOVED / bytes).max(1);
    let from = Tensor::zeros(client, &[vectors * width], DType::F32);
    let to = Tensor::zeros(client, &[vectors * width], DType::F32);
    let grid = launch::grid(client, vectors);
    let ms = best(client, || {
        // SAFETY: both buffers have `vectors` vectors, and runs are cut to them.
        unsafe {
            copy_again::launch_unchecked(
                client,
                grid.count.clone(),
                grid.dim,
                width,
                from.arg(width),
                to.arg(width),
                vectors,
                grid.run,
                rounds,
            );
        }
    })?;
    Ok((rounds * vectors * width * 8) as f64 / ms / 1e6)
}
