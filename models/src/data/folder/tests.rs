use super::*;
use image::{Rgb, RgbImage};
use std::fs;
use std::sync::atomic::AtomicUsize;
use tempfile::{TempDir, tempdir};

/// Writes a one-coloured image and the folder it lies in.
fn put(dir: &TempDir, name: &str, (height, width): (u32, u32), grey: u8) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, Rgb([grey; 3]))
        .save(path)
        .unwrap();
}

fn two_classes() -> TempDir {
    let dir = tempdir().unwrap();
    for (name, grey) in [
        ("b/2.png", 20),
        ("b/1.PNG", 10),
        ("a/2.tif", 2),
        ("a/1.tiff", 1),
    ] {
        put(&dir, name, (4, 6), grey);
    }
    dir
}

fn read(dir: &TempDir, options: LoadOptions) -> Result<Loaded, DataError> {
    load(dir.path(), &options)
}

fn refusal(dir: &TempDir) -> String {
    read(dir, LoadOptions::default()).unwrap_err().to_string()
}

#[test]
fn classes_and_files_come_in_order_and_everything_else_is_counted() {
    let dir = two_classes();
    fs::write(dir.path().join("a/notes.txt"), "x").unwrap();
    fs::write(dir.path().join("a/.hidden.png"), "x").unwrap();
    fs::write(dir.path().join("README"), "x").unwrap();
    fs::create_dir(dir.path().join(".git")).unwrap();
    let seen = AtomicUsize::new(0);
    let progress = |_, all| {
        seen.fetch_add(all, Ordering::Relaxed);
    };
    let options = LoadOptions {
        progress: &progress,
        ..LoadOptions::default()
    };
    let loaded = read(&dir, options).unwrap();
    let data = &loaded.dataset;
    assert_eq!(data.classes, ["a", "b"]);
    assert_eq!(data.files, ["a/1.tiff", "a/2.tif", "b/1.PNG", "b/2.png"]);
    assert_eq!(data.labels, [0, 0, 1, 1]);
    assert_eq!((data.height, data.width), (4, 6));
    assert_eq!(
        [0, 1, 2, 3].map(|i| data.image(i).unwrap()[0]),
        [1, 2, 10, 20]
    );
    assert_eq!(
        (
            loaded.passed_over.total(),
            loaded.resized,
            loaded.skipped.len()
        ),
        (2, 0, 0)
    );
    assert_eq!(seen.into_inner(), 4 * 4);
}

#[test]
fn other_sizes_are_brought_to_the_most_common_one_or_to_the_size_asked_for() {
    let dir = two_classes();
    put(&dir, "a/3.png", (9, 9), 77);
    let loaded = read(&dir, LoadOptions::default()).unwrap();
    assert_eq!(
        (loaded.dataset.height, loaded.dataset.width, loaded.resized),
        (4, 6, 1)
    );
    assert!(loaded.dataset.image(2).unwrap().iter().all(|&v| v == 77));
    let options = LoadOptions {
        size: Some((9, 9)),
        ..LoadOptions::default()
    };
    let loaded = read(&dir, options).unwrap();
    assert_eq!(
        (loaded.dataset.height, loaded.dataset.width, loaded.resized),
        (9, 9, 4)
    );
    for size in [0, 5000] {
        let options = LoadOptions {
            size: Some((size, size)),
            ..LoadOptions::default()
        };
        assert!(matches!(read(&dir, options), Err(DataError::Size { .. })));
    }
}

#[test]
fn of_two_equally_common_sizes_the_smaller_is_taken() {
    let dir = two_classes();
    for (name, size) in [
        ("a/3.png", (3, 3)),
        ("a/4.png", (3, 3)),
        ("b/3.png", (3, 3)),
    ] {
        put(&dir, name, size, 0);
    }
    put(&dir, "b/4.png", (3, 3), 0);
    let data = read(&dir, LoadOptions::default()).unwrap().dataset;
    assert_eq!((data.height, data.width), (3, 3));
}

#[test]
fn a_bad_file_is_named_and_can_be_skipped() {
    let dir = two_classes();
    put(&dir, "a/0.png", (4, 6), 0);
    let whole = fs::read(dir.path().join("a/0.png")).unwrap();
    fs::write(dir.path().join("a/0.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(dir.path().join("b/0.jpg"), "").unwrap();
    let message = refusal(&dir);
    assert!(
        message.contains("`a/0.png`") && message.contains("1 more"),
        "{message}"
    );
    assert!(message.contains("--skip-bad"), "{message}");
    let skipping = || LoadOptions {
        skip_bad: true,
        ..LoadOptions::default()
    };
    let loaded = read(&dir, skipping()).unwrap();
    assert_eq!(loaded.skipped[1].file, "b/0.jpg");
    assert!(loaded.skipped[1].reason.contains("0 bytes"));
    assert_eq!(
        loaded.dataset.files,
        ["a/1.tiff", "a/2.tif", "b/1.PNG", "b/2.png"]
    );
    assert_eq!(
        [0, 1, 2, 3].map(|i| loaded.dataset.image(i).unwrap()[0]),
        [1, 2, 10, 20]
    );
    fs::write(dir.path().join("b/1.PNG"), "not an image").unwrap();
    let message = read(&dir, skipping()).unwrap_err().to_string();
    assert!(message.contains("`b` has 1 usable"), "{message}");
}

#[test]
fn a_folder_that_holds_no_classes_says_what_is_wrong() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    assert!(matches!(
        load(&file, &LoadOptions::default()),
        Err(DataError::Missing { .. })
    ));
    assert!(refusal(&dir).contains("no class folders"));
    fs::write(&file, "x").unwrap();
    assert!(matches!(
        load(&file, &LoadOptions::default()),
        Err(DataError::NotAFolder { .. })
    ));
    put(&dir, "one/1.png", (4, 4), 0);
    assert!(refusal(&dir).contains("one class only, `one`"));
    fs::create_dir(dir.path().join("two")).unwrap();
    assert!(refusal(&dir).contains("`two` holds no image"));
    put(&dir, "two/1.png", (4, 4), 0);
    assert!(refusal(&dir).contains("`one` has 1 usable"));
    put(&dir, "one/2.png", (4, 4), 0);
    put(&dir, "two/2.png", (4, 4), 0);
    assert_eq!(read(&dir, LoadOptions::default()).unwrap().dataset.len(), 4);
}

/// Writes a 16-bit image whose samples are `first` and the following numbers.
fn put_deep(dir: &TempDir, name: &str, first: u16) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut sample = first..;
    image::ImageBuffer::<Rgb<u16>, _>::from_fn(6, 4, |_, _| Rgb([sample.next().unwrap(); 3]))
        .save(path)
        .unwrap();
}

fn deep_classes() -> TempDir {
    let dir = tempdir().unwrap();
    for (name, first) in [
        ("a/1.tif", 600),
        ("a/2.png", 620),
        ("b/1.tif", 900),
        ("b/2.png", 930),
    ] {
        put_deep(&dir, name, first);
    }
    dir
}

#[test]
fn sixteen_bits_are_stretched_by_the_range_of_the_data_set() {
    let dir = deep_classes();
    let loaded = read(&dir, LoadOptions::default()).unwrap();
    let stretch = Stretch {
        low: [600.0; 3],
        high: [953.0; 3],
    };
    assert_eq!((loaded.dataset.stretch, loaded.deep), (Some(stretch), 4));
    let first = [0, 1, 2, 3].map(|i| loaded.dataset.image(i).unwrap()[0]);
    assert_eq!(
        first,
        [600, 620, 900, 930].map(|v: i32| ((v - 600) as f32 * 255.0 / 353.0).round() as u8)
    );
    // A part of the data is seen as it was in the whole, and so is an image on its own.
    fs::remove_file(dir.path().join("b/2.png")).unwrap();
    put_deep(&dir, "b/0.tif", 60_000);
    let in_run = LoadOptions {
        deep: DeepImages::AsInRun(Some(stretch)),
        ..LoadOptions::default()
    };
    let part = read(&dir, in_run).unwrap().dataset;
    assert_eq!(part.image(0).unwrap(), loaded.dataset.image(0).unwrap());
    assert!(part.image(2).unwrap().iter().all(|&v| v == 255));
    let single = image(&dir.path().join("a/1.tif"), (4, 6), Some(&stretch)).unwrap();
    assert!(single.deep);
    assert_eq!(single.pixels, *loaded.dataset.image(0).unwrap());
}

#[test]
fn sixteen_bits_are_refused_with_their_range_where_they_are_not_wanted() {
    let dir = deep_classes();
    put(&dir, "a/3.png", (4, 6), 7);
    for (deep, advice) in [
        (DeepImages::Refuse, "data.deep_images"),
        (DeepImages::AsInRun(None), "trained on images of 8 bits"),
    ] {
        let options = LoadOptions {
            deep,
            ..LoadOptions::default()
        };
        let message = read(&dir, options).unwrap_err().to_string();
        for part in ["`a/1.tif` (as 3 other files)", "from 600 to 953", advice] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }
    let message = image(&dir.path().join("a/1.tif"), (4, 6), None)
        .unwrap_err()
        .to_string();
    assert!(message.contains("from 600 to 623"), "{message}");
    assert!(
        !image(&dir.path().join("a/3.png"), (4, 6), None)
            .unwrap()
            .deep
    );
}

#[test]
fn a_stop_while_images_are_read_ends_at_once() {
    let dir = two_classes();
    for i in 0..200 {
        put(&dir, &format!("a/more{i}.png"), (4, 6), 0);
    }
    put_deep(&dir, "b/deep.png", 0);
    // Stopped before the first file, in the pass that looks for the range, and in the decoding.
    for after in [0, 1, 10] {
        let stop = AtomicBool::new(after == 0);
        let most = AtomicUsize::new(0);
        let progress = |done, all| {
            assert_eq!(all, 206);
            most.fetch_max(done, Ordering::Relaxed);
            stop.fetch_or(done >= after, Ordering::Relaxed);
        };
        let options = LoadOptions {
            stop: &stop,
            progress: &progress,
            ..LoadOptions::default()
        };
        assert!(matches!(read(&dir, options), Err(DataError::Stopped)));
        // Each thread ends the file it is at.
        assert!(most.into_inner() <= after + rayon::current_num_threads());
    }
}

#[test]
fn digests_are_those_of_the_files_in_the_order_of_the_images() {
    let dir = two_classes();
    fs::write(dir.path().join("a/0.png"), "not an image").unwrap();
    let options = || LoadOptions {
        skip_bad: true,
        ..LoadOptions::default()
    };
    let data = read(&dir, options()).unwrap().dataset;
    for (file, digest) in data.files.iter().zip(&data.digests) {
        let contents = fs::read(dir.path().join(file)).unwrap();
        assert_eq!(ImageDigest::of(&contents), *digest, "{file}");
    }
    let resized = LoadOptions {
        size: Some((8, 8)),
        ..options()
    };
    assert_eq!(read(&dir, resized).unwrap().dataset.digests, data.digests);
}

#[test]
fn known_classes_keep_their_labels_whatever_the_folder_holds_of_them() {
    let dir = two_classes();
    let known = ["b", "c", "a"].map(String::from);
    let options = || LoadOptions {
        classes: Some(&known),
        ..LoadOptions::default()
    };
    let data = read(&dir, options()).unwrap().dataset;
    assert_eq!(data.classes, known);
    assert_eq!(data.labels, [2, 2, 0, 0]);
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    fs::remove_file(dir.path().join("b/2.png")).unwrap();
    assert_eq!(read(&dir, options()).unwrap().dataset.labels, [0]);
    fs::write(dir.path().join("b/1.PNG"), "").unwrap();
    let skipping = LoadOptions {
        skip_bad: true,
        ..options()
    };
    assert!(matches!(
        read(&dir, skipping),
        Err(DataError::NoImages { .. })
    ));
}

#[test]
fn images_that_do_not_fit_into_memory_are_refused_with_a_size_that_does() {
    let all = MemoryLimit::Bytes(u64::MAX);
    assert_eq!(all.room(3, (4, 5), None).unwrap(), vec![0; 180]);
    assert!(all.room(3, (4, 5), Some(180)).is_ok());
    let message = all
        .room(10_000, (600, 600), Some(6_000_000_000))
        .unwrap_err()
        .to_string();
    for part in [
        "10000 images of 600 x 600",
        "10.8 GB",
        "6.0 GB are left",
        "data.image_size to 316 or less",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(all.room(usize::MAX, (4096, 4096), None).is_err());
    assert!(matches!(
        all.room(9, (8, 8), Some(0)),
        Err(DataError::TooLarge { .. })
    ));
}
