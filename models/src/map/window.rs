use crate::data::SceneRows;
use std::ops::Range;

/// The rows of a scene that are still needed.
pub(super) struct Window {
    width: usize,
    /// The first row that is held.
    top: usize,
    pixels: Vec<u8>,
    missing: Vec<bool>,
}

impl Window {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            top: 0,
            pixels: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The row below the last that is held.
    pub(super) fn end(&self) -> usize {
        self.top + self.missing.len() / self.width
    }

    pub(super) fn push(&mut self, rows: SceneRows) {
        self.pixels.extend_from_slice(&rows.pixels);
        // Rows without a mask are there in all their pixels.
        let held = self.pixels.len() / 3;
        self.missing.extend_from_slice(&rows.missing);
        self.missing.resize(held, false);
    }

    /// Rows above `row` are needed no more.
    pub(super) fn forget_before(&mut self, row: usize) {
        let gone = row.min(self.end()) - self.top;
        self.pixels.drain(..gone * self.width * 3);
        self.missing.drain(..gone * self.width);
        self.top += gone;
    }

    /// Whether anything was measured there.
    pub(super) fn has_data(&self, rows: Range<usize>, columns: Range<usize>) -> bool {
        rows.map(|row| (row - self.top) * self.width).any(|line| {
            !self.missing[line + columns.start..line + columns.end]
                .iter()
                .all(|&m| m)
        })
    }

    /// Appends the pixels there to `into`.
    pub(super) fn cut(&self, rows: Range<usize>, columns: Range<usize>, into: &mut Vec<u8>) {
        for row in rows {
            let line = (row - self.top) * self.width;
            into.extend_from_slice(
                &self.pixels[(line + columns.start) * 3..(line + columns.end) * 3],
            );
        }
    }
}
