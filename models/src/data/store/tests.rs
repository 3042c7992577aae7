use crate::data::batches::{Batch, Loader, LoaderOptions};
use crate::data::folder::{LoadOptions, load};
use crate::data::stop::NEVER;
use crate::data::{Augment, AugmentSeed, ChannelStats, DataError, Dataset, MemoryLimit};
use image::{Rgb, RgbImage};
use std::fs;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

/// Two classes of seven images of 12 x 12 pixels; one in three has another size.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    for (class, first) in [("a", 0), ("b", 100)] {
        fs::create_dir(dir.path().join(class)).unwrap();
        for number in 0..7u8 {
            let side = if number % 3 == 2 { 17 } else { 12 };
            let pixel = |x: u32, y: u32| {
                Rgb([
                    first + number,
                    (x * 20) as u8,
                    (y * 13 + u32::from(number)) as u8,
                ])
            };
            let path = dir.path().join(format!("{class}/{number}.png"));
            RgbImage::from_fn(side, side, pixel).save(path).unwrap();
        }
    }
    dir
}

/// The folder with this many images in memory.
fn with(dir: &TempDir, images: u64) -> Arc<Dataset> {
    let options = LoadOptions {
        memory: MemoryLimit::Bytes(images * 12 * 12 * 3),
        ..LoadOptions::default()
    };
    let dataset = load(dir.path(), &options).unwrap().dataset;
    assert_eq!(dataset.in_memory(), images as usize);
    Arc::new(dataset)
}

fn batches(data: &Arc<Dataset>) -> Vec<Result<Batch, DataError>> {
    let order: Vec<u32> = (0..data.len() as u32).rev().collect();
    let options = LoaderOptions {
        batch_size: 4,
        stats: ChannelStats::of(data, &order, &NEVER).unwrap(),
        augment: Some((Augment::default(), AugmentSeed { seed: 2, epoch: 5 })),
        first_batch: 0,
        drop_last: false,
        mixup: 0.0,
    };
    Loader::new(data.clone(), order, options).unwrap().collect()
}

#[test]
fn what_is_decoded_again_has_the_bits_of_what_is_kept() {
    let dir = folder();
    let kept = with(&dir, 14);
    let wanted: Vec<Batch> = batches(&kept).into_iter().map(Result::unwrap).collect();
    for images in [0, 1, 6, 13] {
        let streamed = with(&dir, images);
        assert_eq!(streamed.fingerprint, kept.fingerprint);
        assert_eq!(streamed.digests, kept.digests);
        let found: Vec<Batch> = batches(&streamed).into_iter().map(Result::unwrap).collect();
        assert!(found == wanted, "{images} images in memory");
    }
}

#[test]
fn files_that_are_skipped_leave_no_gap_among_those_that_are_kept() {
    let dir = folder();
    for name in ["a/0.png", "a/4.png", "b/3.png"] {
        fs::write(dir.path().join(name), "broken").unwrap();
    }
    let read = |images: u64| {
        let options = LoadOptions {
            skip_bad: true,
            memory: MemoryLimit::Bytes(images * 12 * 12 * 3),
            ..LoadOptions::default()
        };
        load(dir.path(), &options).unwrap().dataset
    };
    let (all, some) = (read(14), read(6));
    assert_eq!((all.in_memory(), some.in_memory(), some.len()), (11, 4, 11));
    for i in 0..all.len() {
        assert_eq!(all.image(i).unwrap(), some.image(i).unwrap(), "{i}");
        assert_eq!(
            all.image(i).unwrap()[0] % 100,
            all.files[i].as_bytes()[2] - b'0'
        );
    }
}

#[test]
fn a_file_that_changed_or_went_ends_the_batches_with_its_name() {
    let dir = folder();
    let streamed = with(&dir, 3);
    let path = dir.path().join("a/6.png");
    let whole = fs::read(&path).unwrap();
    // The image of another file.
    fs::copy(dir.path().join("b/6.png"), &path).unwrap();
    let order: Vec<u32> = (0..14).collect();
    let loader = |order: Vec<u32>| {
        let options = LoaderOptions {
            batch_size: 2,
            stats: ChannelStats {
                mean: [0.5; 3],
                std: [0.5; 3],
            },
            augment: None,
            first_batch: 0,
            drop_last: false,
            mixup: 0.0,
        };
        let found: Vec<_> = Loader::new(streamed.clone(), order, options)
            .unwrap()
            .collect();
        let ends = found.len();
        let said = found
            .into_iter()
            .find_map(Result::err)
            .map(|e| e.to_string());
        (ends, said.unwrap_or_default())
    };
    let (ends, said) = loader(order.clone());
    assert_eq!(ends, 4);
    assert!(
        said.contains("6.png` cannot be used: it is no longer the file"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    assert!(loader(order.clone()).1.contains("6.png` cannot be used"));
    fs::write(&path, whole).unwrap();
    assert_eq!(loader(order), (7, String::new()));
}
