use super::output::note;
use crate::train::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;

/// Bars on standard error, with images per second and the time left; closing lines stay.
#[derive(Default)]
pub(super) struct Bars {
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        if let Ok(mut current) = self.current.lock() {
            act(&mut current);
        }
    }

    /// `done` of `total` images are read.
    pub(super) fn read(&self, done: usize, total: usize) {
        self.with(|current| {
            let bar = current.get_or_insert_with(|| bar("reading images", total as u64));
            // Threads report out of order.
            if done as u64 > bar.position() {
                bar.set_position(done as u64);
            }
        });
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what.to_string());
    let template = "{msg:26} [{bar:24}] {pos}/{len} images  {per_sec}  {eta} left  {prefix}";
    // The template is a constant: it parses or the line below would show at the first run.
    if let Ok(style) = ProgressStyle::with_template(template) {
        let per_second = |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} images/s", state.per_sec());
        };
        bar.set_style(style.with_key("per_sec", per_second).progress_chars("=> "));
    }
    bar
}

impl Progress for Bars {
    fn begin(&self, what: &str, done: u64, total: u64) {
        self.with(|current| *current = Some(bar(what, total).with_position(done)));
    }

    fn advance(&self, images: u64, note: &str) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.set_prefix(note.to_string());
                bar.inc(images);
            }
        });
    }

    fn end(&self, summary: &str) {
        self.with(|current| {
            if let Some(bar) = current.take() {
                bar.finish_and_clear();
            }
        });
        if !summary.is_empty() {
            note(summary);
        }
    }
}
