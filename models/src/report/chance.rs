//! What the students' difference is worth.

use super::html::{escape, grouped, points};
use super::{Comparison, Report, ReportError};

/// A paragraph for each comparison: the size of the difference on images like these, and whether chance explains it; see [`crate::paired`].
pub(super) fn notes(report: &Report) -> String {
    let notes = report.comparisons.iter();
    notes
        .map(|comparison| format!("<p class=\"note\">{}</p>", note(report, comparison)))
        .collect()
}

fn note(report: &Report, comparison: &Comparison) -> String {
    let [taught, alone] =
        [comparison.taught, comparison.alone].map(|it| escape(&report.models[it].title));
    let students = &comparison.students;
    let (low, high) = students.interval();
    let verdict = match students.may_be_chance() {
        true => "chance alone may make as much of a difference",
        false => "more than chance makes of these images",
    };
    format!(
        "Of {} test images, {taught} is right about {} that {alone} misses, and wrong about {} that it does not: a difference of {} points, \
         with a 95&nbsp;% interval from {} to {} (Tango's score interval for paired answers), and {verdict} (McNemar's exact test, \
         p&nbsp;{}).",
        grouped(students.images),
        grouped(students.only_first),
        grouped(students.only_second),
        points(students.difference()),
        points(low),
        points(high),
        probability(students.p_value()),
    )
}

/// The end of `p = 0.012`: three decimals, and nothing rounded to 0.
fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "&lt;&nbsp;0.001".into(),
        p => format!("=&nbsp;{p:.3}"),
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
        let [least, equal] = ["&lt;&nbsp;0.001", "=&nbsp;0.001"];
        assert_eq!(said, ["=&nbsp;0.040", equal, equal, least, least]);
    }
}
