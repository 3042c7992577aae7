use super::{INDEPENDENT, verdict};
use crate::results::{Row, Verdict};
use crate::stats::{mean_and_error, student};

/// The logarithm of a time or a ratio, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    log: f64,
    error: f64,
    /// Degrees of freedom that the error was taken from.
    freedom: f64,
}

impl Estimate {
    /// A row's time; none where its numbers cannot be true.
    pub fn of(row: &Row) -> Option<Self> {
        let possible = row.low_ms > 0.0 && row.high_ms >= row.low_ms && row.median_ms > 0.0;
        let log = row.median_ms.ln();
        if row.turns_ms.len() < 2 {
            let deviation = (row.high_ms / row.low_ms).ln() / 2.563;
            let calls = row.calls.clamp(1, INDEPENDENT) as f64;
            return possible.then(|| Self {
                log,
                error: 1.253 * deviation / calls.sqrt(),
                freedom: f64::INFINITY,
            });
        }
        let logs: Vec<f64> = row.turns_ms.iter().map(|ms| ms.ln()).collect();
        let (_, error) = mean_and_error(&logs);
        (possible && error.is_finite()).then(|| Self {
            log,
            error,
            freedom: (logs.len() - 1) as f64,
        })
    }

    /// The mean of several; none of none. Their own spread is the error, where there are enough to show it.
    pub fn mean(all: &[Self]) -> Option<Self> {
        let logs: Vec<f64> = all.iter().map(|one| one.log).collect();
        match all {
            [] => None,
            [one] => Some(*one),
            _ => {
                let (log, error) = mean_and_error(&logs);
                Some(Self {
                    log,
                    error,
                    freedom: (all.len() - 1) as f64,
                })
            }
        }
    }

    /// The ratio of this to `other`, by Welch: errors add in squares, and freedoms as their squares weigh.
    pub fn over(self, other: Self) -> Self {
        let [a, b] = [self.error.powi(2), other.error.powi(2)];
        let freedom = (a + b).powi(2) / (a.powi(2) / self.freedom + b.powi(2) / other.freedom);
        Self {
            log: self.log - other.log,
            error: (a + b).sqrt(),
            freedom: if freedom.is_nan() {
                f64::INFINITY
            } else {
                freedom
            },
        }
    }

    /// Without the logarithm.
    pub fn value(self) -> f64 {
        self.log.exp()
    }

    /// The interval of 95 %.
    pub fn interval(self) -> [f64; 2] {
        let half = student(self.freedom) * self.error;
        [(self.log - half).exp(), (self.log + half).exp()]
    }

    /// What the interval says of a ratio.
    pub fn verdict(self, noise: f64) -> Verdict {
        verdict(self.interval(), noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_both_add_up_and_the_less_known_one_widens() {
        let known = Estimate {
            log: 0.0,
            error: 0.03,
            freedom: f64::INFINITY,
        };
        let both = known.over(Estimate { log: 0.1, ..known });
        assert!((both.log + 0.1).abs() < 1e-12 && (both.error - 0.03 * 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(both.freedom, f64::INFINITY);
        let guessed = Estimate {
            freedom: 2.0,
            ..known
        };
        assert!((known.over(guessed).freedom - 8.0).abs() < 1e-9);
        let exact = Estimate {
            error: 0.0,
            ..known
        };
        assert_eq!(exact.over(exact).interval(), [1.0, 1.0]);
    }
}
