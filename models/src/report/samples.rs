//! Test images with what each model says about them.

use std::fmt::Write;
use std::io::Cursor;

use image::{ImageFormat, RgbImage};

use super::chart::COLOURS;
use super::html::{escape, png_address};
use super::{Report, ReportError, Sample};

/// The sheet of samples: images, the truth, and a line per model.
pub(super) fn sheet(report: &Report) -> Result<String, ReportError> {
    let classes = &report.data.classes;
    let mut html = String::from("<div class=\"sheet\">");
    for (number, sample) in report.samples.iter().enumerate() {
        let truth = escape(&classes[sample.truth]);
        _ = write!(
            html,
            "<figure><img alt=\"test image of {truth}\" src=\"{}\"><figcaption><b title=\"{truth}\">{truth}</b><ul>",
            png(number, sample)?
        );
        for (model, prediction) in sample.predictions.iter().enumerate() {
            let right = prediction.class == sample.truth;
            let (mark, word) = if right {
                ("✓", "right")
            } else {
                ("✗", "wrong")
            };
            let name = escape(&classes[prediction.class]);
            _ = write!(
                html,
                "<li class=\"c{} {word}\" title=\"{}: {name}\"><i>{mark}</i><span>{name}</span><em>{:.0}&nbsp;%</em></li>",
                model % COLOURS.len(),
                escape(&report.models[model].title),
                100.0 * prediction.confidence
            );
        }
        html.push_str("</ul></figcaption></figure>");
    }
    html.push_str("</div>");
    Ok(html)
}

fn png(number: usize, sample: &Sample) -> Result<String, ReportError> {
    let (width, height) = (sample.width, sample.height);
    let image =
        RgbImage::from_raw(width, height, sample.rgb.clone()).ok_or(ReportError::SampleSize {
            sample: number,
            bytes: sample.rgb.len(),
            width,
            height,
        })?;
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|reason| ReportError::Encode {
            sample: number,
            reason,
        })?;
    Ok(png_address(bytes.get_ref()))
}
