//! Teachers' answers that are kept: the same bits, and only where everything that decides them is the same.

use super::resume::{StopAfter, timeless};
use super::*;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

/// Two teachers of whom logits alone are asked.
const LOGITS: &[&str] = &["distill.kd.weight=1"];

/// What a training by `teachers` comes to, and how many batches the cache in `folder` answered and did not.
fn train(
    fixture: &Fixture,
    folder: Option<&Path>,
    teachers: &[Network],
) -> (Ended, (usize, usize)) {
    let cache = folder.map(TeacherCache::new);
    let session = Session {
        cache: cache.as_ref(),
        ..fixture.session(&Silent)
    };
    let place = Place::new(fixture);
    let ended = place.train(&session, fixture.way(teachers.len()), teachers);
    let used = cache.map_or((0, 0), |cache| (cache.used().0, cache.used().1));
    (ended.unwrap(), used)
}

fn teachers(fixture: &Fixture) -> [Network; 2] {
    [0, 1].map(|index| fixture.teacher(index))
}

#[track_caller]
fn assert_same(what: &str, a: Ended, b: Ended) {
    assert!(a.weights == b.weights, "{what}: other bits");
    assert_eq!(timeless(a.records), timeless(b.records), "{what}");
}

/// The files in `folder` and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn a_training_with_a_cache_is_the_one_without_and_the_next_one_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(LOGITS);
    let teachers = teachers(&fixture);
    let (wanted, _) = train(&fixture, None, &teachers);
    let all = 2 * 2 * STEPS;
    let (first, used) = train(&fixture, Some(folder.path()), &teachers);
    assert_eq!(used, (0, all));
    assert_same("the first", first, wanted);
    // A file for each epoch of each teacher.
    assert_eq!(files(folder.path()).len(), 4);
    // Another way to learn from the same teachers.
    let other = Fixture::new(&["distill.dkd.beta=2"]);
    let (wanted, _) = train(&other, None, &teachers);
    let (second, used) = train(&other, Some(folder.path()), &teachers);
    assert_eq!(used, (all, 0));
    assert_same("the second", second, wanted);
}

#[test]
fn damaged_answers_are_asked_for_again_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(LOGITS);
    let teachers = teachers(&fixture);
    let (wanted, _) = train(&fixture, Some(folder.path()), &teachers);
    let all = files(folder.path());
    let whole: Vec<Vec<u8>> = all.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::write(&all[0], &whole[0][..whole[0].len() - 3]).unwrap();
    let mut flipped = whole[1].clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&all[1], flipped).unwrap();
    fs::write(&all[2], "").unwrap();
    let (found, used) = train(&fixture, Some(folder.path()), &teachers);
    assert_eq!(used, (STEPS, 3 * STEPS));
    assert_same("after damage", found, wanted);
    let (_, used) = train(&fixture, Some(folder.path()), &teachers);
    assert_eq!(used, (4 * STEPS, 0));
}

#[test]
fn answers_to_other_images_or_of_other_weights_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(LOGITS);
    train(&fixture, Some(folder.path()), &teachers(&fixture));
    for change in [
        "seed=4",
        "augment.shift=1",
        "augment.dihedral=false",
        "train.batch=6",
        "data.test_fraction=0.4",
        "data.validation_fraction=0.3",
    ] {
        let other = Fixture::new(&[LOGITS, &[change]].concat());
        // The very networks of before, but for what the change does.
        let teachers = teachers(&fixture);
        let (wanted, _) = train(&other, None, &teachers);
        let (found, used) = train(&other, Some(folder.path()), &teachers);
        assert_eq!(used.0, 0, "{change}: answered from the cache");
        assert_same(change, found, wanted);
    }
    let strangers = [5, 6].map(|index| fixture.teacher(index));
    let (wanted, _) = train(&fixture, None, &strangers);
    let (found, used) = train(&fixture, Some(folder.path()), &strangers);
    assert_eq!(used.0, 0, "another teacher's answers");
    assert_same("other weights", found, wanted);
    // Which number a teacher has does not matter: its answers are its own.
    let [first, second] = teachers(&fixture);
    let (_, used) = train(&fixture, Some(folder.path()), &[second, first]);
    assert_eq!(used.1, 0);
}

#[test]
fn a_teacher_whose_maps_are_wanted_is_asked_beside_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(&["distill.align.teacher=2"]);
    let teachers = teachers(&fixture);
    let (wanted, _) = train(&fixture, None, &teachers);
    for used in [(0, 2 * STEPS), (2 * STEPS, 0)] {
        let (found, counted) = train(&fixture, Some(folder.path()), &teachers);
        assert_eq!(counted, used);
        assert_eq!(timeless(found.records), timeless(wanted.records.clone()));
        assert!(found.weights == wanted.weights);
    }
}

#[test]
fn a_training_that_stops_within_an_epoch_keeps_no_part_of_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(LOGITS);
    let teachers = teachers(&fixture);
    let (wanted, _) = train(&fixture, None, &teachers);
    let cache = TeacherCache::new(folder.path());
    let stopping = StopAfter {
        left: Cell::new(1),
        stop: &fixture.stop,
    };
    let place = Place::new(&fixture);
    let session = |progress| Session {
        cache: Some(&cache),
        ..fixture.session(progress)
    };
    let stopped = place.train(&session(&stopping), fixture.way(2), &teachers);
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    fixture.stop.store(false, Ordering::Relaxed);
    let ended = place
        .train(&session(&Silent), fixture.way(2), &teachers)
        .unwrap();
    assert_same("after a stop", ended, wanted);
    // Of the epoch that was stopped nobody knows all.
    let names = files(folder.path());
    assert!(
        names.len() == 2
            && names
                .iter()
                .all(|name| name.ends_with("epoch-00002.safetensors")),
        "{names:?}"
    );
}
