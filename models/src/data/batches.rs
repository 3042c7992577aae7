//! Batches, prepared on a thread of their own while the model computes.

use super::augment::{Augment, AugmentSeed, Placement};
use super::stats::{ChannelStats, Normaliser};
use super::{DataError, Dataset};
use crate::random::{Purpose, stream};
use ghostlight_kernels::{Staged, Staging, planted};
use rand::distr::Distribution;
use rand::seq::SliceRandom;
use rand_distr::Beta;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Batches that may wait for the model. One would do if every step took equally long; more cost memory only.
const QUEUE: usize = 2;

/// `indices` in the order of `epoch` of the run with `seed`.
pub fn order(indices: &[u32], seed: u64, epoch: u64) -> Vec<u32> {
    let mut order = indices.to_vec();
    order.shuffle(&mut stream(seed, Purpose::Order, epoch, 0));
    order
}

/// Some images, ready for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[n, height, width, 3]`, normalised, in memory that a device takes over and gives back to the loader.
    pub images: Staged,
    /// One label per image.
    pub labels: Vec<u32>,
    /// Which images of the data set these are.
    pub indices: Vec<u32>,
    /// What was mixed into them, if anything was.
    pub mixed: Option<MixedIn>,
}

/// A second image in each of a batch (mixup; Zhang et al. 2018).
#[derive(Debug, Clone, PartialEq)]
pub struct MixedIn {
    /// The labels of the images that were mixed in.
    pub labels: Vec<u32>,
    /// Their share of every pixel, from 0 to 1.
    pub share: f64,
}

/// What a [`Loader`] makes of the images.
#[derive(Debug, Clone, Copy)]
pub struct LoaderOptions {
    /// Images per batch.
    pub batch_size: usize,
    /// Statistics to normalise with.
    pub stats: ChannelStats,
    /// Random changes, for training.
    pub augment: Option<(Augment, AugmentSeed)>,
    /// Batches of the order to pass over: where a resumed epoch goes on.
    pub first_batch: usize,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    /// Mix into each image the next one of the batch, by a share drawn for each batch from the Beta distribution whose parameters are both
    /// this; 0 mixes nothing. For training: where `augment` is not there, nothing is mixed.
    pub mixup: f64,
}

/// Yields the batches of an order of images, in order, made ahead on a background thread that spreads the images of a batch
/// over rayon's pool: those that are not in memory are decoded there. Dropping it ends the thread.
pub struct Loader {
    /// `None` once the thread is told to end.
    batches: Option<Receiver<Result<Batch, DataError>>>,
    worker: Option<JoinHandle<()>>,
    remaining: usize,
}

impl Loader {
    /// Starts making the batches of `order`, indices into `dataset`.
    ///
    /// # Errors
    /// [`DataError::BatchSize`], [`DataError::Index`], [`DataError::Shift`], [`DataError::Thread`].
    pub fn new(
        dataset: Arc<Dataset>,
        order: Vec<u32>,
        options: LoaderOptions,
    ) -> Result<Self, DataError> {
        if options.batch_size == 0 {
            return Err(DataError::BatchSize);
        }
        dataset.check_indices(&order)?;
        if let Some((augment, _)) = &options.augment {
            augment.check(&dataset)?;
        }
        let all = match options.drop_last {
            true => order.len() / options.batch_size,
            false => order.len().div_ceil(options.batch_size),
        };
        let (sender, batches) = sync_channel(QUEUE);
        let worker = std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || make_batches(&dataset, &order, all, &options, &sender))
            .map_err(|source| DataError::Thread { source })?;
        let remaining = all.saturating_sub(options.first_batch);
        Ok(Self {
            batches: Some(batches),
            worker: Some(worker),
            remaining,
        })
    }
}

impl Iterator for Loader {
    /// An image that cannot be had any more, [`Dataset::image`]'s error, ends the batches.
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        let batch = self.batches.as_ref()?.recv().ok();
        if batch.is_none()
            && let Some(Err(panic)) = self.worker.take().map(JoinHandle::join)
        {
            // An epoch that ends early would pass for a whole one.
            std::panic::resume_unwind(panic);
        }
        self.remaining = match &batch {
            Some(Err(_)) => 0,
            _ => self.remaining - 1,
        };
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Loader {}

impl Drop for Loader {
    fn drop(&mut self) {
        // A worker waiting for room in the queue wakes only when the receiver is gone.
        self.batches = None;
        if let Some(worker) = self.worker.take() {
            // Its panic, if any, was for the one who asked for batches.
            let _ = worker.join();
        }
    }
}

fn make_batches(
    dataset: &Dataset,
    order: &[u32],
    all: usize,
    options: &LoaderOptions,
    sender: &SyncSender<Result<Batch, DataError>>,
) {
    let normaliser = Normaliser::new(&options.stats);
    let staging = Staging::new();
    let chunks = order
        .chunks(options.batch_size)
        .take(all)
        .skip(options.first_batch);
    for (number, indices) in (options.first_batch as u64..).zip(chunks) {
        let room = staging.room(indices.len() * dataset.image_bytes());
        let batch = make_batch(dataset, indices, options.augment, &normaliser, room).map(|batch| {
            let seed = options.augment.map(|(_, seed)| seed);
            match seed.filter(|_| options.mixup > 0.0) {
                Some(seed) => mix(batch, options.mixup, seed, number),
                None => batch,
            }
        });
        let last = batch.is_err();
        if sender.send(batch).is_err() || last {
            return;
        }
    }
}

fn make_batch(
    dataset: &Dataset,
    indices: &[u32],
    augment: Option<(Augment, AugmentSeed)>,
    normaliser: &Normaliser,
    mut images: Staged,
) -> Result<Batch, DataError> {
    let size = (dataset.height, dataset.width);
    images
        .par_chunks_exact_mut(dataset.image_bytes())
        .zip(indices)
        .try_for_each(|(out, &index)| {
            let image = dataset.image(index as usize)?;
            let placement = match augment {
                Some((augment, at)) => augment.draw(at, index, size.0 == size.1),
                None => Placement::default(),
            };
            match placement == Placement::default() {
                true => normaliser.write(&image, out),
                false => placement.write(&image, size, normaliser, out),
            }
            Ok::<(), DataError>(())
        })?;
    let labels = match planted::is("labels_in_the_data_sets_order") {
        false => indices
            .iter()
            .map(|&i| dataset.labels[i as usize])
            .collect(),
        true => dataset.labels[..indices.len()].to_vec(),
    };
    Ok(Batch {
        images,
        labels,
        indices: indices.to_vec(),
        mixed: None,
    })
}

/// Mixes into each image of the batch `number` of an epoch the one after it, and into the last the first. The order of the images is random, so
/// that they are as good as drawn.
fn mix(batch: Batch, alpha: f64, seed: AugmentSeed, number: u64) -> Batch {
    let Ok(distribution) = Beta::new(alpha, alpha) else {
        return batch;
    };
    let share = distribution.sample(&mut stream(seed.seed, Purpose::Mix, seed.epoch, number));
    // The image that has the larger share gives its place in the batch.
    let share = share.min(1.0 - share);
    let (len, count) = (
        batch.images.len() / batch.labels.len().max(1),
        batch.labels.len(),
    );
    let mut images = batch.images.another();
    let partner = |i: usize| planted::or("mixed_with_itself", (i + 1) % count, i);
    let mixing = images.par_chunks_exact_mut(len.max(1)).enumerate();
    mixing.for_each(|(i, out)| {
        let (own, other) = (&batch.images[i * len..], &batch.images[partner(i) * len..]);
        for ((out, own), other) in out.iter_mut().zip(own).zip(other) {
            *out = ((1.0 - share) * f64::from(*own) + share * f64::from(*other)) as f32;
        }
    });
    Batch {
        images,
        mixed: Some(MixedIn {
            labels: (0..count).map(|i| batch.labels[(i + 1) % count]).collect(),
            share,
        }),
        ..batch
    }
}

#[cfg(test)]
mod tests;
