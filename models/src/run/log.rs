//! The run's diary: one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::atomic::{parent, sync_folder};
use super::{RunError, write_atomic};
use ghostlight_kernels::planted;

/// `metrics.jsonl`, open for appending.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
}

impl MetricsLog {
    /// Opens or creates the file, and waits until its name is on the disk: a checkpoint that outlived the file would be
    /// of no use.
    ///
    /// Error: [`Io`](RunError::Io).
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let open = || {
            let file = OpenOptions::new()
                .create(true)
                .read(true)
                .write(true)
                .truncate(false)
                .open(path)?;
            if !planted::is("diary_without_its_folder") {
                sync_folder(parent(path))?;
            }
            Ok(file)
        };
        let file = open().map_err(|reason| RunError::io("open", path, reason))?;
        Ok(Self {
            file,
            path: path.into(),
        })
    }

    /// Appends one line and waits until it is on the disk: the checkpoint that follows relies on it.
    pub fn append(&mut self, entry: &impl Serialize) -> Result<(), RunError> {
        let mut line =
            serde_json::to_vec(entry).map_err(|reason| RunError::encode(&self.path, reason))?;
        line.push(b'\n');
        self.file
            .seek(SeekFrom::End(0))
            .and_then(|_| self.file.write_all(&line))
            .and_then(|()| self.file.sync_data())
            .map_err(|reason| RunError::io("write", &self.path, reason))
    }

    /// Every line that is whole, in order.
    ///
    /// Error: [`Io`](RunError::Io). A line that a kill cut short is passed over.
    pub fn lines(&mut self) -> Result<Vec<Value>, RunError> {
        let text = self.text()?;
        Ok(whole(&text).map(|(_, value)| value).collect())
    }

    /// Forgets the lines of `phase` past its first `epochs` epochs: those a killed run wrote after its last checkpoint.
    ///
    /// Errors, in order: [`Io`](RunError::Io); [`MetricsCutShort`](RunError::MetricsCutShort) if earlier lines are missing.
    pub fn keep_epochs(&mut self, phase: &str, epochs: usize) -> Result<(), RunError> {
        let text = self.text()?;
        let (mut kept, mut found) = (String::new(), 0);
        for (line, value) in whole(&text) {
            let belongs = value["phase"] == phase;
            let epoch = value["epoch"].as_u64();
            let late = epoch.is_none_or(|epoch| epoch > epochs as u64);
            if !belongs || !late || planted::is("epochs_twice_in_the_diary") {
                kept.extend([line, "\n"]);
                found += usize::from(belongs);
            }
        }
        if found < epochs {
            let (path, phase) = (self.path.clone(), phase.to_string());
            return Err(RunError::MetricsCutShort {
                path,
                phase,
                expected: epochs,
                found,
            });
        }
        if kept != text {
            // Emptied and written anew, the file would lose every line to a kill or a full disk in between.
            write_atomic(&self.path, kept.as_bytes())?;
            *self = Self::open(&self.path)?;
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, RunError> {
        let mut text = String::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_string(&mut text))
            .map_err(|reason| RunError::io("read", &self.path, reason))?;
        Ok(text)
    }
}

/// The lines that are whole, each with its value.
fn whole(text: &str) -> impl Iterator<Item = (&str, Value)> {
    text.lines()
        .filter_map(|line| Some((line, serde_json::from_str(line).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::super::atomic::SYNCED;
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_after_the_checkpoint_and_half_lines_are_forgotten_on_resume() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        let line = |phase, epoch| json!({"epoch": epoch, "phase": phase});
        let written = [
            ("teacher", 1),
            ("teacher", 2),
            ("student", 1),
            ("student", 2),
        ];
        for (phase, epoch) in written {
            log.append(&line(phase, epoch)).unwrap();
        }
        drop(log);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"epoch\":3,\"pha").unwrap();
        drop(file);
        let mut log = MetricsLog::open(&path).unwrap();
        log.keep_epochs("teacher", 2).unwrap();
        log.keep_epochs("student", 1).unwrap();
        let again = json!({"epoch": 2, "phase": "student", "again": true});
        log.append(&again).unwrap();
        let wanted = [("teacher", 1), ("teacher", 2), ("student", 1)]
            .map(|(phase, epoch)| line(phase, epoch));
        let wanted = [&wanted[..], &[again]].concat();
        assert_eq!(log.lines().unwrap(), wanted);
    }

    #[test]
    fn a_log_shorter_than_the_checkpoint_says_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        log.append(&json!({"phase": "teacher", "epoch": 1}))
            .unwrap();
        let refused = log.keep_epochs("teacher", 2);
        assert!(matches!(
            refused,
            Err(RunError::MetricsCutShort {
                expected: 2,
                found: 1,
                ..
            })
        ));
        assert_eq!(log.lines().unwrap().len(), 1);
    }

    #[test]
    fn the_name_of_a_new_log_is_on_the_disk_before_a_checkpoint_counts_on_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        SYNCED.take();
        MetricsLog::open(&folder.path().join("metrics.jsonl")).unwrap();
        assert_eq!(SYNCED.take(), [folder.path()]);
    }
}
