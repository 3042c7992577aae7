use super::stop::NEVER;
use super::*;
use std::fs;
use tempfile::{TempDir, tempdir};

/// A folder with empty files of these names.
fn folder(names: &[&str]) -> TempDir {
    let dir = tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    dir
}

fn names(scan: &Listing) -> Vec<&str> {
    scan.sources.iter().map(|s| s.name.as_str()).collect()
}

const TWO: [&str; 4] = ["a/1.png", "a/2.png", "b/1.png", "b/2.png"];

fn with(more: &[&str]) -> TempDir {
    folder(&[&TWO[..], more].concat())
}

#[test]
fn images_in_subfolders_of_a_class_belong_to_it_and_others_are_named_by_kind() {
    let dir = with(&[
        "a/2023/may/3.BMP",
        "a/2023/notes.txt",
        "b/old.gif",
        "b/older.GIF",
        "b/LICENSE",
        "loose.jpg",
        "labels.csv",
    ]);
    let scan = scan(dir.path(), None, None, &NEVER).unwrap();
    assert_eq!(
        names(&scan),
        [
            "a/1.png",
            "a/2.png",
            "a/2023/may/3.BMP",
            "b/1.png",
            "b/2.png"
        ]
    );
    let labels: Vec<u32> = scan.sources.iter().map(|s| s.label).collect();
    assert_eq!(labels, [0, 0, 0, 1, 1]);
    assert_eq!(scan.passed_over.total(), 6);
    let said = scan.passed_over.to_string();
    for part in [
        "1 .txt (a/2023/notes.txt)",
        "2 .gif (first b/old.gif)",
        "1 without an extension (b/LICENSE)",
        "1 images outside of a class folder (loose.jpg)",
        "1 .csv (labels.csv)",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn what_systems_and_archives_leave_is_no_class() {
    for name in [
        "__MACOSX/a/._1.png",
        "__MACOSX/seen.png",
        ".DS_Store",
        "Thumbs.db",
        "a/thumbs.DB",
        "lost+found/1.png",
        "@eaDir/1.png",
        "a/@eaDir/1.png/SYNOFILE_THUMB_M.jpg",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/1.png",
        ".git/1.png",
        "a/.ipynb_checkpoints/1.png",
        "desktop.ini",
    ] {
        let dir = with(&[name]);
        let scan = scan(dir.path(), None, None, &NEVER).unwrap();
        assert_eq!(scan.classes, ["a", "b"], "{name}");
        assert_eq!(names(&scan), TWO, "{name}");
        assert_eq!(scan.passed_over.total(), 0, "{name}");
    }
}

#[test]
fn runs_and_folders_of_runs_are_no_class() {
    for run in ["runs/2026-01-01", "out", "a/run", "deep/er/run"] {
        let files = ["recipe.toml", "split.json", "report.html", "map.png"];
        let files = files.map(|file| format!("{run}/{file}"));
        let dir = with(&files.each_ref().map(String::as_str));
        let scan = scan(dir.path(), None, None, &NEVER).unwrap();
        assert_eq!(scan.classes, ["a", "b"], "{run}");
        assert_eq!(names(&scan), TWO, "{run}");
    }
}

#[test]
fn a_folder_that_was_divided_already_is_not_taken_for_two_classes() {
    let dir = folder(&[
        "train/a/1.png",
        "train/a/2.png",
        "train/b/1.png",
        "test/a/1.png",
        "test/b/1.png",
        "test/b/2.png",
    ]);
    let message = scan(dir.path(), None, None, &NEVER)
        .err()
        .unwrap()
        .to_string();
    for part in ["`test` and `train`", "one of the two"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    // Nor is it refused what only looks like it.
    for beside in [
        [
            "a/2022/1.png",
            "a/2023/1.png",
            "a/1.png",
            "b/2022/1.png",
            "b/2023/1.png",
        ],
        [
            "a/2022/1.png",
            "a/2022/2.png",
            "b/2022/1.png",
            "b/2022/2.png",
            "b/2022/3.png",
        ],
    ] {
        assert!(
            scan(folder(&beside).path(), None, None, &NEVER).is_ok(),
            "{beside:?}"
        );
    }
}

#[test]
fn known_classes_are_found_by_name_and_may_be_empty_or_have_one_image() {
    let known = ["c", "b", "a"].map(String::from);
    let dir = folder(&[
        "a/1.png",
        "b/x/1.png",
        "runs/r/recipe.toml",
        "other/readme.txt",
    ]);
    let found = scan(dir.path(), None, Some(&known), &NEVER).unwrap();
    assert_eq!(found.classes, known);
    let labels: Vec<_> = found
        .sources
        .iter()
        .map(|s| (s.name.as_str(), s.label))
        .collect();
    assert_eq!(labels, [("a/1.png", 2), ("b/x/1.png", 1)]);
    let one = folder(&["b/1.png"]);
    assert_eq!(
        scan(one.path(), None, Some(&known), &NEVER)
            .unwrap()
            .sources
            .len(),
        1
    );
    let message = |dir: &TempDir| {
        scan(dir.path(), None, Some(&known), &NEVER)
            .err()
            .unwrap()
            .to_string()
    };
    let unknown = message(&folder(&["a/1.png", "glacier/1.png", "steppe/1.png"]));
    for part in ["does not know: glacier, steppe", "knows c, b, a"] {
        assert!(unknown.contains(part), "{part} is not in {unknown}");
    }
    assert!(message(&folder(&["a/notes.txt"])).contains("no images to evaluate"));
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_around_it_ends_and_a_linked_class_is_read() {
    let dir = with(&[]);
    std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("a/again")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("b"), dir.path().join("c")).unwrap();
    let scan = scan(dir.path(), None, None, &NEVER).unwrap();
    assert_eq!(scan.classes, ["a", "b", "c"]);
    assert_eq!(names(&scan), [&TWO[..], &["c/1.png", "c/2.png"]].concat());
}

#[test]
fn a_stop_while_folders_are_listed_ends_at_once() {
    let stopped = scan(folder(&TWO).path(), None, None, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(DataError::Stopped)));
}
