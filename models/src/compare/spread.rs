//! Mean, deviation and interval of a figure over seeds.
//!
//! The interval of a mean of n differences with deviation s is Student's (1908, Biometrika 6, 1-25): the mean +- t s / sqrt(n), where
//! t is the 97.5th percentile of the distribution named after him with n - 1 degrees of freedom. That distribution is summed as in
//! Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4, which is exact for whole degrees.

use ghostlight_kernels::planted;
use serde::Serialize;

/// How much of the distribution an interval holds.
const LEVEL: f64 = 0.95;
/// No 97.5th percentile lies beyond it: with one degree of freedom it is 12.7, and less with more.
const FARTHEST: f64 = 13.0;

/// One figure under several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean; 0 without any.
    pub mean: f64,
    /// Their standard deviation, of n - 1 degrees of freedom; none of a single one.
    pub sd: Option<f64>,
    /// One value for each seed, in the order of the runs.
    pub values: Vec<f64>,
}

impl Spread {
    /// Mean and deviation of `values`.
    pub fn of(values: Vec<f64>) -> Self {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let free = planted::or(
            "deviation_of_all",
            values.len().saturating_sub(1),
            values.len(),
        );
        let sd = (values.len() > 1).then(|| (squares / free as f64).sqrt());
        Self { mean, sd, values }
    }

    /// The 95 % interval of the mean over all seeds. None where the values are equal or single: they have no spread to judge by.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let sd = self.sd.filter(|sd| *sd > 0.0)?;
        let count = self.values.len();
        let free = planted::or("as_many_degrees_as_seeds", count - 1, count);
        let half = percentile(free) * sd / (count as f64).sqrt();
        Some((self.mean - half, self.mean + half))
    }
}

/// The t for which a share [`LEVEL`] of the distribution with `free` degrees of freedom lies between -t and t.
fn percentile(free: usize) -> f64 {
    let (mut low, mut high) = (0.0, FARTHEST);
    for _ in 0..f64::MANTISSA_DIGITS {
        let middle = 0.5 * (low + high);
        match within(middle, free) < LEVEL {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

/// The share of the distribution with `free` degrees of freedom that lies between -t and t.
fn within(t: f64, free: usize) -> f64 {
    let angle = (t / (free as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    // Every second power of the cosine, each with the one before it times (k - 1) / k.
    let sum = |first: usize, start: f64| {
        let (mut term, mut sum) = (start, 0.0);
        for k in (first..free).step_by(2) {
            sum += term;
            term *= cosine * cosine * k as f64 / (k + 1) as f64;
        }
        sum
    };
    match free % 2 {
        0 => sine * sum(1, 1.0),
        _ => std::f64::consts::FRAC_2_PI * (angle + sine * sum(2, cosine)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_printed_tables() {
        for (free, t) in [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (5, 2.570_582),
            (9, 2.262_157),
            (10, 2.228_139),
            (30, 2.042_272),
            (1000, 1.962_339),
        ] {
            let found = percentile(free);
            assert!((found - t).abs() < 1e-6, "{free}: {found}");
        }
    }

    #[test]
    fn three_seeds_have_the_interval_of_paper_and_pencil() {
        // 1, 2, 3: mean 2, deviation 1, half the width 4.302653 / sqrt(3).
        let spread = Spread::of(vec![1.0, 2.0, 3.0]);
        assert_eq!((spread.mean, spread.sd), (2.0, Some(1.0)));
        let (low, high) = spread.interval().unwrap();
        assert!((low + 0.484_138).abs() < 1e-6 && (high - 4.484_138).abs() < 1e-6);
    }

    #[test]
    fn a_single_seed_and_equal_ones_have_no_interval() {
        let single = Spread::of(vec![0.25]);
        assert_eq!(
            (single.mean, single.sd, single.interval()),
            (0.25, None, None)
        );
        let equal = Spread::of(vec![0.25; 3]);
        assert_eq!((equal.sd, equal.interval()), (Some(0.0), None));
        assert_eq!(Spread::of(Vec::new()).mean, 0.0);
    }
}
