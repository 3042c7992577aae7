//! Reports on more networks than three.

use super::*;
use crate::report::html::{escape, grouped, percent, points};
use proptest::prelude::*;

/// What every network says about every test image; the last entry is the truth.
#[derive(Clone, Debug)]
struct Answers {
    classes: usize,
    truth: Vec<usize>,
    networks: Vec<Vec<usize>>,
}

impl Answers {
    fn confusion(&self, network: usize) -> Confusion {
        let mut confusion = Confusion::new(self.classes);
        for (truth, answer) in self.truth.iter().zip(&self.networks[network]) {
            confusion.record(*truth, *answer).unwrap();
        }
        confusion
    }

    fn right(&self, network: usize) -> Vec<bool> {
        let answers = self.truth.iter().zip(&self.networks[network]);
        answers.map(|(truth, answer)| truth == answer).collect()
    }
}

/// `teachers`, then `students`, each alone and by `methods` methods.
fn report_of(answers: &Answers, teachers: usize, students: usize, methods: usize) -> Report {
    let mut report = report();
    let places = teachers + students * (1 + methods);
    report.models = (0..places)
        .map(|place| {
            let (role, title) = match place.checked_sub(teachers) {
                None => (Role::Teacher, format!("Teacher <{place}>")),
                Some(student) => match student % (1 + methods) {
                    0 => (Role::Alone, format!("net{} alone", student / (1 + methods))),
                    method => (
                        Role::Taught,
                        format!("net{} by m&{method}", student / (1 + methods)),
                    ),
                },
            };
            ModelReport {
                name: format!("network{place}"),
                title,
                role,
                confusion: answers.confusion(place),
                last_accuracy: 0.001 * place as f64,
                params: 1000 + place as u64,
                ..model("student_dkd", 1, 1)
            }
        })
        .collect();
    let taught = (0..places).filter(|&place| report.models[place].role == Role::Taught);
    report.comparisons = taught
        .map(|taught| {
            let alone = taught - (taught - teachers) % (1 + methods);
            let students = Paired::new(&answers.right(taught), &answers.right(alone));
            Comparison {
                taught,
                alone,
                students,
            }
        })
        .collect();
    report.data.classes = (0..answers.classes)
        .map(|class| format!("class <{class}>"))
        .collect();
    let prediction = Prediction {
        class: 0,
        confidence: 0.5,
    };
    report.samples[0].predictions = vec![prediction; places];
    report
}

prop_compose! {
    fn answers(networks: usize)(classes in 1_usize..5, images in 1_usize..40)(
        classes in Just(classes),
        truth in prop::collection::vec(0..classes, images),
        networks in prop::collection::vec(prop::collection::vec(0..classes, images), networks),
    ) -> Answers {
        Answers { classes, truth, networks }
    }
}

/// A run of up to 2 teachers and 2 students, each alone and by up to 3 methods.
fn runs() -> impl Strategy<Value = (Answers, usize, usize, usize)> {
    (0_usize..3, 0_usize..3, 0_usize..4)
        .prop_filter("a run has a network", |it| it.0 + it.1 > 0)
        .prop_flat_map(|(teachers, students, methods)| {
            let networks = teachers + students * (1 + methods);
            answers(networks).prop_map(move |it| (it, teachers, students, methods))
        })
}

/// The row that begins with a model's title in the table after `heading`.
fn row<'a>(page: &'a str, heading: &str, title: &str) -> &'a str {
    let table = part(page, heading, "</table>");
    part(table, &format!("title=\"{title}\">{title}</th>"), "</tr>")
}

proptest! {
    #[test]
    fn every_figure_agrees_with_the_answers_of_the_networks((answers, teachers, students, methods) in runs()) {
        let report = report_of(&answers, teachers, students, methods);
        let page = render(&report).unwrap();
        let images = answers.truth.len();
        let share = |of: &dyn Fn(usize) -> bool, among: &dyn Fn(usize) -> bool| {
            let all = (0..images).filter(|&image| among(image)).count();
            let part = (0..images).filter(|&image| among(image) && of(image)).count();
            (all > 0).then(|| part as f64 / all as f64)
        };
        for (place, model) in report.models.iter().enumerate() {
            let title = escape(&model.title);
            let (said, truth) = (&answers.networks[place], &answers.truth);
            let right = |image: usize| said[image] == truth[image];
            let cells = row(&page, "</header>", &title);
            let accuracy = percent(share(&right, &|_| true).unwrap());
            let last = percent(model.last_accuracy);
            let wanted = format!("<td><b>{accuracy}</b></td><td>3 of 3</td><td>{last}</td>");
            prop_assert!(cells.contains(&wanted), "{} is not in {}", wanted, cells);
            for class in 0..answers.classes {
                let recall = share(&right, &|image| truth[image] == class);
                let name = escape(&report.data.classes[class]);
                let cells = row(&page, "<h2>Class by class</h2>", &name);
                let cell = cells.split("<td>").nth(2 + place).unwrap();
                let wanted = recall.map_or("–".into(), percent);
                prop_assert!(cell.starts_with(&wanted), "{} is not in {}", wanted, cell);
                let alone = report.comparisons.iter().find(|it| it.taught == place);
                let before = alone.and_then(|it| {
                    let said = &answers.networks[it.alone];
                    share(&|image| said[image] == truth[image], &|image| truth[image] == class)
                });
                let gain = recall.zip(before).map(|(with, without)| points(with - without));
                prop_assert_eq!(cell.contains("<small"), gain.is_some());
                let said = |gain: String| cell.contains(&format!(">{gain}</small>"));
                prop_assert!(gain.is_none_or(said), "{}", cell);
            }
        }
        for comparison in &report.comparisons {
            let title = escape(&report.models[comparison.taught].title);
            let cells = row(&page, "<h2>What teaching changed</h2>", &title);
            let [with, without] = [comparison.taught, comparison.alone].map(|it| answers.right(it));
            let only = |a: &[bool], b: &[bool]| (0..images).filter(|&i| a[i] && !b[i]).count();
            let (won, lost) = (only(&with, &without), only(&without, &with));
            let difference = points((won as f64 - lost as f64) / images as f64);
            prop_assert!(cells.starts_with(&format!("<td><b>{difference}</b></td>")), "{}", cells);
            let counts = format!("<td>{}</td><td>{}</td>", grouped(won as u64), grouped(lost as u64));
            prop_assert!(cells.contains(&counts), "{}", cells);
        }
        prop_assert_eq!(page.contains("What teaching changed"), !report.comparisons.is_empty());
        prop_assert!(!page.contains("Teacher <") && !page.contains("m&1"));
    }
}

/// Two teachers and two students, each alone and by three methods, on a few images.
fn ten() -> Report {
    let said = |network: usize| {
        (0..30)
            .map(|image| (image + network / 5 * image) % 3)
            .collect()
    };
    let answers = Answers {
        classes: 3,
        truth: (0..30).map(|image| image % 3).collect(),
        networks: (0..10).map(said).collect(),
    };
    report_of(&answers, 2, 2, 3)
}

#[test]
fn many_comparisons_are_counted_and_their_number_is_said_to_matter() {
    let page = render(&ten()).unwrap();
    let lead = part(&page, "<p class=\"lead\">", "</p>");
    assert!(
        lead.starts_with("6 students were taught. On the 30 test images <b>0 do better</b>"),
        "{lead}"
    );
    assert!(
        lead.contains("1 does worse") && lead.contains("of 5 others"),
        "{lead}"
    );
    assert!(page.contains("Of 6 such tests, one in twenty passes 0.05 by chance"));
}

#[test]
fn the_matrices_of_many_models_are_folded_and_colours_come_again_with_dashes() {
    let page = render(&ten()).unwrap();
    assert_eq!(page.matches("<details class=\"folded\">").count(), 10);
    assert!(!render(&report()).unwrap().contains("\"folded\""));
    let legend = part(&page, "<p class=\"legend\">", "</p>");
    assert!(
        legend.contains("<span class=\"key c0\">Teacher &lt;0&gt;</span>"),
        "{legend}"
    );
    assert!(
        legend.contains("<span class=\"key c0 d1\">net1 alone</span>"),
        "{legend}"
    );
    // A chart for each of six taught students' terms, and five of all models.
    assert_eq!(page.matches("<svg ").count(), 11);
}

#[test]
fn what_a_run_did_not_measure_has_no_column() {
    let mut measured = report();
    let page = render(&measured).unwrap();
    assert!(!page.contains("One image, ms") && !page.contains("Joules"));
    measured.models[1].latency = Some(Latency {
        median_ms: 1.25,
        p95_ms: 12.34,
    });
    measured.models[2].joules_per_image = Some(0.0123);
    let page = render(&measured).unwrap();
    let rows =
        ["Teacher", "resnet8 alone", "resnet8 by dkd"].map(|title| row(&page, "</header>", title));
    assert!(
        rows[0].ends_with("<td>–</td><td>–</td><td>–</td>"),
        "{}",
        rows[0]
    );
    assert!(
        rows[1].ends_with("<td>1.25</td><td>12.3</td><td>–</td>"),
        "{}",
        rows[1]
    );
    assert!(
        rows[2].ends_with("<td>–</td><td>–</td><td>0.0123</td>"),
        "{}",
        rows[2]
    );
}

#[test]
fn without_validation_images_there_is_one_accuracy_and_no_chart_of_another() {
    let mut plain = report();
    plain.data.validation_images = 0;
    for point in plain.models.iter_mut().flat_map(|model| &mut model.curve) {
        (point.validation_accuracy, point.validation_loss) = (None, None);
    }
    let page = render(&plain).unwrap();
    assert!(page.contains("figures are those of the last epoch") && !page.contains("Chosen epoch"));
    assert!(
        !page.contains("<b>Validation accuracy</b>") && !page.contains("<b>Validation loss</b>")
    );
    // Not a ring either: two of the charts' circles are the legend's no more than before.
    let chosen = render(&report()).unwrap();
    let rings = |page: &str| page.matches("r=\"7\"").count();
    assert_eq!(
        (rings(&plain_chart(&page)), rings(&plain_chart(&chosen))),
        (0, 3)
    );
}

/// The chart of the training losses.
fn plain_chart(page: &str) -> String {
    part(page, "<b>Training loss</b>", "</figure>").into()
}

#[test]
fn what_a_method_watched_is_drawn_and_its_transforms_are_counted() {
    let mut watched = report();
    watched.data.train_images = 1000;
    for (epoch, share) in [0.25, 0.5, 0.75].into_iter().enumerate() {
        watched.models[2].curve[epoch].watched = vec![
            ("alpha".into(), 0.5 - 0.1 * epoch as f64),
            ("<beta>".into(), 0.1 * epoch as f64),
            ("identity".into(), share),
            ("left turn".into(), 1.0 - share),
        ];
    }
    watched.models[2].chosen_epoch = 2;
    let page = render(&watched).unwrap();
    let section = part(
        &page,
        "<h2>What the methods watched</h2>",
        "<h2>Class by class</h2>",
    );
    assert_eq!(section.matches("<svg ").count(), 2);
    let weights = part(section, "what the method watched</b>", "</figcaption>");
    assert!(
        weights.contains("&lt;beta&gt;") && !weights.contains("identity"),
        "{weights}"
    );
    let transforms = part(section, "transforms chosen</b>", "</figcaption>");
    assert!(transforms.contains("left turn") && !transforms.contains("alpha"));
    for row in [
        "<td>identity</td><td>25.00&nbsp;%</td><td>50.00&nbsp;%</td><td>75.00&nbsp;%</td><td>50.00&nbsp;%</td><td>1,500</td>",
        "<td>left turn</td><td>75.00&nbsp;%</td><td>50.00&nbsp;%</td><td>25.00&nbsp;%</td><td>50.00&nbsp;%</td><td>1,500</td>",
    ] {
        assert!(section.contains(row), "{row} is not in {section}");
    }
    assert!(
        !render(&report())
            .unwrap()
            .contains("What the methods watched")
    );
}
