//! What of a folder is no image.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Files that are no images as far as their names say, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// By kind: how many, and the first.
    kinds: BTreeMap<String, (usize, String)>,
}

impl PassedOver {
    pub(super) fn add(&mut self, kind: String, name: String) {
        self.kinds.entry(kind).or_insert((0, name)).0 += 1;
    }

    /// How many files there are of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        let kinds = self.kinds.iter();
        kinds.map(|(kind, (count, _))| (kind.as_str(), *count))
    }

    /// Number of files.
    pub fn total(&self) -> usize {
        self.kinds.values().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |(kind, (count, first)): (&String, &(usize, String))| {
            let example = if *count == 1 { "" } else { "first " };
            format!("{count} {kind} ({example}{first})")
        };
        let kinds: Vec<String> = self.kinds.iter().map(kind).collect();
        f.write_str(&kinds.join(", "))
    }
}

/// What kind of file it is, for messages.
pub(super) fn kind(path: &Path) -> String {
    match path.extension() {
        Some(extension) => format!(".{}", extension.to_string_lossy().to_lowercase()),
        None => "without an extension".to_string(),
    }
}
