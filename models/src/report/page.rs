//! The page: its sections in reading order.

use std::fmt::Write;

use super::chart::{Axis, Series, figure};
use super::html::{cell, escape, grouped, percent, points, speed, with_unit};
use super::{EpochPoint, ModelReport, ROLES, Report, ReportError, chance, classes, samples};
use ghostlight_kernels::planted;

const STYLE: &str = include_str!("style.css");
/// Matrices of more classes get small cells: 45 of them then still fit the page.
const DENSE_ABOVE: usize = 20;

/// The whole page as one HTML file without outside parts.
///
/// Errors, in order: [`Classes`](ReportError::Classes) if a matrix or a sample does not fit the class names,
/// [`Students`](ReportError::Students) if the comparison does not fit the matrices, [`Chart`](ReportError::Chart), [`SampleSize`](ReportError::SampleSize), [`Encode`](ReportError::Encode).
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
    _ = write!(page, "<p class=\"note\">{}</p>", chance::note(report));
    page.push_str("<h2>Learning curves</h2>");
    page.push_str(&curves(&report.models)?);
    page.push_str("<h2>Class by class</h2><p class=\"note\">Recall: the share of a class's test images that were recognised. The last column is in percentage points.</p>");
    page.push_str(&classes::recall_table(&report.data, &report.models));
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
    for (role, model) in ROLES.iter().zip(&report.models) {
        page.push_str(&classes::matrix(role, &report.data.classes, model));
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
        _ = write!(page, "<p class=\"legend\">{}</p>", legend());
        page.push_str(&samples::sheet(&report.samples, &report.data.classes)?);
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
    for (role, model) in ROLES.iter().zip(&report.models) {
        if model.confusion.classes() != classes {
            return refuse(
                format!("the confusion matrix of the {}", role.to_lowercase()),
                model.confusion.classes(),
            );
        }
    }
    for (number, sample) in report.samples.iter().enumerate() {
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

/// The outcome in one sentence.
fn lead(report: &Report) -> String {
    let [teacher, alone, distilled] =
        [0, 1, 2].map(|model: usize| report.models[model].confusion.accuracy());
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
    format!(
        "<p class=\"lead\">The distilled student classifies <b>{}</b> of {} test images right: {}, and {}. It has {} parameters, the teacher {}.</p>",
        percent(distilled),
        grouped(report.models[2].confusion.total()),
        against(
            planted::or("gain_turned_round", distilled - alone, alone - distilled),
            &format!("the same network trained alone ({})", percent(alone))
        ),
        against(
            distilled - teacher,
            &format!("its teacher ({})", percent(teacher))
        ),
        grouped(report.models[2].params),
        grouped(report.models[0].params),
    )
}

fn results(models: &[ModelReport; 3]) -> String {
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"numbers results\"><thead><tr><th rowspan=\"2\">Model</th><th rowspan=\"2\">Architecture</th>\
         <th rowspan=\"2\">Parameters</th><th rowspan=\"2\">MACs<br>per image</th><th rowspan=\"2\">Accuracy</th>\
         <th colspan=\"2\">Mean over classes</th><th colspan=\"2\">Images per second</th></tr>\
         <tr><th>Precision</th><th>Recall</th><th>Training</th><th>Inference</th></tr></thead><tbody>",
    );
    for (index, (role, model)) in ROLES.iter().zip(models).enumerate() {
        _ = write!(table, "<tr><th class=\"c{index}\">{role}</th>");
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

fn legend() -> String {
    let entries = ROLES
        .iter()
        .enumerate()
        .map(|(index, role)| format!("<span class=\"c{index}\">{role}</span>"));
    entries.collect::<Vec<_>>().join(" ")
}

fn curves(models: &[ModelReport; 3]) -> Result<String, ReportError> {
    let by_model = |value: fn(&EpochPoint) -> f64| -> Vec<Series> {
        let lines = ROLES.iter().zip(models).enumerate();
        lines
            .map(|(colour, (role, model))| Series {
                name: role.to_string(),
                colour,
                points: model
                    .curve
                    .iter()
                    .map(|point| (point.epoch, value(point)))
                    .collect(),
            })
            .collect()
    };
    let mut html = String::from("<div class=\"charts\">");
    html.push_str(&figure(
        "Test accuracy",
        &by_model(|point| point.test_accuracy),
        Axis::Percent,
    )?);
    html.push_str(&figure(
        "Training accuracy, augmented images",
        &by_model(|point| point.train_accuracy),
        Axis::Percent,
    )?);
    html.push_str(&figure(
        "Training loss",
        &by_model(|point| point.train_loss),
        Axis::Plain,
    )?);
    html.push_str(&figure(
        "Loss terms of the distilled student",
        &terms(&models[2].curve),
        Axis::Plain,
    )?);
    html.push_str(&figure(
        "What distillation adds to test accuracy",
        &[gain(models)],
        Axis::Points,
    )?);
    html.push_str(&figure(
        "Learning rate at the end of the epoch",
        &by_model(|point| point.lr),
        Axis::Plain,
    )?);
    html.push_str("</div>");
    html.push_str("<details><summary>The curves as numbers</summary><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Model</th><th>Epoch</th><th>Loss</th><th>Loss terms</th><th>Training accuracy</th><th>Test accuracy</th><th>Learning rate</th></tr></thead><tbody>");
    for (index, (role, model)) in ROLES.iter().zip(models).enumerate() {
        for point in &model.curve {
            let terms: Vec<_> = point
                .loss_terms
                .iter()
                .map(|(name, x)| format!("{} {x:.4}", escape(name)))
                .collect();
            _ = write!(html, "<tr><th class=\"c{index}\">{role}</th>");
            for text in [
                point.epoch.to_string(),
                format!("{:.4}", point.train_loss),
                terms.join(", "),
                percent(point.train_accuracy),
                percent(point.test_accuracy),
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

/// Test accuracy of the distilled student over that of the student alone, at the epochs both have.
fn gain([_, alone, distilled]: &[ModelReport; 3]) -> Series {
    let both = distilled.curve.iter().zip(&alone.curve);
    Series {
        name: "Distilled − alone, percentage points".into(),
        colour: 2,
        points: both
            .map(|(with, without)| (with.epoch, with.test_accuracy - without.test_accuracy))
            .collect(),
    }
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
    let left_out = match data.skipped.len() {
        0 => String::new(),
        1 => " One file could not be read and was left out".into(),
        many => format!(
            " {} files could not be read and were left out",
            grouped(many as u64)
        ),
    };
    let skipped = match data.skipped.reasons().as_slice() {
        [] if data.skipped.is_empty() => String::new(),
        [] => format!("{left_out}."),
        reasons => format!("{left_out} ({}).", escape(&reasons.join("; "))),
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
