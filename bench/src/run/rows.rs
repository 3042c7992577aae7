//! What is said of each entrant once its turns are over.

use super::entrant::{Entrant, Timed};
use super::{Outcome, Runner, looks};
use crate::gauges::Around;
use crate::phase::Phase;
use crate::results::{Cache, Row};
use crate::stats::{Ratio, Times, quantile};

impl Runner {
    /// Whether these times may be true, or how far they are below what the device needs: by more than their own error of 95 %.
    fn possible(&mut self, phase: &Phase, cache: Cache, times: &Times) -> Result<(), String> {
        let (cost, dtype, touched) = (phase.least(), phase.dtype, phase.touched());
        let Some([_, longest]) = times.interval() else {
            return Ok(());
        };
        if longest >= self.ceilings.least(cost, dtype, touched, cache) {
            return Ok(());
        }
        self.ceilings.again(&self.client, dtype, touched, cache)?;
        let least = self.ceilings.least(cost, dtype, touched, cache);
        match longest >= least {
            true => Ok(()),
            false => Err(format!(
                "{longest:.3e} ms at most, by the spread of its turns, where this device needs {least:.3e} ms: the work was not done"
            )),
        }
    }

    /// A row for each entrant and state of the caches, `around` whose turns this went on.
    pub(super) fn report(
        &mut self,
        phase: &Phase,
        entrants: &[Entrant],
        around: [Around; 2],
        outcome: &mut Outcome,
    ) {
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
                outcome.refuse(phase, name, reason);
                impossible.push(name);
            }
        }
        let confidence = looks::confidence(self.budget);
        for (cache, around) in [Cache::Hot, Cache::Cold].into_iter().zip(around) {
            for entrant in entrants {
                let (timed, name) = (entrant.timed(cache), entrant.contender.name());
                if timed.times.0.is_empty() || impossible.contains(&name) {
                    continue;
                }
                let beside = ours.filter(|_| name != phase.variants[0].name);
                let ratio = beside
                    .and_then(|ours| Ratio::with(&timed.times, ours.times(cache), confidence));
                let mut row = row(phase, name, cache, timed, ratio);
                // What a launch costs is our runtime's, of whose launches a peer has none.
                let on_device = entrant.counts.is_some();
                let limit = self
                    .ceilings
                    .limit(phase.cost, phase.dtype, cache, on_device);
                if let Some((limit_ms, bound)) = limit {
                    row.roofline = Some(limit_ms / row.median_ms);
                    row.bound = Some(bound);
                }
                row.error = Some(entrant.shown.error);
                row.unchecked = Some(entrant.shown.unchecked);
                row.digest = Some(entrant.shown.digest.clone());
                row.launches = entrant.counts.map(|counts| counts.launches);
                row.allocations = entrant.counts.map(|counts| counts.allocations);
                row.peak_bytes = on_device.then_some(entrant.shown.peak_bytes);
                row.compile_ms = Some(entrant.compile_ms());
                row.load = around.load;
                row.note = self.gauges.note(&timed.seen, around);
                outcome.rows.push(row);
            }
        }
    }
}

fn row(phase: &Phase, variant: &str, cache: Cache, timed: &Timed, ratio: Option<Ratio>) -> Row {
    let calls = timed.times.sorted();
    let median_ms = quantile(&calls, 0.5);
    let cost = phase.cost;
    let bytes = (cost.bytes_read + cost.bytes_written) as f64;
    let flop = 2.0 * cost.macs as f64;
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
        turns_ms: timed.times.medians(),
        looks: timed.looks,
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
        peak_bytes: None,
        compile_ms: None,
        ghz: timed.seen.ghz(),
        load: None,
        // Flushing the caches takes more than the calls between.
        joules: timed.seen.joules().filter(|_| cache == Cache::Hot),
        note: None,
        sweep: phase.sweep.clone(),
        layers: phase.layers.clone(),
    }
}
