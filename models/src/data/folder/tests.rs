use super::*;
use image::{Rgb, RgbImage};
use std::fs;
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
    assert_eq!([0, 1, 2, 3].map(|i| data.image(i)[0]), [1, 2, 10, 20]);
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
    assert!(loaded.dataset.image(2).iter().all(|&v| v == 77));
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
    assert_eq!(loaded.skipped[1].0, "b/0.jpg");
    assert!(loaded.skipped[1].1.contains("0 bytes"));
    assert_eq!(
        loaded.dataset.files,
        ["a/1.tiff", "a/2.tif", "b/1.PNG", "b/2.png"]
    );
    assert_eq!(
        [0, 1, 2, 3].map(|i| loaded.dataset.image(i)[0]),
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
