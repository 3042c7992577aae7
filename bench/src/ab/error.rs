//! What goes wrong between two benches.

use std::io;
use std::path::PathBuf;

/// Lines of what a failed program said that are told.
const LAST: usize = 20;

/// Why a commit cannot be timed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AbError {
    /// A file or a folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Git says no.
    #[error("git {words}: {said}")]
    Git {
        /// What it was told.
        words: String,
        /// What it said.
        said: String,
    },
    /// No such commit.
    #[error(
        "`{rev}` is no commit of this repository: {said}; `git log --oneline` shows what there is"
    )]
    Unknown {
        /// What was asked for.
        rev: String,
        /// What git said.
        said: String,
    },
    /// Somebody worked where commits are checked out.
    #[error(
        "{} has changes that a checkout would overwrite; take them out of there, or let `cargo xtask bench ab --clean` remove the folder:\n{changes}",
        tree.display()
    )]
    Dirty {
        /// Where.
        tree: PathBuf,
        /// As git tells them.
        changes: String,
    },
    /// What lies there is not what this bench put there.
    #[error(
        "{} is no checkout of this repository; `cargo xtask bench ab --clean` removes it",
        tree.display()
    )]
    Foreign {
        /// Where.
        tree: PathBuf,
    },
    /// Two at a time would check out over each other, and time each other.
    #[error("another `ab` or `bisect` works in {}; wait for it", folder.display())]
    Busy {
        /// Where.
        folder: PathBuf,
    },
    /// It does not compile.
    #[error("{commit} does not build; the last lines of {}:\n{said}", log.display())]
    Build {
        /// The commit.
        commit: String,
        /// All that was said.
        log: PathBuf,
        /// The end of that.
        said: String,
    },
    /// A bench that ends without results.
    #[error(
        "the bench of {side} ended with {status} and without results; it said:\n{said}{advice}"
    )]
    Run {
        /// Whose.
        side: String,
        /// How it ended.
        status: String,
        /// The last lines.
        said: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// Results that this bench cannot read.
    #[error("the bench of {side} left results that this one cannot read: {reason}")]
    Results {
        /// Whose.
        side: String,
        /// What is wrong with them.
        reason: String,
    },
    /// No row in common.
    #[error("no row of `{filter}` was timed on both sides\n{blanks}")]
    Nothing {
        /// What was asked for.
        filter: String,
        /// What either side lacks.
        blanks: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Asked(String),
}

impl AbError {
    /// Whether it is of the commit of this name, of which nothing can be said then, and not of the whole search.
    pub fn is_of(&self, name: &str) -> bool {
        match self {
            Self::Build { commit, .. } => commit == name,
            Self::Run { side, .. } | Self::Results { side, .. } => side == name,
            Self::Nothing { .. } => true,
            _ => false,
        }
    }
}

/// The last lines of what a program said.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}
