//! How a data folder is laid out, and which labelled images it holds under that layout.
//!
//! | layout | what lies there | images |
//! |---|---|---|
//! | folders | `CLASS/**/IMAGE` | the files |
//! | RSOD | `CLASS/JPEGImages/IMAGE`, `CLASS/Annotation/xml/IMAGE.xml` (Pascal VOC) | the files, by folder, or their objects |
//! | DOTA | `images/**/IMAGE`, `labelTxt/**/IMAGE.txt` | the objects |

mod annotation;
mod dota;
mod objects;
mod options;
mod voc;

pub use options::{LeftOut, ObjectOptions, Objects};

use super::DataError;
use super::folder::LoadOptions;
use super::scan::{Listing, scan, visible_folders};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Folder of an RSOD class that holds its images.
const RSOD_IMAGES: &str = "JPEGImages";
/// Folder of an RSOD class that holds its annotations, one XML file for each image.
const RSOD_XML: &str = "Annotation/xml";
/// Folder of DOTA that holds the images.
const DOTA_IMAGES: &str = "images";
/// Folder of DOTA that holds the annotations, one text file for each image.
const DOTA_LABELS: &str = "labelTxt";

/// How a data folder is laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// What its folders' names say: RSOD, DOTA, or else a folder for each class.
    #[default]
    Auto,
    /// A folder for each class, with its images in as many subfolders as it likes.
    Folders,
    /// RSOD: a folder for each class with `JPEGImages` and `Annotation/xml`, which holds Pascal VOC files.
    Rsod,
    /// DOTA: `images` and `labelTxt`, which holds a text file for each image.
    Dota,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "any layout",
            Self::Folders => "a folder for each class",
            Self::Rsod => "RSOD (JPEGImages and Annotation/xml in a folder for each class)",
            Self::Dota => "DOTA (images and labelTxt)",
        })
    }
}

impl Layout {
    /// The layout of `dir`; never [`Auto`](Self::Auto).
    pub(super) fn of(dir: &Path) -> Result<Self, DataError> {
        let is_rsod = |folder: &Path| folder.join(RSOD_IMAGES).is_dir();
        let annotated = |folder: &Path| folder.join(RSOD_XML).is_dir();
        if dir.join(DOTA_IMAGES).is_dir() && dir.join(DOTA_LABELS).is_dir() {
            return Ok(Self::Dota);
        }
        let classes = visible_folders(dir)?;
        let rsod = classes.iter().all(|folder| is_rsod(folder))
            && classes.iter().any(|folder| annotated(folder));
        Ok(if rsod { Self::Rsod } else { Self::Folders })
    }
}

/// The images of `dir` under the layout that `options` name or its folders' names give.
pub(super) fn list(dir: &Path, options: &LoadOptions) -> Result<Listing, DataError> {
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
    let found = Layout::of(dir)?;
    let layout = match options.layout {
        Layout::Auto => found,
        Layout::Folders => Layout::Folders,
        asked if asked == found => asked,
        asked => {
            return Err(DataError::OtherLayout {
                dir: dir.to_path_buf(),
                asked,
                found,
            });
        }
    };
    let wanted = options.objects;
    match (layout, wanted.how) {
        (Layout::Dota, Objects::Scenes) => Err(DataError::NoScenes {
            dir: dir.to_path_buf(),
        }),
        // A run on objects is evaluated on crops that lie in folders as well.
        (Layout::Folders, Objects::Upright | Objects::Axis) if options.classes.is_none() => {
            Err(DataError::NoObjects {
                dir: dir.to_path_buf(),
            })
        }
        (Layout::Dota, _) => objects::dota(dir, options),
        (Layout::Rsod, Objects::Upright | Objects::Axis) => objects::rsod(dir, options),
        (Layout::Rsod, _) => scan(dir, Some(RSOD_IMAGES), options.classes, options.stop),
        (Layout::Folders | Layout::Auto, _) => scan(dir, None, options.classes, options.stop),
    }
    .map(|listing| Listing { layout, ..listing })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
