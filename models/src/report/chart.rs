//! Line charts as inline SVG.
//!
//! Plotters writes colours as attributes, which any style rule outranks: the page's style sheet translates them, so that
//! one drawing serves a light and a dark page.

use std::fmt::Write;

use plotters::coord::ranged1d::{KeyPointHint, Ranged};
use plotters::prelude::*;

use super::ReportError;
use super::html::escape;

/// One line of a chart. Points that are not finite are left out.
pub(super) struct Series {
    pub(super) name: String,
    /// Index into [`COLOURS`].
    pub(super) colour: usize,
    pub(super) points: Vec<(usize, f64)>,
}

/// From the palette of Okabe and Ito, distinct to colour-blind readers. The first three stand for the models.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(107, 107, 107),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// What the vertical axis measures.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Axis {
    /// The values as they are.
    Plain,
    /// Shares, drawn as percentages.
    Percent,
    /// Differences of shares, drawn in percentage points around 0.
    Points,
}

const SIZE: (u32, u32) = (520, 300);
/// Above this many points markers would hide the line.
const MARKED_POINTS: usize = 40;

/// A figure with its title, legend and lines over the epochs.
pub(super) fn figure(title: &str, series: &[Series], axis: Axis) -> Result<String, ReportError> {
    let scale = if axis == Axis::Plain { 1.0 } else { 100.0 };
    let lines: Vec<(usize, Vec<(f64, f64)>)> = series
        .iter()
        .map(|line| {
            let finite = line.points.iter().filter(|(_, y)| y.is_finite());
            (
                line.colour % COLOURS.len(),
                finite.map(|(x, y)| (*x as f64, y * scale)).collect(),
            )
        })
        .collect();
    let lost = series.iter().map(|line| line.points.len()).sum::<usize>()
        - lines.iter().map(|(_, points)| points.len()).sum::<usize>();

    let mut figure = format!(
        "<figure class=\"chart\"><figcaption><b>{}</b><span class=\"legend\">",
        escape(title)
    );
    for line in series {
        _ = write!(
            figure,
            "<span class=\"c{}\">{}</span> ",
            line.colour % COLOURS.len(),
            escape(&line.name)
        );
    }
    figure.push_str("</span></figcaption>");
    if lines.iter().any(|(_, points)| !points.is_empty()) {
        let svg = draw(&lines, axis).map_err(|reason| ReportError::Chart {
            chart: title.into(),
            reason: reason.to_string(),
        })?;
        figure.push_str(&svg.replacen(
            "<svg ",
            &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title)),
            1,
        ));
    }
    if lost > 0 {
        _ = write!(
            figure,
            "<p class=\"note\">{lost} values are infinite or not a number and cannot be drawn.</p>"
        );
    }
    figure.push_str("</figure>");
    Ok(figure)
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

fn draw(lines: &[(usize, Vec<(f64, f64)>)], axis: Axis) -> Drawn<String> {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (first, last) = span(all().map(|point| point.0));
    // A difference is judged by its distance from nothing.
    let zero = (axis == Axis::Points).then_some(0.0);
    let (bottom, top) = limits(span(all().map(|point| point.1).chain(zero)), axis);

    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(14)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(Epochs { first, last }, bottom..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(224, 224, 224))
            .axis_style(RGBColor(150, 150, 150))
            .label_style(("sans-serif", 13))
            .x_desc("epoch")
            .axis_desc_style(("sans-serif", 13))
            .x_labels(10)
            .y_labels(6)
            .y_label_formatter(&|y| tick(*y, top - bottom, axis))
            .draw()?;
        for (colour, points) in lines {
            let style = COLOURS[*colour].stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            if points.len() <= MARKED_POINTS {
                let marks = points.iter().copied();
                match colour % 3 {
                    0 => chart
                        .draw_series(marks.map(|at| TriangleMarker::new(at, 4, style.filled())))?,
                    1 => chart.draw_series(marks.map(|at| Cross::new(at, 3, style)))?,
                    _ => chart.draw_series(marks.map(|at| Circle::new(at, 3, style.filled())))?,
                };
            }
        }
        area.present()?;
    }
    Ok(svg)
}

/// The ends of the vertical axis for values from `low` to `high`: a little beyond them, but not beyond what there can be.
fn limits((low, high): (f64, f64), axis: Axis) -> (f64, f64) {
    let margin = if high > low {
        0.06 * (high - low)
    } else {
        high.abs().max(1e-3) * 0.05
    };
    let bottom = if low >= 0.0 {
        (low - margin).max(0.0)
    } else {
        low - margin
    };
    let top = if axis == Axis::Percent {
        (high + margin).min(100.5)
    } else {
        high + margin
    };
    (bottom, top)
}

fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// As many decimals as neighbouring ticks, about six to the range, need to differ.
fn tick(value: f64, range: f64, axis: Axis) -> String {
    let decimals = (-(range.max(1e-9) / 6.0).log10()).ceil().clamp(0.0, 6.0) as usize;
    match axis {
        Axis::Plain => format!("{value:.decimals$}"),
        Axis::Percent => format!("{value:.decimals$} %"),
        Axis::Points if value.abs() < 1e-9 => "0".into(),
        Axis::Points => format!("{value:+.decimals$}").replace('-', "−"),
    }
}

/// The horizontal axis: ticks on whole epochs only.
#[derive(Clone)]
struct Epochs {
    first: f64,
    last: f64,
}

impl Ranged for Epochs {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let width = f64::from(limit.1 - limit.0);
        match self.last - self.first {
            0.0 => limit.0 + (width / 2.0) as i32,
            span => limit.0 + (width * (value - self.first) / span).round() as i32,
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let (first, last) = (self.first as usize, self.last as usize);
        let most = hint.max_num_points().max(2);
        let step = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)));
        let step = step
            .take(24)
            .find(|step| (last - first) / step < most)
            .unwrap_or(usize::MAX);
        (first..=last)
            .filter(|epoch| epoch % step == 0)
            .map(|epoch| epoch as f64)
            .collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.first..self.last
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Epochs {
    fn format_ext(&self, value: &f64) -> String {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests;
