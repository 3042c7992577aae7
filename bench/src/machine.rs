//! Where a run took place: read from the system, blank where the system does not say.

use crate::locked;
use crate::results::Machine;
use crate::verify::fnv;
use cubecl::Device;
use ghostlight_kernels::tune;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

impl Machine {
    /// The machine that this runs on, with `device` as the one that runs kernels.
    pub fn here(device: &Device) -> Self {
        let client = device.client();
        let identity = &client.properties().identity;
        Self {
            device: identity.name.clone(),
            runtime: format!("{:?}", device.runtime()).to_lowercase(),
            driver: identity.fingerprint.clone(),
            system: system(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: memory().unwrap_or_default(),
        }
    }
}

/// The system's name and version.
fn system() -> String {
    let pretty = fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="));
        line.map(|name| name.trim_matches('"').to_string())
    });
    pretty.unwrap_or_else(|| format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))
}

/// Bytes of memory, where the system tells it in `/proc`.
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

/// A name for the hardware that `machine` describes, this host's processor included: one history belongs to it, whatever system and driver it gets.
pub(crate) fn digest(machine: &Machine) -> String {
    digest_with(machine, &tune::processor().unwrap_or_default())
}

fn digest_with(machine: &Machine, processor: &str) -> String {
    let cores = machine.cores.to_string();
    // What a kernel keeps for itself changes with its version.
    let gib = (machine.memory as f64 / f64::from(1 << 30))
        .round()
        .to_string();
    let parts = [processor, &machine.device, &machine.runtime, &cores, &gib];
    fnv(parts.join("\n").bytes().map(u64::from))
}

/// The versions that this build knows of.
pub fn versions() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    versions.insert("ghostlight".into(), env!("CARGO_PKG_VERSION").into());
    versions.insert("cubecl".into(), locked::version("cubecl").into());
    if let Some(rustc) = said("rustc", &["--version"]) {
        let version = rustc.split(' ').nth(1).unwrap_or(&rustc).to_string();
        versions.insert("rustc".into(), version);
    }
    versions
}

/// The commit of the checkout that this was built from, `-dirty` where files differ from it.
pub fn commit() -> String {
    let at = env!("CARGO_MANIFEST_DIR");
    let Some(commit) = said("git", &["-C", at, "rev-parse", "HEAD"]) else {
        return String::new();
    };
    let changed = said(
        "git",
        &["-C", at, "status", "--porcelain", "--untracked-files=no"],
    );
    match changed.is_none_or(|changed| changed.is_empty()) {
        true => commit,
        false => format!("{commit}-dirty"),
    }
}

fn said(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

/// The bytes of the last-level cache, where the device tells.
pub fn last_level_cache(client: &cubecl::client::Client) -> Option<usize> {
    client.properties().hardware.last_level_cache_size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_hardware() {
        let machine = Machine {
            device: "Card".into(),
            runtime: "cuda".into(),
            driver: "1".into(),
            system: "old".into(),
            cores: 8,
            memory: (16 << 30) - (90 << 20),
        };
        let of = |machine: &Machine| digest_with(machine, "Processor");
        let same = Machine {
            driver: "2".into(),
            system: "new".into(),
            memory: (16 << 30) - (120 << 20),
            ..machine.clone()
        };
        assert_eq!(of(&machine), of(&same));
        assert_eq!(of(&machine).len(), 16);
        let changes: [fn(&mut Machine); 4] = [
            |machine| machine.device = "Cards".into(),
            |machine| machine.runtime = "wgpu".into(),
            |machine| machine.cores = 9,
            |machine| machine.memory *= 2,
        ];
        for change in changes {
            let mut other = machine.clone();
            change(&mut other);
            assert_ne!(of(&machine), of(&other), "{other:?}");
        }
        assert_ne!(of(&machine), digest_with(&machine, "Another"));
    }
}
