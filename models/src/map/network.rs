use super::{Classifier, MapError};
use crate::data::{ChannelStats, Normaliser, fit_tile};
use crate::nn::Mode;
use crate::train::TrainError;
use crate::zoo::Network;
use ghostlight_autodiff::{Client, Tape, Tensor, Var};
use ghostlight_kernels::planted;
use rayon::prelude::*;

/// Tiles that a network sees at a time: enough to keep the cores busy, few enough to stop soon.
const BATCH: usize = 64;

/// A network that was trained in a run, and what it needs to see tiles as it saw the run's images.
pub struct NetworkClassifier<'a> {
    /// The device that `network` lies on.
    pub client: &'a Client,
    /// The network.
    pub network: &'a Network,
    /// Number of its classes.
    pub classes: usize,
    /// Statistics of the images that it was trained on.
    pub stats: &'a ChannelStats,
    /// Height and width of the tiles; others than those of its images are resized.
    pub tile: (usize, usize),
    /// What the learning rate of its training was, for the message when its outputs are no numbers.
    pub peak_lr: f64,
}

impl Classifier for NetworkClassifier<'_> {
    fn classes(&self) -> usize {
        self.classes
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn probabilities(&mut self, tiles: &[u8]) -> Result<Vec<f32>, MapError> {
        let [height, width] = self.network.image;
        let count = tiles.len() / (self.tile.0 * self.tile.1 * 3);
        let normaliser = Normaliser::new(self.stats);
        let mut values = vec![0.0; count * height * width * 3];
        tiles
            .par_chunks_exact(self.tile.0 * self.tile.1 * 3)
            .zip(values.par_chunks_exact_mut(height * width * 3))
            .for_each(|(tile, out)| match self.tile == (height, width) {
                true => normaliser.write(tile, out),
                false => normaliser.write(&fit_tile(tile, self.tile, (height, width)), out),
            });
        if planted::is("map_of_raw_pixels") {
            values.iter_mut().for_each(|value| *value *= 255.0);
        }
        let images = Tensor::from_f32(self.client, &values, &[count, height, width, 3])?;
        let logits = self
            .network
            .forward(&Tape::new(), Mode::Infer, &Var::constant(images))?;
        let mut logits = logits.tensor().to_f32()?;
        if !logits.iter().all(|value| value.is_finite()) {
            let (arch, peak_lr) = (self.network.arch.clone(), self.peak_lr);
            return Err(TrainError::NotFinite { arch, peak_lr }.into());
        }
        logits.chunks_exact_mut(self.classes).for_each(softmax);
        Ok(logits)
    }
}

/// Turns finite logits into probabilities.
fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut()
        .for_each(|value| *value = (*value - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}
