//! Lines over runs, for the terminal and as a picture.

use super::{Line, Point};
use crate::report::{ratio, significant};
use crate::results::Verdict;
use plotters::prelude::*;
use std::fmt::Write;

/// Columns of the scale; with all that stands before it a line has 120.
const SCALE: usize = 36;
/// Pixels of a chart.
const SIZE: [u32; 2] = [960, 300];
/// Commits that are named under a chart.
const NAMED: usize = 8;
const INK: RGBColor = RGBColor(0, 114, 178);

/// A table of each line, in which time runs downwards and every run has its time on a scale, from the lowest to the highest end of an interval.
pub(super) fn text(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let [low, high] = span(&line.points);
        let _ = writeln!(out, "{}", line.key);
        let (left, right) = (significant(low), significant(high));
        let gap = SCALE.saturating_sub(left.len());
        let _ = writeln!(
            out,
            "{:16}  {:18} {:>9}  {:18}  {:>5} {:6}  {left}{right:>gap$}",
            "began", "commit", "ms", "95 %", "ratio", ""
        );
        for point in &line.points {
            let began: String = point.began.replace('T', " ").chars().take(16).collect();
            let mark = if point.other_bits { "*" } else { "" };
            let told = match point.verdict {
                Some(verdict @ (Verdict::Faster | Verdict::Slower)) => verdict.to_string(),
                _ => String::new(),
            };
            let text = format!(
                "{began:16}  {:18} {:>9}  {:18}  {:>5} {told:6}  {}",
                format!("{}{mark}", point.commit),
                significant(point.ms),
                point.interval.map_or(String::new(), |[low, high]| format!(
                    "({} to {})",
                    significant(low),
                    significant(high)
                )),
                point.ratio.map(ratio).unwrap_or_default(),
                bar(point, low, high)
            );
            let _ = writeln!(out, "{}", text.trim_end());
        }
        out.push('\n');
    }
    out.push_str("A ratio is the run before over this one: above 1, this one is faster.");
    if lines
        .iter()
        .any(|line| line.points.iter().any(|point| point.other_bits))
    {
        out.push_str(" * computed other bits than the run before.");
    }
    out + "\n"
}

/// From the lowest to the highest end of an interval.
fn span(points: &[Point]) -> [f64; 2] {
    let ends = |point: &Point| {
        let [low, high] = point.interval.unwrap_or([point.ms; 2]);
        [low.min(point.ms), high.max(point.ms)]
    };
    points
        .iter()
        .map(ends)
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], [l, h]| {
            [low.min(l), high.max(h)]
        })
}

/// A point and its interval on the scale from `low` to `high`.
fn bar(point: &Point, low: f64, high: f64) -> String {
    let column = |ms: f64| match high > low {
        true => ((ms - low) / (high - low) * (SCALE - 1) as f64).round() as usize,
        false => 0,
    };
    let mut cells = vec![' '; SCALE];
    if let Some([low, high]) = point.interval {
        let (first, last) = (column(low), column(high).min(SCALE - 1));
        cells[first..=last].fill('─');
        (cells[first], cells[last]) = ('├', '┤');
    }
    cells[column(point.ms).min(SCALE - 1)] = '●';
    cells.into_iter().collect()
}

/// A chart of each line, one below the other.
pub(super) fn svg(lines: &[Line]) -> Result<String, String> {
    let mut picture = String::new();
    {
        let [width, height] = SIZE;
        let size = (width, height * lines.len() as u32);
        let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(|error| error.to_string());
        drawn?;
        for (line, area) in lines.iter().zip(area.split_evenly((lines.len(), 1))) {
            chart(line, &area).map_err(|error| format!("{}: {error}", line.key))?;
        }
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(picture)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(line: &Line, area: &Area) -> Result<(), Box<dyn std::error::Error>> {
    let points = &line.points;
    let [low, high] = span(points);
    let margin = match high > low {
        true => 0.08 * (high - low),
        false => 0.05 * high,
    };
    // From run to run, however long one waited for the next.
    let places = -1..points.len() as i32;
    let mut chart = ChartBuilder::on(area)
        .caption(line.key.to_string(), ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(places, low - margin..high + margin)?;
    let commit = |place: &i32| {
        let point = usize::try_from(*place).ok().and_then(|it| points.get(it));
        point.map_or(String::new(), |point| point.commit.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(224, 224, 224))
        .axis_style(RGBColor(150, 150, 150))
        .y_desc("ms")
        .x_labels(NAMED)
        .x_label_formatter(&commit)
        .y_label_formatter(&|ms| significant(*ms))
        .draw()?;
    let at = || (0..).zip(points);
    chart.draw_series(LineSeries::new(
        at().map(|(place, point)| (place, point.ms)),
        INK.stroke_width(2),
    ))?;
    let intervals = at().filter_map(|(place, point)| Some((place, point.interval?)));
    chart.draw_series(intervals.map(|(place, ends)| {
        PathElement::new(ends.map(|ms| (place, ms)).to_vec(), INK.stroke_width(1))
    }))?;
    chart
        .draw_series(at().map(|(place, point)| Circle::new((place, point.ms), 4, INK.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;
    use crate::compare::Key;

    fn point(began: &str, ms: f64, interval: Option<[f64; 2]>) -> Point {
        Point {
            began: began.into(),
            commit: "abcdef0123-dirty".into(),
            ms,
            interval,
            ratio: Some(0.5),
            verdict: Some(Verdict::Slower),
            other_bits: true,
        }
    }

    fn line() -> Line {
        Line {
            key: Key::of(&row(["relu", "forward", "n1 <c4>"], 1.0)),
            points: vec![
                point("2026-11-29T08:00:00Z", 1.0, Some([0.9, 1.1])),
                point("2026-11-29T09:00:00Z", 2.0, Some([1.9, 2.65])),
                point("2026-11-29T10:00:00Z", 1.5, None),
            ],
        }
    }

    #[test]
    fn a_scale_runs_from_the_lowest_to_the_highest_end() {
        let line = line();
        assert_eq!(span(&line.points), [0.9, 2.65]);
        let bars: Vec<String> = line.points.iter().map(|p| bar(p, 0.9, 2.65)).collect();
        let places = |bar: &str| {
            let cells: Vec<char> = bar.chars().collect();
            assert_eq!(cells.len(), SCALE);
            ['├', '●', '┤'].map(|mark| cells.iter().position(|cell| *cell == mark))
        };
        // 0.05 ms a column.
        assert_eq!(places(&bars[0]), [Some(0), Some(2), Some(4)]);
        assert_eq!(places(&bars[1]), [Some(20), Some(22), Some(35)]);
        assert_eq!(places(&bars[2]), [None, Some(12), None]);
    }

    #[test]
    fn a_line_has_no_more_than_120_columns_and_all_that_is_known_of_a_run() {
        let text = text(&[line()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "relu n1 <c4> forward (hot, wall)");
        for line in &lines {
            assert!(line.chars().count() <= 120, "{line}");
        }
        for told in [
            "2026-11-29 09:00",
            "abcdef0123-dirty*",
            "2.00",
            "(1.90 to 2.65)",
            "0.50 SLOWER",
        ] {
            assert!(lines[3].contains(told), "{told}: {}", lines[3]);
        }
        assert!(text.contains("* computed other bits"), "{text}");
    }

    #[test]
    fn a_lone_run_without_an_interval_is_drawn() {
        let alone = Line {
            points: vec![point("2026", 1.0, None)],
            ..line()
        };
        assert!(text(&[alone]).contains('●'));
        let alone = Line {
            points: vec![point("2026", 1.0, None)],
            ..line()
        };
        assert!(!svg(&[alone]).expect("drawn").contains("NaN"));
    }

    #[test]
    fn a_picture_has_a_chart_of_each_line_with_its_points() {
        let picture = svg(&[line(), line()]).expect("drawn");
        let count = |what: &str| picture.matches(what).count();
        assert_eq!(count("<circle "), 6);
        // Of each chart the line itself and two intervals.
        let lines = picture.split("<polyline ").skip(1);
        let ours = lines.filter(|line| {
            let end = line.find('>').unwrap_or_default();
            line[..end].contains("#0072B2")
        });
        assert_eq!(ours.count(), 2 * 3, "{picture}");
        assert_eq!(count("relu n1 &lt;c4&gt; forward"), 2, "{picture}");
    }
}
