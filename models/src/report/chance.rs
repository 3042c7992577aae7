//! What the students' differences are worth.

use std::fmt::Write;

use super::chart::key;
use super::html::{cell, escape, grouped, interval_bar, points, reach};
use super::{Comparison, Report, ReportError};

/// A row for each comparison: the size of the difference on images like these, and whether chance explains it; see
/// [`crate::paired`]. Nothing without comparisons.
pub(super) fn section(report: &Report) -> String {
    let comparisons = &report.comparisons;
    if comparisons.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h2>What teaching changed</h2><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Taught</th><th>Difference,<br>points</th>\
         <th>95&nbsp;% interval</th><th></th><th>Right where the<br>network alone is not</th><th>The other<br>way round</th><th>p</th><th></th></tr></thead><tbody>",
    );
    let reach = reach(comparisons.iter().map(|it| it.students.interval()));
    for comparison in comparisons {
        html.push_str(&row(report, comparison, reach));
    }
    _ = write!(
        html,
        "</tbody></table></div><p class=\"note\">Each taught student beside the same network alone, on the same {} test images. The \
         interval is Tango's score interval for paired answers, p McNemar's exact test.{} That is one run with one seed: how much \
         another seed changes is not in these figures.</p>",
        grouped(comparisons[0].students.images),
        match comparisons.len() {
            1 => String::new(),
            many => format!(
                " Of {many} such tests, one in twenty passes 0.05 by chance where nothing was changed."
            ),
        }
    );
    html
}

fn row(report: &Report, comparison: &Comparison, reach: f64) -> String {
    let students = &comparison.students;
    let (low, high) = students.interval();
    let title = escape(&report.models[comparison.taught].title);
    let mut row = format!(
        "<tr><th class=\"{}\" title=\"{title}\">{title}</th>",
        key(comparison.taught)
    );
    for text in [
        format!("<b>{}</b>", points(students.difference())),
        format!("{} to {}", points(low), points(high)),
        interval_bar(students.difference(), (low, high), reach),
        grouped(students.only_first),
        grouped(students.only_second),
        probability(students.p_value()),
        match students.may_be_chance() {
            true => "may be chance".into(),
            false => "more than chance".into(),
        },
    ] {
        cell(&mut row, &text);
    }
    row + "</tr>"
}

/// `0.012`: three decimals, and nothing rounded to 0.
fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "&lt;&nbsp;0.001".into(),
        p => format!("{p:.3}"),
    }
}

/// Requires that every comparison is one of models on the page, and agrees with their matrices.
pub(super) fn check(report: &Report) -> Result<(), ReportError> {
    report
        .comparisons
        .iter()
        .try_for_each(|it| check_one(report, it))
}

fn check_one(report: &Report, comparison: &Comparison) -> Result<(), ReportError> {
    let models = report.models.len();
    let place = comparison.taught.max(comparison.alone);
    if place >= models {
        return Err(ReportError::Place { place, models });
    }
    let [taught, alone] = [comparison.taught, comparison.alone].map(|it| &report.models[it]);
    let students = &comparison.students;
    let less = |first: u64, second: u64| i128::from(first) - i128::from(second);
    let difference = less(students.only_first, students.only_second);
    let (matrix_images, matrix_difference) = (
        taught.confusion.total(),
        less(taught.confusion.correct(), alone.confusion.correct()),
    );
    let images = students.images;
    match (images, difference) == (matrix_images, matrix_difference) {
        true => Ok(()),
        false => Err(ReportError::Students {
            taught: taught.name.clone(),
            alone: alone.name.clone(),
            images,
            difference,
            matrix_images,
            matrix_difference,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_has_three_decimals_and_never_none_of_them() {
        let said = [0.04, 0.0014, 0.001, 0.000_999, 0.0].map(probability);
        let [least, equal] = ["&lt;&nbsp;0.001", "0.001"];
        assert_eq!(said, ["0.040", equal, equal, least, least]);
    }
}
