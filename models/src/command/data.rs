use super::error::CommandError;
use super::output::{self, note};
use super::progress::Bars;
use crate::data::inspect::{Count, Inspection, inspect};
use crate::data::sheet::sheet;
use crate::data::{DeepImages, LoadOptions};
use crate::recipe::Recipe;
use crate::train::Progress;
use clap::{Args, Subcommand};
use image::ImageFormat;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Subcommand)]
pub(super) enum DataCommand {
    /// Recognise a folder's layout; count classes, sizes and colours; find broken files and copies.
    Inspect(InspectArguments),
}

#[derive(Args)]
pub(super) struct InspectArguments {
    /// The folder: one folder of images per class, RSOD, or DOTA.
    dir: PathBuf,
    /// A recipe file, or the name of one that comes with the program, whose [data] and seed are used. Default: `default`.
    #[arg(long, value_name = "FILE|NAME", default_value = "default")]
    recipe: String,
    /// Change one value of the recipe, as data.objects=axis.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Draw some images of each class into a PNG.
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// Lines of a kind that are printed; `--json` has them all.
const SHOWN: usize = 10;

pub(super) fn run(command: &DataCommand, stop: &AtomicBool) -> Result<(), CommandError> {
    let DataCommand::Inspect(arguments) = command;
    let mut recipe = Recipe::load(&arguments.recipe)?;
    for assignment in &arguments.set {
        recipe.set(assignment)?;
    }
    recipe.validate()?;
    if let Some(path) = &arguments.sheet {
        check_name(path)?;
    }
    let bars = Bars::default();
    let progress = |done, total| bars.read(done, total);
    let options = LoadOptions {
        skip_bad: true,
        deep: DeepImages::Stretch,
        layout: recipe.data.layout,
        objects: recipe.data.object_options(),
        stop,
        progress: &progress,
        ..LoadOptions::default()
    };
    let found = inspect(
        &arguments.dir,
        &options,
        &recipe.data.division(),
        recipe.seed,
    );
    bars.end("");
    let found = found?;
    if let Some(path) = &arguments.sheet {
        draw(path, &arguments.dir, &options)?;
    }
    match arguments.json {
        true => output::result(serde_json::json!(found)),
        false => print(&found),
    }
}

fn check_name(path: &Path) -> Result<(), CommandError> {
    match path
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("png"))
    {
        true => Ok(()),
        false => Err(CommandError::Sheet {
            path: path.display().to_string(),
            reason: "its name has to end in .png".to_string(),
        }),
    }
}

fn draw(path: &Path, dir: &Path, options: &LoadOptions) -> Result<(), CommandError> {
    let refused = |reason: String| CommandError::Sheet {
        path: path.display().to_string(),
        reason,
    };
    let mut bytes = Vec::new();
    sheet(dir, options)?
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .map_err(|e| refused(e.to_string()))?;
    std::fs::write(path, bytes).map_err(|e| refused(e.to_string()))?;
    note(format_args!("drew {}", path.display()));
    Ok(())
}

fn print(found: &Inspection) -> Result<(), CommandError> {
    let line = |name: &str, what: &str| output::result(format_args!("{name:10} {what}"));
    line("layout", &found.layout.to_string())?;
    let what = if found.objects { "objects" } else { "images" };
    let of = format!(
        "{} {what} of {} classes in {} files",
        found.images,
        found.classes.len(),
        found.files
    );
    line("images", &of)?;
    for class in &found.classes {
        line("", &format!("{:8} {}", class.count, class.name))?;
    }
    let counts = |title: &str, counts: &[Count]| {
        for (place, it) in counts.iter().take(SHOWN).enumerate() {
            line(
                if place == 0 { title } else { "" },
                &format!("{:8} {}", it.count, it.name),
            )?;
        }
        match counts.get(SHOWN..) {
            Some(more @ [_, ..]) => line("", &format!("and {} others", more.len())),
            _ => Ok(()),
        }
    };
    counts("sizes", &found.sizes)?;
    counts("colours", &found.colours)?;
    if let Some([least, median, greatest]) = found.sides {
        line(
            "crops",
            &format!("{least:.0} to {greatest:.0} px a side, half of them up to {median:.0}"),
        )?;
    }
    if found.left_out.total() > 0 {
        line(
            "left out",
            &format!("{} objects: {}", found.left_out.total(), found.left_out),
        )?;
    }
    let kinds: Vec<String> = found
        .passed_over
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if !kinds.is_empty() {
        line("no images", &kinds.join(", "))?;
    }
    line("broken", &found.broken.len().to_string())?;
    for it in found.broken.iter().take(SHOWN) {
        line("", &format!("{}: {}", it.file, it.reason))?;
    }
    if found.broken.len() > SHOWN {
        line(
            "",
            &format!(
                "and {} others; --json has them all",
                found.broken.len() - SHOWN
            ),
        )?;
    }
    match found.duplicates.copies {
        0 => line("copies", "none")?,
        _ => line("copies", &found.duplicates.to_string())?,
    }
    match found.split {
        Some([train, validation, test]) => line(
            "split",
            &format!("{train} training, {validation} validation and {test} test {what}"),
        ),
        None => line("split", "impossible: a class has too few that can be used"),
    }
}
