//! Runs phases: verifies every contender, then times them in turns.

use crate::contender::{Contender, Peer};
use crate::counts::{Counts, count};
use crate::flush::Flush;
use crate::input::draw;
use crate::phase::Phase;
use crate::results::{Cache, Ceilings, Refused, Row};
use crate::stats::{Ratio, Times, quantile};
use crate::time_limited::TimeLimited;
use crate::turn::{Turn, order};
use crate::verify::{Effect, Expected, Verified, last_call, verify};
use ghostlight_autodiff::{Client, Cost};

/// How much time a run takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Turns of every contender.
    pub rounds: usize,
    /// How long a turn lasts, in ms.
    pub turn_ms: f64,
    /// Turns of every contender whose operands are flushed from the caches.
    pub cold_rounds: usize,
    /// Calls of such a turn.
    pub cold_calls: usize,
}

impl Effort {
    /// For the report.
    pub const FULL: Self = Self {
        rounds: 7,
        turn_ms: 15.0,
        cold_rounds: 7,
        cold_calls: 3,
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        rounds: 5,
        turn_ms: 8.0,
        cold_rounds: 0,
        cold_calls: 3,
    };
}

/// Turns of slow contenders.
const SLOW_ROUNDS: usize = 5;
/// Turns of contenders whose one call takes longer than [`SLOWEST_MS`]: with one less an interval is nine standard errors to either side.
const SLOWEST_ROUNDS: usize = 3;
const SLOWEST_MS: f64 = 300.0;

/// What runs phases on one device, beside peers.
pub struct Runner {
    /// The device's client.
    pub client: Client,
    /// The peers that are there.
    pub peers: Vec<Box<dyn Peer>>,
    /// What the device can do at best.
    pub ceilings: Ceilings,
    /// How much time to take.
    pub effort: Effort,
    /// What pushes operands out of the caches.
    pub flush: Flush,
    /// Whether slow contenders are timed as well, see [`Contender::is_slow`].
    pub with_slow: bool,
}

/// What a phase came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// A row for each contender and cache state.
    pub rows: Vec<Row>,
    /// The contenders that got no time.
    pub refused: Vec<Refused>,
}

struct Entrant<'a> {
    contender: Box<dyn Contender + 'a>,
    shown: Verified,
    counts: Option<Counts>,
    call_ms: f64,
    hot: Times,
    cold: Times,
}

impl Entrant<'_> {
    fn is_slow(&self) -> bool {
        self.call_ms > Turn::SLOW_MS
    }

    fn times(&self, cache: Cache) -> &Times {
        match cache {
            Cache::Hot => &self.hot,
            Cache::Cold => &self.cold,
        }
    }

    fn times_mut(&mut self, cache: Cache) -> &mut Times {
        match cache {
            Cache::Hot => &mut self.hot,
            Cache::Cold => &mut self.cold,
        }
    }

    fn last_call(
        &mut self,
        expected: &[Expected],
        next: &[Vec<f32>],
        effect: Effect,
    ) -> Result<f64, String> {
        last_call(self.contender.as_mut(), expected, next, effect)
    }

    /// Its turns with operands in the caches, of `all`.
    fn hot_rounds(&self, all: usize) -> usize {
        match self.call_ms > SLOWEST_MS {
            true => all.min(SLOWEST_ROUNDS),
            false if self.is_slow() => all.min(SLOW_ROUNDS),
            false => all,
        }
    }
}

impl Runner {
    /// Verifies and times all contenders of a phase: ours, ours once more as a control, the other variants, the peers'.
    pub fn run(&mut self, phase: &Phase) -> Outcome {
        let mut contenders: Vec<Box<dyn Contender + '_>> = Vec::new();
        for (i, variant) in phase.variants.iter().enumerate() {
            contenders.push(variant.contender(&self.client, &phase.inputs, variant.name));
            if i == 0 {
                contenders.push(variant.contender(&self.client, &phase.inputs, "control"));
            }
        }
        let with_slow = self.with_slow;
        contenders.retain(|contender| with_slow || !contender.is_slow());
        let on_device = contenders.len();
        for peer in &mut self.peers {
            for contender in peer.contenders(&phase.task()) {
                contenders.push(Box::new(TimeLimited::new(contender)));
            }
        }
        contenders.retain(|contender| with_slow || !contender.is_slow());
        let expected = phase.expected(0);
        let mut outcome = Outcome::default();
        let mut entrants = Vec::new();
        for (i, mut contender) in contenders.into_iter().enumerate() {
            let fit = verify(contender.as_mut(), &phase.inputs, &expected, phase.effect)
                .and_then(|shown| Ok((shown, enter(contender.as_mut(), i < on_device)?)));
            match fit {
                Ok((shown, (counts, call_ms))) => entrants.push(Entrant {
                    contender,
                    shown,
                    counts,
                    call_ms,
                    hot: Times::default(),
                    cold: Times::default(),
                }),
                Err(reason) => outcome
                    .refused
                    .push(refused(phase, contender.name(), reason)),
            }
        }
        let draws = [0, 1].map(|number| draw(&phase.inputs, number));
        for cache in [Cache::Hot, Cache::Cold] {
            self.time(phase, cache, &draws, &mut entrants, &mut outcome);
            // What was timed is looked at: the last turn was on the first draw. In place, all turns went over it.
            if phase.effect == Effect::Pure {
                outcome.keep(phase, &mut entrants, |entrant| {
                    match entrant.times(cache).0.is_empty() {
                        true => Ok(0.0),
                        false => entrant.last_call(&expected, &draws[1], phase.effect),
                    }
                });
            }
        }
        let (unseen, expected) = (draw(&phase.inputs, 2), phase.expected(2));
        outcome.keep(phase, &mut entrants, |entrant| {
            entrant.contender.forget()?;
            entrant.contender.load(&unseen)?;
            entrant.contender.call()?;
            entrant.last_call(&expected, &draws[0], phase.effect)
        });
        self.report(phase, &entrants, &mut outcome);
        outcome
    }

    /// Turns of all entrants, whose operands are of another draw each time, and of the first one at last.
    fn time(
        &mut self,
        phase: &Phase,
        cache: Cache,
        draws: &[Vec<Vec<f32>>; 2],
        entrants: &mut Vec<Entrant>,
        outcome: &mut Outcome,
    ) {
        let rounds = match cache {
            Cache::Hot => self.effort.rounds,
            Cache::Cold => self.effort.cold_rounds,
        };
        for round in 0..rounds {
            let mut failed = Vec::new();
            for i in order(entrants.len(), round) {
                let entrant = &mut entrants[i];
                let (turn, of) = match cache {
                    Cache::Hot => {
                        let turn = Turn::of(entrant.call_ms, self.effort.turn_ms);
                        (turn, entrant.hot_rounds(rounds))
                    }
                    Cache::Cold if entrant.is_slow() => continue,
                    Cache::Cold => (Turn::cold(self.effort.cold_calls), rounds),
                };
                if round >= of {
                    continue;
                }
                let operands = &draws[(of - 1 - round) % 2];
                let contender = &mut entrant.contender;
                let times = contender.load(operands);
                match times.and_then(|()| contender.turn(turn, &mut self.flush)) {
                    Ok(times) => entrant.times_mut(cache).0.push(times),
                    Err(reason) => {
                        let name = contender.name();
                        outcome.refused.push(refused(phase, name, reason));
                        failed.push(i);
                    }
                }
            }
            failed.sort_unstable();
            for i in failed.into_iter().rev() {
                entrants.remove(i);
            }
        }
    }

    /// Whether these times may be true, or how far they are below what the device needs: by more than their own error of 95 %.
    fn possible(&mut self, phase: &Phase, cache: Cache, times: &Times) -> Result<(), String> {
        let (cost, touched) = (phase.least(), phase.touched());
        let Some([_, longest]) = times.interval() else {
            return Ok(());
        };
        if longest >= self.ceilings.least(cost, phase.dtype, touched, cache) {
            return Ok(());
        }
        self.ceilings
            .again(&self.client, phase.dtype, touched, cache)?;
        let least = self.ceilings.least(cost, phase.dtype, touched, cache);
        match longest >= least {
            true => Ok(()),
            false => Err(format!(
                "{longest:.3e} ms at most, by the spread of its turns, where this device needs {least:.3e} ms: the work was not done"
            )),
        }
    }

    fn report(&mut self, phase: &Phase, entrants: &[Entrant], outcome: &mut Outcome) {
        let ours = entrants
            .iter()
            .find(|entrant| entrant.contender.name() == phase.variants[0].name);
        let mut impossible = Vec::new();
        for entrant in entrants {
            let caches = [Cache::Hot, Cache::Cold].into_iter();
            let mut possible =
                caches.map(|cache| self.possible(phase, cache, entrant.times(cache)));
            if let Some(reason) = possible.find_map(Result::err) {
                let name = entrant.contender.name();
                outcome.refused.push(refused(phase, name, reason));
                impossible.push(name);
            }
        }
        for cache in [Cache::Hot, Cache::Cold] {
            for entrant in entrants {
                let (times, name) = (entrant.times(cache), entrant.contender.name());
                if times.0.is_empty() || impossible.contains(&name) {
                    continue;
                }
                let ratio = match ours {
                    Some(ours) if name != phase.variants[0].name => {
                        Ratio::of(times, ours.times(cache))
                    }
                    _ => None,
                };
                let mut row = row(phase, name, cache, times, ratio);
                // What a launch costs is our runtime's, of whose launches a peer has none.
                let launches = entrant.counts.is_some();
                let limit = self
                    .ceilings
                    .limit(phase.cost, phase.dtype, cache, launches);
                if let Some((limit_ms, bound)) = limit {
                    row.roofline = Some(limit_ms / row.median_ms);
                    row.bound = Some(bound);
                }
                row.error = Some(entrant.shown.error);
                row.unchecked = Some(entrant.shown.unchecked);
                row.digest = Some(entrant.shown.digest.clone());
                row.launches = entrant.counts.map(|counts| counts.launches);
                row.allocations = entrant.counts.map(|counts| counts.allocations);
                outcome.rows.push(row);
            }
        }
    }
}

impl Outcome {
    /// Keeps those whose outputs pass `look`, with their error; refuses the others.
    fn keep(
        &mut self,
        phase: &Phase,
        entrants: &mut Vec<Entrant>,
        mut look: impl FnMut(&mut Entrant) -> Result<f64, String>,
    ) {
        entrants.retain_mut(|entrant| match look(entrant) {
            Ok(error) => {
                entrant.shown.error = entrant.shown.error.max(error);
                true
            }
            Err(reason) => {
                let reason = format!("once it was timed: {reason}");
                self.refused
                    .push(refused(phase, entrant.contender.name(), reason));
                false
            }
        });
    }
}

/// Warms a verified contender and sees what a call of it takes.
fn enter(contender: &mut dyn Contender, on_device: bool) -> Result<(Option<Counts>, f64), String> {
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

fn refused(phase: &Phase, variant: &str, reason: String) -> Refused {
    Refused {
        op: phase.op.into(),
        case: phase.case.into(),
        phase: phase.phase.into(),
        variant: variant.into(),
        reason,
    }
}

fn row(phase: &Phase, variant: &str, cache: Cache, times: &Times, ratio: Option<Ratio>) -> Row {
    let calls = times.sorted();
    let median_ms = quantile(&calls, 0.5);
    let Cost {
        macs,
        bytes_read,
        bytes_written,
        ..
    } = phase.cost;
    let (bytes, flop) = ((bytes_read + bytes_written) as f64, 2.0 * macs as f64);
    Row {
        op: phase.op.into(),
        case: phase.case.into(),
        phase: phase.phase.into(),
        variant: variant.into(),
        clock: "wall".into(),
        cache,
        median_ms,
        low_ms: quantile(&calls, 0.1),
        high_ms: quantile(&calls, 0.9),
        calls: calls.len(),
        turns_ms: times.medians(),
        ratio: ratio.map(|ratio| ratio.value),
        ratio_low: ratio.map(|ratio| ratio.low),
        ratio_high: ratio.map(|ratio| ratio.high),
        verdict: ratio.map(|ratio| ratio.verdict()),
        roofline: None,
        bound: None,
        gb_s: bytes / median_ms / 1e6,
        gflop_s: flop / median_ms / 1e6,
        intensity: flop / bytes.max(1.0),
        error: None,
        unchecked: None,
        digest: None,
        launches: None,
        allocations: None,
        sweep: phase.sweep.clone(),
        layers: phase.layers.clone(),
    }
}
