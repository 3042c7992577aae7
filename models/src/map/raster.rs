//! The classes as an image for other programs: one value a cell.

use super::{Map, MapError, Place, colours};
use std::io::Cursor;
use tiff::TiffResult;
use tiff::encoder::colortype::ColorType;
use tiff::encoder::{Compression, TiffEncoder};
use tiff::tags::{PhotometricInterpretation, SampleFormat, Tag};

/// The tag in which GDAL looks for the value of pixels without data, as text.
const GDAL_NODATA: Tag = Tag::GdalNodata;
/// Rows that are compressed together.
const STRIP: u32 = 64;

/// Values that are indices into a palette.
struct Indices;

impl ColorType for Indices {
    type Inner = u8;
    const TIFF_VALUE: PhotometricInterpretation = PhotometricInterpretation::RGBPalette;
    const BITS_PER_SAMPLE: &'static [u16] = &[8];
    const SAMPLE_FORMAT: &'static [SampleFormat] = &[SampleFormat::Uint];

    fn horizontal_predict(row: &[u8], result: &mut Vec<u8>) {
        result.extend_from_slice(row);
    }
}

/// A TIFF with a pixel for each cell, whose value is the cell's ([`Map::values`]) and whose palette is that of the picture; a GeoTIFF where
/// `place`, that of the scene, is known.
///
/// # Errors
/// [`MapError::Encode`].
pub fn raster(map: &Map, place: Option<&Place>) -> Result<Vec<u8>, MapError> {
    encode(map, place).map_err(|reason| MapError::Encode {
        what: "classes",
        reason: reason.to_string(),
    })
}

fn encode(map: &Map, place: Option<&Place>) -> TiffResult<Vec<u8>> {
    let (rows, columns) = (map.grid.down.cells() as u32, map.grid.across.cells() as u32);
    let mut bytes = Cursor::new(Vec::new());
    let mut file = TiffEncoder::new(&mut bytes)?.with_compression(Compression::Lzw);
    let mut image = file.new_image::<Indices>(columns, rows)?;
    image.rows_per_strip(STRIP.min(rows))?;
    let palette = colours(map.classes);
    let mut map_of_colours = vec![u16::MAX; 3 * 256];
    for (class, colour) in palette.iter().enumerate() {
        for c in 0..3 {
            // 255 of 8 bits is 65535 of 16.
            map_of_colours[c * 256 + class + 1] = u16::from(colour[c]) * 257;
        }
    }
    let tags = image.encoder();
    tags.write_tag(Tag::ColorMap, &map_of_colours[..])?;
    tags.write_tag(GDAL_NODATA, "0")?;
    let cell = (map.grid.down.cell as f64, map.grid.across.cell as f64);
    if let Some(place) = place {
        place.coarser(cell).write_tags(tags)?;
    }
    image.write_data(&map.values)?;
    Ok(bytes.into_inner())
}
