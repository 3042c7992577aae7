//! Annotations as DOTA has them: one text file for each image, one object a line.

use super::annotation::{Annotation, Broken, Object};
use crate::data::crop::Outline;

/// Lines that may precede the objects.
const HEADERS: [&str; 2] = ["imagesource:", "gsd:"];

/// `x1 y1 x2 y2 x3 y3 x4 y4 category difficult`, a line for each object. As in the data set's own tools, the last field may be missing, and
/// any number but 0 there means difficult.
pub(super) fn parse(text: &str) -> Annotation {
    let mut objects = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    for (line, text) in (1..).zip(lines) {
        let is_header = |header: &str| text.to_ascii_lowercase().starts_with(header);
        let before = objects.is_empty() && HEADERS.iter().any(|header| is_header(header));
        if !(text.is_empty() || before) {
            objects.push(object(text, line).map_err(|reason| Broken { line, reason }));
        }
    }
    Annotation {
        size: None,
        objects,
    }
}

fn object(text: &str, line: u32) -> Result<Object, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (corners, class, difficult) = match fields.as_slice() {
        [corners @ .., class] if corners.len() == 8 => (corners, *class, "0"),
        [corners @ .., class, difficult] if corners.len() == 8 => (corners, *class, *difficult),
        _ => {
            return Err(format!(
                "it has {} fields; wanted are x1 y1 x2 y2 x3 y3 x4 y4 category difficult",
                fields.len()
            ));
        }
    };
    let mut outline = Outline([[0.0; 2]; 4]);
    for (value, field) in outline.0.as_flattened_mut().iter_mut().zip(corners) {
        let number: Option<f64> = field.parse().ok();
        *value = number
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("`{field}` is no number"))?;
    }
    if class.parse::<f64>().is_ok() {
        return Err(format!("`{class}` stands where the category belongs"));
    }
    let difficult: u32 = difficult
        .parse()
        .map_err(|_| format!("`{difficult}` stands where 0 or 1, for difficult, belongs"))?;
    Ok(Object {
        class: class.to_string(),
        outline,
        difficult: difficult > 0,
        line,
    })
}
