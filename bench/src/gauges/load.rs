//! What others did on the machine meanwhile: the time that its processors were busy, less our own and that of the peers' processes.

use std::fs;
use std::path::{Path, PathBuf};

/// Ticks a second of `/proc`.
const TICKS: f64 = 100.0;

/// Where it is read.
pub(super) struct Load {
    proc: PathBuf,
}

/// What it showed at one moment, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Busy {
    all: u64,
    own: u64,
}

impl Load {
    /// This machine's; none where there is no `/proc`.
    pub fn find() -> Option<Self> {
        Self::within(Path::new("/proc"))
    }

    fn within(proc: &Path) -> Option<Self> {
        let load = Self { proc: proc.into() };
        load.now(&[]).is_some().then_some(load)
    }

    /// The time that was spent so far; `peers` are processes of ours.
    pub fn now(&self, peers: &[u32]) -> Option<Busy> {
        let read = |file: &str| fs::read_to_string(self.proc.join(file)).ok();
        let mut own = of_process(&read("self/stat")?)?;
        for peer in peers {
            own += read(&format!("{peer}/stat")).and_then(|text| of_process(&text))?;
        }
        Some(Busy {
            all: of_machine(&read("stat")?)?,
            own,
        })
    }

    /// How many processors others kept busy since `before`, `seconds` ago.
    pub fn since(&self, before: Busy, peers: &[u32], seconds: f64) -> Option<f64> {
        let now = self.now(peers)?;
        Some(others(before, now, seconds))
    }
}

/// Ticks are counted at different moments of a tick: what comes out below 0 is nothing.
fn others(before: Busy, now: Busy, seconds: f64) -> f64 {
    let ticks = |before: u64, now: u64| now.saturating_sub(before) as f64;
    let ticks = ticks(before.all, now.all) - ticks(before.own, now.own);
    (ticks / TICKS / seconds.max(1e-9)).max(0.0)
}

/// Busy ticks of all processors, from `/proc/stat`: everything but idling and waiting; what a host took from this machine too.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    let [user, nice, system, _idle, _waiting, interrupts @ ..] = &ticks[..] else {
        return None;
    };
    // Interrupts of either kind and what the host took; a guest's time behind them is counted as the user's already.
    Some(user + nice + system + interrupts.iter().take(3).sum::<u64>())
}

/// Ticks that all threads of a process spent, from its `stat`.
fn of_process(text: &str) -> Option<u64> {
    // The program's name may hold anything, brackets and blanks too.
    let (_, behind) = text.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  1000 20 300 99999 888 7 6 5 400 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
    const OWN: &str = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 8 0 1 2 3\n";

    #[test]
    fn a_machine_is_busy_with_everything_but_idling_and_waiting() {
        assert_eq!(of_machine(STAT), Some(1000 + 20 + 300 + 7 + 6 + 5));
        assert_eq!(of_machine("intr 5"), None);
        assert_eq!(of_process(OWN), Some(300));
        assert_eq!(of_process("42 (a"), None);
    }

    #[test]
    fn our_own_time_and_the_peers_are_no_load() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        put("stat", STAT);
        put("self/stat", OWN);
        put("7/stat", &OWN.replace(" 250 50 ", " 10 0 "));
        let load = Load::within(root.path()).expect("a load");
        let before = load.now(&[7]).expect("a moment");
        // In half a second 1.5 s more of all: 0.6 of ours, 0.4 of the peer's.
        put("stat", &STAT.replace("1000", "1150"));
        put("self/stat", &OWN.replace(" 250 50 ", " 300 60 "));
        put("7/stat", &OWN.replace(" 250 50 ", " 50 0 "));
        let found = load.since(before, &[7], 0.5).expect("a load");
        assert!((found - 1.0).abs() < 1e-9, "{found}");
        assert_eq!(load.since(before, &[8], 0.5), None, "a peer went away");
        assert!(Load::within(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn ticks_that_fell_elsewhere_are_no_load_below_nothing() {
        let busy = |all, own| Busy { all, own };
        assert_eq!(others(busy(10, 5), busy(12, 8), 0.1), 0.0);
    }
    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_this_process_is_our_own_and_the_machines() {
        let load = Load::find().expect("Linux has a /proc");
        let (before, start) = (load.now(&[]).expect("a moment"), std::time::Instant::now());
        let mut now = before;
        while now.own < before.own + 20 && start.elapsed().as_secs() < 60 {
            std::hint::black_box((0..100_000).map(f64::from).sum::<f64>());
            now = load.now(&[]).expect("a moment");
        }
        let [own, all] = [now.own - before.own, now.all - before.all];
        assert!(own >= 20, "{own} ticks of our own");
        // Both are counted in whole ticks, and not at the same moments.
        assert!(all + 5 >= own, "{all} of all, {own} of our own");
    }
}
