//! The suite turns red for every bug that `docs/planted-bugs.md` lists, and the list is complete.

use ghostlight_tests::skipped;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// One row of the table.
#[derive(Debug)]
struct Bug {
    name: String,
    binary: String,
    test: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
}

fn table() -> Vec<Bug> {
    let path = repository().join("docs/planted-bugs.md");
    let text = fs::read_to_string(&path).expect("the table is there");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let [_, name, _, binary, test, _] = cells[..] else {
            panic!("{row}: wanted four cells");
        };
        Bug {
            name: name.into(),
            binary: binary.into(),
            test: test.into(),
        }
    })
    .collect()
}

/// The crates that ask the switch.
const CRATES: [&str; 4] = ["kernels", "autodiff", "models", "bench"];

/// The names that the sources in `folder` ask the switch for.
fn names_asked_for(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            names_asked_for(&path, names);
        } else if path.file_name().is_some_and(|name| name != "planted.rs") {
            let text = fs::read_to_string(&path).expect("a readable source");
            for call in ["planted::or(", "planted::is("] {
                for (_, after) in text.match_indices(call).map(|(at, _)| text.split_at(at)) {
                    let name = after.split('"').nth(1).expect("a literal name");
                    names.insert(name.to_string());
                }
            }
        }
    }
}

#[test]
fn the_table_lists_every_bug_that_can_be_planted() {
    let mut planted = BTreeSet::new();
    for krate in CRATES {
        names_asked_for(&repository().join(krate).join("src"), &mut planted);
    }
    let listed: BTreeSet<String> = table().into_iter().map(|bug| bug.name).collect();
    assert_eq!(listed, planted);
    assert!(listed.len() >= 20, "{} bugs", listed.len());
}

/// The newest build of the test binary `name`, beside this one.
fn built(name: &str) -> Option<PathBuf> {
    let ours = std::env::current_exe().expect("a test knows its own path");
    let folder = ours.parent().expect("it lies in a folder");
    let named = |path: &PathBuf| {
        let file = path
            .file_name()
            .and_then(|file| file.to_str())
            .unwrap_or_default();
        let hash = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        let stem = hash.map(|hash| hash.strip_suffix(".exe").unwrap_or(hash));
        stem.is_some_and(|hash| hash.chars().all(|c| c.is_ascii_alphanumeric()))
    };
    let age = |path: &PathBuf| {
        let written = fs::metadata(path).and_then(|meta| meta.modified());
        written.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let entries = fs::read_dir(folder).expect("a readable folder");
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(named)
        .max_by_key(age)
}

/// Plants the bug and runs its test.
///
/// # Errors
/// What did not happen that should have.
fn turns_red(bug: &Bug) -> Result<(), String> {
    let Bug { name, binary, test } = bug;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mark = folder.join(format!("planted-{}-{name}", std::process::id()));
    let path = built(binary).ok_or_else(|| {
        format!("{name}: there is no test binary {binary}; build all with `cargo test --release --workspace`")
    })?;
    let run = Command::new(path)
        .args(["--exact", test])
        .env("GHOSTLIGHT_PLANTED", name)
        .env("GHOSTLIGHT_PLANTED_MARK", &mark)
        // A failure is wanted, not its smallest case.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test binary starts");
    let said = String::from_utf8_lossy(&run.stdout);
    let ran = said.contains("running 1 test");
    let asked = fs::read_to_string(&mark).is_ok_and(|asked| asked == *name);
    let red = said.contains(&format!("test {test} ... FAILED"));
    // Where nothing was asked for, there is no file.
    let _ = fs::remove_file(&mark);
    match ran && asked && red {
        true => Ok(()),
        false => Err(format!(
            "{name}: {binary} {test}: ran {ran}, asked for the bug {asked}, failed {red}"
        )),
    }
}

#[test]
fn every_planted_bug_turns_its_test_red() {
    if std::env::var_os("GHOSTLIGHT_LANE").is_some() {
        skipped("planted bugs", "the plain lane plants them all");
        return;
    }
    let (bugs, next, green) = (table(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(reason) = turns_red(bug) {
                green.lock().expect("nobody panics with it").push(reason);
            }
        }
    };
    // A test that is to fail compiles its kernels for most of its time, on one core.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let green = green.into_inner().expect("nobody panics with it");
    assert!(green.is_empty(), "{}", green.join("\n"));
}
