use super::super::compare as compared;
use super::super::error::CommandError;
use super::super::output::{self, note};
use super::super::source::SYNTHETIC;
use super::super::table;
use super::super::typed;
use super::{DistillArguments, one};
use crate::compare::{compare, render};
use crate::recipe::{Recipe, RecipeError};
use crate::run::{self, RunError, SERIES, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Its runs side by side.
const PAGE: &str = "compare.html";

/// One recipe under several seeds.
pub(super) struct Series {
    folder: PathBuf,
    plan: Plan,
    begun: bool,
    /// Whether the folder's name was made up.
    unnamed: bool,
}

/// What the runs have in common, so that those which were not begun can be.
#[derive(Serialize, Deserialize)]
struct Plan {
    seeds: Vec<u64>,
    /// The recipe but for its seed, as TOML.
    recipe: String,
    data: String,
    skip_bad: bool,
    teachers: Vec<PathBuf>,
}

impl Series {
    /// The series that is asked for, or that is to be gone on with; none for a single run.
    pub fn of(arguments: &DistillArguments) -> Result<Option<Self>, CommandError> {
        let out = match arguments.resume {
            true => arguments.out.clone().or_else(run::latest_begun),
            false => None,
        };
        if let Some(out) = out.filter(|out| out.join(SERIES).is_file()) {
            let path = out.join(SERIES);
            let text = fs::read(&path).map_err(|reason| RunError::io("read", &path, reason))?;
            let plan: Plan = serde_json::from_slice(&text)
                .map_err(|reason| RunError::Decode { path, reason })?;
            let count = plan.seeds.len() as u64;
            if arguments.seeds.is_some_and(|seeds| seeds != count) || arguments.seed.is_some() {
                let conflict = format!(
                    "the series in {} has the {count} seeds that it was begun with; go on without --seed and --seeds, or begin a new one",
                    out.display()
                );
                return Err(RecipeError::Conflict { conflict }.into());
            }
            return Ok(Some(Self {
                folder: out,
                plan,
                begun: true,
                unnamed: false,
            }));
        }
        let Some(count) = arguments.seeds else {
            return Ok(None);
        };
        let data = arguments
            .data
            .clone()
            .unwrap_or_else(|| SYNTHETIC.to_string());
        let recipe = match &arguments.recipe {
            Some(named) => Recipe::load(named)?,
            None => one::for_source(&data)?,
        };
        let recipe = arguments.complete(recipe)?;
        let last = recipe
            .seed
            .checked_add(count - 1)
            .filter(|&last| i64::try_from(last).is_ok());
        if last.is_none() {
            return Err(RecipeError::Conflict {
                conflict: format!(
                    "--seeds {count} from {} on go past 2^63-1; begin lower",
                    recipe.seed
                ),
            }
            .into());
        }
        let folder = match &arguments.out {
            Some(out) => out.clone(),
            None => run::new_folder()?,
        };
        let plan = Plan {
            seeds: (recipe.seed..).take(count as usize).collect(),
            recipe: recipe.to_toml(),
            data: super::absolute(&data),
            skip_bad: arguments.skip_bad,
            teachers: arguments
                .teacher
                .iter()
                .map(|path| typed::absolute(path).into())
                .collect(),
        };
        Ok(Some(Self {
            folder,
            plan,
            begun: false,
            unnamed: arguments.out.is_none(),
        }))
    }

    /// All runs, one after the other, then what they come to together.
    pub fn run(&self, arguments: &DistillArguments, stop: &AtomicBool) -> Result<(), CommandError> {
        if !self.begun {
            self.begin()?;
        }
        let path = self.folder.join(SERIES);
        let planned = Recipe::parse(&path.display().to_string(), &self.plan.recipe)?;
        let planned = match self.begun {
            true => arguments.complete(planned)?,
            false => planned,
        };
        let mut summaries = Vec::new();
        for &seed in &self.plan.seeds {
            let folder = self.run_of(seed);
            note(format_args!("seed {seed}: {}", folder.display()));
            let own = DistillArguments {
                resume: folder.join("recipe.toml").is_file(),
                out: Some(folder),
                data: Some(
                    arguments
                        .data
                        .clone()
                        .unwrap_or_else(|| self.plan.data.clone()),
                ),
                skip_bad: arguments.skip_bad || self.plan.skip_bad,
                teacher: self.plan.teachers.clone(),
                seed: Some(seed.to_string()),
                seeds: None,
                ..arguments.clone()
            };
            let recipe = Recipe {
                seed,
                ..planned.clone()
            };
            let summary = one::run(&own, Some(recipe), stop).map_err(|error| {
                self.discard();
                self.whole(error)
            })?;
            if !arguments.json {
                table::print(&summary)?;
            }
            summaries.push(summary);
        }
        let comparison = compare(std::slice::from_ref(&self.folder))?;
        let page = self.folder.join(PAGE);
        write_atomic(&page, render(&comparison)?.as_bytes())?;
        if arguments.json {
            return output::result(
                json!({"series": self.folder, "runs": summaries, "comparison": comparison}),
            );
        }
        compared::print(&comparison)?;
        output::result(format_args!("page: {}", page.display()))
    }

    fn run_of(&self, seed: u64) -> PathBuf {
        self.folder.join(format!("seed-{seed}"))
    }

    /// Takes back what was begun, as long as no run is there.
    fn discard(&self) {
        if self.begun
            || self
                .plan
                .seeds
                .iter()
                .any(|&seed| self.run_of(seed).exists())
        {
            return;
        }
        _ = fs::remove_file(self.folder.join(SERIES));
        _ = fs::remove_dir(&self.folder);
        if self.unnamed {
            // Spared if it holds anything else.
            _ = self.folder.parent().map(fs::remove_dir);
        }
    }

    /// Makes the folder, which must be absent or empty.
    fn begin(&self) -> Result<(), CommandError> {
        let io = |reason| RunError::io("create", &self.folder, reason);
        fs::create_dir_all(&self.folder).map_err(io)?;
        if fs::read_dir(&self.folder).map_err(io)?.next().is_some() {
            let path = self.folder.clone();
            return Err(RunError::Taken { path, run: false }.into());
        }
        let text = json!(self.plan).to_string();
        Ok(write_atomic(&self.folder.join(SERIES), text.as_bytes())?)
    }

    /// Who stops one run stops the series, and goes on with that.
    fn whole(&self, error: CommandError) -> CommandError {
        let run = |_: &Path| self.folder.clone();
        match error {
            CommandError::Stopped { run: one } => CommandError::Stopped { run: run(&one) },
            CommandError::Broken { reason, run: one } => CommandError::Broken {
                reason,
                run: run(&one),
            },
            other => other,
        }
    }
}
