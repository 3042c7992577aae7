//! What the methods watched while they taught: teachers' weights and confidences, and which transforms of a map were chosen.

use std::fmt::Write;

use super::chart::{Axis, Legend, Series, figure, key};
use super::curves::named_lines;
use super::html::{cell, escape, grouped, percent};
use super::{ModelReport, Report, ReportError};
use ghostlight_kernels::loss::flip_align::Transform;

/// Whether `name` is that of the share of images for which a transform of the map was chosen.
fn is_transform(name: &str) -> bool {
    Transform::ALL.iter().any(|it| it.to_string() == name)
}

/// Charts over time for every model whose method watched something, and a table of the transforms; nothing if none did.
pub(super) fn section(report: &Report) -> Result<String, ReportError> {
    let mut charts = String::new();
    let mut rows = String::new();
    for (place, model) in report.models.iter().enumerate() {
        let lines = named_lines(&model.curve, |point| &point.watched);
        let (transforms, others): (Vec<Series>, Vec<Series>) =
            lines.into_iter().partition(|line| is_transform(&line.name));
        if !others.is_empty() {
            let title = format!("{}: what the method watched", model.title);
            charts.push_str(&figure(&title, &others, Axis::Plain, Legend::Own)?);
        }
        if !transforms.is_empty() {
            let title = format!("{}: transforms chosen", model.title);
            charts.push_str(&figure(&title, &transforms, Axis::Percent, Legend::Own)?);
        }
        for line in &transforms {
            rows.push_str(&transform_row(place, model, line, report.data.train_images));
        }
    }
    if charts.is_empty() {
        return Ok(charts);
    }
    let mut html = format!(
        "<h2>What the methods watched</h2><p class=\"note\">Means over the steps of an epoch.</p><div class=\"charts\">{charts}</div>"
    );
    if !rows.is_empty() {
        _ = write!(
            html,
            "<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Model</th><th>Transform</th><th>First epoch</th><th>Chosen epoch</th>\
             <th>Last epoch</th><th>All epochs</th><th>Images</th></tr></thead><tbody>{rows}</tbody></table></div>\
             <p class=\"note\">Shares of the images for which a transform was chosen. The last column is their number over all epochs, each \
             image counted once an epoch: the shares times {} training images.</p>",
            grouped(report.data.train_images as u64)
        );
    }
    Ok(html)
}

fn transform_row(place: usize, model: &ModelReport, line: &Series, images: usize) -> String {
    let title = escape(&model.title);
    let mut row = format!(
        "<tr><th class=\"{}\" title=\"{title}\">{title}</th>",
        key(place)
    );
    let shares = || line.points.iter().map(|(_, share)| *share);
    let chosen = line.points.iter().find(|it| it.0 == model.chosen_epoch);
    let mean = shares().sum::<f64>() / line.points.len().max(1) as f64;
    let counted: f64 = shares().map(|share| (share * images as f64).round()).sum();
    let or_dash = |share: Option<f64>| share.map_or("–".into(), percent);
    for text in [
        escape(&line.name),
        or_dash(shares().next()),
        or_dash(chosen.map(|it| it.1)),
        or_dash(shares().next_back()),
        percent(mean),
        grouped(counted.max(0.0) as u64),
    ] {
        cell(&mut row, &text);
    }
    row + "</tr>"
}
