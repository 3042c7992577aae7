//! Where runs are kept: a folder for each machine, a file for each run, none of which is ever written again.

use crate::machine;
use crate::results::{Machine, Results, ResultsError};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::{env, process};

/// The variable that names another folder than the user's own.
pub(crate) const VARIABLE: &str = "GHOSTLIGHT_HISTORY";

/// Characters of a commit that a file's name has.
const COMMIT: usize = 10;

/// Why a run cannot be kept, or none be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nobody says where.
    #[error(
        "the home folder of this user is not known: set HOME (LOCALAPPDATA on Windows), or {VARIABLE} to a folder for the runs"
    )]
    NoFolder,
    /// A folder that hangs on where one stands.
    #[error(
        "{VARIABLE}={}: it has to be an absolute path, so that the runs are found wherever the bench is started",
        folder.display()
    )]
    Relative {
        /// What was asked for.
        folder: PathBuf,
    },
    /// A folder or a file of the store.
    #[error("{}: {source}; {VARIABLE} names another folder for the runs", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A run that cannot be written.
    #[error(transparent)]
    Results(#[from] ResultsError),
}

/// The runs that are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// What a store holds, for one machine.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Its runs, by the time they began.
    pub runs: Vec<Results>,
    /// Its files that are no runs.
    pub broken: Vec<ResultsError>,
    /// Runs of other machines, which were not read.
    pub others: usize,
}

impl Store {
    /// The store of this user.
    pub fn of_this_user() -> Result<Self, StoreError> {
        Self::of(env::consts::OS, env::home_dir(), |name| env::var_os(name))
    }

    /// That of a user with this home and these variables.
    fn of(
        os: &str,
        home: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, StoreError> {
        let named = |name| {
            let value = variable(name).map(PathBuf::from);
            value.filter(|path| !path.as_os_str().is_empty())
        };
        if let Some(folder) = named(VARIABLE) {
            return match folder.is_absolute() {
                true => Ok(Self::at(folder)),
                false => Err(StoreError::Relative { folder }),
            };
        }
        let absolute = |name| named(name).filter(|path| path.is_absolute());
        let home = home.filter(|home| !home.as_os_str().is_empty());
        let data = match os {
            "windows" => absolute("LOCALAPPDATA"),
            "macos" => home.map(|home| home.join("Library/Application Support")),
            _ => absolute("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share"))),
        };
        let data = data.ok_or(StoreError::NoFolder)?;
        Ok(Self::at(data.join("ghostlight/history")))
    }

    /// The store in `folder`, which need not be there yet.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a run. Its file appears whole or not at all.
    pub fn keep(&self, run: &Results) -> Result<PathBuf, StoreError> {
        let folder = self.of_machine(&run.machine);
        let failed = |path: &Path, source| StoreError::File {
            path: path.into(),
            source,
        };
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        let path = folder.join(name(run));
        // Beside its place: only within a file system a file can be renamed.
        let unfinished =
            tempfile::NamedTempFile::new_in(&folder).map_err(|error| failed(&folder, error))?;
        run.write(unfinished.path())?;
        let file = unfinished.as_file();
        file.sync_all().map_err(|error| failed(&path, error))?;
        match unfinished.persist(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(failed(&path, error.error)),
        }
    }

    /// The runs of `machine`.
    pub fn runs(&self, machine: &Machine) -> Result<Runs, StoreError> {
        let mine = self.of_machine(machine);
        let mut found = Runs::default();
        for path in listed(&mine)?.iter().filter(|path| is_run(path)) {
            match Results::read(path) {
                Ok(run) => found.runs.push(run),
                Err(error) => found.broken.push(error),
            }
        }
        // Stable: files are listed by name.
        found.runs.sort_by(|a, b| a.began.cmp(&b.began));
        for folder in listed(&self.folder)? {
            if folder != mine && folder.is_dir() {
                found.others += listed(&folder)?.iter().filter(|path| is_run(path)).count();
            }
        }
        Ok(found)
    }

    fn of_machine(&self, machine: &Machine) -> PathBuf {
        self.folder.join(machine::digest(machine))
    }
}

/// What a folder holds, by name; a folder that is not there holds nothing.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::File {
        path: folder.into(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn is_run(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "json")
}

/// When a run began, of which commit, in which process: no two runs of a machine share all three.
fn name(run: &Results) -> String {
    // Windows has no colons in names.
    let began = run.began.replace(':', "-");
    format!(
        "{began}-{}-{}.json",
        short_commit(&run.commit),
        process::id()
    )
}

/// The beginning of a commit, `-dirty` behind it where it was.
pub(crate) fn short_commit(commit: &str) -> String {
    let (commit, dirty) = match commit.strip_suffix("-dirty") {
        Some(commit) => (commit, "-dirty"),
        None => (commit, ""),
    };
    match commit.get(..COMMIT).unwrap_or(commit) {
        "" => "unknown".into(),
        short => format!("{short}{dirty}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{machine, run};
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::at(folder.path().join("history"));
        (folder, store)
    }

    #[test]
    fn a_run_comes_back_as_it_was_with_its_turns() {
        let (_folder, store) = store();
        let kept = run("2026-11-29T08:00:00Z", "abcdef0123456789", 2.0);
        let path = store.keep(&kept).expect("kept");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert_eq!(
            name,
            format!("2026-11-29T08-00-00Z-abcdef0123-{}.json", process::id())
        );
        let found = store.runs(&machine("a")).expect("read");
        assert_eq!(found.runs, [kept]);
        assert_eq!(found.runs[0].rows[0].turns_ms.len(), 4);
        assert_eq!((found.broken.len(), found.others), (0, 0));
    }

    #[test]
    fn runs_are_ordered_by_time_whatever_their_commits() {
        let (_folder, store) = store();
        let began = [
            "2026-11-30T08:00:00Z",
            "2026-11-29T09:00:00Z",
            "2026-11-29T10:00:00Z",
        ];
        for (i, began) in began.iter().enumerate() {
            let commit = format!("{i}bcdef0123456789-dirty");
            store.keep(&run(began, &commit, 1.0)).expect("kept");
        }
        let found = store.runs(&machine("a")).expect("read");
        let order: Vec<&str> = found.runs.iter().map(|run| run.began.as_str()).collect();
        assert_eq!(order, [began[1], began[2], began[0]]);
    }

    #[test]
    fn runs_of_other_machines_are_counted_and_not_read() {
        let (_folder, store) = store();
        store.keep(&run("2026", "", 1.0)).expect("kept");
        for (i, other) in [("2027", "b"), ("2028", "b"), ("2029", "c")] {
            let mut foreign = run(i, "", 9.0);
            foreign.machine = machine(other);
            let path = store.keep(&foreign).expect("kept");
            fs::write(path, "not even a run").expect("written");
        }
        let found = store.runs(&machine("a")).expect("read");
        assert_eq!((found.runs.len(), found.others), (1, 3));
        assert!(found.broken.is_empty(), "{:?}", found.broken);
    }

    #[test]
    fn a_broken_file_is_named_and_passed_over() {
        let (_folder, store) = store();
        let path = store.keep(&run("2026", "", 1.0)).expect("kept");
        store.keep(&run("2027", "", 1.0)).expect("kept");
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, &text[..text.len() / 2]).expect("cut in half");
        let found = store.runs(&machine("a")).expect("read");
        assert_eq!((found.runs.len(), found.broken.len()), (1, 1));
        let said = found.broken[0].to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(said.contains(&*name) && said.contains("line"), "{said}");
    }

    #[test]
    fn who_reads_while_a_run_is_written_never_sees_a_part_of_it() {
        let (_folder, store) = store();
        let mut large = run("2026", "", 1.0);
        large.rows = vec![large.rows[0].clone(); 200];
        store.keep(&large).expect("kept");
        let writer = {
            let (store, large) = (store.clone(), large.clone());
            std::thread::spawn(move || (0..60).all(|_| store.keep(&large).is_ok()))
        };
        while !writer.is_finished() {
            let found = store.runs(&machine("a")).expect("read");
            assert!(found.broken.is_empty(), "{:?}", found.broken);
            assert_eq!(found.runs.len(), 1);
        }
        assert!(writer.join().expect("it ends"));
    }

    #[test]
    fn what_cannot_be_kept_leaves_nothing_and_names_the_way_out() {
        let (_folder, store) = store();
        fs::create_dir_all(store.folder()).expect("a folder");
        let folder = store.of_machine(&machine("a"));
        fs::write(&folder, "in the way").expect("a file");
        let error = store.keep(&run("2026", "", 1.0)).expect_err("no folder");
        assert!(error.to_string().contains(VARIABLE), "{error}");
        assert_eq!(listed(store.folder()).expect("read"), [folder]);
    }

    #[test]
    fn a_store_that_is_not_there_holds_nothing() {
        let (_folder, store) = store();
        let found = store.runs(&machine("a")).expect("nothing to read");
        assert_eq!((found.runs.len(), found.others), (0, 0));
    }

    #[test]
    fn the_folder_is_the_users_unless_it_is_named() {
        let home = || Some(PathBuf::from("/home/u"));
        let at = |os, set: &'static [(&'static str, &'static str)]| {
            let variable = |name: &str| {
                let (_, value) = set.iter().find(|(known, _)| *known == name)?;
                Some(OsString::from(value))
            };
            Store::of(os, home(), variable).map(|store| store.folder)
        };
        let same = |found: Result<PathBuf, StoreError>, wanted: &str| {
            assert_eq!(found.expect("a folder"), Path::new(wanted));
        };
        same(at("linux", &[]), "/home/u/.local/share/ghostlight/history");
        same(
            at("linux", &[("XDG_DATA_HOME", "/data")]),
            "/data/ghostlight/history",
        );
        same(
            at("macos", &[]),
            "/home/u/Library/Application Support/ghostlight/history",
        );
        same(at("linux", &[(VARIABLE, "/runs")]), "/runs");
        same(
            at("linux", &[(VARIABLE, "")]),
            "/home/u/.local/share/ghostlight/history",
        );
        let error = at("linux", &[(VARIABLE, "runs")]).expect_err("relative");
        assert!(error.to_string().contains("absolute"), "{error}");
        assert!(matches!(
            Store::of("linux", None, |_| None),
            Err(StoreError::NoFolder)
        ));
    }

    #[test]
    fn a_commit_is_shortened_and_stays_dirty() {
        assert_eq!(short_commit("abcdef0123456789"), "abcdef0123");
        assert_eq!(short_commit("abcdef0123456789-dirty"), "abcdef0123-dirty");
        assert_eq!(short_commit(""), "unknown");
    }
}
