use std::time::Instant;

/// How long one contender runs before the next has its turn. A turn begins with caches, clocks and threads that another left
/// behind: 6 MB of ReLU took 0.45 ms in the median of 7 calls a turn, and 0.31 ms of 300.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// Calls before the first that counts.
    pub discarded: usize,
    /// Calls that count at least.
    pub least: usize,
    /// After so many ms no further call begins.
    pub ms: f64,
    /// Whether the caches are flushed before every call.
    pub cold: bool,
}

impl Turn {
    /// Calls longer than this are slow: they are timed one at a time, in few rounds, and not cold.
    pub const SLOW_MS: f64 = 30.0;
    /// Compiles kernels, fills memory pools, settles clocks.
    pub const WARM: Self = Self {
        discarded: 0,
        least: 3,
        ms: 25.0,
        cold: false,
    };

    /// A turn for calls of `call_ms` that is to last `ms`: long calls, which what another left behind cannot touch, come one at a time.
    pub fn of(call_ms: f64, ms: f64) -> Self {
        let slow = call_ms > Self::SLOW_MS;
        Self {
            discarded: if slow { 0 } else { 2 },
            least: if slow { 1 } else { 3 },
            ms: if slow { 0.0 } else { ms },
            cold: false,
        }
    }

    /// A turn of `calls` calls that find nothing in the caches.
    pub fn cold(calls: usize) -> Self {
        Self {
            discarded: 0,
            least: calls,
            ms: 0.0,
            cold: true,
        }
    }

    /// The times of the calls that count, in ms. `call` returns its own.
    ///
    /// # Errors
    /// Those of `call`.
    pub fn take(
        self,
        mut call: impl FnMut() -> Result<f64, String>,
        mut flush: impl FnMut(),
    ) -> Result<Vec<f64>, String> {
        for _ in 0..self.discarded {
            call()?;
        }
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < self.least || start.elapsed().as_secs_f64() * 1e3 < self.ms {
            if self.cold {
                flush();
            }
            times.push(call()?);
        }
        Ok(times)
    }
}

/// Memory that is written to push everything else out of the caches.
pub struct Flush(Vec<u8>);

impl Flush {
    /// Enough for a last-level cache of `bytes`, at most 512 MiB.
    pub fn of(bytes: Option<usize>) -> Self {
        Self(vec![0; bytes.unwrap_or(64 << 20).clamp(8 << 20, 512 << 20)])
    }

    /// Bytes that are written.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Touches every cache line.
    pub fn run(&mut self) {
        for byte in self.0.iter_mut().step_by(64) {
            *byte = byte.wrapping_add(1);
        }
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_at_least_its_calls_and_discards_the_first() {
        let mut calls = 0;
        let turn = Turn {
            discarded: 2,
            least: 3,
            ms: 0.0,
            cold: false,
        };
        let mut call = || {
            calls += 1;
            Ok(f64::from(calls))
        };
        assert_eq!(turn.take(&mut call, || ()), Ok(vec![3.0, 4.0, 5.0]));
    }

    #[test]
    fn a_cold_turn_flushes_before_every_call() {
        let mut flushes = 0;
        let times = Turn::cold(4).take(|| Ok(1.0), || flushes += 1);
        assert_eq!((times.map(|times| times.len()), flushes), (Ok(4), 4));
    }

    #[test]
    fn a_long_call_comes_one_at_a_time() {
        let turn = Turn::of(2400.0, 20.0);
        assert_eq!(turn.take(|| Ok(2400.0), || ()), Ok(vec![2400.0]));
    }
}
