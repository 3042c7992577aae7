//! The everyday commands of Ghostlight: `cargo xtask <command>`.
//!
//! Each makes sure that what the build links is in place and then becomes the cargo command that does the work, so that
//! signals, exit codes and output are that command's own.

mod ci;
mod cuda;
mod features;
mod lanes;
mod llvm;
#[cfg(test)]
mod one_build;

use std::{
    env,
    process::{Command, ExitCode, ExitStatus},
};

use llvm::{Bundle, Wheels};

const HELP: &str = "\
The everyday commands of Ghostlight

Usage: cargo xtask <command> [arguments]

  setup     puts LLVM, which CubeCL's CPU runtime links, in place; `setup --ptxas` NVIDIA's assembler too
  distill   trains a teacher and a student and distils the one into the other; arguments go to `ghostlight distill`
  test      runs every test; arguments go to `cargo test`
  bench     runs the benchmarks; arguments go to `cargo bench`. `bench report` times everything beside other libraries,
            `bench compare A B` compares two of its results, `bench list` and `bench launches` show problems and launches,
            `bench inspect` what kernels become on a GPU that is not there, `bench ladder` times the rungs from a naive kernel to
            ours, `bench tune` tries what kernels choose otherwise on this machine, `bench history OP/CASE` shows the times of this
            machine's runs, `bench ab REV FILTER` times a commit in turns with the working tree
  bisect    finds the commit that made a row slower: `bisect GOOD BAD FILTER --threshold 1.05`
  soak      checks random problems of every operation with a fresh seed until Ctrl-C, `--cases N` or `--minutes M`; `soak gate` one operation,
            `soak --seed S --case I gate` one problem of an earlier run, `--write` keeps the counts in docs/results/soak.md
  fenced    runs the kernel tests with every buffer between fences; arguments go to `cargo test`
  lavapipe  runs the kernel tests on lavapipe, a Vulkan device on the CPU; arguments go to `cargo test`
  interpreted
            runs the kernel tests on PTX that the host executes and watches; arguments go to `cargo test`
  ci        checks format, lints and documentation, then runs `test`, whose arguments it takes, `fenced`, `interpreted` and
            `lavapipe` on cases of a fixed seed, and `bench inspect --check`

Each runs `setup` first. Cargo's feature flags choose the runtimes: `cargo xtask distill --features cuda`.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = match env::args_os()
        .skip(1)
        .map(|word| word.into_string())
        .collect()
    {
        Ok(arguments) => arguments,
        Err(word) => return usage(&format!("the argument {word:?} is not valid Unicode")),
    };
    let Some((command, arguments)) = arguments.split_first() else {
        return usage("no command was given");
    };
    match command.as_str() {
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        "setup" => match features::split(arguments) {
            (flags, rest) if rest.is_empty() => set_up_alone(&flags, false),
            (flags, rest) if rest == ["--ptxas"] => set_up_alone(&flags, true),
            (_, rest) => usage(&format!(
                "`setup` takes cargo's feature flags and `--ptxas` only, not `{}`",
                rest.join(" ")
            )),
        },
        "distill" | "test" | "bench" | "bisect" | "soak" | "fenced" | "lavapipe"
        | "interpreted" | "ci" => {
            let (mut flags, _) = features::split(arguments);
            if !has_cpp_compiler() {
                return ExitCode::FAILURE;
            }
            if command == "ci" {
                return ci::run(&flags, arguments);
            }
            if is_inspect(command, arguments) {
                flags.extend(features::INSPECT.map(String::from));
            }
            if command == "interpreted" {
                flags.extend(lanes::PTX.map(String::from));
            }
            set_up_or_go_on(&flags);
            match command.as_str() {
                "distill" => become_command(distill(arguments)),
                "test" => become_command(test(arguments)),
                "bench" => become_command(bench(arguments)),
                "bisect" => {
                    become_command(bench(&[std::slice::from_ref(command), arguments].concat()))
                }
                "soak" => become_command(soak(arguments)),
                "fenced" => become_command(lanes::fenced(arguments)),
                lane => {
                    let command = match lane {
                        "interpreted" => lanes::interpreted(arguments),
                        _ => lanes::lavapipe(arguments),
                    };
                    match command {
                        Ok(command) => become_command(command),
                        Err(reason) => failed(&reason),
                    }
                }
            }
        }
        unknown => usage(&format!("there is no command `{unknown}`")),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\n{HELP}");
    ExitCode::from(2)
}

fn set_up(flags: &[String]) -> Result<(), llvm::Error> {
    let wheels = Wheels::of(env::consts::OS, env::consts::ARCH);
    Bundle::of_this_user()?.ensure(features::needs(flags), wheels, llvm::fetch)
}

fn set_up_or_go_on(flags: &[String]) {
    if let Err(error) = set_up(flags) {
        eprintln!("set-up: {error}");
        eprintln!(
            "set-up: going on; the build of tracel-llvm-bundler will try to download its own LLVM"
        );
    }
}

/// Whether this looks at kernels on a card that is not there.
fn is_inspect(command: &str, arguments: &[String]) -> bool {
    command == "bench" && arguments.first().is_some_and(|word| word == "inspect")
}

fn set_up_alone(flags: &[String], ptxas: bool) -> ExitCode {
    let compiler = has_cpp_compiler();
    if ptxas && let Err(error) = cuda::set_up() {
        eprintln!("set-up: {error}");
        return ExitCode::FAILURE;
    }
    match set_up(flags) {
        Ok(()) => eprintln!("set-up: LLVM is in place"),
        Err(error) => {
            eprintln!("set-up: {error}");
            return ExitCode::FAILURE;
        }
    }
    if compiler {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// LLVM is C++: linking it takes the standard library that comes with a compiler. Saying so here is kinder than a linker's
/// message after minutes of building.
fn has_cpp_compiler() -> bool {
    // The compiler of Visual Studio is found through the registry, not the PATH; `CXX` is the user's own word.
    let found = cfg!(windows)
        || env::var_os("CXX").is_some()
        || ["c++", "g++", "clang++"]
            .iter()
            .any(|name| Command::new(name).arg("--version").output().is_ok());
    if !found {
        eprintln!(
            "set-up: there is no C++ compiler (c++, g++ or clang++) on the PATH: install one \
             (Debian, Ubuntu: `apt-get install g++`; macOS: `xcode-select --install`) and run again"
        );
    }
    found
}

/// The cargo that runs this program, without what it tells this program about its package: build scripts of dependencies
/// watch those variables, and would run again at every change between `cargo xtask` and plain cargo.
fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.args(words);
    command
}

fn distill(arguments: &[String]) -> Command {
    let (flags, rest) = features::split(arguments);
    let mut command = cargo(&[
        "run",
        "--release",
        "-p",
        "ghostlight-models",
        "--bin",
        "ghostlight",
    ]);
    command.args(flags).args(["--", "distill"]).args(rest);
    command
}

fn test(arguments: &[String]) -> Command {
    let mut command = cargo(&["test", "--release"]);
    // Cargo ignores `-p` in silence where `--workspace` stands beside it.
    let chosen = |word: &String| word.starts_with("-p") || word.starts_with("--package");
    if !arguments
        .iter()
        .take_while(|word| *word != "--")
        .any(chosen)
    {
        command.arg("--workspace");
    }
    command.args(arguments);
    command
}

fn soak(arguments: &[String]) -> Command {
    let (flags, rest) = features::split(arguments);
    let mut command = cargo(&[
        "run",
        "--release",
        "-p",
        "ghostlight-tests",
        "--bin",
        "soak",
    ]);
    command.args(flags).arg("--").args(rest);
    command
}

/// What `bench` is told to do by a word of its own; anything else is cargo's.
const OF_THE_BENCH: [&str; 10] = [
    "report", "compare", "list", "ladder", "tune", "launches", "history", "ab", "bisect", "inspect",
];

fn bench(arguments: &[String]) -> Command {
    let mut command = cargo(&["bench", "-p", "ghostlight-bench"]);
    if let Ok(folder) = env::current_dir() {
        // Cargo runs a bench in its package's folder, where no path that the user wrote means what it did.
        command.env("GHOSTLIGHT_FOLDER", folder);
    }
    let first = arguments.first().map(String::as_str);
    if !first.is_some_and(|word| OF_THE_BENCH.contains(&word)) {
        command.args(arguments);
        return command;
    }
    let (flags, rest) = features::split(arguments);
    command.args(flags);
    if is_inspect("bench", arguments) {
        command.args(features::INSPECT);
        cuda::show(&mut command);
    }
    command.args(["--bench", "ops", "--"]).args(rest);
    command
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}

#[cfg(unix)]
fn become_command(mut command: Command) -> ExitCode {
    use std::os::unix::process::CommandExt;

    let error = command.exec();
    not_started(&command, &error)
}

#[cfg(not(unix))]
fn become_command(mut command: Command) -> ExitCode {
    match command.status() {
        Ok(status) => exit_code(status),
        Err(error) => not_started(&command, &error),
    }
}

fn not_started(command: &Command, error: &std::io::Error) -> ExitCode {
    eprintln!("error: {:?} does not start: {error}", command.get_program());
    ExitCode::FAILURE
}

/// The status of a step as a shell would give it: 128 and the signal's number for one that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return ExitCode::from(128u8.saturating_add(u8::try_from(signal).unwrap_or(u8::MAX)));
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &Command) -> String {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    #[test]
    fn distill_hands_features_to_cargo_and_the_rest_to_the_program() {
        assert_eq!(
            line(&distill(&words("--epochs 3 --features cuda --json"))),
            "run --release -p ghostlight-models --bin ghostlight --features cuda -- distill --epochs 3 --json"
        );
    }

    #[test]
    fn soak_hands_features_to_cargo_and_the_rest_to_the_program() {
        assert_eq!(
            line(&soak(&words("--minutes 4 --features cuda gate"))),
            "run --release -p ghostlight-tests --bin soak --features cuda -- --minutes 4 gate"
        );
    }

    #[test]
    fn test_covers_the_workspace_unless_a_package_is_chosen() {
        assert_eq!(line(&test(&[])), "test --release --workspace");
        assert_eq!(
            line(&test(&words("-p ghostlight-kernels"))),
            "test --release -p ghostlight-kernels"
        );
        assert_eq!(
            line(&test(&words("gemm -- -package"))),
            "test --release --workspace gemm -- -package"
        );
    }

    #[test]
    fn cargo_starts_without_the_variables_of_this_package() {
        // `cargo test` sets them as `cargo run` does.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(env::var_os(name).is_some(), "{name}");
            let command = cargo(&[]);
            assert!(
                command
                    .get_envs()
                    .any(|entry| entry == (name.as_ref(), None)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_words_of_the_bench_go_to_the_operations() {
        assert_eq!(
            line(&bench(&words("list dkd"))),
            "bench -p ghostlight-bench --bench ops -- list dkd"
        );
        assert_eq!(
            line(&bench(&words("ladder dkd --quick"))),
            "bench -p ghostlight-bench --bench ops -- ladder dkd --quick"
        );
        assert_eq!(
            line(&bench(&words("tune --quick gemm"))),
            "bench -p ghostlight-bench --bench ops -- tune --quick gemm"
        );
    }

    #[test]
    fn a_bisection_is_the_benchs() {
        assert_eq!(
            line(&bench(&words("bisect --features cuda v1 HEAD dkd"))),
            "bench -p ghostlight-bench --features cuda --bench ops -- bisect v1 HEAD dkd"
        );
    }

    #[test]
    fn features_of_a_report_go_to_cargo() {
        assert_eq!(
            line(&bench(&words(
                "report --features cuda --features peers --quick dkd"
            ))),
            "bench -p ghostlight-bench --features cuda --features peers --bench ops -- report --quick dkd"
        );
    }

    #[test]
    fn looking_at_kernels_brings_its_feature_with_it() {
        let words = words("inspect softmax --target sm_80");
        assert!(is_inspect("bench", &words) && !is_inspect("test", &words));
        assert_eq!(
            line(&bench(&words)),
            "bench -p ghostlight-bench --features ghostlight-bench/inspect --bench ops -- inspect softmax --target sm_80"
        );
    }

    #[test]
    fn a_bench_is_told_where_the_user_is() {
        let here = env::current_dir().expect("a folder");
        for words in [
            "ladder --write page.md",
            "--bench step -- --json steps.json",
        ] {
            let command = bench(&self::words(words));
            let mut told = command.get_envs();
            assert!(told.any(|it| it == ("GHOSTLIGHT_FOLDER".as_ref(), Some(here.as_ref()))));
        }
    }

    #[test]
    fn bench_hands_its_arguments_on() {
        assert_eq!(
            line(&bench(&words("conv -- --quick"))),
            "bench -p ghostlight-bench conv -- --quick"
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_status_of_a_step_is_passed_through() {
        use std::os::unix::process::ExitStatusExt;

        let code = |raw| format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
        assert_eq!(code(101 << 8), format!("{:?}", ExitCode::from(101)));
        assert_eq!(code(9), format!("{:?}", ExitCode::from(137)));
    }
}
