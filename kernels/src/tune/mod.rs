//! Choices that a launch may make otherwise without a change of its bits: tiles, blocks, cubes.
//!
//! A kernel's rule names the sizes that it takes for a problem. What it could take instead is a [`Knob`]: an operation, what of a problem the
//! choice may hang on (its *class*), and the values of each size. `cargo xtask bench tune` asks what is chosen ([`watch`]), tries every
//! candidate in the rule's place ([`with`]), verifies and times it, and keeps the faster one of each class in a [`Table`].
//! [`use_table`] takes such a table into use; without one, and for every class that it does not know, the rule holds.
//!
//! **A choice never changes the bits.** What may be chosen is how sums are spread over registers, units and caches, never the order in which one
//! of them is added up: the tests compare the results of all candidates bit by bit, and the bench refuses one that differs.
//!
//! A kernel of one's own takes part by asking [`Knob::choose`] for its sizes.

mod device;
mod named;
mod table;

pub use device::{device, processor};
pub use named::Named;
pub use table::{Chosen, Table, TableError, use_asked, use_rules, use_table};

use crate::DType;
use std::cell::{Cell, RefCell};

/// What a launch may choose, for problems of `C` numbers and in `T` sizes.
pub struct Knob<const C: usize, const T: usize> {
    /// The kernel, as tables and reports call it.
    pub op: &'static str,
    /// The numbers of a problem that the choice may hang on.
    pub class: [&'static str; C],
    /// What is chosen, each with the values that are tried beside the rule's.
    pub sizes: [(&'static str, &'static [usize]); T],
}

/// The problems that share a choice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The kernel.
    pub op: String,
    /// The element type of the tensors.
    pub dtype: DType,
    /// The numbers of the class.
    pub class: Named,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.op, self.dtype.name(), self.class)
    }
}

/// A choice that a launch made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// For which problems.
    pub key: Key,
    /// What the rule takes.
    pub rule: Named,
    /// What it could take instead, without the rule's own.
    pub candidates: Vec<Named>,
}

thread_local! {
    /// Whether the two below have anything to say, in the time of one read.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static WATCHED: RefCell<Option<Vec<Question>>> = const { RefCell::new(None) };
    static FORCED: RefCell<Option<(Key, Named)>> = const { RefCell::new(None) };
}

impl<const C: usize, const T: usize> Knob<C, T> {
    /// The sizes for a problem of `class`: `rule`, unless [`with`] or a table in use has others that are `allowed`. What is allowed has to be right,
    /// and of the same bits, whatever it costs.
    pub fn choose(
        &self,
        dtype: DType,
        class: [usize; C],
        rule: [usize; T],
        allowed: impl Fn([usize; T]) -> bool,
    ) -> [usize; T] {
        if !ASKED.get() && !table::is_in_use() {
            return rule;
        }
        self.look_up(dtype, class, rule, allowed)
    }

    #[cold]
    fn look_up(
        &self,
        dtype: DType,
        class: [usize; C],
        rule: [usize; T],
        allowed: impl Fn([usize; T]) -> bool,
    ) -> [usize; T] {
        let key = || Key {
            op: self.op.into(),
            dtype,
            class: Named::of(self.class, class),
        };
        if ASKED.get() {
            self.note(&key, rule, &allowed);
            let forced = FORCED.with_borrow(|forced| {
                let (of, sizes) = forced.as_ref()?;
                let here = *of == key() || crate::planted::is("tuned_for_another_class");
                here.then(|| sizes.values_of(self.names())).flatten()
            });
            if let Some(sizes) = forced.filter(|&sizes| allowed(sizes)) {
                return sizes;
            }
        }
        let stored = table::in_use(self.op, dtype, (self.class, class), self.names());
        stored.filter(|&sizes| allowed(sizes)).unwrap_or(rule)
    }

    /// Adds the question to those that [`watch`] returns, once.
    fn note(
        &self,
        key: &impl Fn() -> Key,
        rule: [usize; T],
        allowed: &impl Fn([usize; T]) -> bool,
    ) {
        WATCHED.with_borrow_mut(|watched| {
            let Some(watched) = watched else { return };
            let key = key();
            if watched.iter().any(|question| question.key == key) {
                return;
            }
            let others = self.all().into_iter();
            let others = others.filter(|&sizes| sizes != rule && allowed(sizes));
            watched.push(Question {
                key,
                rule: Named::of(self.names(), rule),
                candidates: others.map(|sizes| Named::of(self.names(), sizes)).collect(),
            });
        });
    }

    fn names(&self) -> [&'static str; T] {
        self.sizes.map(|(name, _)| name)
    }

    /// Every combination of values, the last size changing fastest.
    fn all(&self) -> Vec<[usize; T]> {
        let mut all = vec![[0; T]];
        for (i, (_, values)) in self.sizes.iter().enumerate() {
            let longer = all.iter().flat_map(|sizes| {
                values.iter().map(move |&value| {
                    let mut sizes = *sizes;
                    sizes[i] = value;
                    sizes
                })
            });
            all = longer.collect();
        }
        all
    }
}

/// What the launches of `work` on this thread choose, each class once, in the order of asking.
pub fn watch<R>(work: impl FnOnce() -> R) -> (R, Vec<Question>) {
    let before = WATCHED.replace(Some(Vec::new()));
    let _restored = Restored(|questions| drop(WATCHED.replace(questions)), Some(before));
    ASKED.set(true);
    let result = work();
    (result, WATCHED.take().unwrap_or_default())
}

/// Takes `sizes` for the problems of `key` that `work` launches on this thread, where they are allowed.
pub fn with<R>(key: &Key, sizes: &Named, work: impl FnOnce() -> R) -> R {
    let before = FORCED.replace(Some((key.clone(), sizes.clone())));
    let _restored = Restored(|forced| drop(FORCED.replace(forced)), Some(before));
    ASKED.set(true);
    work()
}

/// Puts back what was there, also when the work panics.
struct Restored<V>(fn(V), Option<V>);

impl<V> Drop for Restored<V> {
    fn drop(&mut self) {
        if let Some(before) = self.1.take() {
            self.0(before);
        }
        let asked = WATCHED.with_borrow(Option::is_some) || FORCED.with_borrow(Option::is_some);
        ASKED.set(asked);
    }
}

#[cfg(test)]
mod tests;
