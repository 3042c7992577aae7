use std::collections::BTreeMap;
use std::time::Duration;

/// Memory over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    /// Bytes held before the first operation: parameters, gradients, the optimiser's memory.
    pub before: u64,
    /// When, from the beginning of the watch, and how many bytes were held then.
    pub course: Vec<(Duration, u64)>,
    /// The most that was held after an operation.
    pub peak: u64,
    /// What held it then, the largest first.
    pub holders: Vec<Holder>,
}

/// An operation whose outputs and saved tensors were held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The operation.
    pub op: String,
    /// Bytes.
    pub bytes: u64,
}

/// Who holds what: the memory that an operation's forward pass adds is its own, until its backward pass lets go of it.
pub(super) struct Ledger {
    last: u64,
    /// Bytes by operation; below 0 for one that let go of another's.
    by_op: BTreeMap<&'static str, i64>,
    held: Held,
}

impl Ledger {
    pub fn new(before: u64) -> Self {
        Self {
            last: before,
            by_op: BTreeMap::new(),
            held: Held {
                before,
                ..Held::default()
            },
        }
    }

    /// After an operation, `bytes` are held.
    pub fn note(&mut self, op: &'static str, backward: bool, bytes: u64, when: Duration) {
        let change = bytes as i64 - self.last as i64;
        self.last = bytes;
        // What a backward pass adds are gradients on their way, whosever they are.
        let who = if backward && change > 0 {
            "gradients"
        } else {
            op
        };
        *self.by_op.entry(who).or_default() += change;
        self.held.course.push((when, bytes));
        if bytes > self.held.peak {
            self.held.peak = bytes;
            let above = self.by_op.iter().filter(|(_, bytes)| **bytes > 0);
            let mut holders: Vec<Holder> = above
                .map(|(op, bytes)| Holder {
                    op: op.to_string(),
                    bytes: *bytes as u64,
                })
                .collect();
            holders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.op.cmp(&b.op)));
            self.held.holders = holders;
        }
    }

    pub fn finish(&mut self) -> Held {
        std::mem::take(&mut self.held)
    }
}
