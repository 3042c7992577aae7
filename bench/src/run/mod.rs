//! Runs phases: verifies every contender, then times them in turns.

mod entrant;
mod looks;
mod rows;
#[cfg(test)]
mod tests;

pub use looks::Budget;

use crate::contender::{Contender, Peer};
use crate::flush::Flush;
use crate::gauges::Gauges;
use crate::input::draw;
use crate::phase::Phase;
use crate::results::{CONTROL, Cache, Ceilings, Refused, Row};
use crate::stats::{Ratio, Times};
use crate::time_limited::TimeLimited;
use crate::turn::{Turn, order};
use crate::verify::{Effect, verify};
use entrant::Entrant;
use ghostlight_autodiff::Client;
use std::time::{Duration, Instant};

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
    /// Without flushed caches, for what tells about kernels alone.
    pub const HOT: Self = Self {
        cold_rounds: 0,
        ..Self::FULL
    };
    /// For two alone, of which the faster one is to be named.
    pub const DUEL: Self = Self {
        rounds: 28,
        ..Self::HOT
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        rounds: 5,
        turn_ms: 8.0,
        cold_rounds: 0,
        cold_calls: 3,
    };
}

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
    /// How much more of it rows may take that cannot be told; none where each is looked at once.
    pub budget: Option<Budget>,
    /// What pushes operands out of the caches.
    pub flush: Flush,
    /// What the machine shows of itself.
    pub gauges: Gauges,
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

impl Runner {
    /// Verifies and times all contenders of a phase: ours, ours once more as a control, the other variants, the peers'.
    pub fn run(&mut self, phase: &Phase) -> Outcome {
        let mut contenders: Vec<Box<dyn Contender + '_>> = Vec::new();
        for (i, variant) in phase.variants.iter().enumerate() {
            contenders.push(variant.contender(&self.client, &phase.inputs, &variant.name));
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
            let shown = verify(contender.as_mut(), &phase.inputs, &expected, phase.effect);
            let entered = match shown {
                Ok(shown) => Entrant::enter(contender, shown, i < on_device),
                Err(reason) => Err((contender, reason)),
            };
            match entered {
                Ok(entrant) => entrants.push(entrant),
                Err((contender, reason)) => outcome.refuse(phase, contender.name(), reason),
            }
        }
        let draws = [0, 1].map(|number| draw(&phase.inputs, number));
        let peers: Vec<u32> = self
            .peers
            .iter()
            .filter_map(|peer| peer.process())
            .collect();
        let mut spent = Duration::ZERO;
        let around = [Cache::Hot, Cache::Cold].map(|cache| {
            let opened = self.gauges.open(&peers);
            spent += self.time(phase, cache, &draws, spent, &mut entrants, &mut outcome);
            let around = self.gauges.close(&opened, &peers);
            // What was timed is looked at: the last turn was on the first draw. In place, all turns went over it.
            if phase.effect == Effect::Pure {
                outcome.keep(phase, &mut entrants, |entrant| {
                    match entrant.times(cache).0.is_empty() {
                        true => Ok(0.0),
                        false => entrant.last_call(&expected, &draws[1], phase.effect),
                    }
                });
            }
            around
        });
        if let Some(budget) = &mut self.budget {
            budget.spend(spent);
        }
        let (unseen, expected) = (draw(&phase.inputs, 2), phase.expected(2));
        outcome.keep(phase, &mut entrants, |entrant| {
            entrant.contender.forget()?;
            entrant.contender.load(&unseen)?;
            entrant.contender.call()?;
            entrant.last_call(&expected, &draws[0], phase.effect)
        });
        self.report(phase, &entrants, around, &mut outcome);
        outcome
    }

    /// Turns of all entrants, and more of those that cannot be told from ours as long as the budget has time, of which the phase took `spent`
    /// already. Returns how long these took.
    fn time(
        &mut self,
        phase: &Phase,
        cache: Cache,
        draws: &[Vec<Vec<f32>>; 2],
        spent: Duration,
        entrants: &mut Vec<Entrant>,
        outcome: &mut Outcome,
    ) -> Duration {
        let mut rounds = self.rounds(phase, cache, draws, [1, 0], entrants, outcome);
        let share = self.budget.map_or(Duration::ZERO, |budget| budget.share());
        let (start, mut look) = (Instant::now(), 1);
        loop {
            self.look(phase, cache, look, entrants);
            let timed = entrants.iter().map(|entrant| entrant.timed(cache));
            // A look takes as many turns as all before it, and so as long again.
            let needed: Duration = timed.filter(|it| it.is_open).map(|it| it.spent).sum();
            let left = share.saturating_sub(spent + start.elapsed());
            if needed.is_zero() || left < needed {
                return start.elapsed();
            }
            look += 1;
            rounds = self.rounds(phase, cache, draws, [look, rounds], entrants, outcome);
        }
    }

    /// The turns before look `look`, in rounds that count on from `before`. Returns how many rounds there were by then.
    fn rounds(
        &mut self,
        phase: &Phase,
        cache: Cache,
        draws: &[Vec<Vec<f32>>; 2],
        [look, before]: [usize; 2],
        entrants: &mut Vec<Entrant>,
        outcome: &mut Outcome,
    ) -> usize {
        let all = match cache {
            Cache::Hot => self.effort.rounds,
            Cache::Cold => self.effort.cold_rounds,
        };
        let turns = |entrant: &Entrant| entrant.turns(cache, look, all);
        let rounds = entrants.iter().map(turns).max().unwrap_or(0);
        for round in 0..rounds {
            let takes_part = |&i: &usize| round < turns(&entrants[i]);
            let going: Vec<usize> = (0..entrants.len()).filter(takes_part).collect();
            let mut failed = Vec::new();
            for place in order(going.len(), round) {
                let i = going[place];
                let entrant = &mut entrants[i];
                let turn = match cache {
                    Cache::Hot => Turn::of(entrant.call_ms, self.effort.turn_ms),
                    Cache::Cold => Turn::cold(self.effort.cold_calls),
                };
                // On another draw each time, and on the first one at last.
                let operands = &draws[(turns(entrant) - 1 - round) % 2];
                let (gauges, flush) = (&self.gauges, &mut self.flush);
                if let Err(reason) = entrant.turn(turn, before + round, operands, gauges, flush) {
                    outcome.refuse(phase, entrant.contender.name(), reason);
                    failed.push(i);
                }
            }
            failed.sort_unstable();
            for i in failed.into_iter().rev() {
                entrants.remove(i);
            }
        }
        before + rounds
    }

    /// Looks at the rows that are open: those that cannot be told stay so, and ours with them. The control does not: what it reads is the noise of
    /// the usual turns.
    fn look(&self, phase: &Phase, cache: Cache, look: usize, entrants: &mut [Entrant]) {
        let ours = entrants
            .iter()
            .find(|entrant| entrant.contender.name() == phase.variants[0].name);
        let ours: Option<Times> = ours.map(|entrant| entrant.times(cache).clone());
        let confidence = looks::confidence(self.budget);
        let mut any_open = false;
        for entrant in entrants.iter_mut() {
            let name = entrant.contender.name();
            let is_beside = name != phase.variants[0].name && name != CONTROL;
            let timed = entrant.timed_mut(cache);
            if timed.times.0.is_empty() || look > 1 && !timed.is_open {
                continue;
            }
            timed.looks = look;
            let ratio = ours.as_ref().filter(|_| is_beside && self.budget.is_some());
            let ratio = ratio.and_then(|ours| Ratio::with(&timed.times, ours, confidence));
            timed.is_open = looks::is_open(look, ratio);
            any_open |= timed.is_open;
        }
        let mut entrants = entrants.iter_mut();
        let ours = entrants.find(|entrant| entrant.contender.name() == phase.variants[0].name);
        if let Some(ours) = ours {
            ours.timed_mut(cache).is_open = any_open;
        }
    }
}

impl Outcome {
    fn refuse(&mut self, phase: &Phase, variant: &str, reason: String) {
        self.refused.push(Refused {
            op: phase.op.into(),
            case: phase.case.into(),
            phase: phase.phase.into(),
            variant: variant.into(),
            reason,
        });
    }

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
                self.refuse(phase, entrant.contender.name(), reason);
                false
            }
        });
    }
}
