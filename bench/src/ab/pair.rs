//! What two programs took for the same rows, pair by pair.

use crate::compare::Key;
use crate::report::{ratio, significant};
use crate::results::{Results, Row};
use crate::stats::{Ratio, Times, quantile};
use ghostlight_kernels::planted;
use std::collections::BTreeSet;
use std::fmt;

/// The rows of ours that two programs were both timed at.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// In the order of measuring.
    pub rows: Vec<Pair>,
    /// What one of the two has no time of, one sentence each.
    pub blanks: BTreeSet<String>,
}

/// One row, as often as both were timed.
#[derive(Debug)]
pub(super) struct Pair {
    /// Which.
    pub key: Key,
    a: Side,
    b: Side,
}

#[derive(Debug, Default)]
struct Side {
    /// A turn is a whole run; runs of the same place in both sides are a pair.
    times: Times,
    digests: BTreeSet<Option<String>>,
}

impl Side {
    fn take(&mut self, row: &Row) {
        self.times.0.push(vec![row.median_ms]);
        self.digests.insert(row.digest.clone());
    }

    /// The digest of all its runs, if they have one.
    fn digest(&self) -> Option<&String> {
        match self.digests.len() {
            1 => self.digests.first()?.as_ref(),
            _ => None,
        }
    }

    fn ms(&self) -> f64 {
        quantile(&self.times.sorted(), 0.5)
    }
}

impl Pairs {
    /// Adds a run of each side, `names` being what they are called.
    pub fn add(&mut self, names: [&str; 2], a: &Results, b: &Results) {
        let (a, b) = planted::or("ab_turned_round", (a, b), (b, a));
        let (mine, theirs) = (ours(a), ours(b));
        for row in mine.iter().copied() {
            let Some(beside) = theirs.iter().find(|other| other.is_beside(row)) else {
                self.blanks
                    .insert(format!("only {} has {}", names[0], Key::of(row)));
                continue;
            };
            let pair = self.of(Key::of(row));
            pair.a.take(row);
            pair.b.take(beside);
        }
        for row in theirs.iter().copied() {
            if mine.iter().all(|other| !other.is_beside(row)) {
                self.blanks
                    .insert(format!("only {} has {}", names[1], Key::of(row)));
            }
        }
        for (name, run) in names.into_iter().zip([a, b]) {
            for refused in run.refused.iter().filter(|refused| refused.is_ours()) {
                let (op, case, phase) = (&refused.op, &refused.case, &refused.phase);
                let reason = &refused.reason;
                self.blanks
                    .insert(format!("refused in {name}: {op} {case} {phase}: {reason}"));
            }
        }
    }

    fn of(&mut self, key: Key) -> &mut Pair {
        let known = self.rows.iter().position(|pair| pair.key == key);
        let at = known.unwrap_or_else(|| {
            let (a, b) = (Side::default(), Side::default());
            self.rows.push(Pair { key, a, b });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

impl Pair {
    /// The first side's time over the second's: above 1, the second is faster.
    pub fn ratio(&self) -> Option<Ratio> {
        Ratio::of(&self.a.times, &self.b.times)
    }

    /// The second side's time over the first's: above 1, the second is slower.
    pub fn slowdown(&self) -> Option<Ratio> {
        Ratio::of(&self.b.times, &self.a.times)
    }

    /// What became of the outputs, where both sides say.
    fn bits(&self) -> &'static str {
        let unsteady = |side: &Side| side.digests.len() > 1;
        match (self.a.digest(), self.b.digest()) {
            (Some(a), Some(b)) if a == b => "; same bits",
            (Some(_), Some(_)) => "; other bits",
            _ if unsteady(&self.a) || unsteady(&self.b) => "; bits that change from run to run",
            _ => "",
        }
    }
}

fn ours(run: &Results) -> Vec<&Row> {
    run.rows.iter().filter(|row| row.is_ours()).collect()
}

/// An interval of ratios; one pair has none.
pub(super) fn interval(all: &Ratio) -> String {
    match all.high < f64::MAX {
        true => format!("({} to {})", ratio(all.low), ratio(all.high)),
        false => "(one pair)".into(),
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Some(all) = self.ratio() else {
            return write!(f, "{}", self.key);
        };
        write!(
            f,
            "{:7} {:>5} {:16} {:>9} -> {:>9} ms  {}{}",
            all.verdict(),
            ratio(all.value),
            interval(&all),
            significant(self.a.ms()),
            significant(self.b.ms()),
            self.key,
            self.bits()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{row, run};
    use crate::results::Verdict;

    const NAMES: [&str; 2] = ["1234567", "the working tree"];

    /// Pairs of one row that took so long on each side.
    fn pairs(ms: &[[f64; 2]]) -> Pairs {
        let mut pairs = Pairs::default();
        for [a, b] in ms {
            pairs.add(NAMES, &run("", "", *a), &run("", "", *b));
        }
        pairs
    }

    #[test]
    fn the_second_side_is_faster_where_the_ratio_lies_above_one() {
        // The machine becomes slower and slower, which both sides see.
        let ms = [[1.2, 1.0], [2.42, 2.0], [3.6, 3.02], [4.8, 4.0]];
        let pairs = pairs(&ms);
        let [pair] = &pairs.rows[..] else {
            panic!("{pairs:?}");
        };
        let ratio = pair.ratio().expect("pairs");
        assert!((ratio.value - 1.2).abs() < 0.01, "{ratio:?}");
        assert!(1.18 < ratio.low && ratio.high < 1.22, "{ratio:?}");
        assert_eq!(ratio.verdict(), Verdict::Faster);
        let slowdown = pair.slowdown().expect("pairs");
        assert!((slowdown.value * ratio.value - 1.0).abs() < 1e-12);
        assert!((slowdown.low * ratio.high - 1.0).abs() < 1e-12);
        let text = pair.to_string();
        assert!(text.starts_with("FASTER   1.20 (1.19 to 1.21)"), "{text}");
        assert!(text.contains("3.01 ->      2.51 ms"), "{text}");
        assert!(
            text.ends_with("relu n1 c4 forward (hot, wall); same bits"),
            "{text}"
        );
    }

    #[test]
    fn the_interval_is_students_over_the_logarithms() {
        let logs = [0.1f64, 0.2, 0.15, 0.11];
        let pairs = pairs(&logs.map(|log| [log.exp(), 1.0]));
        let ratio = pairs.rows[0].ratio().expect("pairs");
        // By hand: mean 0.14, deviation 0.045461, by the root of 4, times 3.182 for three degrees of freedom.
        let half = 3.182 * 0.045_460_606 / 2.0;
        assert!((ratio.value.ln() - 0.14).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.low.ln() - (0.14 - half)).abs() < 1e-6, "{ratio:?}");
        assert!((ratio.high.ln() - (0.14 + half)).abs() < 1e-6, "{ratio:?}");
    }

    #[test]
    fn one_pair_is_unsure_and_says_so() {
        let pairs = pairs(&[[2.0, 1.0]]);
        let text = pairs.rows[0].to_string();
        assert!(text.starts_with("UNSURE   2.00 (one pair)"), "{text}");
    }

    #[test]
    fn bits_are_compared_where_both_sides_have_them_and_keep_them() {
        let of = |digests: [[Option<&str>; 2]; 2]| {
            let mut pairs = Pairs::default();
            for [a, b] in digests {
                let [a, b] = [a, b].map(|digest| {
                    let mut run = run("", "", 1.0);
                    run.rows[0].digest = digest.map(String::from);
                    run
                });
                pairs.add(NAMES, &a, &b);
            }
            pairs.rows[0].bits()
        };
        let (x, y) = (Some("x"), Some("y"));
        assert_eq!(of([[x, x], [x, x]]), "; same bits");
        assert_eq!(of([[x, y], [x, y]]), "; other bits");
        assert_eq!(of([[x, y], [x, x]]), "; bits that change from run to run");
        assert_eq!(of([[None, x], [None, x]]), "");
    }

    #[test]
    fn what_one_side_lacks_or_refuses_is_told_once() {
        let mut a = run("", "", 1.0);
        a.rows.push(row(["relu", "backward", "n1 c4"], 1.0));
        let mut b = run("", "", 1.0);
        b.rows.push(row(["gelu", "forward", "n1 c4"], 1.0));
        b.refused.push(crate::results::Refused {
            op: "relu".into(),
            case: "n1 c4".into(),
            phase: "backward".into(),
            variant: "ours".into(),
            reason: "it is wrong".into(),
        });
        let mut pairs = Pairs::default();
        pairs.add(NAMES, &a, &b);
        pairs.add(NAMES, &a, &b);
        assert_eq!(pairs.rows.len(), 1);
        let blanks: Vec<&str> = pairs.blanks.iter().map(String::as_str).collect();
        assert_eq!(
            blanks,
            [
                "only 1234567 has relu n1 c4 backward (hot, wall)",
                "only the working tree has gelu n1 c4 forward (hot, wall)",
                "refused in the working tree: relu n1 c4 backward: it is wrong",
            ]
        );
    }
}
