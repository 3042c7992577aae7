//! How much memory this process may still take.

use std::fs::read_to_string;

/// Bytes that can be had without swapping: the least of what the machine has left, what the process's control group has left, and what
/// its limit of addresses leaves. `None` where the system does not say, as outside of Linux.
pub fn available() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemAvailable:"));
    let addresses = read_to_string("/proc/self/limits").ok();
    let used = read_to_string("/proc/self/status").ok();
    let addresses = addresses
        .and_then(|text| address_limit(&text))
        .zip(used.and_then(|text| kilobytes(&text, "VmSize:")))
        .map(|(limit, used)| limit.saturating_sub(used));
    [machine, group(), addresses].into_iter().flatten().min()
}

/// A line such as `MemAvailable:   123 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()
        .map(|kb: u64| kb * 1024)
}

/// The soft limit in `/proc/self/limits`; `None` for an unlimited one.
fn address_limit(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the control groups around the process leave. Of what they use, files that can be read again are not counted.
fn group() -> Option<u64> {
    let own = read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 has one line, `0::/path`; version 1 has one for memory.
    let place = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(("/sys/fs/cgroup".to_string(), path.to_string(), Names::V2)),
            c if c.split(',').any(|c| c == "memory") => Some((
                "/sys/fs/cgroup/memory".to_string(),
                path.to_string(),
                Names::V1,
            )),
            _ => None,
        }
    };
    let places = own.lines().filter_map(place);
    let left = |(root, path, names): (String, String, Names)| {
        // In a container the path may be that of the host, which is not there: the root then is the container's own group.
        let mut folders = vec![root.clone()];
        for part in path.split('/').filter(|part| !part.is_empty()) {
            folders.push(format!(
                "{}/{part}",
                folders.last().cloned().unwrap_or_default()
            ));
        }
        folders
            .into_iter()
            .filter_map(move |folder| names.left(&folder))
            .min()
    };
    places.filter_map(left).min()
}

/// The file names of the two versions of control groups.
#[derive(Clone, Copy)]
enum Names {
    V1,
    V2,
}

impl Names {
    fn left(self, folder: &str) -> Option<u64> {
        let (limit, usage, files) = match self {
            Self::V1 => (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
            Self::V2 => ("memory.max", "memory.current", "inactive_file"),
        };
        let number = |name: &str| -> Option<u64> {
            read_to_string(format!("{folder}/{name}"))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        // `max`, no limit, is no number.
        let (limit, usage) = (number(limit)?, number(usage)?);
        let statistics = read_to_string(format!("{folder}/memory.stat")).unwrap_or_default();
        let files = statistics.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            (name == files).then(|| value.parse::<u64>().ok())?
        });
        Some(limit.saturating_sub(usage.saturating_sub(files.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_tables_are_read() {
        let table = "MemTotal:       24528572 kB\nMemAvailable:   21000000 kB\n";
        assert_eq!(kilobytes(table, "MemAvailable:"), Some(21_000_000 * 1024));
        assert_eq!(kilobytes(table, "SwapFree:"), None);
        let limits = "Limit     Soft Limit    Hard Limit   Units\nMax address space         2048000              unlimited            bytes\n";
        assert_eq!(address_limit(limits), Some(2_048_000));
        assert_eq!(
            address_limit("Max address space   unlimited  unlimited  bytes"),
            None
        );
    }

    #[test]
    fn a_groups_limit_counts_without_the_files_that_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let left = |names: Names| names.left(folder.path().to_str().unwrap());
        assert_eq!(left(Names::V2), None);
        put("memory.max", "max\n");
        put("memory.current", "700\n");
        assert_eq!(left(Names::V2), None);
        put("memory.max", "1000\n");
        assert_eq!(left(Names::V2), Some(300));
        put("memory.stat", "anon 500\ninactive_file 150\n");
        assert_eq!(left(Names::V2), Some(450));
        put("memory.limit_in_bytes", "1000");
        put("memory.usage_in_bytes", "1200");
        put("memory.stat", "inactive_file 7\ntotal_inactive_file 100\n");
        assert_eq!(left(Names::V1), Some(0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_memory_left() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
