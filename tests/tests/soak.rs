//! The soak: what it counts, that it finds a planted fault, makes it small, and repeats it.

use ghostlight_tests::skipped;
use std::process::Command;

/// What `soak` prints with `words`, `bug` planted, and whether it found nothing.
fn soak(bug: &str, words: &str) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(words.split(' '))
        .env("GHOSTLIGHT_PLANTED", bug)
        .output()
        .expect("the program starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (printed + &errors, output.status.success())
}

/// The numbers behind `name` in `words`.
fn number(words: &str, name: &str) -> usize {
    let (_, rest) = words
        .split_once(name)
        .unwrap_or_else(|| panic!("no {name} in {words}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number behind {name} in {words}"))
}

#[test]
fn a_planted_fault_is_found_made_small_and_repeated_by_the_printed_command() {
    if std::env::var_os("GHOSTLIGHT_LANE").is_some() {
        skipped("the soak of a planted bug", "the plain lane has it");
        return;
    }
    let bug = "gate_without_its_slope";
    let (said, passed) = soak(bug, "--seed 7 --cases 60 gate");
    assert!(!passed, "{said}");
    let (_, after) = said
        .split_once("gate fails, and at its smallest: ")
        .expect(&said);
    let (problem, _) = after.split_once('\n').expect("a line ends");
    // One element of everything shows it.
    for extent in ["n ", "h ", "w ", ", c "] {
        assert_eq!(number(problem, extent), 1, "{extent}: {problem}");
    }
    assert!(after.contains("the gradient of input 1 in "), "{said}");
    let (_, command) = after
        .split_once("repeat it with: cargo xtask soak ")
        .expect(&said);
    let (command, _) = command.split_once('\n').expect("a line ends");
    let (again, passed) = soak(bug, command);
    assert!(!passed && again.contains(problem), "{command}: {again}");
    let (right, passed) = soak("", command);
    assert!(passed, "without the bug: {right}");
}

#[test]
fn a_run_counts_its_problems_by_operation_and_refuses_what_is_none() {
    let (said, passed) = soak("", "--seed 3 --cases 9 add");
    assert!(passed, "{said}");
    // `add` is an operation, and not all whose name has it.
    assert!(
        said.contains("9 problems in ") && !said.contains("add_relu"),
        "{said}"
    );
    let (said, passed) = soak("", "--seed 3 --cases 4 average");
    assert!(passed, "{said}");
    for name in ["adaptive_average", "average_pool", "global_average"] {
        let line = said
            .lines()
            .find(|line| line.starts_with(name))
            .expect(&said);
        let wanted = if name == "adaptive_average" {
            " 2 problems"
        } else {
            " 1 problems"
        };
        assert!(line.contains(wanted), "{line}");
    }
    let (said, passed) = soak("", "--cases 1 gatte");
    assert!(
        !passed && said.contains("no operation is called \"gatte\"; there are activation, "),
        "{said}"
    );
}
