//! The page: its sections in reading order.

use std::fmt::Write;

use super::chart::{Axis, Series, figure};
use super::html::{cell, escape, grouped, percent, points, speed, with_unit};
use super::{EpochPoint, ModelReport, Report, ReportError, Role, chance, classes, samples};
use ghostlight_kernels::planted;

const STYLE: &str = include_str!("style.css");
/// Matrices of more classes get small cells: 45 of them then still fit the page.
const DENSE_ABOVE: usize = 20;

/// The whole page as one HTML file without outside parts.
///
/// Errors, in order: [`Classes`](ReportError::Classes) if a matrix or a sample does not fit the class names,
/// [`Predictions`](ReportError::Predictions) if a sample lacks an answer, [`Place`](ReportError::Place) and
/// [`Students`](ReportError::Students) if a comparison does not fit the models and their matrices, [`Chart`](ReportError::Chart), [`SampleSize`](ReportError::SampleSize), [`Encode`](ReportError::Encode).
pub fn render(report: &Report) -> Result<String, ReportError> {
    check_classes(report)?;
    chance::check(report)?;
    let title = escape(&report.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
         <header><p class=\"eyebrow\">Ghostlight run</p><h1>{title}</h1>{}</header>",
        lead(report)
    );
    page.push_str(&results(&report.models));
    page.push_str(&chance::notes(report));
    page.push_str("<h2>Learning curves</h2>");
    page.push_str(&curves(&report.models)?);
    page.push_str("<h2>Class by class</h2><p class=\"note\">Recall: the share of a class's test images that were recognised. The last column is in percentage points.</p>");
    page.push_str(&classes::recall_table(report));
    page.push_str(
        "<h2>Confusion</h2><p class=\"note\">Rows are true classes, columns predictions, cells count test images; an empty cell is 0. \
         Blue, right: shaded by the share of the row. Orange, wrong: shaded by the square root of that share, so that rare mistakes show.</p>",
    );
    let count = report.data.classes.len();
    let dense = if count > DENSE_ABOVE { " dense" } else { "" };
    _ = write!(
        page,
        "<div class=\"matrices{dense}\" style=\"--w:{}px\">",
        150 + 34 * count
    );
    for model in &report.models {
        page.push_str(&classes::matrix(&report.data.classes, model));
    }
    page.push_str("</div>");
    if !report.samples.is_empty() {
        _ = write!(
            page,
            "<h2>Examples</h2><p class=\"note\">{} ",
            escape(&report.samples_note)
        );
        page.push_str(
            "Under each image its true class, then what each model says and how sure it is.</p>",
        );
        _ = write!(page, "<p class=\"legend\">{}</p>", legend(&report.models));
        page.push_str(&samples::sheet(report)?);
    }
    page.push_str(&appendix(report));
    page.push_str("</main></body></html>\n");
    Ok(page)
}

fn check_classes(report: &Report) -> Result<(), ReportError> {
    let classes = report.data.classes.len();
    let refuse = |what: String, found| {
        Err(ReportError::Classes {
            what,
            found,
            classes,
        })
    };
    for model in &report.models {
        if model.confusion.classes() != classes {
            return refuse(
                format!("the confusion matrix of {}", model.name),
                model.confusion.classes(),
            );
        }
    }
    for (number, sample) in report.samples.iter().enumerate() {
        let (found, models) = (sample.predictions.len(), report.models.len());
        if found != models {
            return Err(ReportError::Predictions {
                sample: number,
                found,
                models,
            });
        }
        let highest = sample
            .predictions
            .iter()
            .map(|prediction| prediction.class)
            .max()
            .unwrap_or(0)
            .max(sample.truth);
        if highest >= classes {
            return refuse(format!("sample {number}"), highest + 1);
        }
    }
    Ok(())
}

/// The outcome in a sentence for each taught student.
fn lead(report: &Report) -> String {
    let against = |difference: f64, whom: &str| match points(difference).as_str() {
        "0.00" => format!("exactly what {whom} reaches"),
        text => {
            let word = if difference > 0.0 { "more" } else { "less" };
            format!(
                "{} points {word} than {whom}",
                text.trim_start_matches(['+', '−'])
            )
        }
    };
    let mut lead = String::new();
    for comparison in &report.comparisons {
        let [taught, alone] = [comparison.taught, comparison.alone].map(|it| &report.models[it]);
        let difference = taught.confusion.accuracy() - alone.confusion.accuracy();
        _ = write!(
            lead,
            "<p class=\"lead\">{} classifies <b>{}</b> of {} test images right: {}.</p>",
            escape(&taught.title),
            percent(taught.confusion.accuracy()),
            grouped(taught.confusion.total()),
            against(
                planted::or("gain_turned_round", difference, -difference),
                &format!(
                    "the same network trained alone ({})",
                    percent(alone.confusion.accuracy())
                )
            ),
        );
    }
    lead
}

fn results(models: &[ModelReport]) -> String {
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"numbers results\"><thead><tr><th rowspan=\"2\">Model</th><th rowspan=\"2\">Architecture</th>\
         <th rowspan=\"2\">Parameters</th><th rowspan=\"2\">MACs<br>per image</th><th rowspan=\"2\">Accuracy</th>\
         <th colspan=\"2\">Mean over classes</th><th colspan=\"2\">Images per second</th></tr>\
         <tr><th>Precision</th><th>Recall</th><th>Training</th><th>Inference</th></tr></thead><tbody>",
    );
    for (index, model) in models.iter().enumerate() {
        _ = write!(
            table,
            "<tr><th class=\"c{index}\">{}</th>",
            escape(&model.title)
        );
        for text in [
            escape(&model.arch),
            grouped(model.params),
            with_unit(model.macs),
            format!("<b>{}</b>", percent(model.confusion.accuracy())),
            percent(model.confusion.macro_precision()),
            percent(model.confusion.macro_recall()),
            speed(model.train_images_per_s),
            speed(model.infer_images_per_s),
        ] {
            cell(&mut table, &text);
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>");
    table
}

fn legend(models: &[ModelReport]) -> String {
    let entries = models
        .iter()
        .enumerate()
        .map(|(index, model)| format!("<span class=\"c{index}\">{}</span>", escape(&model.title)));
    entries.collect::<Vec<_>>().join(" ")
}

fn curves(models: &[ModelReport]) -> Result<String, ReportError> {
    let by_model = |value: fn(&EpochPoint) -> Option<f64>| -> Vec<Series> {
        let lines = models.iter().enumerate();
        lines
            .map(|(colour, model)| Series {
                name: model.title.clone(),
                colour,
                points: model
                    .curve
                    .iter()
                    .filter_map(|point| Some((point.epoch, value(point)?)))
                    .collect(),
            })
            .collect()
    };
    let mut html = String::from("<div class=\"charts\">");
    html.push_str(&figure(
        "Validation accuracy",
        &by_model(|point| point.validation_accuracy),
        Axis::Percent,
    )?);
    html.push_str(&figure(
        "Training accuracy, augmented images",
        &by_model(|point| Some(point.train_accuracy)),
        Axis::Percent,
    )?);
    html.push_str(&figure(
        "Training loss",
        &by_model(|point| Some(point.train_loss)),
        Axis::Plain,
    )?);
    for model in models.iter().filter(|model| model.role == Role::Taught) {
        html.push_str(&figure(
            &format!("Loss terms of {}", model.title),
            &terms(&model.curve),
            Axis::Plain,
        )?);
    }
    html.push_str(&figure(
        "Learning rate at the end of the epoch",
        &by_model(|point| Some(point.lr)),
        Axis::Plain,
    )?);
    html.push_str("</div>");
    html.push_str("<details><summary>The curves as numbers</summary><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Model</th><th>Epoch</th><th>Loss</th><th>Loss terms</th><th>Training accuracy</th><th>Validation accuracy</th><th>Learning rate</th></tr></thead><tbody>");
    for (index, model) in models.iter().enumerate() {
        for point in &model.curve {
            let terms: Vec<_> = point
                .loss_terms
                .iter()
                .map(|(name, x)| format!("{} {x:.4}", escape(name)))
                .collect();
            _ = write!(
                html,
                "<tr><th class=\"c{index}\">{}</th>",
                escape(&model.title)
            );
            for text in [
                point.epoch.to_string(),
                format!("{:.4}", point.train_loss),
                terms.join(", "),
                percent(point.train_accuracy),
                point.validation_accuracy.map_or("–".into(), percent),
                format!("{:.3e}", point.lr),
            ] {
                cell(&mut html, &text);
            }
            html.push_str("</tr>");
        }
    }
    html.push_str("</tbody></table></div></details>");
    Ok(html)
}

/// A line per loss term, in colours the models do not use.
fn terms(curve: &[EpochPoint]) -> Vec<Series> {
    let mut lines: Vec<Series> = Vec::new();
    for point in curve {
        for (name, value) in &point.loss_terms {
            let at = lines
                .iter()
                .position(|line| line.name == *name)
                .unwrap_or_else(|| {
                    let colour = 3 + lines.len() % 3;
                    lines.push(Series {
                        name: name.clone(),
                        colour,
                        points: Vec::new(),
                    });
                    lines.len() - 1
                });
            lines[at].points.push((point.epoch, *value));
        }
    }
    lines
}

fn appendix(report: &Report) -> String {
    let data = &report.data;
    let skipped = match data.skipped {
        0 => String::new(),
        1 => " One file could not be read and was left out.".into(),
        many => format!(
            " {} files could not be read and were left out.",
            grouped(many as u64)
        ),
    };
    format!(
        "<h2>Data and recipe</h2><p>{}: {} classes, {} training and {} test images of {size} × {size} pixels.{skipped}</p>\
         <p>Computed by {}.</p><p>The command that repeats this run:</p><pre>{}</pre>\
         <details><summary>The recipe, every field</summary><pre>{}</pre></details>",
        escape(&data.name),
        data.classes.len(),
        grouped(data.train_images as u64),
        grouped(data.test_images as u64),
        escape(&report.platforms.join(", then by ")),
        escape(&report.command),
        escape(&report.recipe_toml),
        size = data.image_size,
    )
}
