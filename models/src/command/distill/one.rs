use super::super::error::CommandError;
use super::super::memory;
use super::super::output::note;
use super::super::progress::Bars;
use super::super::source::{self, SYNTHETIC, Wanted};
use super::{DistillArguments, absolute, teachers};
use crate::data::{DeepImages, Duplicates};
use crate::distill::{RunData, distill};
use crate::recipe::{self, Recipe};
use crate::run::{PlannedRun, Platform, RunDir};
use crate::summary::Summary;
use crate::train::{Session, TeacherCache, TrainError};
use ghostlight_autodiff::Client;
use std::sync::atomic::AtomicBool;

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
            (None, Self::New(_)) => for_source(source)?,
        })
    }
}

/// The recipe for data that came without one.
pub(super) fn for_source(source: &str) -> Result<Recipe, CommandError> {
    Ok(Recipe::load(match source {
        SYNTHETIC => SYNTHETIC,
        _ => "default",
    })?)
}

/// One run, by the recipe `given` or by what the arguments ask for; it is begun, or gone on with.
pub(super) fn run(
    arguments: &DistillArguments,
    given: Option<Recipe>,
    stop: &AtomicBool,
) -> Result<Summary, CommandError> {
    let bars = Bars::default();
    let state = RunState::of(arguments)?;
    let source = state.source(arguments.data.as_deref());
    let recipe = match given {
        Some(recipe) => recipe,
        None => arguments.complete(state.recipe(arguments.recipe.as_deref(), &source)?)?,
    };
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
    // Before a run is made: one that is refused leaves no folder behind.
    let teachers =
        |data: &RunData| teachers::load(arguments, &recipe, &read.dataset, data, &client);
    let (run, data, loaded) = match state {
        RunState::Begun(run, data) => {
            data.check(&run, &read.dataset)?;
            say_what_changed(&run, &client)?;
            if !run.is_finished() {
                memory::check(&client, &recipe, &read.dataset, data.split.train.len())?;
            }
            let loaded = teachers(&data)?;
            (run, *data, loaded)
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
            memory::check(&client, &recipe, &read.dataset, data.split.train.len())?;
            let loaded = teachers(&data)?;
            (planned.create(&recipe, &data)?, data, loaded)
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
    let cache = arguments.cache_teacher.as_deref().map(TeacherCache::new);
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset: &read.dataset,
        split: &data.split,
        stats: data.stats,
        progress: &bars,
        cache: cache.as_ref(),
        watch: None,
        stop,
    };
    let command = arguments.command(&source, wanted.skip_bad, begun.then_some(&run));
    let result = distill(&session, &data, &run, &loaded, &command);
    if let Some((answered, asked, seconds)) = cache.as_ref().map(TeacherCache::used) {
        note(format_args!(
            "the cache answered {answered} of {} batches for the teachers, and saved {seconds:.1} s",
            answered + asked
        ));
    }
    match result {
        Ok(summary) => Ok(summary),
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
