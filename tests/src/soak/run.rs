use super::{Draw, OPERATIONS, Operation};
use crate::client;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Failures of one operation after which it is left alone: they say the same.
const ENOUGH: usize = 5;
/// Problems that are tried to make a failing one smaller.
const ATTEMPTS: usize = 400;

/// What one operation came to.
#[derive(Debug, Clone, Default)]
pub struct Count {
    /// Problems.
    pub problems: u64,
    /// Problems that failed.
    pub failures: usize,
    /// The smallest of them.
    pub smallest: Option<Failure>,
}

/// A problem that failed, made as small as it still fails.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its number among the operation's.
    pub case: u64,
    /// What it is now.
    pub words: String,
    /// What is wrong.
    pub found: String,
    /// The sum of its extents.
    pub size: usize,
}

/// A run over the operations in turns.
pub struct Soak {
    /// All problems follow from it.
    pub seed: u64,
    /// The operations, with what they came to.
    pub counts: Vec<(&'static Operation, Count)>,
    start: Instant,
}

/// What failed, and what it failed at.
struct Tried {
    words: String,
    extents: Vec<[usize; 2]>,
    found: Option<String>,
}

/// Draws and checks one problem, a panic included.
fn tried(seed: u64, operation: &Operation, case: u64, caps: &[usize]) -> Tried {
    let mut problem = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let drawn = (operation.draw)(Draw::new(seed, operation.name, case, caps));
        problem = Some((drawn.words.clone(), drawn.extents.clone()));
        drawn.check(&client()).map_err(|error| error.to_string())
    }));
    let found = match outcome {
        Ok(result) => result.err(),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("it panicked: {}", said.unwrap_or("without words")))
        }
    };
    let (words, extents) = problem.unwrap_or(("not even drawn".into(), Vec::new()));
    Tried {
        words,
        extents,
        found,
    }
}

impl Soak {
    /// A run over the operations whose name is `filter`, or else has it in it.
    ///
    /// # Errors
    /// No operation is meant; what there is.
    pub fn new(seed: u64, filter: &str) -> Result<Self, String> {
        let exact = OPERATIONS.iter().any(|operation| operation.name == filter);
        let meant = |name: &str| match exact {
            true => name == filter,
            false => name.contains(filter),
        };
        let chosen = OPERATIONS.iter().filter(|operation| meant(operation.name));
        let counts: Vec<_> = chosen.map(|it| (it, Count::default())).collect();
        if counts.is_empty() {
            let names: Vec<_> = OPERATIONS.iter().map(|it| it.name).collect();
            let names = names.join(", ");
            return Err(format!(
                "no operation is called {filter:?}; there are {names}"
            ));
        }
        Ok(Self {
            seed,
            counts,
            start: Instant::now(),
        })
    }

    /// Problems so far.
    pub fn problems(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count.problems).sum()
    }

    /// Failures so far.
    pub fn failures(&self) -> usize {
        self.counts.iter().map(|(_, count)| count.failures).sum()
    }

    /// Seconds since the run began.
    pub fn seconds(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// Checks problems in turns of the operations until `go_on` says no, which is asked before each.
    ///
    /// Returns whether something is left to be checked: not where every operation failed often enough.
    pub fn run(
        &mut self,
        mut go_on: impl FnMut(&Self) -> bool,
        mut failed: impl FnMut(&str, &Failure),
    ) {
        let mut case = 0;
        while self.counts.iter().any(|(_, count)| count.failures < ENOUGH) {
            for index in 0..self.counts.len() {
                if !go_on(self) {
                    return;
                }
                if self.counts[index].1.failures < ENOUGH {
                    self.one(index, case, &mut failed);
                }
            }
            case += 1;
        }
    }

    /// Checks problem number `case` of every operation.
    pub fn again(&mut self, case: u64, mut failed: impl FnMut(&str, &Failure)) {
        for index in 0..self.counts.len() {
            self.one(index, case, &mut failed);
        }
    }

    fn one(&mut self, index: usize, case: u64, failed: &mut impl FnMut(&str, &Failure)) {
        let (operation, count) = &mut self.counts[index];
        let first = tried(self.seed, operation, case, &[]);
        count.problems += 1;
        if first.found.is_none() {
            return;
        }
        count.failures += 1;
        let failure = smallest(self.seed, operation, case, first);
        failed(operation.name, &failure);
        let before = count.smallest.as_ref().map_or(usize::MAX, |it| it.size);
        if failure.size < before {
            count.smallest = Some(failure);
        }
    }
}

/// The failing problem with every extent as small as it can be by itself, in turns until none gets smaller.
fn smallest(seed: u64, operation: &Operation, case: u64, first: Tried) -> Failure {
    let mut best = first;
    let mut attempts = 0;
    let mut improved = true;
    while improved {
        improved = false;
        for k in 0..best.extents.len() {
            let [least, now] = best.extents[k];
            let mut smaller = vec![
                least,
                least + (now - least) / 2,
                now.saturating_sub(1).max(least),
            ];
            smaller.dedup();
            for cap in smaller.into_iter().filter(|&cap| cap < now) {
                if attempts == ATTEMPTS {
                    break;
                }
                attempts += 1;
                let mut caps: Vec<usize> = best.extents.iter().map(|it| it[1]).collect();
                caps[k] = cap;
                let next = tried(seed, operation, case, &caps);
                if next.found.is_some() {
                    (best, improved) = (next, true);
                    break;
                }
            }
        }
    }
    Failure {
        case,
        words: best.words,
        found: best.found.unwrap_or_default(),
        size: best.extents.iter().map(|it| it[1]).sum(),
    }
}
