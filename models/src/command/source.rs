use super::error::CommandError;
use super::output::note;
use super::progress::Bars;
use crate::data::{
    BadFile, Dataset, DeepImages, Layout, LoadOptions, Loaded, Skipped, Stretch, folder, synthetic,
};
use crate::recipe::Recipe;
use crate::train::Progress;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The data set that the program draws itself.
pub(super) const SYNTHETIC: &str = "synthetic";
/// Two halvings and a window of 2 x 2 left.
const SMALLEST: usize = 8;

/// A data set as it was read.
pub(super) struct Source {
    pub dataset: Arc<Dataset>,
    pub skipped: Skipped,
}

/// What is asked of the images beside the recipe.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Height and width; `None` for the most common ones.
    pub size: Option<(usize, usize)>,
    /// What becomes of images with more than 8 bits a sample.
    pub deep: DeepImages,
    /// The classes of a run whose networks are to be evaluated.
    pub classes: Option<&'a [String]>,
    /// How the folder is laid out.
    pub layout: Layout,
    /// Go on without files that cannot be read.
    pub skip_bad: bool,
}

/// Reads the folder `source`, or draws the synthetic data set.
pub(super) fn read(
    source: &str,
    recipe: &Recipe,
    wanted: Wanted,
    bars: &Bars,
    stop: &AtomicBool,
) -> Result<Source, CommandError> {
    let progress = |done, total| bars.read(done, total);
    if source == SYNTHETIC {
        let data = &recipe.data;
        let side = wanted
            .size
            .map_or(data.synthetic_size, |(height, _)| height);
        let drawn =
            synthetic::generate(recipe.seed, data.synthetic_per_class, side, stop, &progress);
        bars.end("");
        return Ok(Source {
            dataset: Arc::new(drawn?),
            skipped: Skipped::default(),
        });
    }
    let options = LoadOptions {
        skip_bad: wanted.skip_bad,
        size: wanted.size,
        classes: wanted.classes,
        deep: wanted.deep,
        layout: wanted.layout,
        objects: recipe.data.object_options(),
        memory: recipe.data.memory_limit(),
        stop,
        progress: &progress,
    };
    let loaded = folder::load(Path::new(source), &options);
    bars.end("");
    let loaded = loaded?;
    say_what_was_done(&loaded);
    let dataset = loaded.dataset;
    let (height, width) = (dataset.height, dataset.width);
    if height < SMALLEST || width < SMALLEST {
        return Err(CommandError::TooSmall { height, width });
    }
    if loaded.deep < dataset.len() && matches!(wanted.deep, DeepImages::AsInRun(Some(_))) {
        note(format_args!(
            "warning: {} images have 8 bits a sample, but those that the run was trained on had more: the networks may not know such images",
            dataset.len() - loaded.deep
        ));
    }
    Ok(Source {
        dataset: Arc::new(dataset),
        skipped: loaded.skipped.into(),
    })
}

/// Names what is not as it lay in the folder.
fn say_what_was_done(loaded: &Loaded) {
    let (height, width) = (loaded.dataset.height, loaded.dataset.width);
    let dataset = &loaded.dataset;
    if loaded.layout != Layout::Folders {
        note(format_args!(
            "note: the folder is laid out as {}; its {} images are {}",
            loaded.layout,
            dataset.len(),
            if loaded.objects {
                "objects cut out of its scenes"
            } else {
                "whole scenes"
            },
        ));
    }
    if loaded.left_out.total() > 0 {
        note(format_args!(
            "note: {} objects were left out: {}",
            loaded.left_out.total(),
            loaded.left_out
        ));
    }
    if dataset.in_memory() < dataset.len() {
        note(format_args!(
            "note: {} of {} images are kept in memory; the others are decoded whenever they are needed, which takes time and changes no \
             result (data.memory_mb)",
            dataset.in_memory(),
            dataset.len()
        ));
    }
    if loaded.passed_over.total() > 0 {
        note(format_args!(
            "note: {} files were passed over: {}",
            loaded.passed_over.total(),
            loaded.passed_over
        ));
    }
    if let Some(Stretch { low, high }) = loaded.dataset.stretch.filter(|_| loaded.deep > 0) {
        note(format_args!(
            "note: {} images have more than 8 bits a sample; red, green and blue from {low:?} to {high:?} became 0 to 255",
            loaded.deep
        ));
    }
    if loaded.resized > 0 {
        note(format_args!(
            "note: {} images were resized to {width} x {height} pixels",
            loaded.resized
        ));
    }
    for BadFile { file, reason } in &loaded.skipped {
        note(format_args!("skipped {file}: {reason}"));
    }
    if !loaded.skipped.is_empty() {
        note(format_args!(
            "note: {} files that could not be read were skipped",
            loaded.skipped.len()
        ));
    }
}
