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
    /// What held it, the largest first: what each operation had left in memory when a forward pass ended, and what a backward pass added to
    /// that.
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

/// What is more at the peak than at the end of the forward pass.
const ON_THE_WAY: &str = "gradients and scratch";

/// Who holds what: the memory that an operation's forward pass adds is its own. A backward pass lets go of what several operations left,
/// so that nothing is said of single ones after it began.
pub(super) struct Ledger {
    last: u64,
    backward: bool,
    /// Bytes by operation since the forward pass began; below 0 for one that let go of another's.
    by_op: BTreeMap<&'static str, i64>,
    /// The same at the end of the forward pass that left most.
    most: BTreeMap<&'static str, i64>,
    held: Held,
}

impl Ledger {
    pub fn new(before: u64) -> Self {
        Self {
            last: before,
            backward: false,
            by_op: BTreeMap::new(),
            most: BTreeMap::new(),
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
        match (self.backward, backward) {
            (true, false) => self.by_op.clear(),
            (false, true) => self.keep_if_more(),
            _ => {}
        }
        self.backward = backward;
        if !backward {
            *self.by_op.entry(op).or_default() += change;
        }
        self.held.course.push((when, bytes));
        self.held.peak = self.held.peak.max(bytes);
    }

    fn keep_if_more(&mut self) {
        if self.by_op.values().sum::<i64>() > self.most.values().sum() {
            self.most = self.by_op.clone();
        }
    }

    pub fn finish(&mut self) -> Held {
        self.keep_if_more();
        let mut held = std::mem::take(&mut self.held);
        let left: i64 = self.most.values().sum();
        let rest = held.peak as i64 - held.before as i64 - left;
        let all = self.most.iter().map(|(op, bytes)| (*op, *bytes));
        held.holders = all
            .chain([(ON_THE_WAY, rest)])
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(op, bytes)| Holder {
                op: op.to_string(),
                bytes: bytes as u64,
            })
            .collect();
        held.holders
            .sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.op.cmp(&b.op)));
        held
    }
}
