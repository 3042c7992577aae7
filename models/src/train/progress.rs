/// Told about long work, so that a person sees how far it is and how long it will take.
pub trait Progress {
    /// `total` images of `what` are about to be worked on, the first `done` of which were done before.
    fn begin(&self, what: &str, done: u64, total: u64);

    /// So many more are done; `note` says something about them, or is empty.
    fn advance(&self, images: u64, note: &str);

    /// The work announced last is over; `summary` is worth keeping on the screen, or empty.
    fn end(&self, summary: &str);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _done: u64, _total: u64) {}
    fn advance(&self, _images: u64, _note: &str) {}
    fn end(&self, _summary: &str) {}
}
