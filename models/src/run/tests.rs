use super::*;
use serde_json::json;

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
    assert_eq!(PlannedRun::new(Some(&root)).unwrap().path(), root);
    assert!(!folder.path().join("deep").exists());
}

#[test]
fn a_new_run_holds_its_recipe_and_split() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/run");
    new_run(&root);
    let run = RunDir::open(&root).unwrap();
    assert_eq!(run.recipe().unwrap(), Recipe::default());
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
    let message = PlannedRun::new(Some(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(message.contains("--out") && message.contains("--resume"));
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
