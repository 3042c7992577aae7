//! Medians, spreads, and intervals of ratios from interleaved turns.

use crate::results::Verdict;
use ghostlight_autodiff::check;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;
/// A difference that a control row may show: within it two variants are the same.
pub const NOISE: f64 = 0.03;

/// The times of a contender, turn by turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times(pub Vec<Vec<f64>>);

impl Times {
    /// All calls, sorted.
    pub fn sorted(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.0.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The median of each turn, which has calls.
    fn medians(&self) -> Vec<f64> {
        self.0
            .iter()
            .filter(|turn| !turn.is_empty())
            .map(|turn| {
                let mut turn = turn.clone();
                turn.sort_by(f64::total_cmp);
                quantile(&turn, 0.5)
            })
            .collect()
    }
}

/// The `q`-quantile of sorted values, between neighbours by their distance; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// How many times slower one contender is than another, with an interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The geometric mean over the pairs of turns.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Ratio {
    /// `theirs / ours` from turns that followed each other: each pair gives one ratio, so that a drift of the machine cancels. The
    /// interval is a percentile bootstrap of the mean logarithm over pairs, widened by `sqrt(n / (n - 1))`, as resamples of few
    /// pairs spread too little. None without a pair; a single pair has no interval but all numbers.
    pub fn of(theirs: &Times, ours: &Times) -> Option<Self> {
        let logs: Vec<f64> = theirs
            .medians()
            .iter()
            .zip(ours.medians())
            .map(|(theirs, ours)| (theirs / ours).ln())
            .collect();
        let n = logs.len();
        if n == 0 {
            return None;
        }
        let mean = logs.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Self {
                value: mean.exp(),
                low: 0.0,
                high: f64::MAX,
            });
        }
        let widened = (n as f64 / (n - 1) as f64).sqrt();
        // One uniform number a draw, the same in every run: an interval must not depend on luck of its own.
        let uniform = check::values(7, RESAMPLES * n);
        let mut means: Vec<f64> = uniform
            .chunks(n)
            .map(|draws| {
                let picked = draws.iter().map(|u| {
                    let i = ((u + 1.0) / 2.0 * n as f64) as usize;
                    logs[i.min(n - 1)]
                });
                let resampled = picked.sum::<f64>() / n as f64;
                mean + (resampled - mean) * widened
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Some(Self {
            value: mean.exp(),
            low: quantile(&means, 0.025).exp(),
            high: quantile(&means, 0.975).exp(),
        })
    }

    /// FASTER or SLOWER (ours) where the interval lies past the [`NOISE`] around 1, SAME where it lies inside of it, else UNSURE.
    pub fn verdict(&self) -> Verdict {
        let noise = 1.0 + NOISE;
        if self.low > noise {
            Verdict::Faster
        } else if self.high < 1.0 / noise {
            Verdict::Slower
        } else if self.low >= 1.0 / noise && self.high <= noise {
            Verdict::Same
        } else {
            Verdict::Unsure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `turns` turns of 9 calls of about `ms`, each call up to `spread` off by a hash of its place, skewed as times are.
    fn times(seed: u64, ms: f64, spread: f64, turns: usize) -> Times {
        let noise = check::values(seed, turns * 10);
        Times(
            noise
                .chunks(10)
                .map(|turn| {
                    let drift = 1.0 + spread / 2.0 * turn[9];
                    turn[..9]
                        .iter()
                        .map(|u| ms * drift * (1.0 + spread * (u + 1.0).powi(2) / 4.0))
                        .collect()
                })
                .collect(),
        )
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), 2.0);
        assert_eq!(quantile(&sorted, 0.75), 3.0);
        assert_eq!(quantile(&sorted, 1.0), 4.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_interval_of_a_known_ratio_holds_it_nine_times_of_ten() {
        let hits = (0..200)
            .filter(|&seed| {
                let (ours, theirs) = (times(seed, 1.0, 0.1, 7), times(seed + 500, 1.5, 0.1, 7));
                let ratio = Ratio::of(&theirs, &ours).expect("there are turns");
                ratio.low <= 1.5 && 1.5 <= ratio.high
            })
            .count();
        assert!((176..200).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn a_drift_that_both_sides_see_cancels() {
        let drifting = |ms: f64| Times((1..8).map(|turn| vec![ms * f64::from(turn); 5]).collect());
        let ratio = Ratio::of(&drifting(3.0), &drifting(1.5)).expect("there are turns");
        for end in [ratio.value, ratio.low, ratio.high] {
            assert!((end - 2.0).abs() < 1e-12, "{ratio:?}");
        }
    }

    #[test]
    fn the_same_times_under_two_names_are_the_same() {
        let (a, b) = (times(1, 1.0, 0.02, 7), times(2, 1.0, 0.02, 7));
        assert_eq!(
            Ratio::of(&a, &b).map(|ratio| ratio.verdict()),
            Some(Verdict::Same)
        );
    }

    #[test]
    fn verdicts_are_taken_from_the_interval_and_not_from_the_middle() {
        let verdict = |low, high| {
            Ratio {
                value: 1.2,
                low,
                high,
            }
            .verdict()
        };
        assert_eq!(verdict(1.1, 1.3), Verdict::Faster);
        assert_eq!(verdict(0.7, 0.8), Verdict::Slower);
        assert_eq!(verdict(0.99, 1.02), Verdict::Same);
        assert_eq!(verdict(0.9, 1.5), Verdict::Unsure);
    }

    #[test]
    fn one_pair_of_turns_says_nothing() {
        let one = |ms| Times(vec![vec![ms; 3]]);
        let ratio = Ratio::of(&one(5.0), &one(1.0)).expect("there is a turn");
        assert_eq!(
            (ratio.value.round(), ratio.verdict()),
            (5.0, Verdict::Unsure)
        );
        assert_eq!(Ratio::of(&Times::default(), &one(1.0)), None);
    }
}
