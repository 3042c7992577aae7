//! A contender that was found right, with what is known of it so far.

use super::looks::rounds_until;
use crate::contender::Contender;
use crate::counts::{Counts, count};
use crate::flush::Flush;
use crate::gauges::{Gauges, Seen};
use crate::results::Cache;
use crate::stats::{Times, quantile};
use crate::turn::Turn;
use crate::verify::{Effect, Expected, Verified, last_call};
use std::time::{Duration, Instant};

/// Turns of slow contenders.
const SLOW_ROUNDS: usize = 5;
/// Turns of contenders whose one call takes longer than [`SLOWEST_MS`]: with one less an interval is nine standard errors to either side.
const SLOWEST_ROUNDS: usize = 3;
const SLOWEST_MS: f64 = 300.0;

pub(super) struct Entrant<'a> {
    pub contender: Box<dyn Contender + 'a>,
    pub shown: Verified,
    /// Of a contender on our own device.
    pub counts: Option<Counts>,
    /// The median of some calls that found their kernels compiled.
    pub call_ms: f64,
    pub hot: Timed,
    pub cold: Timed,
}

/// Its turns in one state of the caches.
#[derive(Default)]
pub(super) struct Timed {
    pub times: Times,
    pub seen: Seen,
    /// How long they took, with all that is around the calls.
    pub spent: Duration,
    /// How often they were looked at; 0 of those that have none.
    pub looks: usize,
    /// Whether more are to come.
    pub is_open: bool,
}

impl<'a> Entrant<'a> {
    /// Warms a verified contender and sees what a call of it takes.
    pub fn enter(
        mut contender: Box<dyn Contender + 'a>,
        shown: Verified,
        on_device: bool,
    ) -> Result<Self, (Box<dyn Contender + 'a>, String)> {
        match warmed(contender.as_mut(), on_device) {
            Ok((counts, call_ms)) => Ok(Self {
                contender,
                shown,
                counts,
                call_ms,
                hot: Timed::default(),
                cold: Timed::default(),
            }),
            Err(reason) => Err((contender, reason)),
        }
    }

    fn is_slow(&self) -> bool {
        self.call_ms > Turn::SLOW_MS
    }

    pub fn timed(&self, cache: Cache) -> &Timed {
        match cache {
            Cache::Hot => &self.hot,
            Cache::Cold => &self.cold,
        }
    }

    pub fn timed_mut(&mut self, cache: Cache) -> &mut Timed {
        match cache {
            Cache::Hot => &mut self.hot,
            Cache::Cold => &mut self.cold,
        }
    }

    pub fn times(&self, cache: Cache) -> &Times {
        &self.timed(cache).times
    }

    pub fn last_call(
        &mut self,
        expected: &[Expected],
        next: &[Vec<f32>],
        effect: Effect,
    ) -> Result<f64, String> {
        last_call(self.contender.as_mut(), expected, next, effect)
    }

    /// Its turns before the first look, of `all`.
    fn rounds(&self, cache: Cache, all: usize) -> usize {
        match cache {
            Cache::Hot if self.call_ms > SLOWEST_MS => all.min(SLOWEST_ROUNDS),
            Cache::Hot if self.is_slow() => all.min(SLOW_ROUNDS),
            Cache::Cold if self.is_slow() => 0,
            _ => all,
        }
    }

    /// Its turns between the look before `look` and this one, where it is one that does not wait for more.
    pub fn turns(&self, cache: Cache, look: usize, all: usize) -> usize {
        let rounds = self.rounds(cache, all);
        match look {
            1 => rounds,
            _ if self.timed(cache).is_open => {
                rounds_until(look, rounds) - rounds_until(look - 1, rounds)
            }
            _ => 0,
        }
    }

    /// A turn on these operands, in `round`.
    pub fn turn(
        &mut self,
        turn: Turn,
        round: usize,
        operands: &[Vec<f32>],
        gauges: &Gauges,
        flush: &mut Flush,
    ) -> Result<(), String> {
        let began = Instant::now();
        self.contender.load(operands)?;
        let start = gauges.start();
        let times = self.contender.turn(turn, flush)?;
        let calls = turn.discarded + times.len() * turn.together;
        let cache = if turn.cold { Cache::Cold } else { Cache::Hot };
        let timed = self.timed_mut(cache);
        gauges.stop(&start, calls, &mut timed.seen);
        timed.times.keep(round, times);
        timed.spent += began.elapsed();
        Ok(())
    }

    /// What the first call took longer than later ones, in ms: compilation, for the most part.
    pub fn compile_ms(&self) -> f64 {
        (self.shown.first_ms - self.call_ms).max(0.0)
    }
}

/// What a call launches, where that can be counted, and how long it takes.
fn warmed(contender: &mut dyn Contender, on_device: bool) -> Result<(Option<Counts>, f64), String> {
    let first = contender.call()?;
    let counts = match on_device {
        true => {
            let (call, counts) = count(|| contender.call());
            call?;
            Some(counts)
        }
        false => None,
    };
    if first > Turn::SLOW_MS {
        return Ok((counts, first));
    }
    let mut times = contender.turn(Turn::WARM, &mut Flush::none())?;
    times.sort_by(f64::total_cmp);
    Ok((counts, quantile(&times, 0.5)))
}
