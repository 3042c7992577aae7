//! The first slow one of a row of commits.

use super::Bisect;
use super::build::{Side, Workshop};
use super::error::AbError;
use super::pair::{Pair, Pairs, interval};
use super::race::Race;
use crate::compare::Key;
use crate::report::ratio;
use crate::stats::Ratio;
use std::fmt;

/// Where the interval does not tell, as many times the rounds that were asked for.
const MOST: usize = 4;

/// What is known of a commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Answer {
    /// It is not slow.
    Good,
    /// It is.
    Bad,
    /// Nobody can say: it does not build, or its times do not tell.
    Skip,
}

/// What a search comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found {
    /// The first bad one.
    First(usize),
    /// The first bad one lies between these two, both of them included: all but the last were skipped.
    Among(usize, usize),
}

/// Finds the first bad one of `n` commits, before which all are good, and of which the last is known to be bad.
///
/// Of a commit that cannot be judged the nearest neighbour that was not asked for is taken, as git's own bisection does.
pub(super) fn search<E>(
    n: usize,
    mut ask: impl FnMut(usize) -> Result<Answer, E>,
) -> Result<Found, E> {
    // The first bad one lies from `first` to `last`.
    let (mut first, mut last) = (0, n - 1);
    let mut skipped = vec![false; n];
    loop {
        let middle = (first + last) / 2;
        let open = (first..last).filter(|&i| !skipped[i]);
        let Some(next) = open.min_by_key(|i| i.abs_diff(middle)) else {
            return Ok(match first == last {
                true => Found::First(last),
                false => Found::Among(first, last),
            });
        };
        match ask(next)? {
            Answer::Good => first = next + 1,
            Answer::Bad => last = next,
            Answer::Skip => skipped[next] = true,
        }
    }
}

/// What a slowdown says beside the threshold; nothing where its interval holds it.
fn judge(slowdown: &Ratio, threshold: f64) -> Option<Answer> {
    if slowdown.low > threshold {
        Some(Answer::Bad)
    } else if slowdown.high < threshold {
        Some(Answer::Good)
    } else {
        None
    }
}

/// A row's time in a commit over that in GOOD, and what is known from it.
struct Judged {
    key: Key,
    slowdown: Ratio,
    answer: Option<Answer>,
}

impl Judged {
    fn of(pair: &Pair, threshold: f64) -> Option<Self> {
        let slowdown = pair.slowdown()?;
        let key = pair.key.clone();
        Some(Self {
            key,
            slowdown,
            answer: judge(&slowdown, threshold),
        })
    }

    /// The row that is slowest beyond doubt; what is not slow is so only where no row may be.
    fn slowest(pairs: &Pairs, threshold: f64) -> Option<Self> {
        let rows = pairs.rows.iter();
        let rows: Vec<Self> = rows.filter_map(|pair| Self::of(pair, threshold)).collect();
        let unsure = rows.iter().any(|row| row.answer.is_none());
        let lows = |a: &Self, b: &Self| a.slowdown.low.total_cmp(&b.slowdown.low);
        let mut slowest = rows.into_iter().max_by(lows)?;
        if unsure && slowest.answer == Some(Answer::Good) {
            slowest.answer = None;
        }
        Some(slowest)
    }

    fn row(pairs: &Pairs, key: &Key, threshold: f64) -> Option<Self> {
        let pair = pairs.rows.iter().find(|pair| pair.key == *key)?;
        Self::of(pair, threshold)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let told = ratio(self.slowdown.value);
        write!(f, "{told} times as long {}", interval(&self.slowdown))
    }
}

/// Times a commit against GOOD, until the interval of the row that `look` takes tells or the rounds are used up.
fn judged(
    options: &Bisect,
    [good, commit]: [&Side; 2],
    filters: &[String],
    look: impl Fn(&Pairs) -> Option<Judged>,
) -> Result<Judged, AbError> {
    let mut race = Race::new(good, commit, filters)?;
    for _ in 1..MOST {
        race.run(options.rounds.get())?;
        if let Some(judged) = look(&race.pairs).filter(|judged| judged.answer.is_some()) {
            return Ok(judged);
        }
    }
    race.run(options.rounds.get())?;
    look(&race.pairs).ok_or_else(|| race.nothing())
}

/// Bisects, telling each step. Returns whether one commit was found.
pub(super) fn run(
    workshop: &Workshop,
    options: &Bisect,
    tell: &mut dyn FnMut(String),
) -> Result<bool, AbError> {
    let threshold = options.threshold;
    let good = workshop.commit(&options.good)?;
    let bad = workshop.commit(&options.bad)?;
    let commits = workshop.between(&good, &bad)?;
    if commits.is_empty() {
        let name = &good.name;
        return Err(AbError::Asked(format!(
            "GOOD and BAD are both {name}: no commit lies between them"
        )));
    }
    let fast = workshop.build(&good)?;
    let slow = workshop.build(&bad)?;
    let look = |pairs: &Pairs| Judged::slowest(pairs, threshold);
    let last = judged(options, [&fast, &slow], &options.filter, look)?;
    let (key, bad) = (&last.key, &bad.name);
    let told = match last.answer {
        Some(Answer::Bad) => None,
        Some(_) => Some(format!(
            "there is nothing to find: no row takes {threshold} times as long in {bad}; the slowest is {key}, which takes {last}"
        )),
        None => Some(format!(
            "whether {bad} is slow cannot be told: {key} takes {last}, beside a threshold of {threshold}; take more --rounds or another --threshold"
        )),
    };
    if let Some(told) = told {
        tell(told);
        return Ok(false);
    }
    tell(format!("{bad}: {key} takes {last}, which is followed"));
    let (n, filter) = (commits.len(), [key.line()]);
    tell(format!("{n} commits come after {}", good.name));
    let mut slowdowns: Vec<Option<Judged>> = commits.iter().map(|_| None).collect();
    let found = search(n, |i| {
        let name = &commits[i].name;
        let look = |pairs: &Pairs| Judged::row(pairs, key, threshold);
        let judged = workshop
            .build(&commits[i])
            .and_then(|side| judged(options, [&fast, &side], &filter, look));
        let judged = match judged {
            Ok(judged) => judged,
            Err(error) if error.is_of(name) => {
                tell(format!("{name}: passed over: {error}"));
                return Ok(Answer::Skip);
            }
            Err(error) => return Err(error),
        };
        let (answer, what) = match judged.answer {
            Some(Answer::Bad) => (Answer::Bad, "slow"),
            Some(_) => (Answer::Good, "not slow"),
            None => (Answer::Skip, "UNSURE, passed over"),
        };
        tell(format!("{name}: {what}: {judged}"));
        slowdowns[i] = Some(judged);
        Ok(answer)
    })?;
    match found {
        Found::First(i) => {
            // The last one was not asked for by the search.
            let judged = slowdowns[i].as_ref().unwrap_or(&last);
            let name = &commits[i].name;
            tell(format!("the first slow commit is {name}"));
            tell(format!("in it {key} takes {judged}"));
            Ok(true)
        }
        Found::Among(first, last) => {
            tell("the first slow commit is one of these, of which all but the last were passed over:".into());
            for commit in &commits[first..=last] {
                tell(format!("  {}", commit.name));
            }
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds among `n` commits of which `culprit` is the first bad one and nobody can say about `skipped`, and how often it asked.
    fn searched(n: usize, culprit: usize, skipped: &dyn Fn(usize) -> bool) -> (Found, usize) {
        let mut asked = Vec::new();
        let found = search(n, |i| {
            assert!(i < n - 1, "the last one is known");
            assert!(!asked.contains(&i), "{i} was asked for before");
            asked.push(i);
            Ok::<_, ()>(match () {
                () if skipped(i) => Answer::Skip,
                () if i >= culprit => Answer::Bad,
                () => Answer::Good,
            })
        });
        (found.expect("no error"), asked.len())
    }

    #[test]
    fn every_culprit_is_found_in_as_many_steps_as_halving_takes() {
        for n in 1..=20 {
            for culprit in 0..n {
                let (found, asked) = searched(n, culprit, &|_| false);
                assert_eq!(found, Found::First(culprit), "of {n}");
                assert!(
                    asked <= n.next_power_of_two().ilog2() as usize,
                    "{asked} of {n}"
                );
            }
        }
    }

    #[test]
    fn commits_that_cannot_be_judged_leave_as_few_as_can_be() {
        let mut state = 9u64;
        for n in 1..=20 {
            for culprit in 0..n {
                for _ in 0..40 {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let mask = state >> 40;
                    let skipped = |i: usize| mask >> i & 1 == 1;
                    let (found, asked) = searched(n, culprit, &skipped);
                    assert!(asked < n.max(2), "{asked} of {n}");
                    // Between the last one known to be good and the first one known to be bad.
                    let judged = |i: &usize| !skipped(*i) || *i == n - 1;
                    let first = (0..culprit).rev().find(judged).map_or(0, |i| i + 1);
                    let last = (culprit..n).find(judged).expect("the last one is known");
                    let wanted = match first == last {
                        true => Found::First(last),
                        false => Found::Among(first, last),
                    };
                    assert_eq!(found, wanted, "{n} {culprit} {mask:b}");
                }
            }
        }
    }

    #[test]
    fn a_neighbour_is_taken_for_one_that_cannot_be_judged() {
        for n in 3..=20 {
            for culprit in 0..n {
                // Of neighbours on either side of the culprit both can be judged.
                let gap = (culprit + 2) % n;
                let skipped = |i: usize| i == gap && i != culprit && i + 1 != culprit;
                assert_eq!(searched(n, culprit, &skipped).0, Found::First(culprit));
            }
        }
    }

    #[test]
    fn what_goes_wrong_ends_the_search() {
        assert_eq!(search(9, |_| Err::<Answer, _>("no disk")), Err("no disk"));
    }

    #[test]
    fn a_slowdown_is_judged_by_its_whole_interval() {
        let judge = |low, high| {
            let value = (low + high) / 2.0;
            judge(&Ratio { value, low, high }, 1.05)
        };
        assert_eq!(judge(1.06, 1.3), Some(Answer::Bad));
        assert_eq!(judge(0.9, 1.04), Some(Answer::Good));
        assert_eq!(judge(1.04, 1.3), None);
        assert_eq!(judge(0.0, f64::MAX), None);
    }
}
