//! Class by class: recall side by side, and the confusion matrices.

use std::fmt::Write;

use super::chart::key;
use super::html::{cell, escape, grouped, percent, points};
use super::{ModelReport, Report};

/// Recall of every class under all models, and what teaching changed.
pub(super) fn recall_table(report: &Report) -> String {
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Class</th><th>Test images</th>",
    );
    for (place, model) in report.models.iter().enumerate() {
        _ = write!(
            table,
            "<th class=\"{}\">{}</th>",
            key(place),
            escape(&model.title)
        );
    }
    table.push_str("</tr></thead><tbody>");
    for (class, name) in report.data.classes.iter().enumerate() {
        let name = escape(name);
        _ = write!(table, "<tr><th title=\"{name}\">{name}</th>");
        let first = report.models.first();
        let images = first.map_or(0, |model| model.confusion.truths(class));
        cell(&mut table, &grouped(images));
        let recall = |model: usize| report.models[model].confusion.recall(class);
        for model in 0..report.models.len() {
            let mut text = recall(model).map_or("–".into(), percent);
            let mut comparisons = report.comparisons.iter();
            let alone = comparisons.find(|comparison| comparison.taught == model);
            let gain =
                alone.and_then(|comparison| Some(recall(model)? - recall(comparison.alone)?));
            if let Some(gain) = gain {
                text.push_str(&beside(gain));
            }
            cell(&mut table, &text);
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table></div>");
    table
}

/// A difference in points, small, to stand beside the value that differs.
pub(crate) fn beside(difference: f64) -> String {
    let text = points(difference);
    let class = match text.chars().next() {
        Some('+') => "more",
        Some('−') => "less",
        _ => "same",
    };
    format!(" <small class=\"{class}\">{text}</small>")
}

/// The confusion matrix of one model as a shaded table, with its most frequent mistakes in words; `folded` until it is asked for.
pub(super) fn matrix(classes: &[String], model: &ModelReport, folded: bool) -> String {
    let confusion = &model.confusion;
    let title = escape(&model.title);
    let mut html = match folded {
        true => format!("<details class=\"folded\"><summary>{title}</summary>"),
        false => String::new(),
    };
    _ = write!(html, "<figure class=\"matrix\"><figcaption><b>{title}</b>");
    let mistakes = mistakes(confusion.rows());
    if mistakes.is_empty() {
        html.push_str("<p>No mistakes.</p>");
    } else {
        html.push_str("<p>Most frequent mistakes: ");
        let listed: Vec<String> = mistakes
            .iter()
            .take(3)
            .map(|(count, truth, taken_for)| {
                format!(
                    "{} taken for {} ({count})",
                    escape(&classes[*truth]),
                    escape(&classes[*taken_for])
                )
            })
            .collect();
        _ = write!(html, "{}.</p>", listed.join("; "));
    }
    html.push_str("</figcaption><div class=\"scroll\"><table><thead><tr><td></td>");
    for name in classes {
        let name = escape(name);
        _ = write!(html, "<th title=\"{name}\"><span>{name}</span></th>");
    }
    html.push_str("</tr></thead><tbody>");
    for (truth, row) in confusion.rows().iter().enumerate() {
        let name = escape(&classes[truth]);
        _ = write!(html, "<tr><th title=\"{name}\">{name}</th>");
        for (predicted, count) in row.iter().enumerate() {
            let share = *count as f64 / confusion.truths(truth).max(1) as f64;
            shaded(
                &mut html,
                *count,
                share,
                truth == predicted,
                (&classes[truth], &classes[predicted]),
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></figure>");
    if folded {
        html.push_str("</details>");
    }
    html
}

/// Wrong cells are shaded by the square root of their share: a few mistakes among hundreds must still be seen.
fn shaded(
    html: &mut String,
    count: u64,
    share: f64,
    right: bool,
    (truth, predicted): (&str, &str),
) {
    if count == 0 {
        html.push_str(if right {
            "<td class=\"r\">0</td>"
        } else {
            "<td></td>"
        });
        return;
    }
    let shade = if right { share } else { share.sqrt() };
    let kind = match (right, shade > 0.62) {
        (true, true) => "r d",
        (true, false) => "r",
        (false, true) => "w d",
        (false, false) => "w",
    };
    _ = write!(
        html,
        "<td class=\"{kind}\" style=\"--s:{:.0}%\" title=\"{} → {}: {count} ({:.1} %)\">{count}</td>",
        100.0 * shade,
        escape(truth),
        escape(predicted),
        100.0 * share
    );
}

/// Count, true class and predicted class of every mistake, most frequent first.
fn mistakes(rows: &[Vec<u64>]) -> Vec<(u64, usize, usize)> {
    let cells = rows.iter().enumerate().flat_map(|(truth, row)| {
        row.iter()
            .enumerate()
            .map(move |(predicted, count)| (*count, truth, predicted))
    });
    let mut wrong: Vec<_> = cells
        .filter(|(count, truth, predicted)| *count > 0 && truth != predicted)
        .collect();
    wrong.sort_by_key(|(count, truth, predicted)| (std::cmp::Reverse(*count), *truth, *predicted));
    wrong
}
