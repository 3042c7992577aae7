//! Commits, checked out beside the working tree and built there.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A commit with what a reader knows it by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Commit {
    /// All of its digits.
    pub hash: String,
    /// `1234567 its subject`.
    pub name: String,
}

/// A bench that can be run.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// What it is called.
    pub name: String,
    /// The program.
    pub program: PathBuf,
}

/// Where commits are checked out and built, one at a time.
pub(super) struct Workshop {
    repository: PathBuf,
    folder: PathBuf,
    /// The command that builds the bench in a tree, with a target folder, and says on its output as cargo does where it lies.
    build: fn(&Path, &Path) -> Command,
    _lock: Lock,
}

/// A locked file. That it is closed would not do: a process that is just being started has it open too.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What fails here is closed all the same.
        let _ = self.0.unlock();
    }
}

impl Workshop {
    /// That of this bench's repository, under cargo's target folder.
    pub fn here() -> Result<Self, AbError> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.filter(|target| target.is_absolute());
        let target = target.unwrap_or_else(|| repository.join("target"));
        Self::of(&repository, &target.join("ab"), cargo)
    }

    /// That of a repository, in a folder, for commits that are built in this way.
    pub fn of(
        repository: &Path,
        folder: &Path,
        build: fn(&Path, &Path) -> Command,
    ) -> Result<Self, AbError> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        // Without dots and links, as git prints it.
        let absolute = |path: &Path| path.canonicalize().map_err(|error| failed(path, error));
        let (repository, folder) = (absolute(repository)?, absolute(folder)?);
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| failed(&path, error))?;
        if lock.try_lock().is_err() {
            return Err(AbError::Busy { folder });
        }
        Ok(Self {
            repository,
            folder,
            build,
            _lock: Lock(lock),
        })
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The commit that `rev` names.
    pub fn commit(&self, rev: &str) -> Result<Commit, AbError> {
        let named = format!("{rev}^{{commit}}");
        let hash = git(
            &self.repository,
            &["rev-parse", "--verify", "--end-of-options", &named],
        );
        let hash = hash.map_err(|error| match error {
            AbError::Git { said, .. } => AbError::Unknown {
                rev: rev.into(),
                said,
            },
            other => other,
        })?;
        let name = git(&self.repository, &["log", "-1", "--format=%h %s", &hash])?;
        Ok(Commit { hash, name })
    }

    /// The commits after `good` up to `bad`, by first parents.
    pub fn between(&self, good: &Commit, bad: &Commit) -> Result<Vec<Commit>, AbError> {
        let ancestor = ["merge-base", "--is-ancestor", &good.hash, &bad.hash];
        if git(&self.repository, &ancestor).is_err() {
            return Err(AbError::Asked(format!(
                "{} does not come before {}: GOOD has to be an ancestor of BAD",
                good.name, bad.name
            )));
        }
        let range = format!("{}..{}", good.hash, bad.hash);
        let format = "--format=%H %h %s";
        let log = ["log", "--first-parent", "--reverse", format, &range];
        let lines = git(&self.repository, &log)?;
        let split = lines.lines().filter_map(|line| line.split_once(' '));
        let commits = split.map(|(hash, name)| Commit {
            hash: hash.into(),
            name: name.into(),
        });
        Ok(commits.collect())
    }

    /// Checks out and builds a commit. Its program stays when another is built.
    pub fn build(&self, commit: &Commit) -> Result<Side, AbError> {
        self.check_out(commit)?;
        let log = self.folder.join("build.log");
        let lines = File::create(&log).map_err(|error| failed(&log, error))?;
        eprintln!("building {} (see {})", commit.name, log.display());
        let mut command = (self.build)(&self.tree(), &self.folder.join("target"));
        let output = command
            .current_dir(self.tree())
            .stdin(Stdio::null())
            .stderr(lines);
        let output = output
            .output()
            .map_err(|error| failed(Path::new(command.get_program()), error))?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        let built = executable(&String::from_utf8_lossy(&output.stdout));
        let Some(built) = built.filter(|_| output.status.success()) else {
            return Err(AbError::Build {
                commit: commit.name.clone(),
                log,
                said: last_lines(&said),
            });
        };
        let programs = self.folder.join("programs");
        fs::create_dir_all(&programs).map_err(|error| failed(&programs, error))?;
        let program = programs.join(&commit.hash);
        fs::copy(&built, &program).map_err(|error| failed(&built, error))?;
        Ok(Side {
            name: commit.name.clone(),
            program,
        })
    }

    fn check_out(&self, commit: &Commit) -> Result<(), AbError> {
        let tree = self.tree();
        if !tree.exists() {
            // Who removed the folder by hand left it in git's list.
            git(&self.repository, &["worktree", "prune"])?;
            let path = tree.to_string_lossy();
            let add = [
                "worktree",
                "add",
                "--detach",
                "--force",
                &*path,
                &commit.hash,
            ];
            return git(&self.repository, &add).map(drop);
        }
        let changes = git(&tree, &["status", "--porcelain"])?;
        if !changes.is_empty() {
            return Err(AbError::Dirty { tree, changes });
        }
        git(&tree, &["checkout", "--quiet", "--detach", &commit.hash]).map(drop)
    }

    /// Removes the checkout, its changes too, and all that was built from it.
    pub fn clean(self) -> Result<(), AbError> {
        let (tree, folder) = (self.tree(), self.folder);
        if tree.exists() {
            let path = tree.to_string_lossy();
            git(&self.repository, &["worktree", "remove", "--force", &*path])?;
        }
        fs::remove_dir_all(&folder).map_err(|error| failed(&folder, error))
    }
}

fn failed(path: &Path, source: io::Error) -> AbError {
    AbError::File {
        path: path.into(),
        source,
    }
}

/// What git prints, told `words` in `folder`.
fn git(folder: &Path, words: &[&str]) -> Result<String, AbError> {
    let mut command = Command::new("git");
    // A hook that runs this has another repository in mind.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(folder).args(words).output();
    let output = output.map_err(|error| failed(Path::new("git"), error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(AbError::Git {
            words: words.join(" "),
            said: text(&output.stderr),
        }),
    }
}

/// Builds the bench of `tree` for the runtimes and peers that this one was built for.
fn cargo(tree: &Path, target: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this bench about its own package: build scripts watch it, and would run again each time.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
        .args(["bench", "-p", "ghostlight-bench", "--bench", "ops"])
        // As it was committed: a lock file that is written anew would be a change to the checkout.
        .args(["--no-run", "--locked", "--no-default-features"])
        .args(["--features", &features().join(",")])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(tree.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", target);
    command
}

/// The features of this build.
fn features() -> Vec<&'static str> {
    let all = [
        ("cpu", cfg!(feature = "cpu")),
        ("cuda", cfg!(feature = "cuda")),
        ("hip", cfg!(feature = "hip")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("peers", cfg!(feature = "peers")),
    ];
    let on = all.into_iter().filter(|(_, on)| *on);
    on.map(|(name, _)| name).collect()
}

/// Where the program lies, in cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().rev();
    let mut messages = messages.filter_map(|it| serde_json::from_str::<serde_json::Value>(it).ok());
    messages.find_map(|message| {
        let is_ops = message["target"]["name"] == "ops";
        message["executable"]
            .as_str()
            .filter(|_| is_ops)
            .map(PathBuf::from)
    })
}

/// The last lines of what a program said.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST)..].join("\n")
}
