//! What annotation files hold, whatever their format.

use crate::data::crop::Outline;

/// An object of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    pub class: String,
    pub outline: Outline,
    pub difficult: bool,
    /// Where it begins in its file, from 1.
    pub line: u32,
}

/// What of a file cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Broken {
    pub line: u32,
    pub reason: String,
}

/// An annotation file: its objects in order, those that are broken among them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Annotation {
    /// Height and width of the image, where the file says so.
    pub size: Option<(usize, usize)>,
    pub objects: Vec<Result<Object, Broken>>,
}

impl Annotation {
    /// A file of which nothing can be used.
    pub(super) fn broken(line: u32, reason: String) -> Self {
        Self {
            size: None,
            objects: vec![Err(Broken { line, reason })],
        }
    }
}
