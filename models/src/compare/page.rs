//! The page: its sections in reading order.

use std::fmt::Write;

use super::experiment::CurveValue;
use super::tables::{self, Entry, entries};
use super::{Comparison, Difference, Over};
use crate::report::ReportError;
use crate::report::chart::{Axis, Legend, Series, figure, legend};
use crate::report::html::{cell, escape, grouped, page};

/// The whole page as one HTML file without outside parts.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn render(comparison: &Comparison) -> Result<String, ReportError> {
    let entries = entries(comparison);
    let mut body = tables::methods_by_students(&entries);
    body.push_str(
        "<p class=\"note\">Accuracy on the test images: mean and standard deviation over the seeds. Beside a taught student's, in percentage \
         points, what it has over the same network alone.</p>",
    );
    body.push_str("<h2>How right they are</h2>");
    body.push_str(&tables::accuracies(&entries));
    _ = write!(body, "<p class=\"note\">{}</p>", method(comparison));
    body.push_str("<h2>What they cost</h2>");
    body.push_str(&tables::costs(&entries));
    body.push_str(&tables::ratios(comparison));
    body.push_str(&curves(&entries)?);
    body.push_str(
        "<h2>Class by class</h2><p class=\"note\">Recall: the share of a class's test images that were recognised, mean over the seeds. Beside a \
         taught student's, in percentage points, what it has over the same network alone.</p>",
    );
    body.push_str(&tables::classes(comparison, &entries));
    body.push_str(&runs(comparison));
    let title = format!("{}: a comparison", comparison.data.name);
    Ok(page(
        "Ghostlight comparison",
        &title,
        &lead(comparison),
        &body,
    ))
}

fn lead(comparison: &Comparison) -> String {
    let data = &comparison.data;
    let differences: Vec<&Difference> = differences(comparison).collect();
    let sure = |sign: f64| {
        let sure = differences.iter().filter(|it| !it.may_be_chance);
        sure.filter(|it| sign * it.spread.mean > 0.0).count()
    };
    let (more, less) = (sure(1.0), sure(-1.0));
    let runs: usize = comparison.experiments.iter().map(|it| it.runs.len()).sum();
    let counted = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut text = format!(
        "{} of {} on {} classes, {} training and {} test images of {} × {} pixels.",
        counted(runs, "run", "runs"),
        counted(comparison.experiments.len(), "recipe", "recipes"),
        data.classes.len(),
        grouped(data.train as u64),
        grouped(data.test as u64),
        data.width,
        data.height,
    );
    if !differences.is_empty() {
        _ = write!(
            text,
            " Of {}, <b>{}</b> than the same network alone and {}, by more than chance makes.",
            counted(differences.len(), "taught student", "taught students"),
            counted(more, "does better", "do better"),
            counted(less, "does worse", "do worse"),
        );
    }
    format!("<p class=\"lead\">{text}</p>")
}

fn differences(comparison: &Comparison) -> impl Iterator<Item = &Difference> {
    let networks = comparison.experiments.iter().flat_map(|it| &it.networks);
    networks.filter_map(|it| it.difference.as_ref())
}

/// What the figures are, and what the intervals speak of.
fn method(comparison: &Comparison) -> String {
    let mut text = String::from(match comparison.data.validation {
        0 => "No images were kept for validation: figures are those of the last epoch.",
        _ => {
            "Figures are those of the epochs that did best on the validation images; beside them the last epoch's accuracy."
        }
    });
    let over = |wanted: Over| differences(comparison).any(|it| it.over == wanted);
    if over(Over::Seeds) {
        text.push_str(
            " With several seeds, a difference is the mean of the differences within each seed, and its interval Student's: it speaks of other \
             seeds.",
        );
    }
    if over(Over::Images) {
        text.push_str(
            " With one seed, the interval is Tango's score interval for the paired answers of that one run, and chance is judged by McNemar's \
             exact test: it speaks of other test images, and not of other seeds.",
        );
    }
    match differences(comparison).count() {
        0 | 1 => {}
        many => {
            _ = write!(
                text,
                " Of {many} such intervals, one in twenty does not hold 0 where nothing was changed."
            );
        }
    }
    text
}

fn curves(entries: &[Entry]) -> Result<String, ReportError> {
    let names: Vec<String> = entries.iter().map(Entry::name).collect();
    let mut charts = String::new();
    for value in CurveValue::ALL {
        let lines: Vec<Series> = entries.iter().map(|entry| line(entry, value)).collect();
        if lines.iter().any(|line| !line.points.is_empty()) {
            let (title, axis) = match value {
                CurveValue::ValidationAccuracy => ("Validation accuracy", Axis::Percent),
                CurveValue::ValidationLoss => ("Validation loss", Axis::Plain),
                CurveValue::TrainAccuracy => ("Training accuracy, augmented images", Axis::Percent),
                CurveValue::TrainLoss => ("Training loss", Axis::Plain),
            };
            charts.push_str(&figure(title, &lines, axis, Legend::Shared)?);
        }
    }
    let keys = names.iter().map(String::as_str).enumerate();
    Ok(format!(
        "<h2>Learning curves</h2><p class=\"note\">Lines are means over the seeds, bands reach from the lowest seed to the highest. Only epochs \
         that the training reached under every seed are drawn.</p><p class=\"legend\">{}</p><div class=\"charts\">{charts}</div>",
        legend(keys)
    ))
}

fn line(entry: &Entry, value: CurveValue) -> Series {
    let curves = entry.network.curves.iter();
    let points = curves.filter(|curve| curve.value == value);
    let points: Vec<_> = points.flat_map(|curve| &curve.points).collect();
    let seeds = entry.experiment.runs.len();
    Series {
        name: entry.name(),
        place: entry.place,
        points: points.iter().map(|it| (it.0, it.1)).collect(),
        band: match seeds {
            1 => Vec::new(),
            _ => points.iter().map(|it| (it.0, it.2, it.3)).collect(),
        },
        ring: None,
    }
}

/// Which runs these are, where their recipes differ, and which were set apart.
fn runs(comparison: &Comparison) -> String {
    let mut html = String::from(
        "<h2>Runs</h2><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Recipe of</th><th>Seed</th><th>Run</th></tr></thead><tbody>",
    );
    for experiment in &comparison.experiments {
        for run in &experiment.runs {
            _ = write!(html, "<tr><th>{}</th>", escape(&experiment.label));
            cell(&mut html, &run.seed.to_string());
            cell(&mut html, &escape(&run.run));
            html.push_str("</tr>");
        }
    }
    html.push_str("</tbody></table></div>");
    for experiment in &comparison.experiments {
        if !experiment.differs.is_empty() {
            _ = write!(
                html,
                "<details open><summary>Where the recipe of {} differs from that of {}</summary><pre>",
                escape(&experiment.label),
                escape(&comparison.experiments[0].label)
            );
            for (field, value) in &experiment.differs {
                _ = writeln!(html, "{} = {}", escape(field), escape(value));
            }
            html.push_str("</pre></details>");
        }
    }
    for apart in &comparison.set_apart {
        _ = write!(
            html,
            "<p class=\"note\">Not compared: {}.</p>",
            escape(&apart.to_string())
        );
    }
    html
}
