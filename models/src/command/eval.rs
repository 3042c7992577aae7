use super::error::CommandError;
use super::output::{self, note};
use super::predict::load;
use super::progress::Bars;
use super::source;
use crate::distill::{PHASES, RunData};
use crate::run::RunDir;
use crate::train::{Session, measure};
use clap::Args;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

#[derive(Args)]
pub(super) struct EvalArguments {
    /// The run's folder.
    run: PathBuf,
    /// A folder with one folder of images per class, named as in training, or `synthetic`.
    #[arg(long, value_name = "DIR|synthetic")]
    data: String,
    /// Leave out files that cannot be read, and count them.
    #[arg(long)]
    skip_bad: bool,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &EvalArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let bars = Bars::default();
    let run = RunDir::open(&arguments.run)?;
    let recipe = run.recipe()?;
    let data: RunData = run.split()?;
    let read = source::read(
        &arguments.data,
        &recipe,
        Some((data.height, data.width)),
        arguments.skip_bad,
        &bars,
    )?;
    let dataset = &read.dataset;
    if dataset.classes != data.classes {
        return Err(CommandError::Classes {
            data: arguments.data.clone(),
            got: dataset.classes.clone(),
            wanted: data.classes,
        });
    }
    let mut split = data.split.clone();
    if dataset.fingerprint == data.fingerprint {
        note(format_args!(
            "note: these are the run's own images; evaluating its {} test images",
            split.test.len()
        ));
    } else {
        split.test = (0..dataset.len() as u32).collect();
    }
    let client = cubecl::Device::default().client();
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset,
        split: &split,
        stats: data.stats,
        progress: &bars,
        stop,
    };
    let mut found = serde_json::Map::new();
    for (phase, title) in PHASES {
        let network = load(&client, &run, &recipe, &data, phase)?;
        let result = measure(&session, &network, title)?;
        let confusion = &result.confusion;
        if !arguments.json {
            output::result(format_args!(
                "{title:18} {:9} accuracy {:6.2} %  macro precision {:6.2} %  macro recall {:6.2} %  {:.0} images/s",
                network.arch,
                100.0 * confusion.accuracy(),
                100.0 * confusion.macro_precision(),
                100.0 * confusion.macro_recall(),
                result.images_per_s,
            ))?;
        }
        let entry = serde_json::json!({
            "arch": network.arch,
            "images": split.test.len(),
            "accuracy": confusion.accuracy(),
            "macro_precision": confusion.macro_precision(),
            "macro_recall": confusion.macro_recall(),
            "infer_images_per_s": result.images_per_s,
        });
        found.insert(phase.to_string(), entry);
    }
    if arguments.json {
        output::result(serde_json::Value::Object(found))?;
    }
    Ok(())
}
