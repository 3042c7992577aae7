//! Which classes and image files a data folder holds, in which order, and what it holds besides.

use super::crop::Crop;
use super::decode::{ACCEPTED, is_image_name};
use super::passed_over::{PassedOver, kind};
use super::{BadFile, DataError, Layout, LeftOut, stop};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What operating systems, file servers and archives put beside a person's files, in any case. Names with a leading dot are left out too.
const NOT_DATA: [&str; 13] = [
    "__MACOSX",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Icon\r",
    "lost+found",
    "$RECYCLE.BIN",
    "RECYCLER",
    "System Volume Information",
    "@eaDir",
    "@Recycle",
    "#recycle",
    "__pycache__",
];

/// An image, not yet decoded.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The file that holds it.
    pub path: PathBuf,
    /// The file relative to the data folder, `/` between the parts; for one of its objects `#` and a number behind it.
    pub name: String,
    pub label: u32,
    /// Which part of the file's image it is; `None` for all of it.
    pub crop: Option<Crop>,
}

impl Source {
    /// The file's name relative to the data folder.
    pub(super) fn file(&self) -> &str {
        match self.crop {
            Some(_) => file_of(&self.name),
            None => &self.name,
        }
    }
}

/// The file of the object called `name`.
pub(super) fn file_of(name: &str) -> &str {
    name.rsplit_once('#').map_or(name, |(file, _)| file)
}

/// A class folder.
struct Found {
    name: String,
    /// Name relative to the data folder, and path.
    images: Vec<(String, PathBuf)>,
    /// Other files in it.
    others: usize,
}

/// A data folder, listed. The images of one file follow each other.
pub(super) struct Listing {
    pub layout: Layout,
    pub classes: Vec<String>,
    pub sources: Vec<Source>,
    pub passed_over: PassedOver,
    pub left_out: LeftOut,
    /// Annotations that cannot be used.
    pub broken: Vec<BadFile>,
}

/// Lists `dir/CLASS/inner/**/IMAGE`. With `known` classes, labels are indices into them, and there may be any number of images of each;
/// otherwise the folders are the classes, and each must hold what a split needs.
pub(super) fn scan(
    dir: &Path,
    inner: Option<&str>,
    known: Option<&[String]>,
    stop: &AtomicBool,
) -> Result<Listing, DataError> {
    let (folders, files): (Vec<_>, Vec<_>) = entries(dir)?.into_iter().partition(|p| p.is_dir());
    let mut passed_over = PassedOver::default();
    for file in &files {
        let kind = match is_image_name(file) {
            true => "images outside of a class folder".to_string(),
            false => kind(file),
        };
        passed_over.add(kind, name_of(file));
    }
    let mut found: Vec<Found> = Vec::new();
    for folder in folders {
        let class = name_of(&folder);
        let mut walk = Walk::new(&mut passed_over, stop);
        match inner {
            Some(inner) if folder.join(inner).is_dir() => {
                walk.enter(&folder.join(inner), &format!("{class}/{inner}"))?;
            }
            Some(_) => continue,
            None => walk.enter(&folder, &class)?,
        }
        // A folder of runs is no class, nor is a run.
        if !(walk.images.is_empty() && walk.met_a_run) {
            found.push(Found {
                name: class,
                images: walk.images,
                others: walk.others,
            });
        }
    }
    let classes = match known {
        Some(known) => {
            found.retain(|class| !class.images.is_empty());
            check_known(dir, known, found.iter().map(|class| &class.name))?;
            known.to_vec()
        }
        None => {
            let classes: Vec<String> = found.iter().map(|class| class.name.clone()).collect();
            check_trainable(dir, &classes, files.len())?;
            if inner.is_none() {
                check_no_splits(dir, &found)?;
            }
            if let Some(empty) = found.iter().find(|class| class.images.is_empty()) {
                return Err(DataError::EmptyClass {
                    class: empty.name.clone(),
                    ignored: empty.others,
                    accepted: ACCEPTED,
                });
            }
            classes
        }
    };
    let mut sources = Vec::new();
    for Found {
        name: class,
        images,
        ..
    } in found
    {
        // Every class found is one of `classes` by now.
        let label = classes.iter().position(|c| *c == class).unwrap_or_default() as u32;
        let source = |(name, path)| Source {
            path,
            name,
            label,
            crop: None,
        };
        sources.extend(images.into_iter().map(source));
    }
    Ok(Listing {
        layout: Layout::Folders,
        classes,
        sources,
        passed_over,
        left_out: LeftOut::default(),
        broken: Vec::new(),
    })
}

/// The images of one class.
pub(super) struct Walk<'a> {
    /// Name relative to the data folder, and path.
    pub images: Vec<(String, PathBuf)>,
    others: usize,
    all_files: bool,
    met_a_run: bool,
    passed_over: &'a mut PassedOver,
    stop: &'a AtomicBool,
    /// Folders entered, links resolved: one that links to a folder around it would never end.
    entered: HashSet<PathBuf>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(passed_over: &'a mut PassedOver, stop: &'a AtomicBool) -> Self {
        Self {
            images: Vec::new(),
            others: 0,
            all_files: false,
            met_a_run: false,
            passed_over,
            stop,
            entered: HashSet::new(),
        }
    }

    /// The same, taking every file for an image.
    pub(super) fn of_all_files(self) -> Self {
        Self {
            all_files: true,
            ..self
        }
    }

    pub(super) fn enter(&mut self, folder: &Path, name: &str) -> Result<(), DataError> {
        if is_run(folder) {
            self.met_a_run = true;
            return Ok(());
        }
        let resolved = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf());
        if !self.entered.insert(resolved) {
            return Ok(());
        }
        for path in entries(folder)? {
            stop::check(self.stop)?;
            let name = format!("{name}/{}", name_of(&path));
            if path.is_dir() {
                self.enter(&path, &name)?;
            } else if self.all_files || is_image_name(&path) {
                self.images.push((name, path));
            } else {
                self.others += 1;
                self.passed_over.add(kind(&path), name);
            }
        }
        Ok(())
    }
}

/// Whether the folder is what training leaves behind.
fn is_run(folder: &Path) -> bool {
    folder.join("recipe.toml").is_file()
}

/// The folders in `dir` that may be classes, in the order of their names.
pub(super) fn visible_folders(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = entries(dir)?;
    let runs = |path: &Path| {
        is_run(path) || entries(path).is_ok_and(|inner| inner.iter().any(|it| is_run(it)))
    };
    folders.retain(|path| path.is_dir() && !runs(path));
    Ok(folders)
}

/// What a folder holds in the byte order of the names, hidden entries and those that are no person's left out.
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
        let name = name_of(p);
        !name.starts_with('.') && !NOT_DATA.iter().any(|n| n.eq_ignore_ascii_case(&name))
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

pub(super) fn check_trainable(
    dir: &Path,
    classes: &[String],
    files: usize,
) -> Result<(), DataError> {
    let dir = dir.to_path_buf();
    match classes {
        [] => Err(DataError::NoClasses { dir, files }),
        [class] => Err(DataError::OneClass {
            dir,
            class: class.clone(),
        }),
        _ => Ok(()),
    }
}

/// Names under which data sets that were divided already hold their classes.
const SPLITS: [&str; 9] = [
    "train",
    "training",
    "test",
    "testing",
    "val",
    "valid",
    "validation",
    "dev",
    "eval",
];

/// Refuses folders such as `train` and `test` that hold class folders: they would be taken for two classes.
fn check_no_splits(dir: &Path, found: &[Found]) -> Result<(), DataError> {
    let is_split = |class: &Found| {
        let named = SPLITS
            .iter()
            .any(|name| class.name.eq_ignore_ascii_case(name));
        let nested = |(name, _): &(String, PathBuf)| name.matches('/').count() > 1;
        named && !class.images.is_empty() && class.images.iter().all(nested)
    };
    let splits: Vec<_> = found.iter().filter(|class| is_split(class)).collect();
    match splits.as_slice() {
        [first, second, ..] => Err(DataError::SplitFolders {
            dir: dir.to_path_buf(),
            first: first.name.clone(),
            second: second.name.clone(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_known<'a>(
    dir: &Path,
    known: &[String],
    found: impl Iterator<Item = &'a String>,
) -> Result<(), DataError> {
    let found: Vec<String> = found.cloned().collect();
    if found.is_empty() {
        return Err(DataError::NoImages {
            purpose: "evaluate",
        });
    }
    let unknown: Vec<String> = found.into_iter().filter(|c| !known.contains(c)).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(DataError::UnknownClasses {
            dir: dir.to_path_buf(),
            unknown,
            known: known.to_vec(),
        }),
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

#[cfg(test)]
mod tests;
