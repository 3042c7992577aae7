mod one;
mod series;
mod teachers;

use super::error::CommandError;
use super::output;
use super::source::SYNTHETIC;
use super::table;
use super::typed::{self, quoted};
use crate::recipe::{Recipe, RecipeError};
use crate::run::RunDir;
use crate::zoo;
use clap::Args;
use series::Series;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Args, Clone)]
pub(super) struct DistillArguments {
    /// A recipe file, or the name of one that comes with the program. Default: `synthetic` for the synthetic data, else `default`.
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<String>,
    /// A folder with one folder of images per class, RSOD, DOTA, or `synthetic`. Default: `synthetic`.
    #[arg(long, value_name = "DIR|synthetic")]
    data: Option<String>,
    /// Passes over the training images, for teachers and students.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<String>,
    /// The run's folder; must be absent or empty. Default: a new one under runs/.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Source of every random choice.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
    /// Do all of it under this many seeds, from --seed on, each a run in a folder of its own, and compare them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: Option<u64>,
    /// A teacher that is there already: a run, whose first teacher of the recipe's architecture is taken, or a .safetensors file.
    /// Once for each teacher of the recipe, in order.
    #[arg(long, value_name = "RUN|FILE")]
    teacher: Vec<PathBuf>,
    /// Keep the teachers' answers in a folder, for all students and runs to come. Results are the same to the bit. Default folder:
    /// runs/teachers.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "runs/teachers")]
    cache_teacher: Option<PathBuf>,
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
            for (list, count) in [
                ("teacher", recipe.teacher.len()),
                ("student", recipe.student.len()),
            ] {
                for number in 1..=count {
                    recipe.set_from("--epochs", &format!("{list}.{number}.epochs"), epochs)?;
                }
            }
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
        for (list, arch) in architectures(&recipe) {
            let key = format!("{list}.arch");
            zoo::check(arch).map_err(|source| CommandError::Architecture { key, source })?;
        }
        if self.teacher.len() > recipe.teacher.len() {
            let conflict = format!(
                "--teacher is given {} times, but the recipe has {} [teacher] to take them",
                self.teacher.len(),
                recipe.teacher.len()
            );
            return Err(RecipeError::Conflict { conflict }.into());
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
        option("seeds", &self.seeds.map(|seeds| seeds.to_string()));
        for teacher in &self.teacher {
            option("teacher", &Some(typed::absolute(teacher)));
        }
        let cache = self.cache_teacher.as_ref();
        option(
            "cache-teacher",
            &cache.map(|folder| typed::absolute(folder)),
        );
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

/// The architectures of a recipe, each with the list it is from.
pub(super) fn architectures(recipe: &Recipe) -> impl Iterator<Item = (&'static str, &str)> {
    let teachers = recipe
        .teacher
        .iter()
        .map(|it| ("teacher", it.arch.as_str()));
    let students = recipe
        .student
        .iter()
        .map(|it| ("student", it.arch.as_str()));
    teachers.chain(students)
}

pub(super) fn run(arguments: &DistillArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    if let Some(series) = Series::of(arguments)? {
        return series.run(arguments, stop);
    }
    let summary = one::run(arguments, None, stop)?;
    match arguments.json {
        true => output::result(serde_json::json!(summary)),
        false => table::print(&summary),
    }
}

/// The source as another working directory finds it.
fn absolute(source: &str) -> String {
    if source == SYNTHETIC {
        return source.to_string();
    }
    typed::absolute(Path::new(source))
}
