//! Names for runs that were given none: the date and time in UTC, which sort by age.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes a folder under `parent` that nobody else has; runs of the same second are numbered.
pub(super) fn claim(parent: &Path) -> io::Result<PathBuf> {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    claim_at(parent, seconds)
}

/// That a folder is not there says nothing about the next moment: whoever makes it has it.
fn claim_at(parent: &Path, unix_seconds: u64) -> io::Result<PathBuf> {
    let name = date_time(unix_seconds);
    let mut path = parent.join(&name);
    for number in 2.. {
        match fs::create_dir(&path) {
            Err(reason) if reason.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
        path = parent.join(format!("{name}-{number}"));
    }
    unreachable!("there are more numbers than folders")
}

/// `2026-11-21-102252` in the Gregorian calendar.
fn date_time(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Years begin in March here, so that the leap day is a year's last; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_around_leap_days_and_turns_of_the_year_have_their_dates() {
        for (seconds, name) in [
            (0, "1970-01-01-000000"),
            (3_725, "1970-01-01-010205"),
            (951_782_399, "2000-02-28-235959"),
            (951_782_400, "2000-02-29-000000"),
            (951_868_800, "2000-03-01-000000"),
            (1_735_689_599, "2024-12-31-235959"),
            (4_107_542_400, "2100-03-01-000000"),
        ] {
            assert_eq!(date_time(seconds), name);
        }
    }

    #[test]
    fn a_run_gets_a_folder_of_its_own_or_is_told_why_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = claim(folder.path()).unwrap();
        assert!(path.is_dir() && path.parent() == Some(folder.path()));
        let nowhere = claim_at(&folder.path().join("missing"), 0);
        assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn runs_of_the_same_second_are_numbered_and_none_is_given_out_twice() {
        let folder = tempfile::tempdir().unwrap();
        let claims = || {
            let claim = |_| claim_at(folder.path(), 0).unwrap();
            (0..25).map(claim).collect::<Vec<_>>()
        };
        let mut all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claims)).collect();
            let made = threads.into_iter().map(|thread| thread.join().unwrap());
            made.collect::<Vec<_>>().concat()
        });
        assert!(all.contains(&folder.path().join("1970-01-01-000000")));
        assert!(all.contains(&folder.path().join("1970-01-01-000000-100")));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 100);
    }
}
