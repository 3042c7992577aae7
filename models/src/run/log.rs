//! The run's diary: one JSON object a line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::RunError;

/// `metrics.jsonl`, open for appending and locked against other processes.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
    length: u64,
}

impl MetricsLog {
    /// Opens or creates the file and cuts it at byte `position`.
    ///
    /// Errors, in order: [`Io`](RunError::Io); [`InUse`](RunError::InUse);
    /// [`MetricsCutShort`](RunError::MetricsCutShort) if the file ends before `position`.
    pub fn open(path: &Path, position: u64) -> Result<Self, RunError> {
        let failed = |reason| RunError::io("open", path, reason);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        // Some network file systems have no locks: go on without one there.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(RunError::InUse { path: path.into() });
        }
        let length = file.metadata().map_err(failed)?.len();
        let mut log = Self {
            file,
            path: path.into(),
            length,
        };
        log.truncate_to(position)?;
        Ok(log)
    }

    /// Appends one line.
    pub fn append(&mut self, entry: &impl Serialize) -> Result<(), RunError> {
        let mut line =
            serde_json::to_vec(entry).map_err(|reason| RunError::encode(&self.path, reason))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|reason| RunError::io("write", &self.path, reason))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Bytes written so far, all of them on disk: a checkpoint may rely on them.
    pub fn position(&self) -> Result<u64, RunError> {
        self.file
            .sync_data()
            .map_err(|reason| RunError::io("write", &self.path, reason))?;
        Ok(self.length)
    }

    /// Forgets everything from byte `position` on.
    pub fn truncate_to(&mut self, position: u64) -> Result<(), RunError> {
        if position > self.length {
            return Err(RunError::MetricsCutShort {
                path: self.path.clone(),
                expected: position,
                found: self.length,
            });
        }
        let cut = self
            .file
            .set_len(position)
            .and_then(|()| self.file.seek(SeekFrom::Start(position)));
        self.length = cut.map_err(|reason| RunError::io("write", &self.path, reason))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_after_the_checkpoint_are_forgotten_on_resume() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        log.append(&serde_json::json!({"epoch": 1})).unwrap();
        let position = log.position().unwrap();
        log.append(&serde_json::json!({"epoch": 2, "note": "never reached a checkpoint"}))
            .unwrap();
        drop(log);
        let mut log = MetricsLog::open(&path, position).unwrap();
        log.append(&serde_json::json!({"epoch": 2})).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"epoch\":1}\n{\"epoch\":2}\n"
        );
        assert_eq!(log.position().unwrap(), fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn a_log_shorter_than_the_checkpoint_says_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let refused = MetricsLog::open(&path, 12);
        assert!(matches!(
            refused,
            Err(RunError::MetricsCutShort {
                expected: 12,
                found: 3,
                ..
            })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
    }

    #[test]
    fn two_writers_of_one_log_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let _first = MetricsLog::open(&path, 0).unwrap();
        assert!(matches!(
            MetricsLog::open(&path, 0),
            Err(RunError::InUse { .. })
        ));
    }
}
