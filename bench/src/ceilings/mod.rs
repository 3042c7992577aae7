//! What the device can do at best, measured in the run whose rows it judges.
//!
//! Cold bandwidths are those of CubeCL's throughput probes, which move a window over a buffer that no cache holds. Hot ones and the
//! peaks of arithmetic are two kernels of our own: a copy of the same two buffers over and over, and twelve chains of one kind of
//! operation in registers (CubeCL's probe has four).

mod measure;
mod memory;
mod probe;

use crate::results::{Bound, Cache, Ceilings};
use ghostlight_autodiff::{Cost, DType};
use ghostlight_kernels::{Work, planted};

/// The element types whose peaks say how fast `work` on elements of `dtype` can go: the one that it is done in, and for multiply-adds of 16
/// bits these too, which units for matrices take as they are. A peer may use those; our kernels widen every element.
fn types(work: Work, dtype: DType) -> Vec<DType> {
    let mut types = vec![dtype.accumulator()];
    if work == Work::MultiplyAdds && dtype.is_half() {
        types.push(dtype);
    }
    types
}

/// An element type as files name it.
fn name(dtype: DType) -> String {
    format!("{dtype:?}").to_lowercase()
}

impl Ceilings {
    /// How fast a kind of arithmetic on elements of `dtype` can go, in thousands of millions a second; none where that was not measured.
    pub fn peak(&self, work: Work, dtype: DType) -> Option<f64> {
        let work = match work {
            Work::Exponentials if planted::is("exponentials_as_fast_as_multiply_adds") => {
                Work::MultiplyAdds
            }
            work => work,
        };
        let of = |dtype: DType| match (work, dtype) {
            (Work::MultiplyAdds, DType::F32) => Some(self.gflop_s / 2.0),
            (work, dtype) => {
                let (work, dtype) = (Bound::from(work), name(dtype));
                let mut peaks = self.peaks.iter();
                peaks
                    .find(|peak| (peak.work, &peak.dtype) == (work, &dtype))
                    .map(|peak| peak.g_s)
            }
        };
        let known = types(work, dtype).into_iter().filter_map(of);
        known.filter(|g_s| *g_s > 0.0).max_by(f64::total_cmp)
    }

    /// The least time in ms in which the device could do `operations` in 32 bits one after the other, each bound by its bytes or by one kind of
    /// its arithmetic.
    pub fn of_operations(&self, operations: &[Cost]) -> Option<f64> {
        let each = operations
            .iter()
            .map(|&cost| self.limit(cost, DType::F32, Cache::Cold, false));
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
    ///
    /// Of arithmetic it knows the multiply-adds alone: what approximates an exponential may be faster than any peak.
    pub fn least(&self, cost: Cost, dtype: DType, touched: u64, cache: Cache) -> f64 {
        let bytes = (cost.bytes_read + cost.bytes_written) as f64;
        let memory = match self.fastest(touched, cache) {
            Some(gb_s) => bytes / gb_s / 1e6,
            None => 0.0,
        };
        match self.peak(Work::MultiplyAdds, dtype) {
            Some(g_s) => memory.max(cost.macs as f64 / g_s / 1e6),
            None => memory,
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

    /// The least time in ms in which the device could do work of this cost on elements of `dtype`, in one launch of our runtime where
    /// `launches` says so, and what binds it: the bytes, or the kind of arithmetic that takes longest. What has no ceiling binds nothing.
    pub fn limit(
        &self,
        cost: Cost,
        dtype: DType,
        cache: Cache,
        launches: bool,
    ) -> Option<(f64, Bound)> {
        let bytes = cost.bytes_read + cost.bytes_written;
        let memory = bytes as f64 / self.copy_at(bytes, cache)? / 1e6;
        let launch = f64::from(launches) * self.launch_us / 1e3;
        let arithmetic = Work::ALL.into_iter().filter_map(|work| {
            let g_s = self.peak(work, dtype)?;
            Some((cost.count(work) as f64 / g_s / 1e6, Bound::from(work)))
        });
        let limits = arithmetic.chain([(memory, Bound::Memory), (launch, Bound::Launch)]);
        limits.max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Bandwidth, Peak};

    fn peak(work: Work, dtype: DType, g_s: f64) -> Peak {
        Peak {
            work: work.into(),
            dtype: name(dtype),
            g_s,
        }
    }

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
            peaks: vec![
                peak(Work::Exponentials, DType::F32, 10.0),
                peak(Work::Logarithms, DType::F32, 5.0),
                peak(Work::Divisions, DType::F32, 20.0),
                peak(Work::Compares, DType::F32, 100.0),
                peak(Work::Exponentials, DType::F64, 2.0),
                peak(Work::MultiplyAdds, DType::F64, 80.0),
                peak(Work::MultiplyAdds, DType::F16, 1600.0),
            ],
            launch_us: 10.0,
        }
    }

    /// What binds work of this cost in a launch, and for how many ms.
    fn limit(cost: Cost, dtype: DType) -> (f64, Bound) {
        let limit = ceilings().limit(cost, dtype, Cache::Hot, true);
        limit.expect("measured")
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
            launch_us: 0.0,
            ..ceilings()
        };
        // 1 ms of bytes, then 2 ms of multiply-adds whose bytes take half as long, then 3 ms of exponentials.
        let pass = Cost::traffic(1_000_000, 1_500_000, 4);
        let operations = [
            pass,
            pass.with_macs(400_000_000),
            pass.with_exponentials(30_000_000),
        ];
        let sum = ceilings.of_operations(&operations).expect("measured");
        assert!((sum - 6.0).abs() < 1e-9, "{sum}");
        assert_eq!(Ceilings::default().of_operations(&[pass]), None);
    }

    #[test]
    fn in_place_work_over_a_set_that_half_fits_is_not_too_fast() {
        let least = |macs, bytes, touched| {
            let cost = Cost {
                macs,
                bytes_read: bytes,
                // What approximates them may be as fast as it likes.
                exponentials: 1 << 40,
                ..Cost::default()
            };
            ceilings().least(cost, DType::F32, touched, Cache::Hot)
        };
        // 75 GB/s where copies make 50, and where the next smaller measured set is of 100, its 150.
        assert!((least(1, 75_000_000, 1 << 20) - 1.0).abs() < 1e-9);
        assert!((least(1, 150_000_000, 1 << 19) - 1.0).abs() < 1e-9);
        assert!((least(200_000_000, 1, 1 << 19) - 1.0).abs() < 1e-9);
        // Nothing was measured cold.
        let cost = Cost::traffic(1 << 20, 0, 4);
        let least = ceilings().least(cost, DType::F32, 1 << 22, Cache::Cold);
        assert_eq!(least, 0.0);
    }

    #[test]
    fn what_takes_longest_binds() {
        let limit = |cost, launches| {
            let limit = ceilings().limit(cost, DType::F32, Cache::Hot, launches);
            limit.expect("measured")
        };
        let one = Cost::traffic(1, 0, 1).with_macs(1);
        assert_eq!(limit(one, true), (0.01, Bound::Launch));
        let bytes = Cost::traffic(50_000_000, 0, 1).with_macs(1);
        assert_eq!(limit(bytes, true), (1.0, Bound::Memory));
        let macs = Cost::traffic(50_000, 0, 1).with_macs(200_000_000);
        assert_eq!(limit(macs, true), (1.0, Bound::MultiplyAdds));
        // A peer has no launches of ours.
        assert_eq!(limit(one, false), (1e-8, Bound::Memory));
    }

    #[test]
    fn each_kind_of_arithmetic_is_held_against_its_own_peak() {
        // As many of each: a softmax's multiply-adds would take 0.1 ms, its exponentials take 2.
        let all = Cost::default()
            .with_macs(20_000_000)
            .with_exponentials(20_000_000)
            .with_divisions(20_000_000)
            .with_compares(20_000_000);
        assert_eq!(limit(all, DType::F32), (2.0, Bound::Exponentials));
        let all = all.with_exponentials(0);
        assert_eq!(limit(all, DType::F32), (1.0, Bound::Divisions));
        let all = all.with_divisions(0);
        assert_eq!(limit(all, DType::F32), (0.2, Bound::Compares));
        let all = all.with_logarithms(20_000_000);
        assert_eq!(limit(all, DType::F32), (4.0, Bound::Logarithms));
    }

    #[test]
    fn each_element_type_is_held_against_its_own_peaks() {
        let macs = Cost::default().with_macs(160_000_000);
        assert_eq!(limit(macs, DType::F32), (0.8, Bound::MultiplyAdds));
        assert_eq!(limit(macs, DType::F64), (2.0, Bound::MultiplyAdds));
        // Units for matrices take factors of 16 bits; of bf16 nothing was measured, and its sums are in 32 bits.
        assert_eq!(limit(macs, DType::F16), (0.1, Bound::MultiplyAdds));
        assert_eq!(limit(macs, DType::Bf16), (0.8, Bound::MultiplyAdds));
        let half = ceilings().least(macs, DType::F16, 1, Cache::Hot);
        assert!((half - 0.1).abs() < 1e-9, "{half}");
        // Exponentials of 16 bits are those of 32.
        let exponentials = Cost::default().with_exponentials(20_000_000);
        for (dtype, ms) in [(DType::F16, 2.0), (DType::F32, 2.0), (DType::F64, 10.0)] {
            assert_eq!(limit(exponentials, dtype), (ms, Bound::Exponentials));
        }
        // Nobody measured divisions in 64 bits: they bind nothing.
        let divisions = Cost::default().with_divisions(1 << 40);
        assert_eq!(limit(divisions, DType::F64), (0.01, Bound::Launch));
    }
}
