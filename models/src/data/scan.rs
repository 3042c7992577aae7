//! Which classes and image files a data folder holds, in which order.

use super::DataError;
use super::decode::{ACCEPTED, is_image_name};
use std::path::{Path, PathBuf};

/// An image file, not yet decoded.
pub(super) struct Source {
    pub path: PathBuf,
    /// Relative to the data folder, `/` between the parts.
    pub name: String,
    pub label: u32,
}

/// Class names, their images in order, and the number of files ignored.
pub(super) fn scan(dir: &Path) -> Result<(Vec<String>, Vec<Source>, usize), DataError> {
    if !dir.exists() {
        return Err(DataError::Missing {
            dir: dir.to_path_buf(),
        });
    }
    if !dir.is_dir() {
        return Err(DataError::NotAFolder {
            dir: dir.to_path_buf(),
        });
    }
    let (folders, files): (Vec<_>, Vec<_>) = entries(dir)?.into_iter().partition(|p| p.is_dir());
    let classes: Vec<String> = folders.iter().map(|f| name_of(f)).collect();
    match classes.as_slice() {
        [] => {
            return Err(DataError::NoClasses {
                dir: dir.to_path_buf(),
                files: files.len(),
            });
        }
        [class] => {
            return Err(DataError::OneClass {
                dir: dir.to_path_buf(),
                class: class.clone(),
            });
        }
        _ => {}
    }
    let (mut sources, mut ignored) = (Vec::new(), files.len());
    for (label, (folder, class)) in folders.iter().zip(&classes).enumerate() {
        let (images, others): (Vec<_>, Vec<_>) =
            entries(folder)?.into_iter().partition(|p| is_image_name(p));
        if images.is_empty() {
            let (class, ignored) = (class.clone(), others.len());
            return Err(DataError::EmptyClass {
                class,
                ignored,
                accepted: ACCEPTED,
            });
        }
        ignored += others.len();
        sources.extend(images.into_iter().map(|path| Source {
            name: format!("{class}/{}", name_of(&path)),
            path,
            label: label as u32,
        }));
    }
    check_class_sizes(&classes, &sources)?;
    Ok((classes, sources, ignored))
}

/// What a folder holds, hidden entries left out, in the byte order of the names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| DataError::Io {
        path: dir.to_path_buf(),
        source,
    };
    let mut paths = std::fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(io)?;
    paths.retain(|p| {
        p.file_name()
            .is_some_and(|n| !n.as_encoded_bytes().starts_with(b"."))
    });
    paths.sort_unstable_by(|a, b| {
        let bytes = |p: &PathBuf| p.file_name().map(|n| n.as_encoded_bytes().to_vec());
        bytes(a).cmp(&bytes(b))
    });
    Ok(paths)
}

/// The last part of a path; of `.` or `..`, that of the folder it stands for.
pub(super) fn name_of(path: &Path) -> String {
    let absolute = || path.canonicalize().ok();
    match path.file_name().map(|n| n.to_owned()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => absolute()
            .and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
            .unwrap_or_else(|| path.to_string_lossy().into_owned()),
    }
}

/// Whether each class has the two images that a split needs.
pub(super) fn check_class_sizes(classes: &[String], sources: &[Source]) -> Result<(), DataError> {
    let mut images = vec![0; classes.len()];
    for source in sources {
        images[source.label as usize] += 1;
    }
    match images.iter().position(|&n| n < 2) {
        Some(c) => Err(DataError::ClassTooSmall {
            class: classes[c].clone(),
            images: images[c],
        }),
        None => Ok(()),
    }
}
