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
    /// Calls that are waited for together, and give one time, their mean.
    pub together: usize,
}

impl Turn {
    /// Calls longer than this are slow: they are timed one at a time, in few rounds, and not cold.
    pub const SLOW_MS: f64 = 30.0;
    /// Calls that are waited for together take this long, ms, unless they are [`Self::MOST_TOGETHER`].
    const TOGETHER_MS: f64 = 0.5;
    const MOST_TOGETHER: f64 = 16.0;
    /// Compiles kernels, fills memory pools, settles clocks.
    pub const WARM: Self = Self {
        discarded: 0,
        least: 3,
        ms: 25.0,
        cold: false,
        together: 1,
    };

    /// A turn for calls of `call_ms` that is to last `ms`: long calls, which what another left behind cannot touch, come one at a time.
    pub fn of(call_ms: f64, ms: f64) -> Self {
        let slow = call_ms > Self::SLOW_MS;
        Self {
            discarded: if slow { 0 } else { 2 },
            least: if slow { 1 } else { 3 },
            ms: if slow { 0.0 } else { ms },
            cold: false,
            together: (Self::TOGETHER_MS / call_ms).clamp(1.0, Self::MOST_TOGETHER) as usize,
        }
    }

    /// A turn of `calls` calls that find nothing in the caches.
    pub fn cold(calls: usize) -> Self {
        Self {
            discarded: 0,
            least: calls,
            ms: 0.0,
            cold: true,
            together: 1,
        }
    }

    /// The times of the calls that count, in ms, by `calls`, which makes so many and returns their mean.
    ///
    /// # Errors
    /// Those of `call`.
    pub fn take(
        self,
        mut calls: impl FnMut(usize) -> Result<f64, String>,
        mut flush: impl FnMut(),
    ) -> Result<Vec<f64>, String> {
        for _ in 0..self.discarded {
            calls(1)?;
        }
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < self.least || start.elapsed().as_secs_f64() * 1e3 < self.ms {
            if self.cold {
                flush();
            }
            times.push(calls(self.together)?);
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
            together: 4,
        };
        let mut made = Vec::new();
        let mut call = |count| {
            calls += 1;
            made.push(count);
            Ok(f64::from(calls))
        };
        assert_eq!(turn.take(&mut call, || ()), Ok(vec![3.0, 4.0, 5.0]));
        assert_eq!(made, [1, 1, 4, 4, 4]);
    }

    #[test]
    fn a_cold_turn_flushes_before_every_call() {
        let mut flushes = 0;
        let times = Turn::cold(4).take(|_| Ok(1.0), || flushes += 1);
        assert_eq!((times.map(|times| times.len()), flushes), (Ok(4), 4));
    }

    #[test]
    fn short_calls_are_waited_for_together() {
        let together = [0.01, 0.1, 0.4, 2.0, 40.0].map(|ms| Turn::of(ms, 15.0).together);
        assert_eq!(together, [16, 5, 1, 1, 1]);
    }

    #[test]
    fn a_long_call_comes_one_at_a_time() {
        let turn = Turn::of(2400.0, 20.0);
        assert_eq!(turn.take(|_| Ok(2400.0), || ()), Ok(vec![2400.0]));
    }
}
