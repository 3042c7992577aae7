//! How often a row is looked at: those that cannot be told get more turns, as long as there is time for them.

use crate::results::Verdict;
use crate::stats::{Confidence, Ratio};
use std::time::Duration;

/// Looks at a row at most: [`Confidence::OfFive`] holds for so many.
pub(super) const MOST: usize = 5;

/// The time that turns beyond the usual ones may take in a run. What a phase does not need is left to those after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    left: Duration,
    phases: u32,
}

impl Budget {
    /// `all` of it, for so many phases.
    pub fn new(all: Duration, phases: usize) -> Self {
        Self {
            left: all,
            phases: u32::try_from(phases).unwrap_or(u32::MAX),
        }
    }

    /// What the next phase may take: the same as each one after it.
    pub(super) fn share(&self) -> Duration {
        self.left / self.phases.max(1)
    }

    /// A phase took `spent`.
    pub(super) fn spend(&mut self, spent: Duration) {
        self.left = self.left.saturating_sub(spent);
        self.phases = self.phases.saturating_sub(1);
    }
}

/// How sure an interval has to be.
pub(super) fn confidence(budget: Option<Budget>) -> Confidence {
    match budget {
        Some(_) => Confidence::OfFive,
        None => Confidence::Once,
    }
}

/// The rounds that come before look `look`, the first of which is after `rounds`: 7, 14, 28, 56, 112.
pub(super) fn rounds_until(look: usize, rounds: usize) -> usize {
    rounds << (look - 1)
}

/// Whether a row that was looked at `looks` times needs more turns.
pub(super) fn is_open(looks: usize, ratio: Option<Ratio>) -> bool {
    looks < MOST && ratio.is_some_and(|ratio| ratio.verdict() == Verdict::Unsure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ghostlight_autodiff::check;
    use std::f64::consts::TAU;

    const ROUNDS: usize = 7;

    /// Of 2000 rows of `truth` whose pairs are off by `noise`, each looked at until it is sure, the share whose last interval holds the truth; and
    /// how many looks that took on average.
    fn covered(seed: u64, truth: f64, noise: f64, confidence: Confidence) -> [f64; 2] {
        const ROWS: usize = 2000;
        let all = rounds_until(MOST, ROUNDS);
        let uniform = |seed| check::values(seed, ROWS * all).into_iter();
        let normal = uniform(seed).zip(uniform(seed + 1)).map(|(u, v)| {
            let (u, v) = ((u + 1.0) / 2.0, (v + 1.0) / 2.0);
            (-2.0 * u.max(1e-300).ln()).sqrt() * (TAU * v).cos()
        });
        let logs: Vec<f64> = normal.map(|off| truth.ln() + noise * off).collect();
        let (mut held, mut looks) = (0, 0);
        for row in logs.chunks(all) {
            for look in 1.. {
                let ratio = Ratio::of_logs(&row[..rounds_until(look, ROUNDS)], confidence);
                looks += 1;
                if !is_open(look, ratio) {
                    let ratio = ratio.expect("there are pairs");
                    held += usize::from(ratio.low <= truth && truth <= ratio.high);
                    break;
                }
            }
        }
        [held, looks].map(|count| count as f64 / ROWS as f64)
    }

    /// On an edge of the noise, where a look that is sure is wrong; near one; and far from all.
    const TRUTHS: [f64; 5] = [1.0, 1.02, 1.0301, 1.05, 0.97];

    #[test]
    fn over_all_looks_an_interval_holds_the_true_ratio_nineteen_times_of_twenty() {
        for (i, truth) in TRUTHS.into_iter().enumerate() {
            for (j, noise) in [0.01, 0.03, 0.1].into_iter().enumerate() {
                let seed = (100 * i + 10 * j) as u64;
                let [share, looks] = covered(seed, truth, noise, Confidence::OfFive);
                assert!(share >= 0.95, "{truth} by {noise}: {share}");
                assert!((1.0..=5.0).contains(&looks));
            }
        }
        // A row that is clear at once is looked at once, one that never is five times.
        let looks = |truth, noise| covered(7, truth, noise, Confidence::OfFive)[1];
        assert_eq!(looks(1.5, 0.01), 1.0);
        assert!(looks(1.0301, 0.05) > 4.5);
    }

    #[test]
    fn looking_five_times_at_intervals_of_95_would_be_caught() {
        let least = TRUTHS
            .into_iter()
            .map(|truth| covered(1, truth, 0.03, Confidence::Once)[0])
            .fold(1.0, f64::min);
        assert!(least < 0.93, "{least}");
    }

    #[test]
    fn rounds_double_from_look_to_look() {
        let rounds = [1, 2, 3, 4, 5].map(|look| rounds_until(look, ROUNDS));
        assert_eq!(rounds, [7, 14, 28, 56, 112]);
        let unsure = Ratio {
            value: 1.0,
            low: 0.9,
            high: 1.1,
        };
        let open = |looks| is_open(looks, Some(unsure));
        assert!(open(1) && open(4) && !open(5) && !is_open(1, None));
    }

    #[test]
    fn what_a_phase_does_not_need_is_left_to_those_after_it() {
        let seconds = Duration::from_secs;
        let mut budget = Budget::new(seconds(60), 4);
        assert_eq!(budget.share(), seconds(15));
        budget.spend(seconds(3));
        assert_eq!(budget.share(), seconds(19));
        budget.spend(seconds(90));
        assert_eq!(budget.share(), seconds(0));
        budget.spend(seconds(1));
        budget.spend(seconds(1));
        assert_eq!(budget.share(), seconds(0));
    }
}
