use super::super::compare as compared;
use super::super::error::CommandError;
use super::super::output::{self, note};
use super::super::table;
use super::{DistillArguments, one};
use crate::compare::{compare, render};
use crate::run::{self, RunError, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What a folder of runs by seed remembers of itself.
const SERIES: &str = "series.json";
/// Its runs side by side.
const PAGE: &str = "compare.html";

/// One recipe under several seeds.
pub(super) struct Series {
    folder: PathBuf,
    seeds: Vec<u64>,
    begun: bool,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    seeds: Vec<u64>,
}

impl Series {
    /// The series that is asked for, or that is to be gone on with; none for a single run.
    pub fn of(arguments: &DistillArguments) -> Result<Option<Self>, CommandError> {
        if let (Some(out), true) = (&arguments.out, arguments.resume)
            && out.join(SERIES).is_file()
        {
            let path = out.join(SERIES);
            let text = fs::read(&path).map_err(|reason| RunError::io("read", &path, reason))?;
            let Remembered { seeds } = serde_json::from_slice(&text)
                .map_err(|reason| RunError::Decode { path, reason })?;
            return Ok(Some(Self {
                folder: out.clone(),
                seeds,
                begun: true,
            }));
        }
        let Some(count) = arguments.seeds else {
            return Ok(None);
        };
        let first = match &arguments.seed {
            None => 0,
            Some(seed) => seed
                .parse()
                .map_err(|_| crate::recipe::RecipeError::Value {
                    origin: "--seed".into(),
                    key: "seed".into(),
                    value: seed.clone(),
                    allowed: "a whole number from 0 to 2^63-1".into(),
                })?,
        };
        let folder = match &arguments.out {
            Some(out) => out.clone(),
            None => run::new_folder()?,
        };
        Ok(Some(Self {
            folder,
            seeds: (first..first + count).collect(),
            begun: false,
        }))
    }

    /// All runs, one after the other, then what they come to together.
    pub fn run(&self, arguments: &DistillArguments, stop: &AtomicBool) -> Result<(), CommandError> {
        if !self.begun {
            self.begin()?;
        }
        let mut summaries = Vec::new();
        for &seed in &self.seeds {
            let folder = self.folder.join(format!("seed-{seed}"));
            note(format_args!("seed {seed}: {}", folder.display()));
            let own = DistillArguments {
                resume: folder.join("recipe.toml").is_file(),
                out: Some(folder),
                seed: Some(seed.to_string()),
                seeds: None,
                ..arguments.clone()
            };
            let summary = one::run(&own, stop).map_err(|error| self.whole(error))?;
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

    /// Makes the folder, which must be absent or empty.
    fn begin(&self) -> Result<(), CommandError> {
        let io = |reason| RunError::io("create", &self.folder, reason);
        fs::create_dir_all(&self.folder).map_err(io)?;
        if fs::read_dir(&self.folder).map_err(io)?.next().is_some() {
            let path = self.folder.clone();
            return Err(RunError::Taken { path, run: false }.into());
        }
        let remembered = Remembered {
            seeds: self.seeds.clone(),
        };
        let text = serde_json::json!(remembered).to_string();
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
