//! What is computed of runs that can be compared, and the page that shows it.

use super::*;
use crate::report::html::{escape, percent, points};
use proptest::prelude::*;

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 1e-9
}

#[test]
fn a_difference_over_seeds_has_students_interval_of_the_differences_within_each_seed() {
    let comparison = three_seeds().all().unwrap();
    let [experiment] = &comparison.experiments[..] else {
        panic!("one recipe");
    };
    assert_eq!(
        experiment
            .runs
            .iter()
            .map(|run| run.seed)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let [_, alone, taught] = &experiment.networks[..] else {
        panic!("three networks");
    };
    assert!(close(alone.accuracy.mean, 0.80) && close(taught.accuracy.mean, 0.82));
    // 0.78, 0.80, 0.82 and 0.81, 0.81, 0.84.
    assert!(close(alone.accuracy.sd.unwrap(), 0.02));
    assert!(close(taught.accuracy.sd.unwrap(), 0.0003_f64.sqrt()));
    let difference = taught.difference.as_ref().unwrap();
    assert!(close(difference.spread.mean, 0.02) && close(difference.spread.sd.unwrap(), 0.01));
    let (low, high) = difference.interval.unwrap();
    // 0.02 -+ 4.302653 * 0.01 / sqrt(3).
    assert!((low + 0.004_841_4).abs() < 1e-7 && (high - 0.044_841_4).abs() < 1e-7);
    assert_eq!(
        (difference.over, difference.may_be_chance),
        (Over::Seeds, true)
    );
    assert!(alone.difference.is_none());
}

#[test]
fn one_seed_is_judged_by_its_paired_answers_and_says_so() {
    let runs = Runs::new();
    let run = runs.add("only", &summary(0, 80, 90), 8.0);
    let comparison = compare(&[run]).unwrap();
    let difference = comparison.experiments[0].networks[2]
        .difference
        .clone()
        .unwrap();
    let paired = Paired {
        images: 100,
        only_first: 10,
        only_second: 0,
    };
    assert_eq!(difference.interval, Some(paired.interval()));
    assert_eq!(
        (difference.over, difference.may_be_chance),
        (Over::Images, false)
    );
    let page = render(&comparison).unwrap();
    assert!(page.contains("more than chance <small>(over images)</small>"));
    assert!(page.contains("and not of other seeds") && !page.contains("Student's"));
}

#[test]
fn seeds_that_agree_to_the_last_image_have_no_spread_to_judge_by() {
    let runs = Runs::new();
    for seed in 0..2 {
        runs.add(&format!("seed-{seed}"), &summary(seed, 80, 84), 8.0);
    }
    let comparison = runs.all().unwrap();
    let difference = comparison.experiments[0].networks[2]
        .difference
        .clone()
        .unwrap();
    assert_eq!(
        (difference.interval, difference.may_be_chance),
        (None, true)
    );
    assert!(
        render(&comparison)
            .unwrap()
            .contains("no spread to judge by")
    );
}

#[test]
fn recipes_that_differ_are_set_side_by_side_with_the_keys_in_which_they_do() {
    let runs = Runs::new();
    runs.add("a/seed-0", &summary(0, 80, 81), 8.0);
    runs.add("a/seed-1", &summary(1, 80, 82), 8.0);
    runs.add("b", &summary(0, 80, 85), 2.0);
    let comparison = compare(&[runs.at("a"), runs.at("b"), runs.at("b")]).unwrap();
    let [first, second] = &comparison.experiments[..] else {
        panic!("two recipes");
    };
    assert_eq!((first.runs.len(), second.runs.len()), (2, 1));
    assert!(
        first.label.ends_with("a") && second.label.ends_with("b"),
        "{}",
        first.label
    );
    assert!(first.differs.is_empty());
    assert_eq!(
        second.differs,
        [("distill.beta".to_string(), "2.0".to_string())]
    );
    let page = render(&comparison).unwrap();
    assert!(page.contains("distill.beta = 2.0"));
    assert!(page.contains(&format!("net8 by dkd ({})", escape(&second.label))));
}

#[test]
fn recipes_whose_runs_lie_in_one_folder_are_told_apart_by_their_first_runs() {
    let runs = Runs::new();
    for (name, seed, beta) in [("a", 0, 8.0), ("b", 1, 8.0), ("c", 0, 2.0), ("d", 1, 2.0)] {
        runs.add(name, &summary(seed, 80, 81 + seed), beta);
    }
    let comparison = runs.all().unwrap();
    let labels = comparison.experiments.iter().map(|it| it.label.clone());
    let wanted = ["a", "c"].map(|name| runs.at(name).display().to_string());
    assert_eq!(labels.collect::<Vec<_>>(), wanted);
}

#[test]
fn ratios_are_those_of_paper_and_pencil() {
    let comparison = three_seeds().all().unwrap();
    let [ratio] = &comparison.experiments[0].ratios[..] else {
        panic!("one student beside one teacher");
    };
    // `docs/methods.md` section 4.4: ResNet8 beside MobileViTV2, 97.64 % fewer parameters.
    assert!((ratio.params - 42.395_660).abs() < 1e-5, "{}", ratio.params);
    assert!((ratio.macs - 30.666_667).abs() < 1e-5);
    assert!(close(ratio.speed, 4.0) && close(ratio.latency.unwrap(), 2.5));
    assert_eq!(ratio.energy, None);
    let page = render(&comparison).unwrap();
    let row = "<th>net8</th><td>net20</td><td>42.40&nbsp;×</td><td>97.64&nbsp;%</td><td>96.74&nbsp;%</td><td>4.00&nbsp;×</td><td>2.50&nbsp;×</td><td>–</td>";
    assert!(page.contains(row), "{page}");
}

#[test]
fn a_student_that_is_heavier_than_its_teacher_is_said_to_have_more() {
    let runs = Runs::new();
    let mut summary = summary(0, 80, 84);
    summary.networks[0].macs = 15_000_000;
    runs.add("heavy", &summary, 8.0);
    let page = render(&runs.all().unwrap()).unwrap();
    assert!(
        page.contains("<td>97.64&nbsp;%</td><td>300.00&nbsp;% more</td>"),
        "{page}"
    );
}

#[test]
fn a_student_that_was_never_trained_alone_has_ratios_and_no_difference() {
    let runs = Runs::new();
    for seed in 0..2 {
        let mut summary = summary(seed, 80, 84);
        summary.networks.remove(1);
        summary.gains.clear();
        runs.add(&format!("seed-{seed}"), &summary, 8.0);
    }
    let comparison = runs.all().unwrap();
    let experiment = &comparison.experiments[0];
    assert!(experiment.networks[1].difference.is_none());
    assert_eq!(experiment.ratios.len(), 1);
    let page = render(&comparison).unwrap();
    assert!(!page.contains("taught student,") && !page.contains("such intervals"));
}

#[test]
fn curves_are_means_and_ranges_over_the_epochs_that_all_seeds_reached() {
    let runs = three_seeds();
    for (seed, epochs, lift) in [(0, 3, 0.0), (1, 2, 0.1), (2, 3, 0.2)] {
        let mut log = String::new();
        for epoch in 1..=epochs {
            let accuracy = 0.5 + lift;
            // A loss that is no number has none in JSON.
            let loss = if epoch == 1 { "null" } else { "1.5" };
            log += &format!(
                "{{\"phase\":\"student_dkd\",\"epoch\":{epoch},\"train_loss\":{loss},\"validation_accuracy\":{accuracy}}}\n"
            );
        }
        log += "{\"phase\":\"student_dkd\",\"epoch\":9,\"train_l";
        fs::write(runs.at(&format!("seed-{seed}/metrics.jsonl")), log).unwrap();
    }
    let comparison = runs.all().unwrap();
    let curves = &comparison.experiments[0].networks[2].curves;
    let of = |value: CurveValue| &curves.iter().find(|it| it.value == value).unwrap().points;
    let accuracy = of(CurveValue::ValidationAccuracy);
    assert_eq!(accuracy.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
    for (_, mean, low, high) in accuracy {
        assert!(close(*mean, 0.6) && close(*low, 0.5) && close(*high, 0.7));
    }
    assert_eq!(of(CurveValue::TrainLoss)[..], [(2, 1.5, 1.5, 1.5)]);
    assert!(of(CurveValue::ValidationLoss).is_empty());
    let page = render(&comparison).unwrap();
    assert!(page.contains("opacity=\"0.16\""), "a band over the seeds");
    assert_eq!(page.matches("<svg ").count(), 2);
}

#[test]
fn no_name_leaves_its_element_and_the_page_loads_nothing() {
    let hostile = "<script>alert('x')</script>\" & b";
    let runs = Runs::new();
    for (seed, taught) in [(0, 84), (1, 87)] {
        let mut summary = summary(seed, 80, taught);
        summary.data.name = hostile.into();
        summary.data.classes[0] = hostile.into();
        for network in &mut summary.networks {
            network.title = format!("{hostile} {}", network.title);
            network.arch = format!("{hostile} {}", network.arch);
            network.method = network.method.as_ref().map(|it| format!("{hostile} {it}"));
        }
        runs.add(&format!("it's & <b>/seed-{seed}"), &summary, 8.0);
    }
    runs.unfinished("it's & <b>/<i>", 7, 8.0);
    let page = render(&compare(&[runs.at("it's & <b>")]).unwrap()).unwrap();
    assert!(!page.contains("<script") && !page.contains("<i>") && !page.contains("& <b>"));
    assert!(!page.contains("src=") && !page.contains("<link") && !page.contains("url("));
    assert!(page.contains("&lt;script&gt;") && page.contains("Not compared"));
}

prop_compose! {
    /// Right answers of each class for a student alone and taught, for each seed, of 100 images.
    fn answers()(seeds in prop::collection::vec(prop::array::uniform4(0_u64..=50), 1..5)) -> Vec<[u64; 4]> {
        seeds
    }
}

proptest! {
    #[test]
    fn every_figure_on_the_page_agrees_with_the_matrices(answers in answers()) {
        let runs = Runs::new();
        for (seed, [a, b, c, d]) in answers.iter().enumerate() {
            let mut summary = summary(seed as u64, a + b, c + d);
            summary.networks[1] = network("student_alone", [*a, *b], 100);
            summary.networks[2] = network("student_dkd", [*c, *d], 100);
            runs.add(&format!("seed-{seed}"), &summary, 8.0);
        }
        let page = render(&runs.all().unwrap()).unwrap();
        let n = answers.len() as f64;
        let mean = |of: &dyn Fn(&[u64; 4]) -> f64| answers.iter().map(of).sum::<f64>() / n;
        let sd = |of: &dyn Fn(&[u64; 4]) -> f64| {
            let squares = answers.iter().map(|it| (of(it) - mean(of)).powi(2));
            (squares.sum::<f64>() / (n - 1.0)).sqrt()
        };
        let seeds = if n > 1.0 { format!("{n} seeds") } else { "1 seed".into() };
        let share = |of: &dyn Fn(&[u64; 4]) -> f64| match n > 1.0 {
            true => format!("{:.2} ± {} <small>({seeds})</small>", 100.0 * mean(of), percent(sd(of))),
            false => format!("{} <small>({seeds})</small>", percent(mean(of))),
        };
        let (_, table) = page.split_once("<h2>How right they are</h2>").unwrap();
        let row = |title: &str| {
            let (_, row) = table.split_once(&format!("title=\"{title}\">{title}</th>")).unwrap();
            row.split_once("</tr>").unwrap().0.to_string()
        };
        let alone: &dyn Fn(&[u64; 4]) -> f64 = &|it| (it[0] + it[1]) as f64 / 100.0;
        let taught: &dyn Fn(&[u64; 4]) -> f64 = &|it| (it[2] + it[3]) as f64 / 100.0;
        let gain: &dyn Fn(&[u64; 4]) -> f64 = &|it| taught(it) - alone(it);
        for (title, of) in [("net8 alone", alone), ("net8 by dkd", taught)] {
            let cells = row(title);
            let wanted = format!("<td><b>{}</b></td>", share(of));
            prop_assert!(cells.starts_with(&wanted), "{} is not in {}", wanted, cells);
        }
        let wanted = format!("<td><b>{}</b></td>", points(mean(gain)));
        let cells = row("net8 by dkd");
        prop_assert!(cells.contains(&wanted), "{} is not in {}", wanted, cells);
        let (_, classes) = page.split_once("<h2>Class by class</h2>").unwrap();
        let first: &dyn Fn(&[u64; 4]) -> f64 = &|it| it[2] as f64 / 50.0;
        let before: &dyn Fn(&[u64; 4]) -> f64 = &|it| (it[2] as f64 - it[0] as f64) / 50.0;
        let (_, row) = classes.split_once("title=\"land\">land</th>").unwrap();
        let cell = row.split("<td>").nth(3).unwrap();
        let wanted = [percent(mean(first)), format!(">{}</small>", points(mean(before)))];
        prop_assert!(wanted.iter().all(|it| cell.contains(it)), "{:?} is not in {}", wanted, cell);
    }
}

#[test]
fn the_tables_are_written_as_markdown_too() {
    let text = markdown(&three_seeds().all().unwrap());
    assert!(text.starts_with("2 classes, 700 training, 200 validation and 100 test images"));
    assert!(text.contains("\nSeeds 0, 1, 2.\n"), "{text}");
    let taught = text.lines().find(|line| line.contains("net8 by dkd"));
    let cells: Vec<&str> = taught.unwrap().split('|').map(str::trim).collect();
    assert_eq!(
        cells[2..5],
        ["`net8`", "82.00 ± 1.73", "81.00, 84.00, 81.00"]
    );
    assert!(cells[6].starts_with("+2.00 (95 % -0.48 to +4.48 over seeds; may be chance)"));
    // Every row of a table has as many cells as its head.
    let bars = |line: &str| line.matches('|').count();
    let tables: Vec<&str> = text
        .split("\n\n")
        .filter(|part| part.starts_with('|'))
        .collect();
    assert_eq!(tables.len(), 2);
    for table in tables {
        let head = table.lines().next().unwrap();
        assert!(
            table.lines().all(|line| bars(line) == bars(head)),
            "{table}"
        );
    }
}
