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
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which colour and which dashes; see [`key`].
    pub(crate) place: usize,
    pub(crate) points: Vec<(usize, f64)>,
    /// An epoch with its lowest and its highest value, drawn as a band under the line.
    pub(crate) band: Vec<(usize, f64, f64)>,
    /// The epoch whose point gets a ring.
    pub(crate) ring: Option<usize>,
}

/// From the palette of Okabe and Ito, distinct to colour-blind readers.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(107, 107, 107),
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];
/// What lines of the same colour are told apart by, as `stroke-dasharray`.
const DASHES: [&str; 3] = ["none", "9 4", "2 3"];

/// The style classes of the line at `place`: the colours in order, then again with dashes, then with dots, then from the start.
pub(crate) fn key(place: usize) -> String {
    match dashes(place) {
        0 => format!("key c{}", place % COLOURS.len()),
        dash => format!("key c{} d{dash}", place % COLOURS.len()),
    }
}

fn dashes(place: usize) -> usize {
    place / COLOURS.len() % DASHES.len()
}

/// The colour that the plotter writes for the line at `place`: the lowest bits of its blue say which dashes [`rules`] gives it.
fn ink(place: usize) -> RGBColor {
    let RGBColor(red, green, blue) = COLOURS[place % COLOURS.len()];
    RGBColor(red, green, blue ^ dashes(place) as u8)
}

/// The style rules that give what the plotter drew the page's own colours, and the dashes it does not draw itself.
pub(super) fn rules() -> String {
    let mut rules = String::new();
    for place in 0..COLOURS.len() * DASHES.len() {
        let RGBColor(red, green, blue) = ink(place);
        let (hex, colour) = (
            format!("#{red:02X}{green:02X}{blue:02X}"),
            place % COLOURS.len(),
        );
        _ = writeln!(
            rules,
            ".chart [stroke=\"{hex}\"]{{stroke:var(--c{colour});stroke-dasharray:{}}}.chart [fill=\"{hex}\"]{{fill:var(--c{colour})}}",
            DASHES[dashes(place)]
        );
    }
    rules
}

/// The legend of `names` in the order of their places.
pub(crate) fn legend<'a>(names: impl Iterator<Item = (usize, &'a str)>) -> String {
    let entries = names
        .map(|(place, name)| format!("<span class=\"{}\">{}</span>", key(place), escape(name)));
    entries.collect::<Vec<_>>().join(" ")
}

/// Where the names of a figure's lines are read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Legend {
    /// In the figure's caption.
    Own,
    /// Above all figures of a section, once.
    Shared,
}

/// What the vertical axis measures.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Axis {
    /// The values as they are.
    Plain,
    /// Shares, drawn as percentages.
    Percent,
    /// Differences of shares, drawn in percentage points around 0.
    Points,
}

const SIZE: (u32, u32) = (520, 300);
/// Above this many points, or lines, markers would hide the lines.
const MARKED_POINTS: usize = 40;
const MARKED_LINES: usize = COLOURS.len();
/// How much of a band's colour is seen.
const BAND: f64 = 0.16;

/// A figure with its title, legend and lines over the epochs.
pub(crate) fn figure(
    title: &str,
    series: &[Series],
    axis: Axis,
    names: Legend,
) -> Result<String, ReportError> {
    let scale = if axis == Axis::Plain { 1.0 } else { 100.0 };
    let lines: Vec<Line> = series.iter().map(|line| Line::of(line, scale)).collect();
    let lost = series.iter().map(|line| line.points.len()).sum::<usize>()
        - lines.iter().map(|line| line.points.len()).sum::<usize>();

    let mut figure = format!(
        "<figure class=\"chart\"><figcaption><b>{}</b>",
        escape(title)
    );
    if names == Legend::Own {
        let names = series.iter().map(|line| (line.place, line.name.as_str()));
        _ = write!(figure, "<span class=\"legend\">{}</span>", legend(names));
    }
    figure.push_str("</figcaption>");
    if lines.iter().any(|line| !line.points.is_empty()) {
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

/// What can be drawn of a [`Series`], in the axis's unit.
struct Line {
    place: usize,
    points: Vec<(f64, f64)>,
    /// The band's outline.
    band: Vec<(f64, f64)>,
    ring: Option<(f64, f64)>,
}

impl Line {
    fn of(series: &Series, scale: f64) -> Self {
        let finite = series.points.iter().filter(|(_, y)| y.is_finite());
        let points: Vec<(f64, f64)> = finite.map(|(x, y)| (*x as f64, y * scale)).collect();
        let band = series.band.iter();
        let band = band.filter(|(_, low, high)| low.is_finite() && high.is_finite());
        let lows = band.clone().map(|(x, low, _)| (*x as f64, low * scale));
        let highs = band.map(|(x, _, high)| (*x as f64, high * scale)).rev();
        let ringed = |point: &&(f64, f64)| Some(point.0) == series.ring.map(|epoch| epoch as f64);
        Self {
            place: series.place,
            ring: points.iter().find(ringed).copied(),
            band: lows.chain(highs).collect(),
            points,
        }
    }
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

fn draw(lines: &[Line], axis: Axis) -> Drawn<String> {
    let all = || {
        lines
            .iter()
            .flat_map(|line| line.points.iter().chain(&line.band))
    };
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
        for line in lines.iter().filter(|line| !line.band.is_empty()) {
            let style = ink(line.place).mix(BAND).filled();
            let band = Polygon::new(line.band.clone(), style);
            chart.draw_series(std::iter::once(band))?;
        }
        for line in lines {
            let style = ink(line.place).stroke_width(2);
            let points = line.points.iter().copied();
            chart.draw_series(LineSeries::new(points.clone(), style))?;
            // A lone point has no line to be seen by.
            let few = points.len() <= MARKED_POINTS && lines.len() <= MARKED_LINES;
            if few || points.len() == 1 {
                match (dashes(line.place), line.place % 3) {
                    (0, 0) => chart
                        .draw_series(points.map(|at| TriangleMarker::new(at, 4, style.filled())))?,
                    (0, 1) => chart.draw_series(points.map(|at| Cross::new(at, 3, style)))?,
                    _ => chart.draw_series(points.map(|at| Circle::new(at, 3, style.filled())))?,
                };
            }
            // Drawn without dashes, which would break so small a ring.
            let style = ink(line.place % COLOURS.len()).stroke_width(2);
            chart.draw_series(line.ring.iter().map(|at| Circle::new(*at, 7, style)))?;
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
