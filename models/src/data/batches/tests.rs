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
        mixup: 0.0,
    }
}

/// Memory for `count` images that nobody had before.
fn room(data: &Dataset, count: usize) -> Staged {
    Staging::new().room(count * data.image_bytes())
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
fn mixed_images_hold_a_share_of_the_next_of_their_batch_and_tell_its_label() {
    let data = numbered(8, 8);
    let order = [5, 2, 7, 0, 4, 3];
    let plain = load(&data, &order, options(3));
    assert!(plain.iter().all(|batch| batch.mixed.is_none()));
    let mixing = LoaderOptions {
        mixup: 0.4,
        ..options(3)
    };
    let mixed = load(&data, &order, mixing);
    let shares: Vec<f64> = mixed
        .iter()
        .map(|batch| batch.mixed.as_ref().unwrap().share)
        .collect();
    assert!(shares[0] != shares[1] && shares.iter().all(|share| (0.0..=0.5).contains(share)));
    for (batch, plain) in mixed.iter().zip(&plain) {
        let MixedIn { labels, share } = batch.mixed.as_ref().unwrap();
        assert_eq!(
            labels[..],
            [plain.labels[1], plain.labels[2], plain.labels[0]]
        );
        assert_eq!(batch.labels, plain.labels);
        let len = 8 * 8 * 3;
        for (i, value) in batch.images.iter().enumerate() {
            let other = plain.images[(i + len) % plain.images.len()];
            let wanted = (1.0 - share) * f64::from(plain.images[i]) + share * f64::from(other);
            assert!((f64::from(*value) - wanted).abs() < 1e-6);
        }
    }
    // A pure function of seed, epoch and batch, wherever an epoch goes on; and nothing outside of training.
    let later = LoaderOptions {
        first_batch: 1,
        ..mixing
    };
    assert_eq!(load(&data, &order, later), mixed[1..]);
    let still = LoaderOptions {
        augment: None,
        ..mixing
    };
    assert!(
        load(&data, &order, still)
            .iter()
            .all(|batch| batch.mixed.is_none())
    );
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
    let alone = || {
        make_batch(
            &data,
            &order[..6],
            options(6).augment,
            &normaliser,
            room(&data, 6),
        )
    };
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
fn a_loaders_batches_lie_in_the_memory_that_was_given_back() {
    let data = numbered(40, 8);
    let order: Vec<u32> = (0..40).cycle().take(400).collect();
    for mixup in [0.0, 0.4] {
        let options = LoaderOptions {
            mixup,
            ..options(4)
        };
        let whole = load(&data, &order, options);
        let loader = Loader::new(data.clone(), order.clone(), options).unwrap();
        let mut memory = std::collections::HashSet::new();
        for (batch, fresh) in loader.zip(whole) {
            let batch = batch.unwrap();
            memory.insert(batch.images.as_ptr());
            // Nothing shows of what lay there before.
            assert_eq!(batch, fresh);
        }
        // One in hand, those that wait, and one or two that are being made.
        assert!(
            memory.len() <= 1 + QUEUE + 2,
            "{} of 100 batches",
            memory.len()
        );
    }
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
            let batch = make_batch(
                &data,
                &[1],
                Some((augment, at)),
                &normaliser,
                room(&data, 1),
            );
            let batch = batch.unwrap();
            let placement = augment.draw(at, 1, height == width);
            let mut wanted = vec![0.0; data.image_bytes()];
            placement.write(&data.image(1).unwrap(), size, &normaliser, &mut wanted);
            assert_eq!(*batch.images, wanted, "{height} x {width}, {placement:?}");
            turned += usize::from(placement.transpose);
        }
        assert_eq!(turned > 0, height == width);
    }
}
