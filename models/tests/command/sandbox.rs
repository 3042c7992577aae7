//! A folder in which commands are typed, and what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ghostlight");

/// The smallest run that still does everything: two epochs of a few steps for each of the three networks.
pub const TINY: &str = "--data synthetic --set data.synthetic_per_class=8 --set data.synthetic_size=16 \
    --set train.batch=16 --set teacher.arch=resnet8 --epochs 2";

/// A working folder of its own, gone with its test.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    /// A place in the folder.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `ghostlight` with `words`, parted by spaces, to be started in the folder.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(words.split_whitespace())
            .current_dir(self.folder.path());
        command
    }

    /// Runs `ghostlight` with `words` to its end.
    pub fn ghostlight(&self, words: &str) -> Outcome {
        Outcome::of(&mut self.command(words))
    }

    /// Runs `ghostlight` with `words` and requires that it refuses them, names every one of `named`, and leaves nothing behind.
    pub fn refuses(&self, words: &str, named: &[&str]) {
        let before = files(self.folder.path());
        let outcome = self.ghostlight(words);
        outcome.assert_refused(named);
        let after = files(self.folder.path());
        assert!(
            before == after,
            "{words} changed {:?} into {:?}",
            before.keys(),
            after.keys()
        );
        assert!(!self.at("runs").exists());
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the program starts"))
    }

    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Whether an epoch of the network called `title` was trained.
    pub fn trained(&self, title: &str) -> bool {
        let mut lines = self.stderr.lines();
        lines.any(|line| line.starts_with(&format!("{title} ")) && line.contains(" epoch "))
    }

    /// Exit code 2, a message with every one of `named`, and nothing that could be taken for a result.
    #[track_caller]
    pub fn assert_refused(&self, named: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        let (_, message) = self.stderr.split_once("error: ").expect("an error");
        for name in named {
            assert!(message.contains(name), "{name:?} is not in {message:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Everything under a folder, folders included, with the files' contents.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder to list") {
            let path = entry.expect("an entry to read").path();
            let contents = match path.is_dir() {
                true => {
                    folders.push(path.clone());
                    None
                }
                false => Some(fs::read(&path).expect("a file to read")),
            };
            found.insert(path, contents);
        }
    }
    found
}
