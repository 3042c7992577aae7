//! The measuring: which probes run, and how long.

use super::memory::{cold, hot_copy};
use super::{name, probe, types};
use crate::results::{Bandwidth, Cache, Ceilings, Peak};
use crate::turn::Turn;
use cubecl::std::throughput::measure_launch_overhead;
use cubecl::throughput::MemoryAccess;
use ghostlight_autodiff::{Client, DType};
use ghostlight_kernels::Work;
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

impl Ceilings {
    /// Measures all bandwidths, and the peaks of the arithmetic that is `needed`, each in the element type of the rows that need it: some 40 s
    /// on a CPU, most of it cold bandwidths. A `quick` run, which flushes no caches, takes those of the largest working set alone.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn measure(client: &Client, quick: bool, needed: &[(Work, DType)]) -> Result<Self, String> {
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
        let mut ceilings = Self {
            memory,
            gflop_s: 0.0,
            peaks: Vec::new(),
            launch_us: measure_launch_overhead(client).as_secs_f64() * 1e6,
        };
        // The roofline is drawn under the peak of multiply-adds, whatever the rows are made of.
        ceilings.raise(client, Work::MultiplyAdds, DType::F32)?;
        for &(work, dtype) in needed {
            ceilings.raise(client, work, dtype)?;
        }
        Ok(ceilings)
    }

    /// What whole steps are held against, measured in a few seconds: the copy that no cache holds, and the peaks of arithmetic in 32 bits. A
    /// launch costs nothing here, as a step queues its launches.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn of_steps(client: &Client) -> Result<Self, String> {
        let largest = COLD_SETS[COLD_SETS.len() - 1];
        let copy = cold(client, MemoryAccess::Copy, largest);
        let mut ceilings = Self {
            memory: vec![Bandwidth {
                access: "copy".into(),
                cache: Cache::Cold,
                bytes: largest,
                gb_s: copy.ok_or("the device has no room for a copy that no cache holds")?,
            }],
            gflop_s: 0.0,
            peaks: Vec::new(),
            launch_us: 0.0,
        };
        for work in Work::ALL {
            ceilings.raise(client, work, DType::F32)?;
        }
        Ok(ceilings)
    }

    /// Measures again what [`Self::least`] says of `touched` bytes and of multiply-adds in `dtype`, and keeps what is better: a machine may have
    /// been slow when a run began.
    ///
    /// # Errors
    /// A probe failed, in words.
    pub fn again(
        &mut self,
        client: &Client,
        dtype: DType,
        touched: u64,
        cache: Cache,
    ) -> Result<(), String> {
        if self.peak(Work::MultiplyAdds, dtype).is_some() {
            self.raise(client, Work::MultiplyAdds, dtype)?;
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

    /// Measures the peaks of `work` on elements of `dtype`, and keeps what is better.
    fn raise(&mut self, client: &Client, work: Work, dtype: DType) -> Result<(), String> {
        for dtype in types(work, dtype) {
            let measured = match dtype.is_half() {
                true => probe::half_multiply_adds(client, dtype),
                false => Some(probe::wide(client, work, dtype)?),
            };
            if let Some(g_s) = measured {
                self.keep(work, dtype, g_s);
            }
        }
        Ok(())
    }

    /// Keeps a peak where it is better than what is known.
    fn keep(&mut self, work: Work, dtype: DType, g_s: f64) {
        if (work, dtype) == (Work::MultiplyAdds, DType::F32) {
            self.gflop_s = self.gflop_s.max(2.0 * g_s);
            return;
        }
        let (work, dtype) = (work.into(), name(dtype));
        let known = self.peaks.iter_mut();
        match known
            .into_iter()
            .find(|peak| (peak.work, &peak.dtype) == (work, &dtype))
        {
            Some(peak) => peak.g_s = peak.g_s.max(g_s),
            None => self.peaks.push(Peak { work, dtype, g_s }),
        }
    }
}

/// The fastest of some launches, in ms: a ceiling is what the device can do, not what it does on average.
pub(super) fn best(client: &Client, mut launch: impl FnMut()) -> Result<f64, String> {
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

    #[test]
    fn every_kind_of_arithmetic_has_a_peak_on_this_device_and_none_is_left_out_of_its_chains() {
        let client = cubecl::Device::default().client();
        for dtype in [DType::F32, DType::F64] {
            if !dtype.is_on(&client) {
                continue;
            }
            let mut ceilings = Ceilings::default();
            for work in Work::ALL {
                assert_eq!(ceilings.peak(work, dtype), None);
                ceilings.raise(&client, work, dtype).expect("a probe");
            }
            let peak = |work| ceilings.peak(work, dtype).expect("it was measured");
            let multiply_adds = peak(Work::MultiplyAdds);
            for work in Work::ALL {
                // What a compiler leaves out takes no time; tests beside this one make some peaks a few times too low.
                let g_s = peak(work);
                let told = format!("{work:?} in {dtype:?}: {g_s} beside {multiply_adds}");
                assert!(0.0 < g_s && g_s < 10.0 * multiply_adds, "{told}");
            }
            assert!(peak(Work::Exponentials) < multiply_adds / 2.0);
            assert!(peak(Work::Divisions) < multiply_adds / 2.0);
        }
    }

    #[test]
    fn a_slower_measurement_lowers_no_peak() {
        let mut ceilings = Ceilings::default();
        for g_s in [3.0, 5.0, 4.0] {
            ceilings.keep(Work::Exponentials, DType::F32, g_s);
            ceilings.keep(Work::MultiplyAdds, DType::F32, 10.0 * g_s);
        }
        assert_eq!(ceilings.peak(Work::Exponentials, DType::F32), Some(5.0));
        assert_eq!((ceilings.peaks.len(), ceilings.gflop_s), (1, 100.0));
    }
}
