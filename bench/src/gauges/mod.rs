//! What the machine was doing while a row was timed: its clock, what others kept busy, the energy it took, and whether it was slowed down.
//!
//! Clock and energy are read around each turn, outside of the calls that are timed. What others did and how often a core was hot is
//! counted in ticks and in few events, which a turn of 15 ms is too short for: it is read around all turns of a phase, and all of its rows
//! have it. What a machine does not show is missing, and is told once; no row hangs on it.

mod card;
mod clock;
mod load;

use card::Card;
use clock::{Clock, Throttle};
use cubecl::Device;
use ghostlight_models::measure::{Energy, Reading};
use load::{Busy, Load};
use std::time::Instant;

/// A clock that fell by more than this against the run's start is named.
const FALL: f64 = 0.1;

/// The counters of the machine, and of the card on it that runs the kernels.
pub struct Gauges {
    load: Option<Load>,
    of: Of,
    /// The clock when the run began, in GHz.
    first_ghz: Option<f64>,
}

/// The part that computes: its clock and its energy are those of a row.
enum Of {
    Processor {
        clock: Option<Clock>,
        throttle: Option<Throttle>,
        energy: Option<Energy>,
    },
    Card(Option<Card>),
}

/// What a contender's turns in one state of the caches took.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    ghz: Vec<f64>,
    joules: f64,
    /// Calls that took them.
    calls: usize,
    /// Whether a turn went by whose energy nobody knows.
    unknown: bool,
    /// What slowed a card down.
    reasons: u64,
}

/// When a turn began.
pub(crate) struct Start {
    at: Instant,
    energy: Option<Reading>,
}

/// When the turns of a phase began.
pub(crate) struct Opened {
    at: Instant,
    busy: Option<Busy>,
    hot: u64,
}

/// What went on around the turns of a phase.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Around {
    /// Processors that others kept busy.
    pub load: Option<f64>,
    /// How often a core or a processor was hot.
    pub hot: u64,
}

impl Gauges {
    /// Those of this machine, with `device` as the one that runs kernels.
    pub fn here(device: &Device) -> Self {
        let of = match device {
            Device::Cuda(_) => Of::Card(Card::watch()),
            _ => Of::Processor {
                clock: Clock::find(),
                throttle: Throttle::find(),
                energy: Energy::find(),
            },
        };
        Self {
            load: Load::find(),
            of,
            first_ghz: None,
        }
    }

    /// A machine that shows nothing.
    pub fn none() -> Self {
        Self {
            load: None,
            of: Of::Processor {
                clock: None,
                throttle: None,
                energy: None,
            },
            first_ghz: None,
        }
    }

    /// What this machine does not show, or not to this user.
    pub fn missing(&self) -> Vec<String> {
        let of_device = match &self.of {
            Of::Processor {
                clock,
                throttle,
                energy,
            } => vec![
                ("the clock", clock.is_none()),
                ("energy (RAPL)", energy.is_none()),
                ("thermal throttling", throttle.is_none()),
            ],
            Of::Card(card) => vec![("the card's clock and power (nvidia-smi)", card.is_none())],
        };
        let all = [("load", self.load.is_none())].into_iter().chain(of_device);
        let missing = all.filter(|(_, is_missing)| *is_missing);
        missing.map(|(name, _)| name.to_string()).collect()
    }

    /// Remembers the clock, which is to be called while the device is busy or has just been.
    pub fn begin(&mut self) {
        self.first_ghz = self.ghz(Instant::now());
    }

    /// The clock in GHz, of a card the highest since `start`.
    fn ghz(&self, start: Instant) -> Option<f64> {
        match &self.of {
            Of::Processor { clock, .. } => clock.as_ref()?.ghz(),
            Of::Card(card) => {
                let samples = card.as_ref()?.since(start);
                samples.iter().map(|it| it.ghz).max_by(f64::total_cmp)
            }
        }
    }

    pub(crate) fn start(&self) -> Start {
        let energy = match &self.of {
            Of::Processor { energy, .. } => energy.as_ref().and_then(Energy::read),
            Of::Card(_) => None,
        };
        Start {
            energy,
            at: Instant::now(),
        }
    }

    /// A turn of `calls` calls is over.
    pub(crate) fn stop(&self, start: &Start, calls: usize, seen: &mut Seen) {
        let joules = match &self.of {
            Of::Processor { energy, .. } => {
                let both = energy.as_ref().zip(start.energy.as_ref());
                both.and_then(|(energy, before)| energy.since(before))
            }
            Of::Card(card) => card.as_ref().and_then(|card| {
                let samples = card.since(start.at);
                seen.reasons |= samples.iter().fold(0, |all, it| all | it.reasons);
                let watts: f64 = samples.iter().map(|it| it.watts).sum();
                let seconds = start.at.elapsed().as_secs_f64();
                (!samples.is_empty()).then(|| watts / samples.len() as f64 * seconds)
            }),
        };
        seen.ghz.extend(self.ghz(start.at));
        seen.calls += calls;
        match joules {
            Some(joules) => seen.joules += joules,
            None => seen.unknown = true,
        }
    }

    /// The turns of a phase begin; `peers` are processes of ours.
    pub(crate) fn open(&self, peers: &[u32]) -> Opened {
        Opened {
            at: Instant::now(),
            busy: self.load.as_ref().and_then(|load| load.now(peers)),
            hot: self.hot(),
        }
    }

    /// They are over.
    pub(crate) fn close(&self, opened: &Opened, peers: &[u32]) -> Around {
        let seconds = opened.at.elapsed().as_secs_f64();
        let load = self.load.as_ref().zip(opened.busy);
        Around {
            load: load.and_then(|(load, before)| load.since(before, peers, seconds)),
            hot: self.hot().saturating_sub(opened.hot),
        }
    }

    fn hot(&self) -> u64 {
        match &self.of {
            Of::Processor { throttle, .. } => throttle.as_ref().map_or(0, Throttle::count),
            Of::Card(_) => 0,
        }
    }

    /// What slowed the device down, in words; none where nothing did.
    pub(crate) fn note(&self, seen: &Seen, around: Around) -> Option<String> {
        let mut reasons = Vec::new();
        if let Some((first, now)) = self.first_ghz.zip(seen.ghz())
            && now < (1.0 - FALL) * first
        {
            reasons.push(format!("the clock fell from {first:.2} to {now:.2} GHz"));
        }
        if around.hot > 0 {
            let times = around.hot;
            reasons.push(format!("the counters of hot cores moved by {times}"));
        }
        let card = card::named(seen.reasons).into_iter();
        reasons.extend(card.map(|name| format!("the card was slowed down by {name}")));
        (!reasons.is_empty()).then(|| format!("throttled: {}", reasons.join(", ")))
    }
}

impl Seen {
    /// The mean clock of the turns, in GHz.
    pub fn ghz(&self) -> Option<f64> {
        let n = self.ghz.len();
        (n > 0).then(|| self.ghz.iter().sum::<f64>() / n as f64)
    }

    /// Joules a call, calls that do not count included; none where a turn's are not known.
    pub fn joules(&self) -> Option<f64> {
        (!self.unknown && self.calls > 0).then(|| self.joules / self.calls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ghz: &[f64]) -> Seen {
        Seen {
            ghz: ghz.to_vec(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_clock_that_fell_by_more_than_a_tenth_is_named() {
        let mut gauges = Gauges::none();
        let note = |gauges: &Gauges, ghz: &[f64]| gauges.note(&seen(ghz), Around::default());
        assert_eq!(note(&gauges, &[0.1]), None, "nobody knows the first clock");
        gauges.first_ghz = Some(3.0);
        assert_eq!(note(&gauges, &[]), None);
        assert_eq!(note(&gauges, &[2.6, 2.8, 3.5]), None);
        let fell = note(&gauges, &[2.6, 2.7, 2.6]).expect("it fell");
        assert_eq!(fell, "throttled: the clock fell from 3.00 to 2.63 GHz");
    }

    #[test]
    fn hot_cores_and_slow_cards_are_named() {
        let around = Around { load: None, hot: 3 };
        let slow = Seen {
            reasons: 0x04,
            ..Seen::default()
        };
        let note = Gauges::none().note(&slow, around).expect("two reasons");
        assert_eq!(
            note,
            "throttled: the counters of hot cores moved by 3, the card was slowed down by the cap on its power"
        );
    }

    #[test]
    fn a_machine_that_shows_nothing_says_so_once_and_leaves_every_field_empty() {
        let gauges = Gauges::none();
        assert_eq!(
            gauges.missing(),
            ["load", "the clock", "energy (RAPL)", "thermal throttling"]
        );
        let mut seen = Seen::default();
        gauges.stop(&gauges.start(), 5, &mut seen);
        let around = gauges.close(&gauges.open(&[]), &[]);
        assert_eq!((seen.ghz(), seen.joules()), (None, None));
        assert_eq!(around, Around::default());
        assert_eq!(gauges.note(&seen, around), None);
    }

    #[test]
    fn energy_is_that_of_a_call_and_unknown_where_a_turn_of_it_is() {
        let mut seen = Seen {
            joules: 6.0,
            calls: 4,
            ..Seen::default()
        };
        assert_eq!(seen.joules(), Some(1.5));
        seen.unknown = true;
        assert_eq!(seen.joules(), None);
    }
}
