//! Runs that are not compared, and what is said of them.

use super::*;

/// The message with which the run in `other` is refused beside one of seed 0.
fn refusal(other: &Summary) -> String {
    let runs = Runs::new();
    let first = runs.add("first", &summary(0, 80, 84), 8.0);
    let second = runs.add("second", other, 8.0);
    let error = compare(&[first, second]).expect_err("it cannot be compared");
    assert!(matches!(error, CompareError::Refused(_)));
    let message = error.to_string();
    assert!(
        message.contains("the run in ") && message.contains("second"),
        "{message}"
    );
    message
}

/// A run of another seed, changed.
fn changed(change: impl FnOnce(&mut Summary)) -> Summary {
    let mut other = summary(1, 80, 84);
    change(&mut other);
    other
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn other_images_other_shares_other_sizes_and_other_classes_are_named() {
    let other = changed(|it| it.data.fingerprint = "cd34".repeat(16));
    says(
        &refusal(&other),
        &[
            "other images",
            "cd34cd34cd34",
            "ab12ab12ab12",
            "on the same images",
        ],
    );
    let other = changed(|it| (it.data.train, it.data.validation) = (800, 100));
    says(
        &refusal(&other),
        &[
            "800 training, 100 validation and 100 test",
            "700 training, 200 validation",
        ],
    );
    let other = changed(|it| it.data.height = 32);
    says(&refusal(&other), &["32 x 64", "64 x 64", "data.image_size"]);
    let other = changed(|it| it.data.classes[1] = "sea".into());
    says(&refusal(&other), &["land, sea", "land, water"]);
}

#[test]
fn synthetic_images_of_another_seed_are_of_the_same_kind() {
    let drawn = |seed: u64, fingerprint: &str| {
        let mut run = summary(seed, 80, 84);
        run.data.name = "synthetic".into();
        run.data.fingerprint = fingerprint.into();
        run
    };
    let runs = Runs::new();
    runs.add("a", &drawn(0, "aaaa"), 8.0);
    runs.add("b", &drawn(1, "bbbb"), 8.0);
    assert_eq!(runs.all().unwrap().experiments[0].runs.len(), 2);
    // Of the same seed, they differ for another reason.
    runs.add("c", &drawn(0, "cccc"), 2.0);
    let comparison = runs.all().unwrap();
    let [apart] = &comparison.set_apart[..] else {
        panic!("one set apart");
    };
    says(&apart.to_string(), &["other images", "aaaa", "cccc"]);
}

#[test]
fn an_unfinished_run_is_refused_where_it_was_named_and_set_apart_where_it_was_found() {
    let runs = three_seeds();
    let unfinished = runs.unfinished("seed-3", 3, 8.0);
    let comparison = runs.all().unwrap();
    assert_eq!(comparison.experiments[0].runs.len(), 3);
    let [apart] = &comparison.set_apart[..] else {
        panic!("one set apart");
    };
    let way_on = format!("distill --out {} --resume", unfinished.display());
    says(&apart.to_string(), &["seed-3", "is not finished", &way_on]);
    let error = compare(&[runs.at("seed-0"), unfinished]).expect_err("named");
    says(&error.to_string(), &["seed-3", "is not finished", &way_on]);
}

#[test]
fn where_no_run_is_left_all_of_them_are_named() {
    let runs = Runs::new();
    runs.unfinished("a", 0, 8.0);
    runs.unfinished("b", 1, 8.0);
    let message = runs.all().expect_err("none is finished").to_string();
    says(&message, &["no run is left", "/a ", "/b "]);
    let empty = Runs::new();
    let message = empty.all().expect_err("there is none").to_string();
    says(&message, &["no run in", "recipe.toml"]);
    let error = compare(&[empty.at("nowhere")]).expect_err("there is no such folder");
    says(&error.to_string(), &["cannot read", "nowhere"]);
}

#[test]
fn the_same_recipe_with_the_same_seed_counts_once() {
    let message = refusal(&summary(0, 80, 84));
    says(
        &message,
        &["the recipe and the seed of", "first", "another --seed"],
    );
    // The same folder twice is no mistake.
    let runs = three_seeds();
    let comparison = compare(&[runs.folder.path().into(), runs.at("seed-1")]).unwrap();
    assert_eq!(comparison.experiments[0].runs.len(), 3);
    assert!(comparison.set_apart.is_empty());
}

#[test]
fn the_same_recipe_with_other_networks_is_refused() {
    let other = changed(|it| it.networks[2].arch = "net9".into());
    says(
        &refusal(&other),
        &["other networks", "net9", "same version"],
    );
}

#[test]
fn a_summary_that_contradicts_its_matrices_is_refused_with_both_figures() {
    let wrong = changed(|it| it.networks[1].accuracy = 0.9);
    says(
        &refusal(&wrong),
        &["accuracy of student_alone is 0.9", "0.8", "--resume"],
    );
    let wrong = changed(|it| it.networks[0].macro_recall += 1e-6);
    says(&refusal(&wrong), &["macro_recall of teacher"]);
    let wrong = changed(|it| it.networks[0].macro_precision = f64::INFINITY);
    says(&refusal(&wrong), &["cannot be read", "summary.json"]);
    let wrong = changed(|it| it.gains[0].only_taught += 1);
    says(
        &refusal(&wrong),
        &["the gain of student_dkd", "is 5 images", "4 images"],
    );
    let wrong = changed(|it| it.gains[0].alone = "student2_alone".into());
    says(&refusal(&wrong), &["of no such networks"]);
    let wrong = changed(|it| it.networks[1] = network("student_alone", [40, 40], 102));
    says(
        &refusal(&wrong),
        &["the number of test images is 100", "102 of student_alone"],
    );
    let wrong = changed(|it| it.networks[1].confusion = Confusion::new(3));
    says(
        &refusal(&wrong),
        &["the number of classes is 2", "3 of student_alone"],
    );
}

#[test]
fn files_that_cannot_be_understood_are_named() {
    let runs = Runs::new();
    let run = runs.add("old", &summary(0, 80, 84), 8.0);
    fs::write(run.join("summary.json"), "{\"teacher\": {}}").unwrap();
    let message = compare(std::slice::from_ref(&run))
        .expect_err("an old summary")
        .to_string();
    says(&message, &["old", "summary.json", "older version"]);
    runs.finish("old", &summary(0, 80, 84));
    fs::write(run.join("recipe.toml"), "seed = \n").unwrap();
    let message = compare(&[run]).expect_err("no recipe").to_string();
    says(&message, &["recipe.toml", "cannot be read"]);
}
