//! One undisturbed run that many tests compare with or ask, made once.

use crate::sandbox::{Outcome, Sandbox, TINY};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The trainings of a run, as its files call them.
pub const TRAININGS: [&str; 3] = ["teacher", "student_alone", "student_dkd"];
/// Epochs of each training.
pub const EPOCHS: usize = 2;

pub struct Reference {
    /// Holds the run in `run`. Tests only read it.
    pub sandbox: Sandbox,
    /// What `distill --json` said.
    pub outcome: Outcome,
}

pub fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let sandbox = Sandbox::new();
        let outcome = sandbox.ghostlight(&format!("distill {TINY} --out run --json"));
        Reference { sandbox, outcome }
    })
}

/// Takes back that the network `name` of a run was trained.
pub fn forget(run: &Path, name: &str) {
    for of in ["", ".last"] {
        _ = fs::remove_file(run.join(format!("checkpoints/{name}{of}.safetensors")));
    }
}

/// What a summary says of the network `name`.
pub fn network<'a>(summary: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let networks = summary["networks"].as_array().expect("a list of networks");
    let found = networks.iter().find(|network| network["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {summary}"))
}

/// A folder with a copy of the reference's run that a test may damage.
pub fn copy() -> Sandbox {
    let sandbox = Sandbox::new();
    let run = reference().sandbox.at("run");
    for (path, contents) in crate::sandbox::files(&run) {
        let to = sandbox
            .at("run")
            .join(path.strip_prefix(&run).expect("a path in the run"));
        match contents {
            None => fs::create_dir_all(to).expect("a folder to make"),
            Some(bytes) => {
                fs::create_dir_all(to.parent().expect("a file in a folder")).expect("a folder");
                fs::write(to, bytes).expect("a file to write");
            }
        }
    }
    sandbox
}

/// A run's checkpoints.
pub fn checkpoints(run: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |phase| {
        let path = run.join(format!("checkpoints/{phase}.safetensors"));
        (
            phase,
            fs::read(path).expect("a checkpoint of each training"),
        )
    };
    TRAININGS.into_iter().map(read).collect()
}

/// Requires that `run` ended with the same bytes as the reference, and that its diary holds every epoch once.
#[track_caller]
pub fn assert_same_as_reference(run: &Path) {
    let (wanted, found) = (
        checkpoints(&reference().sandbox.at("run")),
        checkpoints(run),
    );
    for phase in TRAININGS {
        assert!(wanted[phase] == found[phase], "{phase} has other bytes");
    }
    // Those of last epochs that were not chosen too, and no other.
    let files = |run: &Path| {
        crate::sandbox::files(&run.join("checkpoints"))
            .into_values()
            .collect::<Vec<_>>()
    };
    assert!(
        files(&reference().sandbox.at("run")) == files(run),
        "other checkpoints"
    );
    let every_once: Vec<_> = TRAININGS
        .into_iter()
        .flat_map(|phase| (1..=EPOCHS as u64).map(move |epoch| (phase.to_string(), epoch)))
        .collect();
    assert_eq!(epochs(run), every_once);
    for name in ["summary.json", "report.html"] {
        assert!(run.join(name).is_file(), "{name} is missing");
    }
}

/// The training and epoch of every line of a run's diary.
pub fn epochs(run: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((line["phase"].as_str()?.to_string(), line["epoch"].as_u64()?))
    };
    // A line that is just being written, or was cut short, is none yet.
    text.lines().filter_map(line).collect()
}
