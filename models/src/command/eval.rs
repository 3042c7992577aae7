use super::error::CommandError;
use super::output::{self, note};
use super::predict::load;
use super::progress::Bars;
use super::source::{self, Wanted};
use crate::data::{Dataset, DeepImages, Layout};
use crate::distill::{RunData, plan};
use crate::run::RunDir;
use crate::train::{Session, measure};
use clap::Args;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

#[derive(Args)]
pub(super) struct EvalArguments {
    /// The run's folder.
    run: PathBuf,
    /// A folder with one folder of images per class, named as in training, RSOD, DOTA, or `synthetic`.
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
    let wanted = Wanted {
        size: Some((data.height, data.width)),
        deep: DeepImages::AsInRun(data.stretch),
        classes: Some(&data.classes),
        // Other images may lie otherwise than those of the run.
        layout: Layout::Auto,
        skip_bad: arguments.skip_bad,
    };
    let read = source::read(&arguments.data, &recipe, wanted, &bars, stop)?;
    let dataset = &read.dataset;
    if dataset.classes != data.classes {
        return Err(CommandError::Classes {
            data: arguments.data.clone(),
            got: dataset.classes.clone(),
            wanted: data.classes,
        });
    }
    let mut split = data.split.clone();
    let Some(trained_on) = data.trained_on(dataset) else {
        return Err(CommandError::NoDigests {
            run: arguments.run.clone(),
            was: data.source,
            data: arguments.data.clone(),
        });
    };
    let unseen =
        (0..dataset.len() as u32).filter(|&i| !trained_on.contains(&dataset.digests[i as usize]));
    split.test = unseen.collect();
    match (split.test.len(), dataset.len()) {
        (0, images) => {
            return Err(CommandError::AllTrainedOn {
                data: arguments.data.clone(),
                images,
            });
        }
        (unseen, images) if unseen < images => say_left_out(dataset, &split.test),
        _ => {}
    }
    let client = cubecl::Device::default().client();
    let session = Session {
        client: &client,
        recipe: &recipe,
        dataset,
        split: &split,
        stats: data.stats,
        progress: &bars,
        cache: None,
        watch: None,
        stop,
    };
    let mut found = serde_json::Map::new();
    for planned in plan(&recipe) {
        let network = load(&client, &run, &recipe, &data, &planned)?;
        let title = &planned.title;
        let result = measure(&session, &network, title)?;
        let confusion = &result.confusion;
        if !arguments.json {
            output::result(format_args!(
                "{title:24} {:16} accuracy {:6.2} %  macro precision {:6.2} %  macro recall {:6.2} %  {:.0} images/s",
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
        found.insert(planned.name.clone(), entry);
    }
    if arguments.json {
        output::result(serde_json::Value::Object(found))?;
    }
    Ok(())
}

/// Names the images that are not in `unseen`.
fn say_left_out(dataset: &Dataset, unseen: &[u32]) {
    const EXAMPLES: usize = 3;
    let left_out = (0..dataset.len() as u32).filter(|i| unseen.binary_search(i).is_err());
    let names = left_out
        .take(EXAMPLES)
        .map(|i| dataset.files[i as usize].as_str());
    note(format_args!(
        "note: {} of {} images were trained or validated on and are left out, as {}; evaluating the other {}",
        dataset.len() - unseen.len(),
        dataset.len(),
        names.collect::<Vec<_>>().join(", "),
        unseen.len(),
    ));
}
