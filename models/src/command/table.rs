use super::error::CommandError;
use super::output::result;
use crate::distill::{Summary, TRAININGS};

/// The closing table.
pub(super) fn print(summary: &Summary) -> Result<(), CommandError> {
    result(format_args!(
        "{:18} {:9} {:>10} {:>8} {:>9} {:>10} {:>8} {:>14} {:>14}",
        "",
        "arch",
        "params",
        "MMACs",
        "accuracy",
        "precision",
        "recall",
        "train images/s",
        "infer images/s"
    ))?;
    for ((_, title), row) in TRAININGS.into_iter().zip(summary.rows()) {
        result(format_args!(
            "{title:18} {:9} {:>10} {:>8.2} {:>7.2} % {:>8.2} % {:>6.2} % {:>14.0} {:>14.0}",
            row.arch,
            row.params,
            row.macs as f64 / 1e6,
            100.0 * row.accuracy,
            100.0 * row.macro_precision,
            100.0 * row.macro_recall,
            row.train_images_per_s,
            row.infer_images_per_s,
        ))?;
    }
    let gain = &summary.gain;
    let (low, high) = gain.interval;
    result(format_args!(
        "distillation changed the student's accuracy by {:+.2} points (95 % interval {:+.2} to {:+.2}; {})",
        100.0 * gain.difference,
        100.0 * low,
        100.0 * high,
        match gain.may_be_chance {
            true => "may be chance",
            false => "more than chance",
        }
    ))?;
    result(format_args!(
        "run: {0}  (open {0}/report.html)",
        summary.run
    ))
}
