//! How much memory is left.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Bytes that this process can still get: what the system calls available, or what the process's cgroup leaves of its limit if that
/// is less. Page caches count as available. `None` where the system does not tell.
pub(crate) fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0)?;
    let mut limit = || {
        let process = get_current_pid().ok()?;
        let nothing_else = ProcessRefreshKind::nothing();
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[process]),
            false,
            nothing_else,
        );
        system.process(process)?.cgroup_limits()
    };
    Some(match limit() {
        Some(limit) => machine.min(limit.total_memory.saturating_sub(limit.rss)),
        None => machine,
    })
}

/// `1234567890` as `1.23 GB`.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_is_not_available() {
        let Some(before) = available() else {
            return;
        };
        assert!(before > 1 << 20);
        let taken = vec![1_u8; 512 << 20];
        let after = available().unwrap();
        assert!(std::hint::black_box(&taken).len() > 1);
        // Other processes come and go.
        assert!(
            after < before.saturating_sub(64 << 20),
            "{before} then {after}"
        );
    }
}
