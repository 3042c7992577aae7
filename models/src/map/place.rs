//! Where a scene lies on the earth, kept for what is made of it.
//!
//! A GeoTIFF (OGC 19-008r4) says so in its tags, other images by a world file beside them: six lines that give the affine map from pixels to
//! coordinates. Coordinates may refer to a pixel's corner or to its middle; here they are those of the upper left corner.

use super::MapError;
use ghostlight_kernels::planted;
use std::fs::{self, File};
use std::io::{BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use tiff::TiffResult;
use tiff::decoder::Decoder;
use tiff::encoder::{DirectoryEncoder, TiffKind};
use tiff::tags::Tag;

/// The key that says what coordinates refer to, and its value for a pixel's middle.
const RASTER_TYPE: u16 = 1025;
const PIXEL_IS_POINT: u16 = 2;
/// A directory of GeoKeys with nothing in it but that coordinates refer to a pixel's corner.
const NO_SYSTEM: [u16; 8] = [1, 1, 0, 1, RASTER_TYPE, 0, 1, 1];

/// An affine map from the upper left corners of pixels to coordinates, and the system that these are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// x = a column + b row + c, y = d column + e row + f, as `[a, b, c, d, e, f]`.
    pub affine: [f64; 6],
    /// The system of coordinates, as a GeoTIFF has it; `None` where only a world file tells the place.
    pub keys: Option<GeoKeys>,
    /// The file that told it.
    pub source: PathBuf,
}

/// A GeoTIFF's system of coordinates, not looked into.
#[derive(Debug, Clone, PartialEq)]
pub struct GeoKeys {
    directory: Vec<u16>,
    doubles: Vec<f64>,
    ascii: Option<String>,
}

impl GeoKeys {
    /// Whether coordinates refer to a pixel's middle.
    fn is_point(&self) -> bool {
        let mut keys = self.directory.get(4..).unwrap_or_default().chunks_exact(4);
        keys.any(|key| key == [RASTER_TYPE, 0, 1, PIXEL_IS_POINT])
    }
}

impl Place {
    /// The place of the image at `path`: that of its tags, else that of its world file, else none.
    ///
    /// # Errors
    /// [`MapError::GeoTags`], [`MapError::WorldFile`] for a place that cannot be understood.
    pub fn of(path: &Path) -> Result<Option<Self>, MapError> {
        match tags(path)? {
            Some(place) => Ok(Some(place)),
            None => world_file(path)?
                .map(|file| read_world_file(&file))
                .transpose(),
        }
    }

    /// The place of an image whose pixels are as large as `rows` x `columns` of this one's; it begins at the same corner.
    pub fn coarser(&self, (rows, columns): (f64, f64)) -> Self {
        let [a, b, c, d, e, f] = self.affine;
        Self {
            affine: [a * columns, b * rows, c, d * columns, e * rows, f],
            ..self.clone()
        }
    }

    /// The six lines of a world file, which gives the middle of the first pixel.
    pub fn to_world_file(&self) -> String {
        let [a, b, _, d, e, _] = self.affine;
        let (x, y) = self.middle();
        let lines = [a, d, b, e, x, y].map(|value| format!("{value:?}\n"));
        lines.concat()
    }

    /// The coordinates of the middle of the first pixel.
    fn middle(&self) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.affine;
        (c + 0.5 * (a + b), f + 0.5 * (d + e))
    }

    /// Writes the tags of a GeoTIFF in this place.
    pub(super) fn write_tags<W: Write + Seek, K: TiffKind>(
        &self,
        into: &mut DirectoryEncoder<W, K>,
    ) -> TiffResult<()> {
        let [a, b, c, d, e, f] = self.affine;
        let (x, y) = match self.keys.as_ref().is_some_and(GeoKeys::is_point) {
            true => self.middle(),
            false => (c, f),
        };
        if b == 0.0 && d == 0.0 && a > 0.0 && e < 0.0 {
            into.write_tag(Tag::ModelPixelScaleTag, [a, -e, 0.0])?;
            into.write_tag(Tag::ModelTiepointTag, [0.0, 0.0, 0.0, x, y, 0.0])?;
        } else {
            let rows = [
                [a, b, 0.0, x],
                [d, e, 0.0, y],
                [0.0; 4],
                [0.0, 0.0, 0.0, 1.0],
            ];
            into.write_tag(Tag::ModelTransformationTag, &rows.concat()[..])?;
        }
        let Some(keys) = &self.keys else {
            return into.write_tag(Tag::GeoKeyDirectoryTag, NO_SYSTEM);
        };
        into.write_tag(Tag::GeoKeyDirectoryTag, &keys.directory[..])?;
        if !keys.doubles.is_empty() {
            into.write_tag(Tag::GeoDoubleParamsTag, &keys.doubles[..])?;
        }
        match &keys.ascii {
            Some(text) => into.write_tag(Tag::GeoAsciiParamsTag, text.trim_end_matches('\0')),
            None => Ok(()),
        }
    }
}

/// The place that a GeoTIFF's tags give; none for other images.
fn tags(path: &Path) -> Result<Option<Place>, MapError> {
    let decoder = File::open(path).ok().map(BufReader::new);
    let Some(Ok(mut decoder)) = decoder.map(Decoder::new) else {
        return Ok(None);
    };
    let mut numbers = |tag| {
        let found = decoder.find_tag(tag).ok().flatten();
        found
            .and_then(|value| value.into_f64_vec().ok())
            .unwrap_or_default()
    };
    let scale = numbers(Tag::ModelPixelScaleTag);
    let tie = numbers(Tag::ModelTiepointTag);
    let matrix = numbers(Tag::ModelTransformationTag);
    let doubles = numbers(Tag::GeoDoubleParamsTag);
    let mut affine = match (&scale[..], &tie[..], &matrix[..]) {
        ([sx, sy, ..], [i, j, _, x, y, _, ..], _) => [*sx, 0.0, x - i * sx, 0.0, -sy, y + j * sy],
        (_, _, [a, b, _, c, d, e, _, f, ..]) => [*a, *b, *c, *d, *e, *f],
        _ => return Ok(None),
    };
    let [a, b, _, d, e, _] = affine;
    let area = a * e - b * d;
    if affine.iter().any(|value| !value.is_finite()) || area == 0.0 || !area.is_finite() {
        return Err(MapError::GeoTags {
            path: path.to_path_buf(),
            reason: format!("its place, {affine:?}, gives its pixels no area"),
        });
    }
    let directory = decoder.find_tag_unsigned_vec::<u16>(Tag::GeoKeyDirectoryTag);
    let keys = directory.ok().flatten().map(|directory| GeoKeys {
        directory,
        doubles,
        ascii: decoder.get_tag_ascii_string(Tag::GeoAsciiParamsTag).ok(),
    });
    if keys.as_ref().is_some_and(GeoKeys::is_point) {
        affine[2] -= 0.5 * (a + b);
        affine[5] -= 0.5 * (d + e);
    }
    Ok(Some(Place {
        affine,
        keys,
        source: path.to_path_buf(),
    }))
}

/// The world file beside an image, under the names that programs give it: for `scene.tif` `scene.tfw`, `scene.tifw` and `scene.wld`.
fn world_file(path: &Path) -> Result<Option<PathBuf>, MapError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let letters: Vec<char> = extension.chars().collect();
    let mut names = vec![format!("{extension}w"), "wld".to_string()];
    if let [first, .., last] = letters[..] {
        names.insert(0, format!("{first}{last}w"));
    }
    let names = names
        .iter()
        .flat_map(|name| [name.to_lowercase(), name.to_uppercase()]);
    let mut files = names.map(|name| path.with_extension(name));
    Ok(files.find(|file| file.is_file() && file != path))
}

fn read_world_file(path: &Path) -> Result<Place, MapError> {
    let bad = |reason: String| MapError::WorldFile {
        path: path.to_path_buf(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let mut numbers = Vec::new();
    for (line, word) in (1..).zip(text.split_whitespace()) {
        let number = word.replace(',', ".").parse().ok();
        let number = number.filter(|value: &f64| value.is_finite());
        numbers.push(number.ok_or_else(|| bad(format!("line {line} is `{word}`, not a number")))?);
    }
    let [a, d, b, e, x, y] = numbers[..] else {
        return Err(bad(format!("it holds {} numbers", numbers.len())));
    };
    if a * e - b * d == 0.0 {
        return Err(bad(format!("{a}, {d}, {b}, {e} give its pixels no area")));
    }
    let half = planted::or("world_file_of_corners", 0.5, 0.0);
    let (c, f) = (x - half * (a + b), y - half * (d + e));
    Ok(Place {
        affine: [a, b, c, d, e, f],
        keys: None,
        source: path.to_path_buf(),
    })
}

#[cfg(test)]
mod tests;
