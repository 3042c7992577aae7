//! Commits, checked out beside the working tree and built there.

use super::error::{AbError, last_lines};
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
        let shop = Self {
            repository,
            folder,
            build,
            _lock: Lock(lock),
        };
        // Those of an earlier search are large, and nobody runs them again.
        remove(&shop.programs())?;
        Ok(shop)
    }

    fn programs(&self) -> PathBuf {
        self.folder.join("programs")
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
        let programs = self.programs();
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
        if !self.is_checkout() {
            return Err(AbError::Foreign { tree });
        }
        let changes = git(&tree, &["status", "--porcelain"])?;
        if !changes.is_empty() {
            return Err(AbError::Dirty { tree, changes });
        }
        git(&tree, &["checkout", "--quiet", "--detach", &commit.hash]).map(drop)
    }

    /// Whether the tree is git's own. In any other folder git would take the repository around it for what it is told about.
    fn is_checkout(&self) -> bool {
        let top = git(&self.tree(), &["rev-parse", "--show-toplevel"]);
        let top = top.map(|top| Path::new(&top).canonicalize());
        matches!(top, Ok(Ok(top)) if top == self.tree())
    }

    /// Removes the checkout, its changes too, and all that was built from it.
    pub fn clean(self) -> Result<(), AbError> {
        remove(&self.folder)?;
        git(&self.repository, &["worktree", "prune"]).map(drop)
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<(), AbError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, error)),
        _ => Ok(()),
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
