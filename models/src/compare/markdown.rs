//! The tables as Markdown, for whoever publishes them.

use super::{Compared, Comparison, Difference, Experiment, Over, Spread};

/// Mean and deviation in percent.
pub(crate) fn percent(spread: &Spread) -> String {
    let mean = 100.0 * spread.mean;
    match spread.sd {
        Some(sd) => format!("{mean:.2} ± {:.2}", 100.0 * sd),
        None => format!("{mean:.2}"),
    }
}

/// Mean and interval in points, with what they speak of.
pub(crate) fn gain(difference: &Difference) -> String {
    let mean = 100.0 * difference.spread.mean;
    let over = match difference.over {
        Over::Seeds => "over seeds",
        Over::Images => "over test images, of one seed",
    };
    let verdict = match difference.may_be_chance {
        true => "may be chance",
        false => "more than chance",
    };
    match difference.interval {
        Some((low, high)) => format!(
            "{mean:+.2} (95 % {:+.2} to {:+.2} {over}; {verdict})",
            100.0 * low,
            100.0 * high
        ),
        None => format!("{mean:+.2} (all seeds alike: no spread to judge by)"),
    }
}

/// A row of cells. What stands between bars in a name would end its cell.
fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|it| it.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn network(compared: &Compared) -> String {
    let each = compared.accuracy.values.iter();
    let each: Vec<String> = each.map(|value| format!("{:.2}", 100.0 * value)).collect();
    row(&[
        compared.title.clone(),
        format!("`{}`", compared.arch),
        percent(&compared.accuracy),
        each.join(", "),
        percent(&compared.last_accuracy),
        compared.difference.as_ref().map_or(String::new(), gain),
    ])
}

fn experiment(experiment: &Experiment) -> String {
    let seeds: Vec<String> = experiment
        .runs
        .iter()
        .map(|run| run.seed.to_string())
        .collect();
    let mut text = format!("Seeds {}.", seeds.join(", "));
    for (key, value) in &experiment.differs {
        text += &format!(" `{key} = {value}`.");
    }
    text += "\n\n| | network | accuracy, % | by seed | last epoch's, % | points over the same network alone |\n|---|---|---:|---|---:|---|\n";
    for compared in &experiment.networks {
        text += &network(compared);
    }
    text += "\n| teacher | student | parameters, the teacher's over the student's | MACs, likewise | images/s, the student's over the teacher's |\n|---|---|---:|---:|---:|\n";
    for ratio in &experiment.ratios {
        text += &row(&[
            format!("`{}`", ratio.teacher_arch),
            format!("`{}`", ratio.arch),
            format!("{:.2}", ratio.params),
            format!("{:.2}", ratio.macs),
            format!("{:.2}", ratio.speed),
        ]);
    }
    text
}

/// The tables of `comparison`: for each recipe the networks' accuracies over the seeds and by seed, what teaching changed, and what the
/// students save.
pub fn markdown(comparison: &Comparison) -> String {
    let data = &comparison.data;
    let mut text = format!(
        "{} classes, {} training, {} validation and {} test images of {} x {} pixels.\n",
        data.classes.len(),
        data.train,
        data.validation,
        data.test,
        data.width,
        data.height
    );
    for it in &comparison.experiments {
        text += "\n";
        text += &experiment(it);
    }
    text
}
