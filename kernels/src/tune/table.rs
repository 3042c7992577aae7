use super::{Key, Named, device};
use crate::{Client, DType};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

/// The version of the files.
const FORMAT: u32 = 1;

/// The variable that asks for a table: 1 for that of the device, or its file.
const VARIABLE: &str = "GHOSTLIGHT_TUNED";

/// Choices that were measured on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    format: u32,
    /// The device, as [`device()`] names it.
    pub device: String,
    /// What is chosen otherwise than by the rule.
    pub choices: Vec<Chosen>,
}

/// A choice that was found to be faster than the rule's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// The kernel.
    pub op: String,
    /// The element type of the tensors: `f32`.
    pub dtype: String,
    /// The numbers of the class: `rows=128 depth=64 columns=32`.
    pub class: Named,
    /// What is chosen: `rows=12 vectors=2`.
    pub sizes: Named,
    /// The problem it was measured on, `op/phase/case`.
    pub on: String,
    /// The rule's time over that of this choice.
    pub gain: f64,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Nobody says where tables lie.
    #[error("this user's folder for caches is not known: set HOME, or name the table's file")]
    NoFolder,
    /// Nobody tuned this device.
    #[error(
        "{}: there is no table for this device ({device}): `cargo xtask bench tune FILTER` makes one", path.display()
    )]
    None {
        /// Where it would lie.
        path: PathBuf,
        /// The device.
        device: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no table.
    #[error("{}: {reason}; remove it, and `cargo xtask bench tune FILTER` makes a new one", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The table was measured on another device.
    #[error(
        "{}: field device: measured on `{found}`, and this is `{here}`: tune this one with `cargo xtask bench tune FILTER`, or leave the table out", path.display()
    )]
    Device {
        /// Which.
        path: PathBuf,
        /// The device it was measured on.
        found: String,
        /// The device at hand.
        here: String,
    },
}

impl Table {
    /// An empty one for the device of `client`.
    pub fn new(client: &Client) -> Self {
        Self {
            format: FORMAT,
            device: device(client),
            choices: Vec::new(),
        }
    }

    /// Where the table of `client`'s device lies: in this user's folder for caches.
    ///
    /// # Errors
    /// [`TableError::NoFolder`].
    pub fn path(client: &Client) -> Result<PathBuf, TableError> {
        let folder = dirs::cache_dir().ok_or(TableError::NoFolder)?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric();
        let device = device(client);
        let words = device
            .split(|letter| !is_plain(letter))
            .filter(|word| !word.is_empty());
        let name: Vec<String> = words.map(str::to_lowercase).collect();
        Ok(folder
            .join("ghostlight/tuned")
            .join(format!("{}.json", name.join("-"))))
    }

    /// The table of `file`, or that of the device where there is none, for `client`'s device.
    ///
    /// # Errors
    /// In this order: nobody says where tables lie, there is none, the file cannot be read, is no table, or is another device's.
    pub fn read(client: &Client, file: Option<&Path>) -> Result<Self, TableError> {
        let path = match file {
            Some(file) => file.to_path_buf(),
            None => Self::path(client)?,
        };
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if file.is_none() => TableError::None {
                path: path.clone(),
                device: device(client),
            },
            _ => TableError::File {
                path: path.clone(),
                source,
            },
        })?;
        let wrong = |reason: String| TableError::Format {
            path: path.clone(),
            reason,
        };
        let table: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if table.format != FORMAT {
            return Err(wrong(format!("format {}, wanted {FORMAT}", table.format)));
        }
        if let Some(other) = table.choices.iter().find(|it| it.dtype().is_none()) {
            return Err(wrong(format!(
                "no element type is called `{}`",
                other.dtype
            )));
        }
        let here = device(client);
        if table.device != here {
            let found = table.device;
            return Err(TableError::Device { path, found, here });
        }
        Ok(table)
    }

    /// Writes it, whole or not at all, and makes the folder that it lies in.
    ///
    /// # Errors
    /// [`TableError::File`].
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        let failed = |source| TableError::File {
            path: path.into(),
            source,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        // Beside its place: only within a file system a file can be renamed.
        let unfinished = path.with_extension(format!("{}.part", std::process::id()));
        let written = fs::File::create(&unfinished).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&unfinished, path));
        renamed.map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            failed(source)
        })
    }

    /// Keeps what a class takes; none where the rule is to hold.
    pub fn keep(&mut self, key: &Key, chosen: Option<Chosen>) {
        self.choices.retain(|other| !other.is_for(key));
        self.choices.extend(chosen);
    }
}

impl Chosen {
    fn dtype(&self) -> Option<DType> {
        DType::ALL
            .into_iter()
            .find(|dtype| dtype.name() == self.dtype)
    }

    fn is_for(&self, key: &Key) -> bool {
        self.op == key.op && self.dtype() == Some(key.dtype) && self.class == key.class
    }
}

/// A table as launches ask for it: by operation, element type and the numbers of the class.
type Index = HashMap<String, HashMap<(DType, Vec<usize>), Chosen>>;

static IS_IN_USE: AtomicBool = AtomicBool::new(false);
static IN_USE: RwLock<Option<Arc<Index>>> = RwLock::new(None);

/// Lets every launch of this process that asks choose by `table`, whatever thread it comes from.
pub fn use_table(table: &Table) {
    let mut index = Index::new();
    for chosen in &table.choices {
        if let Some(dtype) = chosen.dtype() {
            let of = index.entry(chosen.op.clone()).or_default();
            of.insert((dtype, chosen.class.values()), chosen.clone());
        }
    }
    put(Some(Arc::new(index)));
}

/// Takes the table into use that a command line asks for by `--tuned` or `--tuned=FILE`, or else the variable `GHOSTLIGHT_TUNED`: 1 for that of
/// `client`'s device, the name of a file for another one, nothing or 0 for none. Returns how many choices it has; none where nobody asks.
///
/// # Errors
/// Those of [`Table::read`].
pub fn use_asked(
    client: impl FnOnce() -> Client,
    told: Option<Option<&Path>>,
) -> Result<Option<usize>, TableError> {
    let variable = std::env::var_os(VARIABLE).map(PathBuf::from);
    let told = told.map(|file| file.map(Path::to_path_buf));
    let Some(file) = told.or_else(|| asked(variable)) else {
        return Ok(None);
    };
    let table = Table::read(&client(), file.as_deref())?;
    use_table(&table);
    Ok(Some(table.choices.len()))
}

/// What the variable asks for.
fn asked(variable: Option<PathBuf>) -> Option<Option<PathBuf>> {
    match variable? {
        value if value.as_os_str().is_empty() || value == Path::new("0") => None,
        value if value == Path::new("1") => Some(None),
        file => Some(Some(file)),
    }
}

/// Lets the rules hold again.
pub fn use_rules() {
    put(None);
}

fn put(index: Option<Arc<Index>>) {
    let mut in_use = IN_USE.write().unwrap_or_else(|error| error.into_inner());
    IS_IN_USE.store(index.is_some(), Ordering::Relaxed);
    *in_use = index;
}

/// Whether there is a table at all.
pub(super) fn is_in_use() -> bool {
    IS_IN_USE.load(Ordering::Relaxed)
}

/// What the table in use says of a class, where it means what the caller means by it.
pub(super) fn in_use<const C: usize, const T: usize>(
    op: &str,
    dtype: DType,
    (names, class): ([&str; C], [usize; C]),
    sizes: [&str; T],
) -> Option<[usize; T]> {
    let in_use = IN_USE.read().unwrap_or_else(|error| error.into_inner());
    let chosen = in_use.as_ref()?.get(op)?.get(&(dtype, class.to_vec()))?;
    chosen.class.values_of(names)?;
    chosen.sizes.values_of(sizes)
}
