//! Runs phases: verifies every contender, then times them in turns.

use crate::contender::{Contender, Peer};
use crate::counts::{Counts, count};
use crate::input::draw;
use crate::phase::Phase;
use crate::results::{Cache, Ceilings, Refused, Row};
use crate::stats::{Ratio, Times, quantile};
use crate::time_limited::TimeLimited;
use crate::turn::{Flush, Turn};
use crate::verify::{TOO_FAST, verify};
use ghostlight_autodiff::{Client, Cost};

/// How much time a run takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Turns of every contender.
    pub rounds: usize,
    /// How long a turn lasts, in ms.
    pub turn_ms: f64,
    /// Calls of a cold turn; none are taken at 0.
    pub cold_calls: usize,
}

impl Effort {
    /// For the report.
    pub const FULL: Self = Self {
        rounds: 7,
        turn_ms: 15.0,
        cold_calls: 3,
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        rounds: 5,
        turn_ms: 8.0,
        cold_calls: 0,
    };
}

/// Turns of slow contenders.
const SLOW_ROUNDS: usize = 3;
/// Turns of contenders whose one call takes longer than [`SLOWEST_MS`]: the least that has an interval.
const SLOWEST_ROUNDS: usize = 2;
const SLOWEST_MS: f64 = 300.0;
/// Turns of flushed caches.
const COLD_ROUNDS: usize = 3;

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
    counts: Option<Counts>,
    call_ms: f64,
    hot: Times,
    cold: Times,
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
        let values: Vec<Vec<f64>> = draw(&phase.inputs, 0)
            .into_iter()
            .map(|values| values.into_iter().map(f64::from).collect())
            .collect();
        let expected = (phase.reference)(&values);
        drop(values);

        let mut outcome = Outcome::default();
        let mut entrants = Vec::new();
        for (i, mut contender) in contenders.into_iter().enumerate() {
            let fit = verify(contender.as_mut(), &phase.inputs, &expected, phase.effect)
                .and_then(|()| enter(contender.as_mut(), i < on_device));
            match fit {
                Ok((counts, call_ms)) => entrants.push(Entrant {
                    contender,
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
        self.time(phase, &mut entrants, &mut outcome);
        self.report(phase, &entrants, &mut outcome);
        outcome
    }

    fn time(&mut self, phase: &Phase, entrants: &mut Vec<Entrant>, outcome: &mut Outcome) {
        let rounds = self.effort.rounds;
        let cold_rounds = if self.effort.cold_calls > 0 {
            COLD_ROUNDS
        } else {
            0
        };
        for round in 0..rounds + cold_rounds {
            let cold = round >= rounds;
            // To and fro, so that no contender always follows the same one.
            if round > 0 {
                entrants.reverse();
            }
            entrants.retain_mut(|entrant| {
                let slow = entrant.call_ms > Turn::SLOW_MS;
                let most = match entrant.call_ms > SLOWEST_MS {
                    true => SLOWEST_ROUNDS,
                    false => SLOW_ROUNDS,
                };
                if slow && (cold || round >= most) {
                    return true;
                }
                let turn = match cold {
                    true => Turn::cold(self.effort.cold_calls),
                    false => Turn::of(entrant.call_ms, self.effort.turn_ms),
                };
                match entrant.contender.turn(turn, &mut self.flush) {
                    Ok(times) => {
                        let kept = if cold {
                            &mut entrant.cold
                        } else {
                            &mut entrant.hot
                        };
                        kept.0.push(times);
                        true
                    }
                    Err(reason) => {
                        outcome
                            .refused
                            .push(refused(phase, entrant.contender.name(), reason));
                        false
                    }
                }
            });
        }
        if (rounds + cold_rounds) % 2 == 0 {
            entrants.reverse();
        }
    }

    fn report(&self, phase: &Phase, entrants: &[Entrant], outcome: &mut Outcome) {
        for cache in [Cache::Hot, Cache::Cold] {
            let of = |entrant: &Entrant| match cache {
                Cache::Hot => entrant.hot.clone(),
                Cache::Cold => entrant.cold.clone(),
            };
            let ours = entrants
                .iter()
                .find(|entrant| entrant.contender.name() == phase.variants[0].name)
                .map(of);
            for entrant in entrants {
                let (times, name) = (of(entrant), entrant.contender.name());
                if times.0.is_empty() {
                    continue;
                }
                let is_ours = name == phase.variants[0].name;
                let ratio = match &ours {
                    Some(ours) if !is_ours => Ratio::of(&times, ours),
                    _ => None,
                };
                let limit = self.ceilings.limit(phase.cost, cache);
                let mut row = row(phase, name, cache, &times, ratio);
                if let Some((limit_ms, bound)) = limit {
                    row.roofline = Some(limit_ms / row.median_ms);
                    row.bound = Some(bound);
                    if limit_ms / row.median_ms > TOO_FAST {
                        let reason = format!(
                            "{} ms where the device's ceilings allow {limit_ms} ms: the work was not done",
                            row.median_ms
                        );
                        outcome.refused.push(refused(phase, name, reason));
                        continue;
                    }
                }
                row.launches = entrant.counts.map(|counts| counts.launches);
                row.allocations = entrant.counts.map(|counts| counts.allocations);
                outcome.rows.push(row);
            }
        }
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
    let mut times = contender.turn(Turn::WARM, &mut Flush::of(Some(0)))?;
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
        ratio: ratio.map(|ratio| ratio.value),
        ratio_low: ratio.map(|ratio| ratio.low),
        ratio_high: ratio.map(|ratio| ratio.high),
        verdict: ratio.map(|ratio| ratio.verdict()),
        roofline: None,
        bound: None,
        gb_s: bytes / median_ms / 1e6,
        gflop_s: flop / median_ms / 1e6,
        intensity: flop / bytes.max(1.0),
        launches: None,
        allocations: None,
        sweep: phase.sweep.clone(),
        layers: phase.layers.clone(),
    }
}
