use super::*;
use crate::data::stop::NEVER;
use crate::data::synthetic;
use crate::data::{ChannelStats, Dataset};
use crate::run::{NamedTensor, PlannedRun};
use crate::train::Silent;
use std::sync::Arc;

/// Ten classes of a few images, of 16 pixels a side.
fn images() -> Dataset {
    synthetic::generate(1, 4, 16, &NEVER, &|_, _| ()).unwrap()
}

fn recipe(changes: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    let fixed = [
        "data.test_fraction=0.25",
        "augment.shift=2",
        "teacher.arch=resnet8",
        "teacher.epochs=1",
        "student.epochs=2",
        "train.batch=10",
    ];
    for assignment in fixed.iter().chain(changes) {
        recipe.set(assignment).unwrap();
    }
    recipe
}

#[test]
fn statistics_are_those_of_the_training_images_alone() {
    let dataset = images();
    let data = RunData::new("synthetic", &dataset, 3, &recipe(&["seed=5"]), &NEVER).unwrap();
    let of = |indices: &[u32]| ChannelStats::of(&dataset, indices, &NEVER).unwrap();
    assert_eq!(data.stats, of(&data.split.train));
    let all: Vec<u32> = (0..dataset.len() as u32).collect();
    assert_ne!(data.stats, of(&all));
    let seen = [&data.split.train[..], &data.split.validation].concat();
    assert_ne!(data.stats, of(&seen));
    let digests = seen.iter().map(|&i| dataset.digests[i as usize]);
    assert_eq!(data.trained_on(&dataset), Some(digests.collect()));
    assert!(!data.split.validation.is_empty());
    assert_eq!((data.height, data.width, data.skipped.len()), (16, 16, 3));
}

/// Runs the three trainings in a folder of their own and returns it with the summary.
fn run(recipe: &Recipe) -> (tempfile::TempDir, RunDir, Summary) {
    let dataset = Arc::new(images());
    let data = RunData::new("synthetic", &dataset, 0, recipe, &NEVER).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let planned = PlannedRun::new(Some(folder.path())).unwrap();
    let run = planned.create(recipe, &data).unwrap();
    let client = ghostlight_tests::client();
    let session = Session {
        client: &client,
        recipe,
        dataset: &dataset,
        split: &data.split,
        stats: data.stats,
        progress: &Silent,
        cache: None,
        watch: None,
        stop: &NEVER,
    };
    let summary = distill(&session, &data, &run, &[], "ghostlight distill").unwrap();
    (folder, run, summary)
}

/// The trainings of a recipe with one teacher, one student and DKD.
const TRAININGS: [&str; 3] = ["teacher", "student_alone", "student_dkd"];

fn weights(run: &RunDir, name: &str) -> Vec<NamedTensor> {
    let checkpoint = run.load_checkpoint(name).unwrap();
    checkpoint.expect("a finished training").weights
}

#[test]
fn with_no_weight_on_the_teacher_the_student_that_is_taught_is_the_one_alone() {
    let silenced = [
        "distill.dkd.alpha=0",
        "distill.dkd.beta=0",
        "distill.name=dkd",
    ];
    let (_folder, run, summary) = run(&recipe(&silenced));
    let weights = |phase: usize| weights(&run, TRAININGS[phase]);
    assert!(weights(1) == weights(2), "something else differs");
    assert!(weights(0) != weights(1), "teacher and student start alike");
    assert_eq!(summary.networks[1].accuracy, summary.networks[2].accuracy);
    assert_eq!(summary.gains[0].difference, 0.0);
}

#[test]
fn a_teacher_changes_what_the_student_learns() {
    let (_folder, run, summary) = run(&recipe(&["teacher.arch=resnet14"]));
    let weights = |phase: usize| weights(&run, TRAININGS[phase]);
    assert!(weights(1) != weights(2), "the teacher taught nothing");
    let [teacher, alone, taught] = &summary.networks[..] else {
        panic!("{summary:?}");
    };
    let archs = [teacher, alone, taught].map(|network| network.arch.as_str());
    assert_eq!(archs, ["resnet14", "resnet8", "resnet8"]);
    assert!(teacher.params > alone.params && teacher.macs > alone.macs);
    assert_eq!((taught.params, taught.macs), (alone.params, alone.macs));
}

#[test]
fn trainings_are_named_by_role_number_and_way_and_those_of_one_student_start_alike() {
    let text = "teacher = [{}, {}]\nstudent = [{}, { arch = 'resnet14' }]\n[[distill]]\n[[distill]]\nname = 'mine'";
    let recipe = Recipe::parse("", text).unwrap();
    let trainings = plan(&recipe);
    let names: Vec<&str> = trainings.iter().map(|it| it.name.as_str()).collect();
    let of_students = ["alone", "dkd", "mine"];
    let students = |number| of_students.map(|way| format!("student{number}_{way}"));
    let wanted = [vec!["teacher1".into(), "teacher2".into()]];
    let wanted = [wanted.concat(), students(1).to_vec(), students(2).to_vec()].concat();
    assert_eq!(names, wanted);
    let methods: Vec<Option<String>> = trainings.iter().map(Planned::method).collect();
    let of_student = of_students.map(|way| Some(way.to_string()));
    assert_eq!(methods[..2], [None, None]);
    assert!(methods[2..5] == of_student && methods[5..] == of_student);
    let roles: Vec<u64> = trainings.iter().map(|it| it.seed_role).collect();
    assert!(roles[2..5] == [roles[2]; 3] && roles[5..] == [roles[5]; 3]);
    let apart: std::collections::BTreeSet<u64> = roles.into_iter().collect();
    assert_eq!(apart.len(), 4, "two networks start alike");
    let one = Recipe::default();
    let names: Vec<String> = plan(&one).into_iter().map(|it| it.name).collect();
    assert_eq!(names, TRAININGS);
}
