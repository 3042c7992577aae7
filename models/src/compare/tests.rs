use super::*;
use crate::metrics::Confusion;
use crate::paired::Paired;
use crate::summary::{Gain, Latency, NetworkSummary, Role, Summary};

mod figures;
mod refusals;

/// A network whose test images, half of them of each of two classes, were recognised so often.
fn network(name: &str, right: [u64; 2], images: u64) -> NetworkSummary {
    let [first, second] = right;
    let rows = vec![
        vec![first, images / 2 - first],
        vec![images / 2 - second, second],
    ];
    let confusion = Confusion::try_from(rows).unwrap();
    let role = match name {
        name if name.starts_with("teacher") => Role::Teacher,
        name if name.ends_with("_alone") => Role::Alone,
        _ => Role::Taught,
    };
    let (head, method) = name.split_once('_').unwrap_or((name, ""));
    let student = head.strip_prefix("student");
    NetworkSummary {
        name: name.into(),
        title: match role {
            Role::Teacher => "Teacher".into(),
            Role::Alone => "net8 alone".into(),
            Role::Taught => format!("net8 by {method}"),
        },
        role,
        student: student.map(|number| number.parse().unwrap_or(1)),
        method: student.map(|_| method.into()),
        arch: if student.is_some() { "net8" } else { "net20" }.into(),
        params: if student.is_some() {
            103_642
        } else {
            4_393_971
        },
        macs: if student.is_some() {
            60_000_000
        } else {
            1_840_000_000
        },
        accuracy: confusion.accuracy(),
        macro_precision: confusion.macro_precision(),
        macro_recall: confusion.macro_recall(),
        chosen_epoch: 2,
        epochs: 3,
        last_accuracy: 0.5,
        train_images_per_s: 100.0,
        infer_images_per_s: if student.is_some() { 1000.0 } else { 250.0 },
        latency: Some(Latency {
            median_ms: if student.is_some() { 2.0 } else { 5.0 },
            p95_ms: 12.5,
        }),
        joules_per_image: None,
        confusion,
    }
}

/// A run with a teacher, a student alone and one that was taught, of 100 test images.
fn summary(seed: u64, alone: u64, taught: u64) -> Summary {
    let networks = vec![
        network("teacher", [49, 49], 100),
        network("student_alone", [alone / 2, alone - alone / 2], 100),
        network("student_dkd", [taught / 2, taught - taught / 2], 100),
    ];
    // As few images as the accuracies allow tell the two apart.
    let students = Paired {
        images: 100,
        only_first: taught.saturating_sub(alone),
        only_second: alone.saturating_sub(taught),
    };
    Summary {
        run: "runs/x".into(),
        seed,
        data: DataUsed {
            name: "/data/tiles".into(),
            fingerprint: "ab12".repeat(16),
            classes: vec!["land".into(), "water".into()],
            train: 700,
            validation: 200,
            test: 100,
            height: 64,
            width: 64,
        },
        networks,
        gains: vec![Gain::of("student_dkd", "student_alone", &students)],
    }
}

/// A folder of runs made by hand.
struct Runs {
    folder: tempfile::TempDir,
}

impl Runs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a run under `name` with `beta` in its recipe.
    fn add(&self, name: &str, summary: &Summary, beta: f64) -> PathBuf {
        let run = self.unfinished(name, summary.seed, beta);
        self.finish(name, summary);
        run
    }

    fn unfinished(&self, name: &str, seed: u64, beta: f64) -> PathBuf {
        let run = self.at(name);
        fs::create_dir_all(&run).unwrap();
        let recipe =
            format!("seed = {seed}\n[distill]\nbeta = {beta:?}\n[[method]]\nname = \"dkd\"\n");
        fs::write(run.join("recipe.toml"), recipe).unwrap();
        run
    }

    fn finish(&self, name: &str, summary: &Summary) {
        let text = serde_json::to_vec_pretty(summary).unwrap();
        fs::write(self.at(name).join("summary.json"), text).unwrap();
    }

    fn all(&self) -> Result<Comparison, CompareError> {
        compare(&[self.folder.path().into()])
    }
}

/// Three seeds whose taught student is 1, 2 and 3 of 100 images ahead.
fn three_seeds() -> Runs {
    let runs = Runs::new();
    for (seed, alone, taught) in [(0, 80, 81), (1, 82, 84), (2, 78, 81)] {
        runs.add(&format!("seed-{seed}"), &summary(seed, alone, taught), 8.0);
    }
    runs
}
