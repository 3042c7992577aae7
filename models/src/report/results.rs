//! The table of all models.

use std::fmt::Write;

use super::chart::key;
use super::html::{cell, escape, grouped, joules, milliseconds, percent, speed, with_unit};
use super::{ModelReport, Report};

/// A row for each model: what it is, how right it is, what it costs. Columns that no model has a value for are left out.
pub(super) fn table(report: &Report) -> String {
    let models = &report.models;
    let chosen = report.data.validation_images > 0;
    let latency = models.iter().any(|model| model.latency.is_some());
    let energy = models.iter().any(|model| model.joules_per_image.is_some());
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"numbers results\"><thead><tr><th rowspan=\"2\">Model</th><th rowspan=\"2\">Architecture</th>\
         <th rowspan=\"2\">Parameters</th><th rowspan=\"2\">MACs<br>per image</th>",
    );
    table.push_str(match chosen {
        true => "<th colspan=\"3\">Accuracy</th>",
        false => "<th rowspan=\"2\">Accuracy</th>",
    });
    table.push_str(
        "<th colspan=\"2\">Mean over classes</th><th colspan=\"2\">Images per second</th>",
    );
    if latency {
        table.push_str("<th colspan=\"2\">One image, ms</th>");
    }
    if energy {
        table.push_str("<th rowspan=\"2\">Joules<br>per image</th>");
    }
    table.push_str("</tr><tr>");
    if chosen {
        table.push_str("<th>Chosen epoch</th><th>Which</th><th>Last epoch</th>");
    }
    table.push_str("<th>Precision</th><th>Recall</th><th>Training</th><th>Inference</th>");
    if latency {
        table.push_str("<th>Median</th><th>95th percentile</th>");
    }
    table.push_str("</tr></thead><tbody>");
    for (place, model) in models.iter().enumerate() {
        let title = escape(&model.title);
        _ = write!(
            table,
            "<tr><th class=\"{}\" title=\"{title}\">{title}</th>",
            key(place)
        );
        for text in cells(model, chosen, latency, energy) {
            cell(&mut table, &text);
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>");
    _ = write!(table, "<p class=\"note\">{}</p>", note(chosen));
    table
}

fn cells(model: &ModelReport, chosen: bool, latency: bool, energy: bool) -> Vec<String> {
    let confusion = &model.confusion;
    let mut cells = vec![
        escape(&model.arch),
        grouped(model.params),
        with_unit(model.macs),
        format!("<b>{}</b>", percent(confusion.accuracy())),
    ];
    if chosen {
        // Counted by number: epochs that a stopped training never reached have no points.
        let last = model.curve.last().map_or(0, |point| point.epoch);
        cells.push(format!("{} of {last}", model.chosen_epoch));
        cells.push(percent(model.last_accuracy));
    }
    cells.extend([
        percent(confusion.macro_precision()),
        percent(confusion.macro_recall()),
        speed(model.train_images_per_s),
        speed(model.infer_images_per_s),
    ]);
    let dash = || "–".to_string();
    if latency {
        let times = model.latency.map(|it| [it.median_ms, it.p95_ms]);
        cells.extend(times.map_or([dash(), dash()], |times| times.map(milliseconds)));
    }
    if energy {
        cells.push(model.joules_per_image.map_or_else(dash, joules));
    }
    cells
}

fn note(chosen: bool) -> &'static str {
    match chosen {
        true => {
            "Figures on the test images are those of the epoch that did best on the validation images; beside them the last epoch's \
             accuracy. No choice was made by test images. A taught student's training speed includes its teachers' answers."
        }
        false => {
            "No images were kept for validation: figures are those of the last epoch. A taught student's training speed includes its \
             teachers' answers."
        }
    }
}
