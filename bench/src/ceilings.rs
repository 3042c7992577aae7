//! What the device can do at best, measured in the run whose rows it judges.
//!
//! Cold bandwidths are those of CubeCL's throughput probes, which move a window over a buffer that no cache holds. Hot ones and the
//! peak of multiply-adds are two kernels of our own: a copy of the same two buffers over and over, and twelve chains of
//! multiply-adds in registers (CubeCL's probe has four, and a core with two units of a latency of four needs eight).

use crate::results::{Bandwidth, Bound, Cache, Ceilings};
use crate::turn::Turn;
use cubecl::prelude::*;
use cubecl::std::throughput::{measure_launch_overhead, measure_peak_throughput};
use cubecl::throughput::{MemoryAccess, MemorySpec, ThroughputKey, ThroughputMode};
use ghostlight_autodiff::{Client, Cost, DType, Tensor};
use ghostlight_kernels::launch;
use std::time::Instant;

/// Working sets of the hot copies, in bytes of both buffers: from half a first-level cache to past every cache but a last one.
const HOT_SETS: [usize; 8] = [
    32 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
    256 << 20,
    512 << 20,
];
/// Working sets of the cold probes. Between 64 KiB and 1 GiB they differed by a tenth here, and each takes a second or two.
const COLD_SETS: [u64; 4] = [1 << 16, 1 << 20, 1 << 24, 1 << 28];
/// Bytes that one launch of the hot copy moves at least, so that the launch itself does not count.
const MOVED: usize = 64 << 20;
const CHAINS: usize = 12;
/// Steps of each chain: some ms.
const STEPS: usize = 200_000;

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

#[cube(launch_unchecked)]
fn multiply_add<N: Size>(out: &mut [Vector<f32, N>], seed: f32, steps: usize) {
    let mut chains = Array::<Vector<f32, N>>::new(comptime!(CHAINS));
    #[unroll]
    for i in 0..CHAINS {
        chains[i] = Vector::new(seed + f32::cast_from(i));
    }
    let factor = Vector::<f32, N>::new(seed);
    for _ in 0..steps {
        #[unroll]
        for i in 0..CHAINS {
            chains[i] = fma(chains[i], factor, factor);
        }
    }
    let mut sum = chains[0];
    #[unroll]
    for i in 1..CHAINS {
        sum += chains[i];
    }
    out[ABSOLUTE_POS] = sum;
}

impl Ceilings {
    /// Measures all of them: some 40 s on a CPU, most of it cold bandwidths. A `quick` run, which flushes no caches, takes those of the
    /// largest working set alone.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn measure(client: &Client, quick: bool) -> Result<Self, String> {
        let mut memory = Vec::new();
        for (name, access) in [
            ("read", MemoryAccess::Read),
            ("write", MemoryAccess::Write),
            ("copy", MemoryAccess::Copy),
        ] {
            let first = if quick { COLD_SETS.len() - 1 } else { 0 };
            for &bytes in &COLD_SETS[first..] {
                // A working set that the device has no room for stays out.
                memory.extend(cold(client, access, bytes).map(|gb_s| Bandwidth {
                    access: name.into(),
                    cache: Cache::Cold,
                    bytes,
                    gb_s,
                }));
            }
        }
        for bytes in HOT_SETS {
            memory.push(Bandwidth {
                access: "copy".into(),
                cache: Cache::Hot,
                bytes: bytes as u64,
                gb_s: hot_copy(client, bytes)?,
            });
        }
        Ok(Self {
            memory,
            gflop_s: peak(client)?,
            launch_us: measure_launch_overhead(client).as_secs_f64() * 1e6,
        })
    }

    /// What whole steps are held against, measured in a few seconds: the copy that no cache holds, and the peak of multiply-adds. A launch costs
    /// nothing here, as a step queues its launches.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn of_steps(client: &Client) -> Result<Self, String> {
        let largest = COLD_SETS[COLD_SETS.len() - 1];
        let copy = cold(client, MemoryAccess::Copy, largest);
        Ok(Self {
            memory: vec![Bandwidth {
                access: "copy".into(),
                cache: Cache::Cold,
                bytes: largest,
                gb_s: copy.ok_or("the device has no room for a copy that no cache holds")?,
            }],
            gflop_s: peak(client)?,
            launch_us: 0.0,
        })
    }

    /// The least time in ms in which the device could do `operations` one after the other, each bound by its bytes or by its multiply-adds.
    pub fn of_operations(&self, operations: &[Cost]) -> Option<f64> {
        let each = operations
            .iter()
            .map(|&cost| self.limit(cost, Cache::Cold, false));
        each.map(|limit| Some(limit?.0)).sum()
    }

    /// The bandwidth of a copy over a working set of `bytes`, in GB/s, between measured points by the logarithm of their sizes.
    pub fn copy_at(&self, bytes: u64, cache: Cache) -> Option<f64> {
        let mut points: Vec<(f64, f64)> = self
            .memory
            .iter()
            .filter(|point| point.access == "copy" && point.cache == cache)
            .map(|point| ((point.bytes as f64).ln(), point.gb_s))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (first, last) = (*points.first()?, *points.last()?);
        let at = (bytes as f64).ln();
        if at <= first.0 || at >= last.0 {
            return Some(if at <= first.0 { first.1 } else { last.1 });
        }
        let above = points.partition_point(|point| point.0 <= at);
        let (low, high) = (points[above - 1], points[above]);
        Some(low.1 + (at - low.0) / (high.0 - low.0) * (high.1 - low.1))
    }

    /// The time in ms under which work of this cost cannot have been done on this device, on a working set of `touched` bytes at least. It is
    /// shorter than the [limit](Self::limit) of a roofline: a copy fetches the lines that it overwrites, which in-place work and
    /// reading need not, and what was measured over a smaller set may hold for a part of this one.
    pub fn least(&self, cost: Cost, touched: u64, cache: Cache) -> f64 {
        let bytes = (cost.bytes_read + cost.bytes_written) as f64;
        let memory = match self.fastest(touched, cache) {
            Some(gb_s) => bytes / gb_s / 1e6,
            None => 0.0,
        };
        match self.gflop_s > 0.0 {
            true => memory.max(2.0 * cost.macs as f64 / self.gflop_s / 1e6),
            false => memory,
        }
    }

    /// Bytes that any access moved at best over the largest measured set of at most `touched` bytes, or over a larger one, in GB/s.
    fn fastest(&self, touched: u64, cache: Cache) -> Option<f64> {
        let points = self.memory.iter().filter(|point| point.cache == cache);
        let from = points
            .clone()
            .map(|point| point.bytes)
            .filter(|bytes| *bytes <= touched)
            .max()
            .unwrap_or(0);
        let moved = points.filter(|point| point.bytes >= from).map(|point| {
            point.gb_s
                * match point.access.as_str() {
                    "copy" => 1.5,
                    "write" => 2.0,
                    _ => 1.0,
                }
        });
        moved.max_by(f64::total_cmp)
    }

    /// Measures again what [`Self::least`] says of `touched` bytes, and keeps what is better: a machine may have been slow when a run
    /// began.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn again(&mut self, client: &Client, touched: u64, cache: Cache) -> Result<(), String> {
        if self.gflop_s > 0.0 {
            self.gflop_s = self.gflop_s.max(peak(client)?);
        }
        let copies = self.memory.iter_mut();
        let copies = copies.filter(|point| point.access == "copy" && point.cache == cache);
        let nearest = copies.min_by_key(|point| match point.bytes <= touched {
            true => touched - point.bytes,
            false => u64::MAX,
        });
        if let Some(point) = nearest {
            let gb_s = match cache {
                Cache::Hot => Some(hot_copy(client, point.bytes as usize)?),
                Cache::Cold => cold(client, MemoryAccess::Copy, point.bytes),
            };
            point.gb_s = point.gb_s.max(gb_s.unwrap_or(0.0));
        }
        Ok(())
    }

    /// The least time in ms in which the device could do work of this cost, in one launch of our runtime where `launches` says so, and
    /// what binds it.
    pub fn limit(&self, cost: Cost, cache: Cache, launches: bool) -> Option<(f64, Bound)> {
        let bytes = cost.bytes_read + cost.bytes_written;
        let memory = bytes as f64 / self.copy_at(bytes, cache)? / 1e6;
        let compute = match self.gflop_s > 0.0 {
            true => 2.0 * cost.macs as f64 / self.gflop_s / 1e6,
            false => 0.0,
        };
        let limits = [
            (memory, Bound::Memory),
            (compute, Bound::Compute),
            (f64::from(launches) * self.launch_us / 1e3, Bound::Launch),
        ];
        limits.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// CubeCL's probe of a window that moves over a buffer which no cache holds, in GB/s.
fn cold(client: &Client, access: MemoryAccess, bytes: u64) -> Option<f64> {
    let mode = ThroughputMode::Memory(MemorySpec::new(access, bytes));
    let key = ThroughputKey { mode };
    let value = measure_peak_throughput(client, key).ok()?;
    Some(value.bytes_per_s(&key) / 1e9)
}

fn hot_copy(client: &Client, bytes: usize) -> Result<f64, String> {
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

fn peak(client: &Client) -> Result<f64, String> {
    let width = launch::widest(client, DType::F32);
    let items = match launch::is_cpu(client) {
        true => launch::grid(client, usize::MAX / 2).units,
        false => 1 << 16,
    };
    let grid = launch::grid(client, items);
    let out = Tensor::empty(client, &[grid.units * width], DType::F32);
    let steps = if launch::is_cpu(client) { STEPS } else { 1000 };
    let ms = best(client, || {
        // SAFETY: every unit has a vector of its own.
        unsafe {
            multiply_add::launch_unchecked(
                client,
                grid.count.clone(),
                grid.dim,
                width,
                out.arg(width),
                0.5,
                steps,
            );
        }
    })?;
    Ok((2 * CHAINS * steps * grid.units * width) as f64 / ms / 1e6)
}

/// The fastest of some launches, in ms: a ceiling is what the device can do, not what it does on average.
fn best(client: &Client, mut launch: impl FnMut()) -> Result<f64, String> {
    let turn = Turn {
        discarded: 2,
        least: 5,
        ms: 60.0,
        cold: false,
        together: 1,
    };
    let times = turn.take(
        |_| {
            let start = Instant::now();
            launch();
            cubecl::future::block_on(client.sync()).map_err(|error| error.to_string())?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        },
        || (),
    )?;
    Ok(times.into_iter().fold(f64::INFINITY, f64::min))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings() -> Ceilings {
        let point = |bytes, gb_s| Bandwidth {
            access: "copy".into(),
            cache: Cache::Hot,
            bytes,
            gb_s,
        };
        Ceilings {
            memory: vec![point(1 << 10, 100.0), point(1 << 20, 50.0)],
            gflop_s: 400.0,
            launch_us: 10.0,
        }
    }

    #[test]
    fn a_ceiling_between_two_working_sets_lies_between_theirs() {
        let at = |bytes| ceilings().copy_at(bytes, Cache::Hot);
        assert_eq!(at(1), Some(100.0));
        assert!((at(1 << 15).expect("measured") - 75.0).abs() < 1e-9);
        assert_eq!(at(1 << 30), Some(50.0));
        assert_eq!(ceilings().copy_at(1, Cache::Cold), None);
    }

    #[test]
    fn a_step_is_bound_by_one_operation_after_the_other() {
        let cold = Bandwidth {
            access: "copy".into(),
            cache: Cache::Cold,
            bytes: 1 << 20,
            gb_s: 10.0,
        };
        let ceilings = Ceilings {
            memory: vec![cold],
            gflop_s: 400.0,
            launch_us: 0.0,
        };
        // 1 ms of bytes, then 2 ms of multiply-adds whose bytes take half as long.
        let pass = Cost::traffic(1_000_000, 1_500_000, 4);
        let product = pass.with_macs(400_000_000);
        let sum = ceilings.of_operations(&[pass, product]).expect("measured");
        assert!((sum - 3.0).abs() < 1e-9, "{sum}");
        assert_eq!(Ceilings::default().of_operations(&[pass]), None);
    }

    #[test]
    fn in_place_work_over_a_set_that_half_fits_is_not_too_fast() {
        let least = |macs, bytes, touched| {
            let cost = Cost {
                macs,
                bytes_read: bytes,
                bytes_written: 0,
            };
            ceilings().least(cost, touched, Cache::Hot)
        };
        // 75 GB/s where copies make 50, and where the next smaller measured set is of 100, its 150.
        assert!((least(1, 75_000_000, 1 << 20) - 1.0).abs() < 1e-9);
        assert!((least(1, 150_000_000, 1 << 19) - 1.0).abs() < 1e-9);
        assert!((least(200_000_000, 1, 1 << 19) - 1.0).abs() < 1e-9);
        // Nothing was measured cold.
        let cost = Cost::traffic(1 << 20, 0, 4);
        assert_eq!(ceilings().least(cost, 1 << 22, Cache::Cold), 0.0);
    }

    #[test]
    fn what_takes_longest_binds() {
        let limit = |macs, bytes, launches| {
            let cost = Cost {
                macs,
                bytes_read: bytes,
                bytes_written: 0,
            };
            let limit = ceilings().limit(cost, Cache::Hot, launches);
            limit.expect("measured")
        };
        assert_eq!(limit(1, 1, true), (0.01, Bound::Launch));
        assert_eq!(limit(1, 50_000_000, true), (1.0, Bound::Memory));
        assert_eq!(limit(200_000_000, 50_000, true), (1.0, Bound::Compute));
        // A peer has no launches of ours.
        assert_eq!(limit(1, 1, false), (1e-8, Bound::Memory));
    }
}
