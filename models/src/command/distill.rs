use super::error::CommandError;
use super::progress::Bars;
use super::source::{self, SYNTHETIC};
use super::table;
use crate::distill::{RunData, distill};
use crate::recipe::Recipe;
use crate::run::{PlannedRun, RunDir};
use crate::train::Session;
use crate::zoo;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Args)]
pub(super) struct DistillArguments {
    /// A recipe file, or the name of one that comes with the program. Default: `synthetic` for the synthetic data, else `default`.
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<String>,
    /// A folder with one folder of images per class, or `synthetic`. Default: `synthetic`.
    #[arg(long, value_name = "DIR|synthetic")]
    data: Option<String>,
    /// Passes over the training images, for teacher and student.
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// The run's folder; must be absent or empty. Default: a new one under runs/.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Source of every random choice.
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Go on with the run in --out, or with the latest one under runs/.
    #[arg(long)]
    resume: bool,
    /// Change one value of the recipe, as train.batch=64.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Leave out files that cannot be read, and count them.
    #[arg(long)]
    skip_bad: bool,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl DistillArguments {
    /// Applies --epochs, --seed and --set to a recipe and checks the whole.
    fn complete(&self, mut recipe: Recipe) -> Result<Recipe, CommandError> {
        if let Some(epochs) = &self.epochs {
            recipe.set_from("--epochs", "teacher.epochs", epochs)?;
            recipe.set_from("--epochs", "student.epochs", epochs)?;
        }
        if let Some(seed) = &self.seed {
            recipe.set_from("--seed", "seed", seed)?;
        }
        for assignment in &self.set {
            recipe.set(assignment)?;
        }
        recipe.validate()?;
        for (key, arch) in [("teacher.arch", &recipe.teacher.arch), ("student.arch", &recipe.student.arch)] {
            zoo::check(arch).map_err(|source| CommandError::Architecture { key, source })?;
        }
        Ok(recipe)
    }

    /// The command that repeats the run from nothing.
    fn command(&self, data: &str) -> String {
        let mut words = vec!["ghostlight distill".to_string()];
        let mut option = |name: &str, value: &Option<String>| {
            words.extend(value.as_ref().map(|value| format!("--{name} {}", quoted(value))));
        };
        option("recipe", &self.recipe);
        option("data", &Some(data.to_string()));
        option("epochs", &self.epochs);
        option("seed", &self.seed);
        words.extend(self.set.iter().map(|set| format!("--set {}", quoted(set))));
        words.extend(self.skip_bad.then(|| "--skip-bad".to_string()));
        words.join(" ")
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,+:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

pub(super) fn run(arguments: &DistillArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let bars = Bars::default();
    let resumed = match (&arguments.out, arguments.resume) {
        (_, false) => None,
        (Some(out), true) => Some(RunDir::open(out)?),
        (None, true) => Some(RunDir::latest()?),
    };
    let remembered: Option<RunData> = resumed.as_ref().map(RunDir::split).transpose()?;
    let source = match (&arguments.data, &remembered) {
        (Some(given), _) => given.clone(),
        (None, Some(data)) => data.source.clone(),
        (None, None) => SYNTHETIC.to_string(),
    };
    let base = match (&arguments.recipe, &resumed) {
        (Some(named), _) => Recipe::load(named)?,
        (None, Some(run)) => run.recipe()?,
        (None, None) => Recipe::load(if source == SYNTHETIC { SYNTHETIC } else { "default" })?,
    };
    let recipe = arguments.complete(base)?;
    if let Some(run) = &resumed {
        run.check_recipe(&recipe)?;
    }
    let planned = match &resumed {
        Some(_) => None,
        None => Some(PlannedRun::new(arguments.out.as_deref())?),
    };

    let size = Some(recipe.data.image_size).filter(|&side| side > 0).map(|side| (side, side));
    let read = source::read(&source, &recipe, size, arguments.skip_bad, &bars)?;
    let data = match (remembered, &resumed) {
        (Some(data), Some(run)) => {
            data.check(run, &read.dataset)?;
            data
        }
        _ => RunData::new(&absolute(&source), &read.dataset, read.skipped, &recipe)?,
    };
    let run = match (resumed, planned) {
        (Some(run), _) => run,
        (None, Some(planned)) => planned.create(&recipe, &data)?,
        // `planned` is there whenever `resumed` is not.
        (None, None) => return Ok(()),
    };
    eprintln!(
        "{}: {} training and {} test images of {} classes, {} x {} pixels; run {}",
        read.dataset.name,
        data.split.train.len(),
        data.split.test.len(),
        data.classes.len(),
        data.width,
        data.height,
        run.path().display(),
    );
    let client = cubecl::Device::default().client();
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset: &read.dataset,
        split: &data.split,
        stats: data.stats,
        progress: &bars,
        stop,
    };
    let summary = distill(&session, &data, &run, &arguments.command(&source))?;
    if arguments.json {
        println!("{}", serde_json::json!(summary));
    } else {
        table::print(&summary);
    }
    Ok(())
}

/// The source as another working directory finds it.
fn absolute(source: &str) -> String {
    if source == SYNTHETIC {
        return source.to_string();
    }
    let path = std::path::absolute(Path::new(source)).unwrap_or_else(|_| source.into());
    path.display().to_string()
}
