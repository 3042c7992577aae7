use super::{Comparison, Key};
use crate::results::{Refused, Verdict};
use std::fmt;

/// What a comparison does not let pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// A row of ours became slower on the same machine, and the peers did not.
    Slower(Key),
    /// A row of ours was refused, and is not timed: it is wrong, fails, or was too fast to be true.
    Refused(Refused),
    /// A row of ours is gone.
    Missing(Key),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Slower(key) => write!(f, "slower: {key}"),
            Self::Refused(refused) => {
                let Refused {
                    op,
                    case,
                    phase,
                    variant,
                    reason,
                } = refused;
                write!(f, "refused: {op} {case} {phase} {variant}: {reason}")
            }
            Self::Missing(key) => write!(f, "missing: {key}"),
        }
    }
}

impl Comparison {
    /// What does not pass; of a second run that was asked for a `part` alone, what it lacks does.
    pub fn faults(&self, part: bool) -> Vec<Fault> {
        let slower = self
            .changes
            .iter()
            .filter(|change| self.comparable && change.verdict == Verdict::Slower);
        let refused = self.refused.iter().cloned();
        let known = |key: &&Key| {
            self.refused.iter().any(|refused| key.is_of(refused))
                // By another clock it is there.
                || self.only_b.iter().any(|other| Key { clock: key.clock.clone(), ..other.clone() } == **key)
        };
        let missing = self
            .only_a
            .iter()
            .filter(|key| !part && !known(key))
            .cloned();
        slower
            .map(|change| Fault::Slower(change.key.clone()))
            .chain(refused.map(Fault::Refused))
            .chain(missing.map(Fault::Missing))
            .collect()
    }
}

impl Key {
    fn is_of(&self, refused: &Refused) -> bool {
        [&self.op, &self.case, &self.phase] == [&refused.op, &refused.case, &refused.phase]
    }
}
