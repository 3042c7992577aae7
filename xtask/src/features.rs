//! Cargo's feature flags among the arguments of a command.

use crate::llvm::Needs;

/// Splits `arguments` into cargo's feature flags and the rest, up to a `--`.
///
/// `cargo xtask distill --features cuda --epochs 3` has arguments for cargo and for the program; only these flags are
/// cargo's.
pub fn split(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut features, mut rest) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter().cloned();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--" => {
                rest.push(argument);
                rest.extend(arguments.by_ref());
            }
            "-F" | "--features" => {
                features.push(argument);
                features.extend(arguments.next());
            }
            "--all-features" | "--no-default-features" => features.push(argument),
            other if other.starts_with("--features=") || other.starts_with("-F") => {
                features.push(argument);
            }
            _ => rest.push(argument),
        }
    }
    (features, rest)
}

/// What looks at kernels for a card that is not there; it links what CUDA's runtime would.
pub const INSPECT: [&str; 2] = ["--features", "ghostlight-bench/inspect"];

/// What the runtimes among cargo's feature flags link.
pub fn needs(flags: &[String]) -> Needs {
    let names = || {
        flags
            .iter()
            .flat_map(|flag| flag.trim_start_matches("--features=").split([',', ' ']))
            .map(|name| {
                name.trim_start_matches("-F")
                    .rsplit('/')
                    .next()
                    .unwrap_or(name)
            })
    };
    let all = flags.iter().any(|flag| flag == "--all-features");
    Needs {
        nvptx: all || names().any(|name| matches!(name, "cuda" | "inspect" | "ptx")),
        lld: all || names().any(|name| name == "hip"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split('|')
            .filter(|word| !word.is_empty())
            .map(String::from)
            .collect()
    }

    #[test]
    fn feature_flags_go_to_cargo_and_the_rest_to_the_program() {
        for (line, features, rest) in [
            (
                "--epochs|3|--features|cuda|--json",
                "--features|cuda",
                "--epochs|3|--json",
            ),
            ("--features=cuda,cpu|x", "--features=cuda,cpu", "x"),
            (
                "-Fcuda|--no-default-features",
                "-Fcuda|--no-default-features",
                "",
            ),
            ("--|--features|cuda", "", "--|--features|cuda"),
            ("--features", "--features", ""),
        ] {
            assert_eq!(
                split(&words(line)),
                (words(features), words(rest)),
                "{line}"
            );
        }
    }

    #[test]
    fn every_spelling_of_a_runtime_is_recognised() {
        for line in [
            "--features|cuda",
            "--features|cpu cuda",
            "--features=vulkan,cuda",
            "-F|ghostlight-models/cuda",
            "-Fcuda",
            "--features|ghostlight-bench/inspect",
            "--all-features",
        ] {
            assert!(needs(&words(line)).nvptx, "{line}");
        }
        assert!(needs(&words("-F|hip")).lld);
        assert_eq!(needs(&words("--features|vulkan")), Needs::default());
    }
}
