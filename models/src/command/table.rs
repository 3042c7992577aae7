use super::error::CommandError;
use super::output::result;
use crate::summary::{Gain, NetworkSummary, Summary};

/// The closing table.
pub(super) fn print(summary: &Summary) -> Result<(), CommandError> {
    let width = |of: fn(&NetworkSummary) -> &str, least: usize| {
        let widths = summary
            .networks
            .iter()
            .map(|network| of(network).chars().count());
        widths.fold(least, usize::max)
    };
    let (names, archs) = (width(|it| &it.title, 16), width(|it| &it.arch, 8));
    result(format_args!(
        "{:names$} {:archs$} {:>11} {:>9} {:>9} {:>9} {:>10} {:>8} {:>14} {:>14}",
        "",
        "arch",
        "params",
        "MMACs",
        "accuracy",
        "(epoch)",
        "precision",
        "recall",
        "train images/s",
        "infer images/s"
    ))?;
    for network in &summary.networks {
        result(format_args!(
            "{:names$} {:archs$} {:>11} {:>9.2} {:>7.2} % {:>9} {:>8.2} % {:>6.2} % {:>14.0} {:>14.0}",
            network.title,
            network.arch,
            network.params,
            network.macs as f64 / 1e6,
            100.0 * network.accuracy,
            epoch(network),
            100.0 * network.macro_precision,
            100.0 * network.macro_recall,
            network.train_images_per_s,
            network.infer_images_per_s,
        ))?;
    }
    for network in summary
        .networks
        .iter()
        .filter(|it| it.chosen_epoch != it.epochs)
    {
        result(format_args!(
            "{}: epoch {} did best on the validation images; the last, {}, has {:.2} % on the test images",
            network.title,
            network.chosen_epoch,
            network.epochs,
            100.0 * network.last_accuracy
        ))?;
    }
    for gain in &summary.gains {
        result(format_args!("{}", sentence(summary, gain)))?;
    }
    result(format_args!(
        "run: {0}  (open {0}/report.html)",
        summary.run
    ))
}

/// Which epoch's weights were tested; a teacher that came with its weights has none.
fn epoch(network: &NetworkSummary) -> String {
    match network.epochs {
        0 => "given".to_string(),
        epochs => format!("{}/{epochs}", network.chosen_epoch),
    }
}

/// What teaching changed, in one line.
fn sentence(summary: &Summary, gain: &Gain) -> String {
    let taught = summary.networks.iter().find(|it| it.name == gain.taught);
    let title = taught.map_or(gain.taught.as_str(), |it| it.title.as_str());
    let (low, high) = gain.interval;
    format!(
        "{title}: {:+.2} points of accuracy over the same network alone (95 % interval {:+.2} to {:+.2}; {})",
        100.0 * gain.difference,
        100.0 * low,
        100.0 * high,
        match gain.may_be_chance {
            true => "may be chance",
            false => "more than chance",
        }
    )
}
