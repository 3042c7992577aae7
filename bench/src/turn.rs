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

/// The order in which `n` contenders have their turns in a round: a zigzag, moved on by one each round, and for odd `n` every other
/// time from behind. So nobody follows itself, and over `n` rounds, or `2 n`, everybody follows each other equally often.
///
/// What a turn finds in caches and clocks is the turn's before. With orders to and fro ours followed itself every other round, and its
/// control never: the control read above 1 in 429 rows, and below in 336.
pub fn order(n: usize, round: usize) -> Vec<usize> {
    if n < 3 {
        return (0..n).collect();
    }
    let zigzag = (0..n).map(|i| if i % 2 == 1 { i.div_ceil(2) } else { n - i / 2 });
    let mut order: Vec<usize> = zigzag.map(|place| (place + round) % n).collect();
    if n % 2 == 1 && round % 2 == 1 {
        order.reverse();
    }
    order
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

    /// How often each follows each over `rounds` rounds, the change of rounds included.
    fn follows(n: usize, rounds: usize) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..rounds).flat_map(|round| order(n, round)).collect();
        let mut counts = vec![vec![0; n]; n];
        for pair in all.windows(2) {
            counts[pair[0]][pair[1]] += 1;
        }
        counts
    }

    #[test]
    fn nobody_follows_itself_and_everybody_each_other() {
        for n in 2..12 {
            let rounds = if n % 2 == 0 { n } else { 2 * n };
            let counts = follows(n, rounds);
            let (mut least, mut most) = (usize::MAX, 0);
            for (i, row) in counts.iter().enumerate() {
                assert_eq!(row[i], 0, "{n} contenders: {i} follows itself");
                for (j, &count) in row.iter().enumerate().filter(|(j, _)| *j != i) {
                    assert!(count > 0, "{n} contenders: {j} never follows {i}");
                    (least, most) = (least.min(count), most.max(count));
                }
            }
            // The change of rounds adds one here and there.
            assert!(n == 2 || most - least <= 2, "{n} contenders: {counts:?}");
        }
    }

    #[test]
    fn all_have_a_turn_in_every_round() {
        for (n, round) in [(1, 0), (2, 3), (5, 4), (8, 6)] {
            let mut all = order(n, round);
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
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
