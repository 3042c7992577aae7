//! How the trainings went, epoch by epoch.

use std::fmt::Write;

use super::chart::{Axis, Legend, Series, figure, key, legend};
use super::html::{cell, escape, percent};
use super::{EpochPoint, ModelReport, ReportError, Role};

/// All models' curves in one chart per value, the loss terms of every taught student, and the same as numbers.
pub(super) fn section(models: &[ModelReport]) -> Result<String, ReportError> {
    type Value = fn(&EpochPoint) -> Option<f64>;
    let charts: [(&str, Value, Axis); 5] = [
        (
            "Validation accuracy",
            |point| point.validation_accuracy,
            Axis::Percent,
        ),
        (
            "Validation loss",
            |point| point.validation_loss,
            Axis::Plain,
        ),
        (
            "Training accuracy, augmented images",
            |point| Some(point.train_accuracy),
            Axis::Percent,
        ),
        ("Training loss", |point| Some(point.train_loss), Axis::Plain),
        (
            "Learning rate at the end of the epoch",
            |point| Some(point.lr),
            Axis::Plain,
        ),
    ];
    let mut points = models.iter().flat_map(|model| &model.curve);
    let mut html = match points.any(|it| it.validation_accuracy.is_some()) {
        true => {
            "<p class=\"note\">A ring marks the epoch that was chosen by the validation images.</p>"
        }
        false => "",
    }
    .to_string();
    let names = models.iter().map(|model| model.title.as_str());
    _ = write!(
        html,
        "<p class=\"legend\">{}</p><div class=\"charts\">",
        legend(names.enumerate())
    );
    for (title, value, axis) in charts {
        let lines = by_model(models, value);
        // Without validation images there is nothing to draw.
        if lines.iter().any(|line| !line.points.is_empty()) {
            html.push_str(&figure(title, &lines, axis, Legend::Shared)?);
        }
    }
    for model in models.iter().filter(|model| model.role == Role::Taught) {
        let terms = named_lines(&model.curve, |point| &point.loss_terms);
        if terms.len() > 1 {
            let title = format!("Loss terms of {}", model.title);
            html.push_str(&figure(&title, &terms, Axis::Plain, Legend::Own)?);
        }
    }
    html.push_str("</div>");
    html.push_str(&numbers(models));
    Ok(html)
}

fn by_model(models: &[ModelReport], value: fn(&EpochPoint) -> Option<f64>) -> Vec<Series> {
    let line = |(place, model): (usize, &ModelReport)| {
        let points = model.curve.iter();
        let points: Vec<_> = points
            .filter_map(|point| Some((point.epoch, value(point)?)))
            .collect();
        let validated = model
            .curve
            .iter()
            .any(|it| it.validation_accuracy.is_some());
        Series {
            name: model.title.clone(),
            place,
            points,
            ring: validated.then_some(model.chosen_epoch),
            ..Series::default()
        }
    };
    models.iter().enumerate().map(line).collect()
}

/// A line for each name, after the colours of the first three models.
pub(super) fn named_lines(
    curve: &[EpochPoint],
    values: fn(&EpochPoint) -> &[(String, f64)],
) -> Vec<Series> {
    let mut lines: Vec<Series> = Vec::new();
    for point in curve {
        for (name, value) in values(point) {
            let known = lines.iter().position(|line| line.name == *name);
            let line = known.unwrap_or_else(|| {
                lines.push(Series {
                    name: name.clone(),
                    place: 3 + lines.len(),
                    ..Series::default()
                });
                lines.len() - 1
            });
            lines[line].points.push((point.epoch, *value));
        }
    }
    lines
}

fn numbers(models: &[ModelReport]) -> String {
    let mut html = String::from(
        "<details><summary>The curves as numbers</summary><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Model</th><th>Epoch</th>\
         <th>Loss</th><th>Loss terms</th><th>Training accuracy</th><th>Validation accuracy</th><th>Validation loss</th><th>Learning rate</th>\
         <th>Watched</th></tr></thead><tbody>",
    );
    let list = |values: &[(String, f64)]| {
        let values = values.iter();
        let values = values.map(|(name, x)| format!("{} {x:.4}", escape(name)));
        values.collect::<Vec<_>>().join(", ")
    };
    for (place, model) in models.iter().enumerate() {
        let title = escape(&model.title);
        for point in &model.curve {
            _ = write!(
                html,
                "<tr><th class=\"{}\" title=\"{title}\">{title}</th>",
                key(place)
            );
            for text in [
                point.epoch.to_string(),
                format!("{:.4}", point.train_loss),
                list(&point.loss_terms),
                percent(point.train_accuracy),
                point.validation_accuracy.map_or("–".into(), percent),
                point
                    .validation_loss
                    .map_or("–".into(), |loss| format!("{loss:.4}")),
                format!("{:.3e}", point.lr),
                list(&point.watched),
            ] {
                cell(&mut html, &text);
            }
            html.push_str("</tr>");
        }
    }
    html + "</tbody></table></div></details>"
}
