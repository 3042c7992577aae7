//! Bisections.

use super::*;

impl House {
    /// What a bisection tells, line by line, and whether it found one commit.
    fn bisect(&self, words: &[&str]) -> Result<(String, bool), String> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            bisect: Bisect,
        }
        let words = ["bisect"].iter().chain(words).chain(&["relu"]);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut told = String::new();
        let found = bisect::run(&self.workshop(), &line.bisect, &mut |line| {
            told += &line;
            told += "\n";
        });
        let found = found.map_err(|error| error.to_string())?;
        Ok((told, found))
    }
}

#[test]
fn the_first_slow_commit_is_found_past_one_that_does_not_build() {
    let (one, slow) = (Some(&ONE), Some(&SLOW));
    // HEAD~8 to HEAD; the middle one, HEAD~4, is broken.
    let house = repository(&[one, one, one, slow, None, slow, slow, slow, slow]);
    let (told, found) = house
        .bisect(&["HEAD~8", "HEAD", "--rounds", "3"])
        .expect("bisected");
    assert!(found, "{told}");
    assert!(told.contains("number 4: passed over"), "{told}");
    assert!(told.contains("8 commits come after"), "{told}");
    let end: Vec<&str> = told.lines().rev().take(2).collect();
    assert!(
        end[1].starts_with("the first slow commit is ") && end[1].ends_with("number 3"),
        "{told}"
    );
    assert!(
        end[0].starts_with("in it relu n1 c4 forward (hot, wall) takes 1.20 times as long (1."),
        "{told}"
    );
}

#[test]
fn commits_that_cannot_be_told_apart_are_named_together() {
    let (one, slow) = (Some(&ONE), Some(&SLOW));
    let house = repository(&[one, one, None, None, slow, slow]);
    let (told, found) = house
        .bisect(&["HEAD~5", "HEAD", "--rounds", "3"])
        .expect("bisected");
    assert!(!found);
    let (_, among) = told.split_once("is one of these").expect(&told);
    let named = |i| among.contains(&format!("number {i}"));
    assert_eq!(
        [1, 2, 3, 4, 5].map(named),
        [false, true, true, true, false],
        "{told}"
    );
}

#[test]
fn times_that_do_not_tell_get_more_rounds_and_then_are_passed_over() {
    let (one, slow) = (Some(&ONE), Some(&SLOW));
    let house = repository(&[one, Some(&UNSTEADY), slow]);
    let (told, found) = house
        .bisect(&["HEAD~2", "HEAD", "--rounds", "2"])
        .expect("bisected");
    assert!(!found);
    assert!(
        told.contains("number 1: UNSURE, passed over: 1.10 times as long"),
        "{told}"
    );
    let asked = house.asked();
    let unsteady = asked.iter().filter(|line| line.starts_with('u'));
    assert_eq!(unsteady.count(), 8);
    assert!(told.contains("is one of these"), "{told}");
}

#[test]
fn without_a_slow_commit_there_is_nothing_to_find() {
    let house = repository(&[Some(&ONE), Some(&ONE), Some(&SLOW), Some(&UNSTEADY)]);
    let (told, found) = house.bisect(&["HEAD~3", "HEAD~2"]).expect("timed");
    assert!(
        !found && told.starts_with("there is nothing to find"),
        "{told}"
    );
    let (told, found) = house
        .bisect(&["HEAD~3", "HEAD~1", "--threshold", "1.3"])
        .expect("timed");
    assert!(
        !found && told.starts_with("there is nothing to find"),
        "{told}"
    );
    let (told, found) = house
        .bisect(&["HEAD~3", "HEAD", "--rounds", "2"])
        .expect("timed");
    assert!(!found && told.contains("cannot be told"), "{told}");
}

#[test]
fn a_bisection_that_makes_no_sense_is_told() {
    let house = repository(&[Some(&ONE), Some(&SLOW)]);
    let told = |words: &[&str]| house.bisect(words).expect_err("no sense");
    assert!(told(&["HEAD", "HEAD~1"]).contains("GOOD has to be an ancestor of BAD"));
    assert!(told(&["HEAD", "main"]).contains("no commit lies between"));
    assert!(told(&["HEAD~1", "HEAD", "--threshold", "0.9"]).contains("`0.9` is no ratio above 1"));
}
