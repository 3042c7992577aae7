use super::overview::SIDE;
use super::{Map, MapError, colours};
use png::{BitDepth, ColorType, Encoder};

/// How the cells of a picture are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Each class in its colour.
    Classes,
    /// The less sure a class is, the paler its colour.
    Confidence,
}

/// How pale the colour of a class becomes that is no surer than chance.
const PALEST: f32 = 0.85;

impl Map {
    /// Pixels of the picture along a cell: as many as leave its longer side within reason.
    pub fn scale(&self) -> usize {
        let (down, across) = (self.grid.down, self.grid.across);
        let most = SIDE / down.cells().max(across.cells());
        most.min(down.cell.min(across.cell)).max(1)
    }
}

/// A PNG of the map, [`Map::scale`] pixels a cell along each side; cells where nothing was measured are transparent.
///
/// # Errors
/// [`MapError::Encode`].
pub fn picture(map: &Map, paint: Paint) -> Result<Vec<u8>, MapError> {
    encode(map, paint).map_err(|reason| MapError::Encode {
        what: "picture",
        reason: reason.to_string(),
    })
}

fn encode(map: &Map, paint: Paint) -> Result<Vec<u8>, png::EncodingError> {
    let (scale, columns) = (map.scale(), map.grid.across.cells());
    let (width, height) = (columns * scale, map.grid.down.cells() * scale);
    let colours = colours(map.classes);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_depth(BitDepth::Eight);
    match paint {
        Paint::Classes => {
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette([&[[255; 3]], &colours[..]].concat().into_flattened());
            encoder.set_trns(vec![0]);
        }
        Paint::Confidence => encoder.set_color(ColorType::Rgba),
    }
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let cells = map.values.chunks_exact(columns);
    for (values, confidence) in cells.zip(map.confidence.chunks_exact(columns)) {
        let cells = values.iter().zip(confidence);
        let line: Vec<u8> = match paint {
            Paint::Classes => cells.flat_map(|(&value, _)| vec![value; scale]).collect(),
            Paint::Confidence => cells
                .flat_map(|(&value, &sure)| {
                    let colour = usize::from(value)
                        .checked_sub(1)
                        .map(|class| colours[class]);
                    let [r, g, b] = colour.map_or([255; 3], |rgb| paled(rgb, sure, map.classes));
                    [r, g, b, if value == 0 { 0 } else { 255 }].repeat(scale)
                })
                .collect(),
        };
        for _ in 0..scale {
            std::io::Write::write_all(&mut stream, &line)?;
        }
    }
    stream.finish()?;
    writer.finish()?;
    Ok(bytes)
}

/// A colour mixed with white: not at all where the network is sure (255), most where it is no surer than chance.
fn paled(colour: [u8; 3], sure: u8, classes: usize) -> [u8; 3] {
    let chance = 1.0 / classes as f32;
    let doubt = (1.0 - f32::from(sure) / 255.0) / (1.0 - chance);
    let white = PALEST * doubt.clamp(0.0, 1.0);
    colour.map(|value| (f32::from(value) + white * (255.0 - f32::from(value))).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_pales_from_certainty_to_chance() {
        assert_eq!(paled([10, 100, 200], 255, 4), [10, 100, 200]);
        // A quarter is chance among four: 85 hundredths of the way to white.
        assert_eq!(paled([10, 100, 200], 64, 4)[0], 218);
        assert_eq!(paled([10, 100, 200], 0, 4)[0], 218);
        assert_eq!(paled([255; 3], 100, 4), [255; 3]);
    }
}
