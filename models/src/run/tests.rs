use super::*;
use serde_json::json;

fn platform() -> Platform {
    Platform {
        version: "0.1.0".into(),
        device: "a CPU".into(),
        target: "cpu".into(),
        vector_width: 16,
    }
}

fn new_run(root: &Path) -> RunDir {
    PlannedRun::new(Some(root))
        .unwrap()
        .create(&Recipe::default(), &json!({"train": [1, 2]}))
        .unwrap()
}

#[test]
fn planning_a_run_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/run");
    PlannedRun::new(Some(&root)).unwrap();
    assert!(!folder.path().join("deep").exists());
}

#[test]
fn a_new_run_holds_its_recipe_and_split() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/run");
    let mut recipe = Recipe::default();
    recipe.set("train.batch=64").unwrap();
    let planned = PlannedRun::new(Some(&root)).unwrap();
    planned.create(&recipe, &json!({"train": [1, 2]})).unwrap();
    let run = RunDir::open(&root).unwrap();
    assert_eq!(run.recipe().unwrap(), recipe);
    assert_eq!(
        run.split::<serde_json::Value>().unwrap(),
        json!({"train": [1, 2]})
    );
    assert!(run.summary::<serde_json::Value>().unwrap().is_none());
    run.write_summary(&json!({"accuracy": 0.9})).unwrap();
    assert_eq!(
        run.summary::<serde_json::Value>().unwrap(),
        Some(json!({"accuracy": 0.9}))
    );
}

#[test]
fn a_folder_that_holds_something_is_taken_and_an_empty_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    assert!(PlannedRun::new(Some(folder.path())).is_ok());
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let refusal = |folder: &Path| PlannedRun::new(Some(folder)).unwrap_err().to_string();
    let message = refusal(folder.path());
    assert!(message.contains("--out") && !message.contains("--resume"));
    new_run(&folder.path().join("run"));
    assert!(refusal(&folder.path().join("run")).contains("--resume"));
    assert!(PlannedRun::new(Some(&folder.path().join("thesis.tex"))).is_err());
}

#[test]
fn a_run_that_cannot_be_created_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let unwritable = std::collections::HashMap::from([((1, 2), 3)]);
    let planned = PlannedRun::new(Some(&folder.path().join("deep/run"))).unwrap();
    assert!(matches!(
        planned.create(&Recipe::default(), &unwritable),
        Err(RunError::Encode { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(PlannedRun::new(Some(&folder.path().join("file/run"))).is_err());
}

#[test]
fn a_run_killed_before_its_recipe_was_written_is_begun_again_and_one_that_is_being_begun_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    new_run(root);
    fs::remove_file(root.join(RECIPE)).unwrap();
    fs::write(part_path(&root.join(RECIPE)), "seed").unwrap();
    let planned = || PlannedRun::new(Some(root)).unwrap();
    let create = |planned: PlannedRun| planned.create(&Recipe::default(), &json!({}));
    let other = Lock::take(root).unwrap();
    let refused = create(planned());
    assert!(
        matches!(refused, Err(RunError::InUse { .. })),
        "{refused:?}"
    );
    assert!(root.join(SPLIT).exists(), "another's file was removed");
    drop(other);
    let (first, second) = (planned(), planned());
    let run = create(first).unwrap();
    assert!(matches!(
        create(second),
        Err(RunError::Taken { run: true, .. })
    ));
    assert!(run.recipe().is_ok());
    // What has a result was no beginning.
    fs::remove_file(root.join(RECIPE)).unwrap();
    run.save_checkpoint("teacher", &Checkpoint::default())
        .unwrap();
    let refused = PlannedRun::new(Some(root));
    assert!(matches!(refused, Err(RunError::Taken { run: false, .. })));
}

#[test]
fn a_run_is_written_by_one_process_and_read_by_any() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    let refused = RunDir::resume(folder.path());
    assert!(
        matches!(refused, Err(RunError::InUse { .. })),
        "{refused:?}"
    );
    RunDir::open(folder.path()).unwrap();
    drop(run);
    let resumed = RunDir::resume(folder.path()).unwrap();
    let refused = RunDir::resume(folder.path());
    assert!(
        matches!(refused, Err(RunError::InUse { .. })),
        "{refused:?}"
    );
    drop(resumed);
    RunDir::resume(folder.path()).unwrap();
}

#[test]
fn a_run_is_finished_from_its_summary_on_until_that_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    run.remove_summary().unwrap();
    assert!(!run.is_finished());
    run.write_summary(&json!({"accuracy": 0.9})).unwrap();
    assert!(run.is_finished());
    run.remove_summary().unwrap();
    assert!(!run.is_finished());
    // What is no file cannot be removed as one, which is said.
    fs::create_dir(folder.path().join(SUMMARY)).unwrap();
    let message = run.remove_summary().unwrap_err().to_string();
    assert!(message.contains("cannot remove"), "{message}");
}

#[test]
fn a_report_and_checkpoints_are_where_the_run_says() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    run.write_report("<p>97 %").unwrap();
    let report = fs::read_to_string(folder.path().join("report.html"));
    assert_eq!(report.unwrap(), "<p>97 %");
    assert!(!run.has_checkpoint());
    run.save_checkpoint("teacher", &Checkpoint::default())
        .unwrap();
    assert!(run.has_checkpoint());
    // That a checkpoint cannot be read is no sign that there is none.
    fs::create_dir(run.checkpoint_path("student_alone")).unwrap();
    let unreadable = run.load_checkpoint("student_alone");
    assert!(
        matches!(unreadable, Err(RunError::Io { .. })),
        "{unreadable:?}"
    );
}

#[test]
fn the_folders_of_a_new_run_are_on_the_disk_with_it() {
    let folder = tempfile::tempdir().unwrap();
    atomic::SYNCED.take();
    new_run(&folder.path().join("deep/run"));
    let synced = atomic::SYNCED.take();
    for made_in in ["", "deep", "deep/run"] {
        let made_in = folder.path().join(made_in);
        assert!(synced.contains(&made_in), "{made_in:?} of {synced:?}");
    }
}

#[test]
fn the_latest_run_is_the_one_begun_last_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    for (name, age) in [
        ("2026-11-28-102252", 1),
        ("zebra", 2),
        ("2026-11-28-102251", 3),
    ] {
        let run = new_run(&folder.path().join(name));
        let begun = std::time::SystemTime::now() - std::time::Duration::from_secs(3600 * age);
        let recipe = fs::OpenOptions::new().write(true).open(run.recipe_path());
        recipe.unwrap().set_modified(begun).unwrap();
    }
    fs::create_dir(folder.path().join("zoo")).unwrap();
    let newest = folder.path().join("2026-11-28-102252");
    assert_eq!(latest(folder.path()), Some(newest));
    let series = folder.path().join("three seeds");
    fs::create_dir(&series).unwrap();
    fs::write(series.join(SERIES), "{}").unwrap();
    assert_eq!(latest(folder.path()), Some(series));
}

#[test]
fn platforms_are_remembered_in_order_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    let other = Platform {
        vector_width: 8,
        ..platform()
    };
    for now in [&platform(), &other, &other, &platform()] {
        run.add_platform(now).unwrap();
    }
    assert_eq!(run.platforms().unwrap(), [platform(), other, platform()]);
    fs::remove_file(folder.path().join(PLATFORMS)).unwrap();
    assert_eq!(run.platforms().unwrap(), []);
}

#[test]
fn a_discarded_run_takes_only_its_own_files_along() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    run.metrics().unwrap().append(&json!({})).unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    run.discard();
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_run_is_not_resumed_under_another_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    let mut recipe = Recipe::default();
    run.check_recipe(&recipe).unwrap();
    recipe.set("train.batch=64").unwrap();
    let message = run.check_recipe(&recipe).unwrap_err().to_string();
    assert!(
        message.contains("`train.batch` was 128 and is now 64"),
        "{message}"
    );
}

#[test]
fn a_damaged_checkpoint_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    assert!(run.load_checkpoint("teacher").unwrap().is_none());
    let checkpoint = Checkpoint {
        state: json!({"epoch": 1}),
        ..Checkpoint::default()
    };
    run.save_checkpoint("teacher", &checkpoint).unwrap();
    assert_eq!(run.load_checkpoint("teacher").unwrap(), Some(checkpoint));
    let path = run.checkpoint_path("teacher");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = run.load_checkpoint("teacher").unwrap_err().to_string();
    assert!(
        message.contains("teacher.safetensors") && message.contains("cut short"),
        "{message}"
    );
    assert!(message.contains("delete it"), "{message}");
}

#[test]
fn a_folder_without_a_recipe_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        RunDir::open(folder.path()),
        Err(RunError::NotARun { .. })
    ));
}

#[test]
fn a_damaged_split_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path());
    fs::write(folder.path().join("split.json"), "{\"train\": [1,").unwrap();
    let message = run.split::<serde_json::Value>().unwrap_err().to_string();
    assert!(
        message.contains("split.json") && message.contains("line 1"),
        "{message}"
    );
}
