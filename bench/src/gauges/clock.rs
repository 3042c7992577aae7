//! The processor's clock, and the counters of the times when it was slowed down because it was hot, as Linux shows them.

use std::fs;
use std::path::{Path, PathBuf};

const CPUS: &str = "/sys/devices/system/cpu";
const CPU_INFO: &str = "/proc/cpuinfo";

/// Where the clock is read.
pub(super) enum Clock {
    /// A file for each processor, in kHz.
    Files(Vec<PathBuf>),
    /// The lines `cpu MHz` of one file: all that a virtual machine has, where they may stand still.
    Info(PathBuf),
}

impl Clock {
    /// This machine's; none where the system does not show it.
    pub fn find() -> Option<Self> {
        Self::within(Path::new(CPUS), Path::new(CPU_INFO))
    }

    fn within(cpus: &Path, info: &Path) -> Option<Self> {
        let files = of_each(cpus, "cpufreq/scaling_cur_freq");
        let found = match files.is_empty() {
            true => Self::Info(info.into()),
            false => Self::Files(files),
        };
        found.ghz().is_some().then_some(found)
    }

    /// The fastest processor's clock in GHz: the others may have nothing to do.
    pub fn ghz(&self) -> Option<f64> {
        let fastest = match self {
            Self::Files(files) => {
                let khz = files.iter().filter_map(|file| number(file));
                khz.max().map(|khz| khz as f64 / 1e6)
            }
            Self::Info(file) => {
                let text = fs::read_to_string(file).ok()?;
                let lines = text.lines().filter(|line| line.starts_with("cpu MHz"));
                let mhz = lines.filter_map(|line| line.split(':').nth(1)?.trim().parse().ok());
                mhz.max_by(f64::total_cmp).map(|mhz| mhz / 1e3)
            }
        };
        fastest.filter(|ghz| *ghz > 0.0)
    }
}

/// The counters of times when a core or a processor was hot.
pub(super) struct Throttle(Vec<PathBuf>);

impl Throttle {
    /// This machine's; none where the system does not show them.
    pub fn find() -> Option<Self> {
        Self::within(Path::new(CPUS))
    }

    fn within(cpus: &Path) -> Option<Self> {
        let kinds = ["core_throttle_count", "package_throttle_count"];
        let files = kinds.map(|kind| of_each(cpus, &format!("thermal_throttle/{kind}")));
        let files = files.concat();
        (!files.is_empty()).then_some(Self(files))
    }

    /// Their sum.
    pub fn count(&self) -> u64 {
        self.0.iter().filter_map(|file| number(file)).sum()
    }
}

/// The file of this name of each processor that has it.
fn of_each(cpus: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cpus).into_iter().flatten().flatten();
    let is_cpu = |path: &PathBuf| {
        let folder = path.file_name().unwrap_or_default().to_string_lossy();
        let number = folder.strip_prefix("cpu").unwrap_or_default();
        !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit())
    };
    let folders = entries.map(|entry| entry.path()).filter(is_cpu);
    let files = folders.map(|folder| folder.join(name));
    files.filter(|file| file.is_file()).collect()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of files, each with what it shows.
    fn shown(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_clock_is_that_of_the_fastest_processor() {
        let root = shown(&[
            ("cpu0/cpufreq/scaling_cur_freq", "2100000\n"),
            ("cpu11/cpufreq/scaling_cur_freq", "3400000\n"),
            ("cpufreq/scaling_cur_freq", "9000000\n"),
            ("cpuidle/cpufreq/scaling_cur_freq", "9000000\n"),
        ]);
        let clock = Clock::within(root.path(), Path::new("/nowhere")).expect("a clock");
        assert_eq!(clock.ghz(), Some(3.4));
    }

    #[test]
    fn without_files_of_its_own_the_clock_is_looked_up_among_the_processors_features() {
        let info = "model name\t: some\ncpu MHz\t\t: 2100.000\n\ncpu MHz\t\t: 2600.500\n";
        let root = shown(&[("cpuinfo", info), ("cpu0/online", "1")]);
        let at = |file: &str| Clock::within(root.path(), &root.path().join(file));
        assert_eq!(at("cpuinfo").and_then(|clock| clock.ghz()), Some(2.6005));
        assert!(at("nothing").is_none());
    }

    #[test]
    fn hot_cores_and_processors_are_counted_together() {
        let root = shown(&[
            ("cpu0/thermal_throttle/core_throttle_count", "3\n"),
            ("cpu1/thermal_throttle/core_throttle_count", "4\n"),
            ("cpu1/thermal_throttle/package_throttle_count", "5\n"),
        ]);
        let throttle = Throttle::within(root.path()).expect("counters");
        assert_eq!(throttle.count(), 12);
        assert!(Throttle::within(shown(&[]).path()).is_none());
    }
}
