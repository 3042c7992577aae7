//! Files that are replaced whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::RunError;

/// Replaces the file at `path` by `bytes`: written beside it, synced, renamed. After a crash at any moment the old or the
/// new contents are there, whole; after an error the old.
///
/// Error: [`RunError::Io`] with the operating system's reason.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let part = part_path(path);
    let replaced = write_synced(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .and_then(|()| sync_folder(parent(path)));
    replaced.map_err(|reason| {
        _ = fs::remove_file(&part);
        RunError::io("write", path, reason)
    })
}

/// One fixed name per file: what a killed process leaves behind, the next write replaces.
pub(super) fn part_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    where_possible(file.sync_all())
}

/// Puts the names in `folder` on disk: a file that was made, or renamed, is there after a power cut only once its folder is.
///
/// Where that cannot be asked for, on Windows and on some network file systems, nothing is lost by going on.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    SYNCED.with_borrow_mut(|synced| synced.push(folder.into()));
    if !cfg!(unix) {
        return Ok(());
    }
    sync_opened(File::open(folder))
}

fn sync_opened(folder: io::Result<File>) -> io::Result<()> {
    match folder {
        // A folder that may be written to but not listed.
        Err(reason) if reason.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(reason) => Err(reason),
        Ok(folder) => where_possible(folder.sync_all()),
    }
}

/// The folder that `path` lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Lets a file system that knows no syncing pass, and no other reason.
fn where_possible(synced: io::Result<()>) -> io::Result<()> {
    let unknown = |reason: &io::Error| {
        matches!(
            reason.kind(),
            ErrorKind::InvalidInput | ErrorKind::Unsupported
        )
    };
    match synced {
        Err(reason) if unknown(&reason) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
thread_local! {
    /// The folders that this thread has synced, in order.
    pub(super) static SYNCED: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect()
    }

    #[test]
    fn the_new_contents_replace_the_old_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"a longer first version").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_a_killed_process_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(part_path(&path), "half of a much longer vers").unwrap();
        write_atomic(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_failed_write_names_the_file_and_the_reason_and_leaves_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("something"), "").unwrap();
        let message = write_atomic(&path, b"new").unwrap_err().to_string();
        assert!(
            message.contains("taken: ") && message.contains("os error"),
            "{message}"
        );
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(write_atomic(&folder.path().join("no/such/folder"), b"").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_system_that_cannot_sync_a_folder_is_no_reason_to_stop() {
        // The kernel's own refuses as some network file systems do.
        let reason = File::open("/proc").unwrap().sync_all().unwrap_err();
        assert_eq!(reason.kind(), ErrorKind::InvalidInput);
        sync_folder(Path::new("/proc")).unwrap();
        assert!(sync_folder(Path::new("/nowhere")).is_err());
        sync_opened(Err(ErrorKind::PermissionDenied.into())).unwrap();
        let full = io::Error::from(ErrorKind::StorageFull);
        assert!(where_possible(Err(full)).is_err());
    }
}
