//! `ab` and `bisect` over a small repository, whose commits build a bench that only says what it took.

use super::*;
use crate::history::tests::run;
use crate::results::Refused;
use clap::Parser;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

mod bisecting;

/// A repository, what its commits are built in, and what their benches were asked.
struct House {
    folder: tempfile::TempDir,
}

/// A bench that is called `name` in the log of what was asked and takes these times, run after run.
#[derive(Clone)]
struct Bench {
    name: &'static str,
    ms: &'static [f64],
    digest: &'static str,
    knows: &'static str,
    refuses: bool,
}

const ONE: Bench = Bench {
    name: "a",
    ms: &[1.0, 1.002, 0.998],
    digest: "same",
    knows: "--short --quick",
    refuses: false,
};

/// A fifth slower than [`ONE`].
const SLOW: Bench = Bench {
    name: "s",
    ms: &[1.2, 1.198, 1.203, 1.2],
    ..ONE
};

/// Now as fast as [`ONE`], now as slow as [`SLOW`].
const UNSTEADY: Bench = Bench {
    name: "u",
    ms: &[1.0, 1.2],
    ..ONE
};

/// What stands for cargo: a script of the commit, which says where its bench lies.
fn script(tree: &Path, target: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(tree.join("build.sh")).arg(target);
    command
}

/// Commits that do not build say so in many lines.
const BROKEN: &str = "i=0; while [ $i -lt 50 ]; do i=$((i + 1)); echo line $i >&2; done; exit 1";

impl Bench {
    fn script(&self, log: &Path) -> String {
        let (name, knows, log) = (self.name, self.knows, log.display());
        let mut text = format!(
            "#!/bin/sh\nif [ \"$2\" = --help ]; then echo '{knows}'; exit 0; fi\n\
             echo \"{name} $1 $2 $3 $5\" >> '{log}'\n\
             case ' {knows} ' in *\" $2 \"*) ;; *) echo \"error: unexpected argument '$2' found\" >&2; exit 2;; esac\n\
             [ -n \"$GHOSTLIGHT_HISTORY\" ] || exit 3\n\
             count=$(cat \"$0.count\" 2> /dev/null || echo 0)\necho $((count + 1)) > \"$0.count\"\n\
             case $((count % {})) in\n",
            self.ms.len()
        );
        for (i, &ms) in self.ms.iter().enumerate() {
            let mut run = run("2026", "", ms);
            run.rows[0].digest = Some(self.digest.into());
            if self.refuses {
                run.refused.push(Refused {
                    op: "relu".into(),
                    case: "n9".into(),
                    phase: "forward".into(),
                    variant: "ours".into(),
                    reason: "wrong".into(),
                });
            }
            let json = serde_json::to_string(&run).expect("JSON");
            text += &format!("{i}) cat > \"$4/results.json\" <<'END'\n{json}\nEND\n;;\n");
        }
        text + &format!("esac\nexit {}\n", u8::from(self.refuses))
    }
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let house = Self { folder };
        fs::create_dir(house.repository()).expect("a folder");
        house.git(&["init", "--quiet", "--initial-branch", "main"]);
        fs::write(house.repository().join(".gitignore"), "target\n").expect("written");
        house
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// As in this repository: inside of it, and ignored by it.
    fn ab(&self) -> PathBuf {
        self.repository().join("target/ab")
    }

    fn workshop(&self) -> Workshop {
        Workshop::of(&self.repository(), &self.ab(), script).expect("a folder")
    }

    fn git(&self, words: &[&str]) {
        let status = Command::new("git")
            .arg("-C")
            .arg(self.repository())
            .args([
                "-c",
                "user.name=nobody",
                "-c",
                "user.email=nobody@localhost",
            ])
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status();
        assert!(status.expect("git").success(), "{words:?}");
    }

    /// Commits what builds `bench`; without one, what does not build.
    fn commit(&self, subject: &str, bench: Option<&Bench>) {
        let build = match bench {
            Some(_) => {
                "mkdir -p \"$1\" && cp bench.sh \"$1/ops\" && chmod +x \"$1/ops\" && \
                 echo \"{\\\"target\\\": {\\\"name\\\": \\\"ops\\\"}, \\\"executable\\\": \\\"$1/ops\\\"}\""
            }
            None => BROKEN,
        };
        let bench = bench.map_or(String::new(), |bench| bench.script(&self.log()));
        let text = format!("{bench}# {subject}\n");
        fs::write(self.repository().join("bench.sh"), text).expect("written");
        fs::write(self.repository().join("build.sh"), build).expect("written");
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", subject]);
    }

    /// The working tree's bench.
    fn beside(&self, bench: &Bench) -> Side {
        let program = self.folder.path().join("beside");
        fs::write(&program, bench.script(&self.log())).expect("written");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, executable).expect("a program");
        Side {
            name: "the working tree".into(),
            program,
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("asked")
    }

    /// What was asked, a line each.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    fn against(&self, rev: &str, b: &Bench) -> Result<(String, bool), String> {
        let filters = ["relu".to_string()];
        let compared = super::against(&self.workshop(), rev, &self.beside(b), &filters, 4);
        compared.map_err(|error| error.to_string())
    }
}

fn repository(commits: &[Option<&Bench>]) -> House {
    let house = House::new();
    for (i, bench) in commits.iter().enumerate() {
        house.commit(&format!("number {i}"), *bench);
    }
    house
}

#[test]
fn a_commit_and_the_working_tree_take_turns() {
    let house = repository(&[Some(&SLOW), Some(&ONE)]);
    let b = Bench { name: "b", ..ONE };
    let (text, passed) = house.against("HEAD~1", &b).expect("compared");
    assert!(passed);
    assert!(text.starts_with("FASTER   1.20 (1."), "{text}");
    assert!(
        text.contains("1.20 ->      1.00 ms  relu n1 c4 forward (hot, wall); same bits"),
        "{text}"
    );
    assert!(
        text.contains("4 pairs of runs") && text.contains("number 0"),
        "{text}"
    );
    let asked = house.asked();
    assert_eq!(asked[0], "s report --short --out relu");
    let order: String = asked.iter().map(|line| &line[..1]).collect();
    assert_eq!(order, "sbbssbbs");
}

#[test]
fn a_slower_working_tree_with_other_bits_is_told() {
    let house = repository(&[Some(&ONE)]);
    let other = Bench {
        digest: "other",
        ..SLOW
    };
    let (text, _) = house.against("main", &other).expect("compared");
    assert!(text.starts_with("SLOWER   0.83"), "{text}");
    assert!(text.contains("; other bits"), "{text}");
}

#[test]
fn an_older_bench_is_asked_for_what_it_knows_and_so_is_the_other() {
    let old = Bench {
        name: "o",
        knows: "--quick",
        ..ONE
    };
    let house = repository(&[Some(&old)]);
    house.against("HEAD", &SLOW).expect("compared");
    let asked = house.asked();
    assert!(
        asked
            .iter()
            .all(|line| line.contains(" report --quick --out relu")),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 8);

    let ancient = Bench {
        name: "x",
        knows: "",
        ..ONE
    };
    let house = repository(&[Some(&ancient)]);
    let error = house.against("HEAD", &ONE).expect_err("it knows nothing");
    for told in ["number 0", "unexpected argument '--quick'", "too old"] {
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn what_the_working_tree_refuses_is_no_success() {
    let house = repository(&[Some(&ONE)]);
    let wrong = Bench {
        refuses: true,
        ..ONE
    };
    let (text, passed) = house.against("HEAD", &wrong).expect("compared");
    assert!(!passed);
    assert!(
        text.contains("refused in the working tree: relu n9 forward: wrong"),
        "{text}"
    );
}

#[test]
fn a_commit_that_does_not_build_is_told_with_its_last_lines() {
    let house = repository(&[None, Some(&ONE)]);
    let error = house
        .against("HEAD~1", &ONE)
        .expect_err("it does not build");
    for told in [
        "number 0 does not build",
        "build.log",
        "line 31\n",
        "line 50",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
    assert!(!error.contains("line 30\n"), "{error}");
}

#[test]
fn what_is_no_commit_is_told_before_anything_is_built() {
    let house = repository(&[Some(&ONE)]);
    let error = house.against("nothing", &ONE).expect_err("no such commit");
    assert!(error.contains("`nothing` is no commit"), "{error}");
    assert!(!house.ab().join("tree").exists());
}

#[test]
fn the_checkout_is_used_again_and_its_changes_are_never_lost_unasked() {
    let house = repository(&[Some(&SLOW), Some(&ONE)]);
    let tree = house.ab().join("tree");
    house.against("HEAD", &ONE).expect("compared");
    house.against("HEAD~1", &ONE).expect("compared");
    fs::write(tree.join("bench.sh"), "mine").expect("written");
    let error = house.against("HEAD", &ONE).expect_err("changed");
    assert!(
        error.contains("bench.sh") && error.contains("--clean"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(tree.join("bench.sh")).expect("kept"),
        "mine"
    );

    house.workshop().clean().expect("removed");
    assert!(!house.ab().exists());
    house.against("HEAD", &ONE).expect("compared");
    // Removed by hand, it is still in git's list.
    fs::remove_dir_all(&tree).expect("removed");
    house.against("HEAD", &ONE).expect("compared");
}

#[test]
fn a_folder_in_the_place_of_the_checkout_is_not_taken_for_the_repository_around_it() {
    let house = repository(&[Some(&SLOW), Some(&ONE)]);
    fs::create_dir_all(house.ab().join("tree")).expect("a folder");
    let error = house.against("HEAD~1", &ONE).expect_err("no checkout");
    assert!(
        error.contains("is no checkout") && error.contains("--clean"),
        "{error}"
    );
    let head = fs::read_to_string(house.repository().join(".git/HEAD")).expect("read");
    assert_eq!(head, "ref: refs/heads/main\n");
    house.workshop().clean().expect("removed");
    house.against("HEAD~1", &ONE).expect("compared");
}

#[test]
fn two_do_not_check_out_over_each_other() {
    let house = repository(&[Some(&ONE)]);
    let first = house.workshop();
    let path = house.ab();
    let second = Workshop::of(&house.repository(), &path, script);
    assert!(matches!(second.err(), Some(AbError::Busy { .. })));
    drop(first);
    house.workshop();
}

#[test]
fn a_commit_goes_with_a_filter_and_cleaning_with_nothing() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        ab: Ab,
    }
    let parse = |line: &str| Line::try_parse_from(line.split(' ')).map(|line| line.ab);
    let named = parse("ab HEAD~1 softmax forward").expect("a command line");
    assert_eq!(named.rev.as_deref(), Some("HEAD~1"));
    assert_eq!(named.filter, ["softmax", "forward"]);
    assert!(parse("ab --clean").expect("a command line").clean);
    for wrong in [
        "ab",
        "ab HEAD",
        "ab HEAD softmax --clean",
        "ab HEAD softmax --rounds 0",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
