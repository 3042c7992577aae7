//! Batches, prepared on a thread of their own while the model computes.

use super::augment::{Augment, AugmentSeed, Placement};
use super::stats::{ChannelStats, Normaliser};
use super::{DataError, Dataset};
use crate::random::{Purpose, stream};
use ghostlight_kernels::planted;
use rand::seq::SliceRandom;
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
    /// `[n, height, width, 3]`, normalised.
    pub images: Vec<f32>,
    /// One label per image.
    pub labels: Vec<u32>,
    /// Which images of the data set these are.
    pub indices: Vec<u32>,
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
    let chunks = order
        .chunks(options.batch_size)
        .take(all)
        .skip(options.first_batch);
    for indices in chunks {
        let batch = make_batch(dataset, indices, options.augment, &normaliser);
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
) -> Result<Batch, DataError> {
    let size = (dataset.height, dataset.width);
    let mut images = vec![0.0; indices.len() * dataset.image_bytes()];
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn numbered(n: u32, side: usize) -> Arc<Dataset> {
        let pixels = (0..n as usize * side * side * 3)
            .map(|i| (i * 31 % 251) as u8)
            .collect();
        let classes = vec!["even".to_string(), "odd".to_string()];
        let labels: Vec<u32> = (0..n).map(|i| i % 2).collect();
        let files = labels.iter().map(|l| l.to_string()).collect();
        let data = Dataset::new("t".into(), classes, (side, side), pixels, labels, files);
        Arc::new(data.unwrap())
    }

    fn options(batch_size: usize) -> LoaderOptions {
        LoaderOptions {
            batch_size,
            stats: ChannelStats {
                mean: [0.5; 3],
                std: [0.25; 3],
            },
            augment: Some((Augment::default(), AugmentSeed { seed: 3, epoch: 1 })),
            first_batch: 0,
            drop_last: false,
        }
    }

    fn load(data: &Arc<Dataset>, order: &[u32], options: LoaderOptions) -> Vec<Batch> {
        Loader::new(data.clone(), order.to_vec(), options)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn an_order_is_a_permutation_that_changes_with_epoch_and_seed() {
        let indices: Vec<u32> = (10..60).collect();
        let first = order(&indices, 1, 0);
        assert_eq!(first, order(&indices, 1, 0));
        assert_ne!(first, order(&indices, 1, 1));
        assert_ne!(first, order(&indices, 2, 0));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, indices);
    }

    #[test]
    fn batches_carry_every_image_of_the_order_with_its_label() {
        let data = numbered(10, 8);
        let order = [9, 0, 3, 4, 7, 1, 2];
        let batches = load(&data, &order, options(3));
        assert_eq!(
            batches.iter().map(|b| b.indices.len()).collect::<Vec<_>>(),
            [3, 3, 1]
        );
        assert_eq!(
            batches
                .iter()
                .flat_map(|b| b.indices.clone())
                .collect::<Vec<_>>(),
            order
        );
        assert!(
            batches
                .iter()
                .all(|b| b.images.len() == b.labels.len() * 8 * 8 * 3)
        );
        assert_eq!(batches[0].labels, [1, 0, 1]);
        let full = LoaderOptions {
            drop_last: true,
            ..options(3)
        };
        assert_eq!(load(&data, &order, full), batches[..2]);
    }

    #[test]
    fn an_image_without_changes_is_its_pixels_normalised() {
        let data = numbered(4, 8);
        let plain = LoaderOptions {
            augment: None,
            ..options(2)
        };
        let batch = &load(&data, &[2], plain)[0];
        for (&value, &byte) in batch.images.iter().zip(&*data.image(2).unwrap()) {
            assert_eq!(value, (byte as f32 / 255.0 - 0.5) / 0.25);
        }
    }

    #[test]
    fn a_resumed_epoch_yields_the_same_bytes_on_any_number_of_threads() {
        let data = numbered(40, 16);
        let order = order(&(0..40).collect::<Vec<_>>(), 0, 1);
        let whole = load(&data, &order, options(6));
        let rest = LoaderOptions {
            first_batch: 4,
            ..options(6)
        };
        assert_eq!(load(&data, &order, rest), whole[4..]);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let normaliser = Normaliser::new(&options(6).stats);
        let alone = || make_batch(&data, &order[..6], options(6).augment, &normaliser);
        assert_eq!(pool.install(alone).unwrap(), whole[0]);
        let beyond = LoaderOptions {
            first_batch: 40,
            ..options(6)
        };
        assert_eq!(load(&data, &order, beyond), []);
        let mut next_epoch = options(6);
        next_epoch.augment = Some((Augment::default(), AugmentSeed { seed: 3, epoch: 2 }));
        assert_ne!(load(&data, &order, next_epoch)[0].images, whole[0].images);
    }

    #[test]
    fn dropping_a_loader_ends_its_thread_at_once() {
        let data = numbered(100, 8);
        let order: Vec<u32> = (0..100).cycle().take(1_000_000).collect();
        let mut loader = Loader::new(data.clone(), order, options(4)).unwrap();
        assert_eq!(loader.len(), 250_000);
        assert!(loader.next().is_some());
        let start = Instant::now();
        drop(loader);
        assert!(start.elapsed().as_secs() < 5);
        // The thread held a reference to the data set; it is gone with the thread.
        assert_eq!(Arc::strong_count(&data), 1);
    }

    #[test]
    fn what_cannot_be_batched_is_refused_before_the_thread_starts() {
        let data = numbered(4, 8);
        let refused = |order: &[u32], o| Loader::new(data.clone(), order.to_vec(), o).err();
        assert!(matches!(
            refused(&[0], options(0)),
            Some(DataError::BatchSize)
        ));
        assert!(matches!(
            refused(&[4], options(1)),
            Some(DataError::Index { index: 4, .. })
        ));
        let mut far = options(1);
        far.augment = Some((
            Augment {
                dihedral: true,
                shift: 8,
            },
            AugmentSeed { seed: 0, epoch: 0 },
        ));
        assert!(matches!(
            refused(&[0], far),
            Some(DataError::Shift { max: 7, .. })
        ));
    }

    #[test]
    fn a_loader_knows_how_many_batches_are_left_and_ends_after_them() {
        let order = (0..10).collect();
        let mut loader = Loader::new(numbered(10, 8), order, options(4)).unwrap();
        for left in [3, 2, 1] {
            assert_eq!(loader.len(), left);
            assert!(loader.next().is_some());
        }
        assert_eq!(loader.len(), 0);
        assert!(loader.next().is_none() && loader.next().is_none());
    }

    #[test]
    fn square_images_are_turned_and_others_only_flipped() {
        let normaliser = Normaliser::new(&options(1).stats);
        let augment = Augment {
            dihedral: true,
            shift: 2,
        };
        for (height, width) in [(6, 6), (4, 9)] {
            let bytes = (0..2 * height * width * 3).map(|i| (i % 251) as u8);
            let names = || vec!["a".to_string(), "b".to_string()];
            let size = (height, width);
            let data = Dataset::new(
                "t".into(),
                names(),
                size,
                bytes.collect(),
                vec![0, 1],
                names(),
            );
            let data = data.unwrap();
            let mut turned = 0;
            for epoch in 0..20 {
                let at = AugmentSeed { seed: 4, epoch };
                let batch = make_batch(&data, &[1], Some((augment, at)), &normaliser).unwrap();
                let placement = augment.draw(at, 1, height == width);
                let mut wanted = vec![0.0; data.image_bytes()];
                placement.write(&data.image(1).unwrap(), size, &normaliser, &mut wanted);
                assert_eq!(batch.images, wanted, "{height} x {width}, {placement:?}");
                turned += usize::from(placement.transpose);
            }
            assert_eq!(turned > 0, height == width);
        }
    }
}
