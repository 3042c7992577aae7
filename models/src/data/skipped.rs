//! What a run leaves out as it cannot be used, and why.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file, or a line of an annotation, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadFile {
    /// Relative to the data folder.
    pub file: String,
    /// Why not.
    pub reason: String,
}

/// What was left out of a run's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Skipped {
    /// Each file with its reason.
    Files(Vec<BadFile>),
    /// How many, as older runs remember it.
    Count(usize),
}

impl Default for Skipped {
    fn default() -> Self {
        Self::Files(Vec::new())
    }
}

impl From<usize> for Skipped {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<Vec<BadFile>> for Skipped {
    fn from(files: Vec<BadFile>) -> Self {
        Self::Files(files)
    }
}

impl Skipped {
    /// Number of files.
    pub fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Count(count) => *count,
        }
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each reason with the first file and the number of others, the most frequent first; nothing where the run does not remember.
    pub fn reasons(&self) -> Vec<String> {
        let Self::Files(files) = self else {
            return Vec::new();
        };
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for BadFile { file, reason } in files {
            by_reason.entry(reason).or_default().push(file);
        }
        let mut reasons: Vec<_> = by_reason.into_iter().collect();
        reasons.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
        let said = |(reason, files): (&str, Vec<&str>)| match files.len() - 1 {
            0 => format!("{}: {reason}", files[0]),
            1 => format!("{} and 1 other: {reason}", files[0]),
            others => format!("{} and {others} others: {reason}", files[0]),
        };
        reasons.into_iter().map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(file: &str, reason: &str) -> BadFile {
        let (file, reason) = (file.to_string(), reason.to_string());
        BadFile { file, reason }
    }

    #[test]
    fn reasons_are_said_once_with_the_first_of_their_files() {
        let files = [
            ("a/1.png", "short"),
            ("a/2.png", "empty"),
            ("b/1.png", "empty"),
            ("b/2.png", "empty"),
        ];
        let skipped = Skipped::from(files.map(|(file, reason)| bad(file, reason)).to_vec());
        let wanted = ["a/2.png and 2 others: empty", "a/1.png: short"];
        assert_eq!(
            (skipped.len(), skipped.reasons()),
            (4, wanted.map(String::from).to_vec())
        );
    }

    #[test]
    fn files_are_read_back_and_so_is_the_number_of_an_older_run() {
        let skipped = Skipped::from(vec![bad("a", "b")]);
        let text = serde_json::to_string(&skipped).unwrap();
        assert_eq!(serde_json::from_str::<Skipped>(&text).unwrap(), skipped);
        let older: Skipped = serde_json::from_str("2").unwrap();
        assert_eq!((older.len(), older.reasons()), (2, Vec::new()));
    }
}
