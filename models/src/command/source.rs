use super::error::CommandError;
use super::output::note;
use super::progress::Bars;
use crate::data::{Dataset, LoadOptions, folder, synthetic};
use crate::recipe::Recipe;
use crate::train::Progress;
use std::path::Path;
use std::sync::Arc;

/// The data set that the program draws itself.
pub(super) const SYNTHETIC: &str = "synthetic";
/// Two halvings and a window of 2 x 2 left.
const SMALLEST: usize = 8;

/// A data set as it was read.
pub(super) struct Source {
    pub dataset: Arc<Dataset>,
    pub skipped: usize,
}

/// Reads the folder `source`, or draws the synthetic data set.
pub(super) fn read(
    source: &str,
    recipe: &Recipe,
    size: Option<(usize, usize)>,
    skip_bad: bool,
    bars: &Bars,
) -> Result<Source, CommandError> {
    let progress = |done, total| bars.read(done, total);
    if source == SYNTHETIC {
        let data = &recipe.data;
        let side = size.map_or(data.synthetic_size, |(height, _)| height);
        let drawn = synthetic::generate(recipe.seed, data.synthetic_per_class, side, &progress);
        bars.end("");
        return Ok(Source {
            dataset: Arc::new(drawn?),
            skipped: 0,
        });
    }
    let options = LoadOptions {
        skip_bad,
        size,
        progress: &progress,
    };
    let loaded = folder::load(Path::new(source), &options);
    bars.end("");
    let loaded = loaded?;
    let dataset = loaded.dataset;
    let (height, width) = (dataset.height, dataset.width);
    if loaded.resized > 0 {
        note(format_args!(
            "note: {} images were resized to {width} x {height} pixels",
            loaded.resized
        ));
    }
    for (file, reason) in &loaded.skipped {
        note(format_args!("skipped {file}: {reason}"));
    }
    if !loaded.skipped.is_empty() {
        note(format_args!(
            "note: {} files that could not be read were skipped",
            loaded.skipped.len()
        ));
    }
    if height < SMALLEST || width < SMALLEST {
        return Err(CommandError::TooSmall { height, width });
    }
    Ok(Source {
        dataset: Arc::new(dataset),
        skipped: loaded.skipped.len(),
    })
}
