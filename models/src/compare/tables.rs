//! The tables of the page.

use std::fmt::Write;

use super::experiment::{Compared, Difference, Experiment, Over};
use super::spread::Spread;
use super::{Comparison, Ratio};
use crate::report::chart::key;
use crate::report::classes::beside;
use crate::report::html::{
    cell, escape, grouped, interval_bar, joules, milliseconds, percent, points, reach, speed,
    with_unit,
};
use crate::summary::Role;

/// A network with its experiment and its place among the colours.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) place: usize,
    pub(super) experiment: &'a Experiment,
    pub(super) network: &'a Compared,
    /// Whether the title alone does not tell it from others.
    labelled: bool,
}

/// All networks of all experiments in order.
pub(super) fn entries(comparison: &Comparison) -> Vec<Entry<'_>> {
    let labelled = comparison.experiments.len() > 1;
    let networks = comparison.experiments.iter().flat_map(|experiment| {
        let networks = experiment.networks.iter();
        networks.map(move |network| (experiment, network))
    });
    let entry = |(place, (experiment, network))| Entry {
        place,
        experiment,
        network,
        labelled,
    };
    networks.enumerate().map(entry).collect()
}

impl Entry<'_> {
    /// The title, with the experiment's label where there are several; text, no HTML.
    pub(super) fn name(&self) -> String {
        match self.labelled {
            true => format!("{} ({})", self.network.title, self.experiment.label),
            false => self.network.title.clone(),
        }
    }

    fn heading(&self) -> String {
        let name = escape(&self.name());
        format!(
            "<th class=\"{}\" title=\"{name}\">{name}</th>",
            key(self.place)
        )
    }
}

/// `96.16 ± 0.91 %`.
fn share(spread: &Spread) -> String {
    match spread.sd {
        Some(sd) => format!("{:.2} ± {}", 100.0 * spread.mean, percent(sd)),
        None => percent(spread.mean),
    }
}

/// [`share`], and of how many seeds.
fn share_of_seeds(spread: &Spread) -> String {
    let seeds = match spread.values.len() {
        1 => "1 seed".to_string(),
        many => format!("{many} seeds"),
    };
    format!("{} <small>({seeds})</small>", share(spread))
}

/// `1234 ± 56`, in the digits of `text`.
fn figure(spread: &Spread, text: fn(f64) -> String) -> String {
    match spread.sd {
        Some(sd) => format!("{} ± {}", text(spread.mean), text(sd)),
        None => text(spread.mean),
    }
}

fn table(headings: &[&str], rows: &str) -> String {
    let headings: String = headings
        .iter()
        .map(|heading| format!("<th>{heading}</th>"))
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"numbers\"><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// A row for each way of training, a column for each student: accuracy, and what teaching changed.
pub(super) fn methods_by_students(entries: &[Entry]) -> String {
    let mut students: Vec<&str> = Vec::new();
    let mut methods: Vec<(String, String)> = Vec::new();
    let of = |entry: &Entry| {
        let method = entry.network.method.clone().unwrap_or_default();
        let label = match entry.labelled {
            true => format!(" <small>{}</small>", escape(&entry.experiment.label)),
            false => String::new(),
        };
        (method, label)
    };
    let taught = || entries.iter().filter(|it| it.network.role != Role::Teacher);
    for entry in taught() {
        if !students.contains(&entry.network.arch.as_str()) {
            students.push(&entry.network.arch);
        }
        if !methods.contains(&of(entry)) {
            methods.push(of(entry));
        }
    }
    let mut rows = String::new();
    for method in &methods {
        _ = write!(rows, "<tr><th>{}{}</th>", escape(&method.0), method.1);
        for student in &students {
            // Two students of a run may have the same architecture.
            let found = taught().filter(|it| it.network.arch == *student && of(it) == *method);
            let texts = found.map(|entry| {
                let mut text = share_of_seeds(&entry.network.accuracy);
                if let Some(difference) = &entry.network.difference {
                    text.push_str(&beside(difference.spread.mean));
                }
                text
            });
            let texts: Vec<String> = texts.collect();
            let none = texts.is_empty().then(|| "–".to_string());
            cell(&mut rows, &none.unwrap_or_else(|| texts.join("<br>")));
        }
        rows.push_str("</tr>");
    }
    let students: Vec<String> = students.iter().map(|it| escape(it)).collect();
    let headings: Vec<&str> = std::iter::once("Trained")
        .chain(students.iter().map(String::as_str))
        .collect();
    table(&headings, &rows)
}

/// A row for each network: how right it is, and what teaching changed.
pub(super) fn accuracies(entries: &[Entry]) -> String {
    let differences = || {
        entries
            .iter()
            .filter_map(|it| it.network.difference.as_ref())
    };
    let reach = reach(differences().filter_map(|it| it.interval));
    let mut rows = String::new();
    for entry in entries {
        let network = entry.network;
        _ = write!(rows, "<tr>{}", entry.heading());
        let accuracy = share_of_seeds(&network.accuracy);
        cell(&mut rows, &format!("<b>{accuracy}</b>"));
        match &network.difference {
            Some(difference) => {
                for text in difference_cells(difference, reach) {
                    cell(&mut rows, &text);
                }
            }
            None => rows.push_str("<td></td><td></td><td></td><td></td>"),
        }
        for spread in [
            &network.last_accuracy,
            &network.macro_precision,
            &network.macro_recall,
        ] {
            cell(&mut rows, &share(spread));
        }
        rows.push_str("</tr>");
    }
    table(
        &[
            "Network",
            "Accuracy",
            "Difference to the<br>network alone, points",
            "95&nbsp;% interval",
            "",
            "",
            "Accuracy,<br>last epoch",
            "Precision,<br>mean over classes",
            "Recall,<br>mean over classes",
        ],
        &rows,
    )
}

fn difference_cells(difference: &Difference, reach: f64) -> [String; 4] {
    let mean = difference.spread.mean;
    let interval = difference.interval;
    let over = match difference.over {
        Over::Seeds => "seeds",
        Over::Images => "images",
    };
    [
        format!("<b>{}</b>", points(mean)),
        interval.map_or("–".into(), |(low, high)| {
            format!("{} to {}", points(low), points(high))
        }),
        interval.map_or_else(String::new, |interval| interval_bar(mean, interval, reach)),
        match (interval, difference.may_be_chance) {
            (None, _) => "no spread to judge by".into(),
            (_, true) => format!("may be chance <small>(over {over})</small>"),
            (_, false) => format!("more than chance <small>(over {over})</small>"),
        },
    ]
}

/// A row for each network: what it costs. Columns that no network has a value for are left out.
pub(super) fn costs(entries: &[Entry]) -> String {
    let latency = entries.iter().any(|it| it.network.median_ms.is_some());
    let energy = entries
        .iter()
        .any(|it| it.network.joules_per_image.is_some());
    let mut headings = vec![
        "Network",
        "Architecture",
        "Parameters",
        "MACs<br>per image",
        "Training,<br>images/s",
        "Inference,<br>images/s",
    ];
    if latency {
        headings.extend(["One image, ms,<br>median", "95th percentile"]);
    }
    headings.extend(energy.then_some("Joules<br>per image"));
    let optional =
        |spread: &Option<Spread>, text| spread.as_ref().map_or("–".into(), |it| figure(it, text));
    let mut rows = String::new();
    for entry in entries {
        let network = entry.network;
        let mut cells = vec![
            escape(&network.arch),
            grouped(network.params),
            with_unit(network.macs),
            figure(&network.train_images_per_s, speed),
            figure(&network.infer_images_per_s, speed),
        ];
        if latency {
            cells.push(optional(&network.median_ms, milliseconds));
            cells.push(optional(&network.p95_ms, milliseconds));
        }
        if energy {
            cells.push(optional(&network.joules_per_image, joules));
        }
        _ = write!(rows, "<tr>{}", entry.heading());
        cells.iter().for_each(|text| cell(&mut rows, text));
        rows.push_str("</tr>");
    }
    table(&headings, &rows)
}

/// A row for each student beside each teacher: the ratios that papers give.
pub(super) fn ratios(comparison: &Comparison) -> String {
    let mut rows = String::new();
    for experiment in &comparison.experiments {
        let label = match comparison.experiments.len() {
            1 => String::new(),
            _ => format!(" <small>{}</small>", escape(&experiment.label)),
        };
        for ratio in &experiment.ratios {
            _ = write!(rows, "<tr><th>{}{label}</th>", escape(&ratio.arch));
            for text in ratio_cells(ratio) {
                cell(&mut rows, &text);
            }
            rows.push_str("</tr>");
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let headings = [
        "Student",
        "Teacher",
        "Compression",
        "Fewer<br>parameters",
        "Fewer MACs",
        "Faster,<br>images/s",
        "One image,<br>faster",
        "Less energy",
    ];
    format!(
        "<h2>Students beside their teachers</h2>{}<p class=\"note\">Compression is the teacher's parameters over the student's. The others \
         are shares that the student saves, and how many times as fast it is. A student's speed is the mean over the ways it was \
         trained.</p>",
        table(&headings, &rows)
    )
}

fn ratio_cells(ratio: &Ratio) -> [String; 7] {
    let times = |ratio: f64| format!("{ratio:.2}&nbsp;×");
    let fewer = |ratio: f64| match ratio < 1.0 {
        true => format!("{} more", percent(1.0 / ratio - 1.0)),
        false => percent(1.0 - 1.0 / ratio),
    };
    let dash = || "–".to_string();
    [
        escape(&ratio.teacher_arch),
        times(ratio.params),
        fewer(ratio.params),
        fewer(ratio.macs),
        times(ratio.speed),
        ratio.latency.map_or_else(dash, times),
        ratio.energy.map_or_else(dash, fewer),
    ]
}

/// A row for each class: recall of every student and teacher, and what teaching changed.
pub(super) fn classes(comparison: &Comparison, entries: &[Entry]) -> String {
    let names: Vec<String> = entries.iter().map(|entry| escape(&entry.name())).collect();
    let headings = std::iter::once("Class").chain(names.iter().map(String::as_str));
    let mut rows = String::new();
    for (class, name) in comparison.data.classes.iter().enumerate() {
        let name = escape(name);
        _ = write!(rows, "<tr><th title=\"{name}\">{name}</th>");
        for entry in entries {
            let recall = entry.network.recall[class].as_ref();
            let gain = entry.network.recall_difference[class].as_ref();
            let mut text = recall.map_or("–".into(), |recall| percent(recall.mean));
            if let Some(gain) = gain {
                text.push_str(&beside(gain.mean));
            }
            cell(&mut rows, &text);
        }
        rows.push_str("</tr>");
    }
    table(&headings.collect::<Vec<_>>(), &rows)
}
