//! The page: its sections in reading order.

use std::fmt::Write;

use super::html::{escape, grouped, page, percent, points};
use super::{
    Comparison, ModelReport, Report, ReportError, Role, chance, chart, classes, curves, results,
    samples, watched,
};
use ghostlight_kernels::planted;

/// Matrices of more classes get small cells: 45 of them then still fit the page.
const DENSE_ABOVE: usize = 20;
/// With more models, each confusion matrix is folded until it is asked for.
const FOLDED_ABOVE: usize = 4;

/// The whole page as one HTML file without outside parts.
///
/// Errors, in order: [`Classes`](ReportError::Classes) if a matrix or a sample does not fit the class names,
/// [`Predictions`](ReportError::Predictions) if a sample lacks an answer, [`Place`](ReportError::Place) and
/// [`Students`](ReportError::Students) if a comparison does not fit the models and their matrices, [`Chart`](ReportError::Chart),
/// [`SampleSize`](ReportError::SampleSize), [`Encode`](ReportError::Encode).
pub fn render(report: &Report) -> Result<String, ReportError> {
    check_classes(report)?;
    chance::check(report)?;
    let mut body = results::table(report);
    body.push_str(&chance::section(report));
    body.push_str("<h2>Learning curves</h2>");
    body.push_str(&curves::section(&report.models)?);
    body.push_str(&watched::section(report)?);
    body.push_str(
        "<h2>Class by class</h2><p class=\"note\">Recall: the share of a class's test images that were recognised. Beside a \
         taught student's, in percentage points, what it has over the same network alone.</p>",
    );
    body.push_str(&classes::recall_table(report));
    body.push_str(
        "<h2>Confusion</h2><p class=\"note\">Rows are true classes, columns predictions, cells count test images; an empty cell is 0. \
         Blue, right: shaded by the share of the row. Orange, wrong: shaded by the square root of that share, so that rare mistakes show.</p>",
    );
    let count = report.data.classes.len();
    let dense = if count > DENSE_ABOVE { " dense" } else { "" };
    _ = write!(
        body,
        "<div class=\"matrices{dense}\" style=\"--w:{}px\">",
        150 + 34 * count
    );
    let folded = report.models.len() > FOLDED_ABOVE;
    for model in &report.models {
        body.push_str(&classes::matrix(&report.data.classes, model, folded));
    }
    body.push_str("</div>");
    if !report.samples.is_empty() {
        _ = write!(
            body,
            "<h2>Examples</h2><p class=\"note\">{} Under each image its true class, then what each model says and how sure it is.</p>\
             <p class=\"legend\">{}</p>",
            escape(&report.samples_note),
            legend(report)
        );
        body.push_str(&samples::sheet(report)?);
    }
    body.push_str(&appendix(report));
    Ok(page("Ghostlight run", &report.title, &lead(report), &body))
}

fn legend(report: &Report) -> String {
    chart::legend(
        report
            .models
            .iter()
            .map(|model| model.title.as_str())
            .enumerate(),
    )
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
        let answers = sample.predictions.iter();
        let highest = answers
            .map(|answer| answer.class)
            .fold(sample.truth, usize::max);
        if highest >= classes {
            return refuse(format!("sample {number}"), highest + 1);
        }
    }
    Ok(())
}

/// The outcome in a sentence or two.
fn lead(report: &Report) -> String {
    let text = match report.comparisons.as_slice() {
        [] => {
            let models = report.models.iter();
            let right = models.map(|model| {
                let (title, confusion) = (escape(&model.title), &model.confusion);
                let (share, images) = (percent(confusion.accuracy()), grouped(confusion.total()));
                format!("{title} classifies <b>{share}</b> of {images} test images right.")
            });
            right.collect::<Vec<_>>().join(" ")
        }
        [only] => lead_of_one(report, only),
        many => lead_of_many(many),
    };
    format!("<p class=\"lead\">{text}</p>")
}

fn lead_of_one(report: &Report, comparison: &Comparison) -> String {
    let [taught, alone] = [comparison.taught, comparison.alone].map(|it| &report.models[it]);
    let [with, without] = [taught, alone].map(|model| model.confusion.accuracy());
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
    let gain = planted::or("gain_turned_round", with - without, without - with);
    let whom = format!("the same network trained alone ({})", percent(without));
    let mut text = format!(
        "{} classifies <b>{}</b> of {} test images right: {}",
        escape(&taught.title),
        percent(with),
        grouped(taught.confusion.total()),
        against(gain, &whom)
    );
    let teachers = report.models.iter();
    let teachers: Vec<_> = teachers.filter(|it| it.role == Role::Teacher).collect();
    let accuracy = |model: &&&ModelReport| model.confusion.accuracy();
    let best = teachers
        .iter()
        .max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
    let Some(best) = best else {
        return text + ".";
    };
    let best_accuracy = best.confusion.accuracy();
    let whom = match teachers.len() {
        1 => format!("its teacher ({})", percent(best_accuracy)),
        _ => format!(
            "the best of its teachers ({}, {})",
            escape(&best.title),
            percent(best_accuracy)
        ),
    };
    _ = write!(
        text,
        ", and {}. It has {} parameters, that teacher {}.",
        against(with - best_accuracy, &whom),
        grouped(taught.params),
        grouped(best.params)
    );
    text
}

fn lead_of_many(comparisons: &[Comparison]) -> String {
    let count = |of: fn(&Comparison) -> bool| comparisons.iter().filter(|it| of(it)).count();
    let more = count(|it| !it.students.may_be_chance() && it.students.difference() > 0.0);
    let less = count(|it| !it.students.may_be_chance() && it.students.difference() < 0.0);
    let agree = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    };
    format!(
        "{} students were taught. On the {} test images <b>{}</b> and {} than the same network alone, by more than chance makes of \
         these images; chance alone may make the difference of {}.",
        comparisons.len(),
        grouped(comparisons[0].students.images),
        agree(more, "does better", "do better"),
        agree(less, "does worse", "do worse"),
        match comparisons.len() - more - less {
            0 => "none".to_string(),
            1 => "1 other".to_string(),
            others => format!("{others} others"),
        }
    )
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
        "<h2>Data and recipe</h2><p>{}: {} classes, {} training, {} validation and {} test images of {size} × {size} pixels.{skipped}</p>\
         <p>Computed by {}.</p><p>The command that repeats this run:</p><pre>{}</pre>\
         <details><summary>The recipe, every field</summary><pre>{}</pre></details>",
        escape(&data.name),
        data.classes.len(),
        grouped(data.train_images as u64),
        grouped(data.validation_images as u64),
        grouped(data.test_images as u64),
        escape(&report.platforms.join(", then by ")),
        escape(&report.command),
        escape(&report.recipe_toml),
        size = data.image_size,
    )
}
