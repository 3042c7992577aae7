use super::error::CommandError;
use super::output;
use crate::recipe::{self, Distill, Recipe};
use clap::Args;

#[derive(Args)]
pub(super) struct RecipesArguments {
    /// One recipe, by name, or a file: its text. Default: a line on each that comes with the program.
    name: Option<String>,
    /// Every field with its value, those that the recipe leaves at their defaults included.
    #[arg(long)]
    all: bool,
    /// Print JSON on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RecipesArguments) -> Result<(), CommandError> {
    let Some(name) = &arguments.name else {
        return list(arguments.json);
    };
    let found = Recipe::load(name)?;
    match recipe::text(name) {
        _ if arguments.json => output::result(serde_json::json!(found)),
        Some(text) if !arguments.all => output::result(format_args!(
            "{text}\n# Run it: ghostlight distill --recipe {name} --data DIR; change it: --set KEY=VALUE. Every field: ghostlight recipes {name} --all"
        )),
        _ => output::result(found.to_toml()),
    }
}

/// A line or two on each recipe.
fn list(json: bool) -> Result<(), CommandError> {
    let mut all = Vec::new();
    for name in Recipe::names() {
        let (found, text) = (Recipe::load(name)?, recipe::text(name).unwrap_or_default());
        let headline = recipe::headline(text);
        let teachers: Vec<&str> = found.teacher.iter().map(|it| it.arch.as_str()).collect();
        let students: Vec<&str> = found.student.iter().map(|it| it.arch.as_str()).collect();
        let ways: Vec<String> = found.distill.iter().map(Distill::title).collect();
        if json {
            all.push(serde_json::json!({
                "name": name,
                "about": headline,
                "teachers": teachers,
                "students": students,
                "ways": ways,
            }));
            continue;
        }
        output::result(format_args!(
            "{name}\n    {headline}\n    {} -> {}, alone and by {}",
            teachers.join(" + "),
            students.join(", "),
            ways.join(", ")
        ))?;
    }
    match json {
        true => output::result(serde_json::Value::Array(all)),
        false => output::result(
            "One of them: ghostlight recipes NAME. Run one: ghostlight distill --recipe NAME --data DIR",
        ),
    }
}
