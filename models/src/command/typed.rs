//! Commands as a person can type them.

use ghostlight_kernels::planted;
use std::path::{Path, PathBuf};

/// The program as this process was started, in a form that holds in any folder: a path made absolute, or the name that is looked up.
pub(super) fn program() -> String {
    let word = std::env::args_os().next().unwrap_or_default();
    let path = PathBuf::from(word);
    match planted::or("program_by_its_name", path.components().count(), 0) {
        0 => "ghostlight".to_string(),
        1 => quoted(&path.display().to_string()),
        _ => quoted(&absolute(&path)),
    }
}

/// The command that goes on with the run in `run`, from any folder.
pub(super) fn resume(run: &Path) -> String {
    let (program, run) = (program(), quoted(&absolute(run)));
    format!("{program} distill --out {run} --resume")
}

/// `path` as another working folder finds it.
pub(super) fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.display().to_string()
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,+:".contains(c);
    let plain = |c: char| plain(c) || (cfg!(windows) && c == '\\');
    match (!word.is_empty() && word.chars().all(plain), cfg!(windows)) {
        (true, _) => word.to_string(),
        // No name holds a double quote there, and a single one quotes nothing.
        (false, true) => format!("\"{word}\""),
        (false, false) => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_quoted_words_back() {
        for word in [
            "plain/path.toml",
            "",
            "two words",
            "it's",
            "$HOME `x` \"y\" *",
            "~",
            "a\\b",
            "ü",
        ] {
            let echo = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &echo]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
