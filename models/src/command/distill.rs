use super::error::CommandError;
use super::memory;
use super::output::{self, note};
use super::progress::Bars;
use super::source::{self, SYNTHETIC, Wanted};
use super::table;
use super::typed::{self, quoted};
use crate::data::{DeepImages, Duplicates};
use crate::distill::{RunData, distill};
use crate::recipe::{self, Recipe};
use crate::run::{PlannedRun, Platform, RunDir};
use crate::train::{Session, TrainError};
use crate::zoo;
use clap::Args;
use ghostlight_autodiff::Client;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Args)]
pub(super) struct DistillArguments {
    /// A recipe file, or the name of one that comes with the program. Default: `synthetic` for the synthetic data, else `default`.
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<String>,
    /// A folder with one folder of images per class, RSOD, DOTA, or `synthetic`. Default: `synthetic`.
    #[arg(long, value_name = "DIR|synthetic")]
    data: Option<String>,
    /// Passes over the training images, for teacher and student.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<String>,
    /// The run's folder; must be absent or empty. Default: a new one under runs/.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Source of every random choice.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
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
        if !recipe.data.split_file.is_empty() {
            recipe.data.split_file = typed::absolute(Path::new(&recipe.data.split_file));
        }
        recipe.validate()?;
        for (key, arch) in [
            ("teacher.arch", &recipe.teacher.arch),
            ("student.arch", &recipe.student.arch),
        ] {
            zoo::check(arch).map_err(|source| CommandError::Architecture { key, source })?;
        }
        Ok(recipe)
    }

    /// The command that repeats the run from nothing. One that was `begun` by another command repeats by its own recipe.
    fn command(&self, data: &str, skip_bad: bool, begun: Option<&RunDir>) -> String {
        let mut words = vec![typed::program(), "distill".to_string()];
        let mut option = |name: &str, value: &Option<String>| {
            words.extend(
                value
                    .as_ref()
                    .map(|value| format!("--{name} {}", quoted(value))),
            );
        };
        let own = begun.map(|run| typed::absolute(&run.recipe_path()));
        let named =
            self.recipe
                .as_ref()
                .map(|recipe| match Recipe::names().any(|name| name == recipe) {
                    true => recipe.clone(),
                    false => typed::absolute(Path::new(recipe)),
                });
        option("recipe", &own.or(named));
        option("data", &Some(absolute(data)));
        option("epochs", &self.epochs);
        option("seed", &self.seed);
        // A file is to be found from any folder.
        let set = |set: &String| match set.split_once("data.split_file=") {
            Some(("", file)) if !file.is_empty() => {
                format!("data.split_file={}", typed::absolute(Path::new(file)))
            }
            _ => set.clone(),
        };
        words.extend(
            self.set
                .iter()
                .map(|it| format!("--set {}", quoted(&set(it)))),
        );
        words.extend(skip_bad.then(|| "--skip-bad".to_string()));
        words.join(" ")
    }
}

/// Where the run is to be, or is with the data it was begun on.
enum RunState {
    New(PlannedRun),
    Begun(RunDir, Box<RunData>),
}

impl RunState {
    fn of(arguments: &DistillArguments) -> Result<Self, CommandError> {
        let run = match (&arguments.out, arguments.resume) {
            (out, false) => return Ok(Self::New(PlannedRun::new(out.as_deref())?)),
            (Some(out), true) => RunDir::resume(out)?,
            (None, true) => RunDir::resume_latest()?,
        };
        let data = run.split()?;
        Ok(Self::Begun(run, data))
    }

    /// The data set asked for, else the run's own.
    fn source(&self, asked: Option<&str>) -> String {
        let own = match self {
            Self::New(_) => SYNTHETIC,
            Self::Begun(_, data) => &data.source,
        };
        asked.unwrap_or(own).to_string()
    }

    /// Whether bad files are to be left out: a run that began without them goes on without them.
    fn skips_bad(&self, asked: bool) -> bool {
        match self {
            Self::New(_) => asked,
            Self::Begun(_, data) => asked || data.skip_bad,
        }
    }

    /// The recipe named, else the run's own, else the one for `source`.
    fn recipe(&self, named: Option<&str>, source: &str) -> Result<Recipe, CommandError> {
        Ok(match (named, self) {
            (Some(named), _) => Recipe::load(named)?,
            (None, Self::Begun(run, _)) => run.recipe()?,
            (None, Self::New(_)) if source == SYNTHETIC => Recipe::load(SYNTHETIC)?,
            (None, Self::New(_)) => Recipe::load("default")?,
        })
    }
}

pub(super) fn run(arguments: &DistillArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let bars = Bars::default();
    let state = RunState::of(arguments)?;
    let source = state.source(arguments.data.as_deref());
    let recipe = arguments.complete(state.recipe(arguments.recipe.as_deref(), &source)?)?;
    if let RunState::Begun(run, _) = &state {
        run.check_recipe(&recipe)?;
    }
    let size = Some(recipe.data.image_size)
        .filter(|&side| side > 0)
        .map(|side| (side, side));
    let wanted = Wanted {
        size,
        deep: match recipe.data.deep_images {
            recipe::DeepImages::Stretch => DeepImages::Stretch,
            recipe::DeepImages::Refuse => DeepImages::Refuse,
        },
        classes: None,
        layout: recipe.data.layout,
        skip_bad: state.skips_bad(arguments.skip_bad),
    };
    let read = source::read(&source, &recipe, wanted, &bars, stop)?;
    let client = cubecl::Device::default().client();
    let begun = matches!(state, RunState::Begun(..));
    let (run, data) = match state {
        RunState::Begun(run, data) => {
            data.check(&run, &read.dataset)?;
            say_what_changed(&run, &client)?;
            if !run.is_finished() {
                memory::check(&client, &recipe, &read.dataset, data.batch(&recipe))?;
            }
            (run, *data)
        }
        RunState::New(planned) => {
            let data = RunData {
                skip_bad: arguments.skip_bad,
                ..RunData::new(
                    &absolute(&source),
                    &read.dataset,
                    read.skipped,
                    &recipe,
                    stop,
                )?
            };
            memory::check(&client, &recipe, &read.dataset, data.batch(&recipe))?;
            (planned.create(&recipe, &data)?, data)
        }
    };
    note(format_args!(
        "{}: {} training, {} validation and {} test images of {} classes, {} x {} pixels; run {}",
        read.dataset.name,
        data.split.train.len(),
        data.split.validation.len(),
        data.split.test.len(),
        data.classes.len(),
        data.width,
        data.height,
        run.path().display(),
    ));
    let left = read.dataset.len() - data.split.len();
    if left > 0 {
        note(format_args!(
            "note: {left} images neither train nor validate nor test"
        ));
    }
    let duplicates = Duplicates::find(&read.dataset, &data.split);
    if duplicates.copies > 0 {
        note(format_args!("note: {duplicates}"));
    }
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset: &read.dataset,
        split: &data.split,
        stats: data.stats,
        progress: &bars,
        stop,
    };
    let command = arguments.command(&source, wanted.skip_bad, begun.then_some(&run));
    match distill(&session, &data, &run, &command) {
        Ok(summary) if arguments.json => output::result(serde_json::json!(summary)),
        Ok(summary) => table::print(&summary),
        Err(TrainError::Stopped) => Err(CommandError::Stopped {
            run: run.path().to_path_buf(),
        }),
        Err(reason) if run.has_checkpoint() && reason.may_pass() => Err(CommandError::Broken {
            reason: Box::new(reason),
            run: run.path().to_path_buf(),
        }),
        Err(error) => {
            if !begun && !run.has_checkpoint() {
                run.discard();
            }
            Err(error.into())
        }
    }
}

/// Says where the bits of a run that goes on elsewhere may differ from those of one that stays in one place.
fn say_what_changed(run: &RunDir, client: &Client) -> Result<(), CommandError> {
    let last = run.platforms()?.pop();
    if let Some(change) = last.and_then(|last| last.change(&Platform::of(client))) {
        note(format_args!(
            "warning: this run goes on elsewhere than it stopped ({change}): its results may differ in their last digits from \
             those of a run that stays in one place"
        ));
    }
    Ok(())
}

/// The source as another working directory finds it.
fn absolute(source: &str) -> String {
    if source == SYNTHETIC {
        return source.to_string();
    }
    typed::absolute(Path::new(source))
}
