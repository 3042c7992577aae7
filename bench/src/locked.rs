//! Versions of libraries, from the lock file that this was built with.

const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of `package` that is linked, `unknown` where the lock file does not name it.
pub fn version(package: &str) -> &'static str {
    find(LOCK, package).unwrap_or("unknown")
}

/// The version of the first `package` in the text of a lock file.
fn find<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    lock.split("[[package]]").find_map(|entry| {
        let value = |key: &str| {
            let mut lines = entry.lines();
            lines.find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix(" = \"")?
                    .strip_suffix('"')
            })
        };
        (value("name")? == package).then(|| value("version"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_package_of_just_this_name() {
        let lock = "version = 4\n\n[[package]]\nname = \"cubecl-core\"\nversion = \"0.1.0\"\n\n\
                    [[package]]\nname = \"cubecl\"\nversion = \"0.12.0-pre.1\"\ndependencies = [\n \"a\",\n]\n";
        assert_eq!(find(lock, "cubecl"), Some("0.12.0-pre.1"));
        assert_eq!(find(lock, "cube"), None);
    }

    #[test]
    fn every_library_that_a_report_names_is_in_the_lock_file() {
        for package in ["cubecl", "burn-tensor", "candle-core", "cubek-convolution"] {
            assert_ne!(version(package), "unknown", "{package}");
        }
    }
}
