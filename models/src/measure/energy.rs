//! The energy counters of the processor (RAPL), as Linux shows them under `/sys/class/powercap`.
//!
//! One folder for each package, `intel-rapl:0`, `intel-rapl:1` (AMD's too go by this name); those within a package, `intel-rapl:0:0`, are parts
//! of it, and `psys` is the sum of what is counted already. Reading them is root's right on most systems.

use ghostlight_kernels::planted;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/class/powercap";

/// The energy counters of all packages.
#[derive(Debug)]
pub struct Energy {
    packages: Vec<Package>,
}

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    /// The counter's largest value in microjoules, after which it begins with 0 again: within an hour on a busy processor.
    range: u64,
}

/// What the counters showed at one moment.
#[derive(Debug, Clone)]
pub struct Reading(Vec<u64>);

impl Energy {
    /// This machine's counters; `None` where there are none that may be read.
    pub fn find() -> Option<Self> {
        Self::within(Path::new(ROOT))
    }

    fn within(root: &Path) -> Option<Self> {
        let mut packages: Vec<Package> = fs::read_dir(root)
            .ok()?
            .flatten()
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("intel-rapl:")
            })
            .filter_map(|entry| Package::in_folder(&entry.path()))
            .collect();
        packages.sort_by(|a, b| a.counter.cmp(&b.counter));
        let energy = Self { packages };
        let readable = !energy.packages.is_empty() && energy.read().is_some();
        readable.then_some(energy)
    }

    /// What the counters show now; `None` if one of them cannot be read any more.
    pub fn read(&self) -> Option<Reading> {
        let all = self.packages.iter().map(|package| number(&package.counter));
        all.collect::<Option<_>>().map(Reading)
    }

    /// Joules since `before`, if no counter began anew more than once in the meantime.
    pub fn since(&self, before: &Reading) -> Option<f64> {
        let now = self.read()?;
        let packages = self.packages.iter().zip(before.0.iter().zip(now.0));
        let microjoules = packages.map(|(package, (&before, now))| {
            match now < before && !planted::is("energy_without_a_new_begin") {
                true => package.range.saturating_sub(before) + now,
                false => now.saturating_sub(before),
            }
        });
        Some(microjoules.sum::<u64>() as f64 * 1e-6)
    }
}

impl Package {
    /// `None` for what is no package.
    fn in_folder(folder: &Path) -> Option<Self> {
        let name = fs::read_to_string(folder.join("name")).ok()?;
        let range = number(&folder.join("max_energy_range_uj"))?;
        name.starts_with("package").then(|| Self {
            counter: folder.join("energy_uj"),
            range,
        })
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of counters by name, each with its zone's name and what it shows.
    fn counters(zones: &[(&str, &str, u64)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (folder, name, shows) in zones {
            let folder = root.path().join(folder);
            fs::create_dir(&folder).unwrap();
            let put = |file: &str, text: String| fs::write(folder.join(file), text + "\n").unwrap();
            put("name", name.to_string());
            put("max_energy_range_uj", "262143328850".to_string());
            put("energy_uj", shows.to_string());
        }
        root
    }

    fn set(root: &tempfile::TempDir, folder: &str, shows: u64) {
        let path = root.path().join(folder).join("energy_uj");
        fs::write(path, format!("{shows}\n")).unwrap();
    }

    #[test]
    fn packages_are_added_up_and_their_parts_are_not_counted_twice() {
        let root = counters(&[
            ("intel-rapl", "control", 5),
            ("intel-rapl:0", "package-0", 1_000_000),
            ("intel-rapl:0:0", "core", 1_000_000),
            ("intel-rapl:1", "package-1", 7),
            ("intel-rapl:2", "psys", 9),
            ("dtpm", "package", 9),
        ]);
        let energy = Energy::within(root.path()).unwrap();
        let before = energy.read().unwrap();
        assert_eq!(before.0, [1_000_000, 7]);
        for (folder, shows) in [
            ("intel-rapl:0", 3_500_000),
            ("intel-rapl:0:0", 9_000_000),
            ("intel-rapl:1", 500_007),
            ("intel-rapl:2", 9_000_000),
        ] {
            set(&root, folder, shows);
        }
        assert_eq!(energy.since(&before), Some(3.0));
    }

    #[test]
    fn a_counter_that_began_anew_goes_on_from_its_range() {
        let root = counters(&[("intel-rapl:0", "package-0", 262_143_000_000)]);
        let energy = Energy::within(root.path()).unwrap();
        let before = energy.read().unwrap();
        set(&root, "intel-rapl:0", 671_150);
        let joules = energy.since(&before).unwrap();
        assert!((joules - 1.0).abs() < 1e-9, "{joules}");
    }

    #[test]
    fn without_a_counter_that_can_be_read_there_is_none() {
        assert!(Energy::within(Path::new("/nowhere")).is_none());
        assert!(Energy::within(counters(&[]).path()).is_none());
        let root = counters(&[("intel-rapl:0", "package-0", 1)]);
        let energy = Energy::within(root.path()).unwrap();
        let before = energy.read().unwrap();
        fs::remove_file(root.path().join("intel-rapl:0/energy_uj")).unwrap();
        assert!(energy.since(&before).is_none());
        assert!(Energy::within(root.path()).is_none());
    }
}
