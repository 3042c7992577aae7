//! Clock and power of an NVIDIA card, and what slows it down, as `nvidia-smi` tells them several times a second.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Between two samples: as often as a card renews its power.
const EVERY_MS: &str = "50";
/// Samples that are kept: a minute of them.
const KEPT: usize = 1200;
/// What slows a card down, by the bits of its reasons.
const REASONS: [(u64, &str); 5] = [
    (0x04, "the cap on its power"),
    (0x08, "its hardware"),
    (0x20, "its temperature"),
    (0x40, "its temperature"),
    (0x80, "its supply"),
];

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// When it came.
    pub at: Instant,
    /// The clock of the multiprocessors.
    pub ghz: f64,
    /// The power that the card draws.
    pub watts: f64,
    /// The bits of the reasons for which it is slow.
    pub reasons: u64,
}

/// A card that is watched for as long as this is held.
pub(super) struct Card {
    child: Child,
    samples: Arc<Mutex<VecDeque<Sample>>>,
}

impl Card {
    /// Watches the first card that CUDA sees; none where `nvidia-smi` does not start.
    pub fn watch() -> Option<Self> {
        let visible = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let first = visible.split(',').next().filter(|first| !first.is_empty());
        let mut command = Command::new("nvidia-smi");
        command
            .arg(format!("--id={}", first.unwrap_or("0")))
            .arg("--query-gpu=clocks.sm,power.draw,clocks_throttle_reasons.active")
            .args(["--format=csv,noheader,nounits", "-lms", EVERY_MS]);
        Self::of(command)
    }

    /// Watches what `command` writes.
    fn of(mut command: Command) -> Option<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let lines = BufReader::new(child.stdout.take()?).lines();
        let samples = Arc::new(Mutex::new(VecDeque::new()));
        let kept = samples.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(parsed(&line, Instant::now()));
                while kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        });
        Some(Self { child, samples })
    }

    /// What was sampled since `start`; where that was a moment ago, what was sampled last.
    pub fn since(&self, start: Instant) -> Vec<Sample> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let within: Vec<Sample> = samples
            .iter()
            .filter(|it| it.at >= start)
            .copied()
            .collect();
        match (within.is_empty(), samples.back()) {
            (true, Some(last)) if last.at.elapsed() < Duration::from_secs(1) => vec![*last],
            _ => within,
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `nvidia-smi`: MHz, W, and reasons in hexadecimal. None where a field is not supported.
fn parsed(line: &str, at: Instant) -> Option<Sample> {
    let mut fields = line.split(',').map(str::trim);
    let mhz: f64 = fields.next()?.parse().ok()?;
    let watts = fields.next()?.parse().ok()?;
    let reasons = fields.next()?.trim_start_matches("0x");
    Some(Sample {
        at,
        ghz: mhz / 1e3,
        watts,
        reasons: u64::from_str_radix(reasons, 16).ok()?,
    })
}

/// What slowed a card down, in words.
pub(super) fn named(reasons: u64) -> Vec<&'static str> {
    let mut found: Vec<&str> = REASONS
        .iter()
        .filter(|(bit, _)| reasons & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_clock_power_and_reasons() {
        let at = Instant::now();
        let wanted = Sample {
            at,
            ghz: 1.98,
            watts: 312.45,
            reasons: 0x24,
        };
        assert_eq!(parsed("1980, 312.45, 0x0000000000000024", at), Some(wanted));
        assert_eq!(parsed("1980, [N/A], 0x0000000000000000", at), None);
        assert_eq!(parsed("No devices were found", at), None);
        assert_eq!(named(0x24), ["the cap on its power", "its temperature"]);
        assert_eq!(named(0x61), ["its temperature"], "idle is no reason");
    }

    #[cfg(unix)]
    #[test]
    fn a_card_is_watched_until_nobody_looks_any_more() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo '1500, 100.0, 0x0'; echo nothing; echo '1400, 50.0, 0x8'; exec sleep 600",
        ]);
        let start = Instant::now();
        let card = Card::of(command).expect("a shell");
        while card.since(start).len() < 2 && start.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        let seen: Vec<f64> = card.since(start).iter().map(|it| it.ghz).collect();
        assert_eq!(seen, [1.5, 1.4]);
        // A moment later nothing new has come: the last one still holds.
        let last = card.since(Instant::now());
        assert_eq!(last.iter().map(|it| it.reasons).collect::<Vec<_>>(), [8]);
    }
}
