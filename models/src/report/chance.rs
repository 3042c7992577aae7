//! What the students' difference is worth.

use super::html::{grouped, points};
use super::{Report, ReportError};

/// The size of the difference on images like these, and whether chance explains it; see [`crate::paired`].
pub(super) fn note(report: &Report) -> String {
    let students = &report.students;
    let (low, high) = students.interval();
    let verdict = match students.may_be_chance() {
        true => "chance alone may make as much of a difference",
        false => "more than chance makes of these images",
    };
    format!(
        "Of {} test images, the distilled student alone is right about {}, the student alone about {}: a difference of {} points, \
         with a 95&nbsp;% interval from {} to {} (Tango's score interval for paired answers), and {verdict} (McNemar's exact test, \
         p&nbsp;{}). That is one run with one seed: how much another seed changes is not in these figures. Accuracies are those \
         after the last epoch, not the best of all epochs. The distilled student's training speed includes the teacher's answers.",
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

/// Requires that the comparison is one of the models on the page.
pub(super) fn check(report: &Report) -> Result<(), ReportError> {
    let [_, alone, distilled] = report.models.each_ref().map(|model| &model.confusion);
    let students = &report.students;
    let less = |first: u64, second: u64| i128::from(first) - i128::from(second);
    let difference = less(students.only_first, students.only_second);
    let (matrix_images, matrix_difference) = (
        distilled.total(),
        less(distilled.correct(), alone.correct()),
    );
    let images = students.images;
    match (images, difference) == (matrix_images, matrix_difference) {
        true => Ok(()),
        false => Err(ReportError::Students {
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
