use super::*;
use crate::data::BadFile;

mod many;

fn model(name: &str, right: u64, wrong: u64) -> ModelReport {
    let (role, title, arch) = match name {
        "teacher" => (Role::Teacher, "Teacher", "resnet20"),
        "student_alone" => (Role::Alone, "resnet8 alone", "resnet8"),
        _ => (Role::Taught, "resnet8 by dkd", "resnet8"),
    };
    let curve = (1..=3)
        .map(|epoch| EpochPoint {
            epoch,
            lr: 0.1 / epoch as f64,
            train_loss: 2.0 / epoch as f64,
            loss_terms: vec![
                ("ce".into(), 1.5 / epoch as f64),
                ("dkd".into(), 0.5 / epoch as f64),
            ],
            train_accuracy: 0.3 * epoch as f64,
            validation_accuracy: Some(0.25 * epoch as f64),
            validation_loss: Some(2.5 / epoch as f64),
            watched: Vec::new(),
        })
        .collect();
    ModelReport {
        name: name.into(),
        title: title.into(),
        role,
        chosen_epoch: 3,
        last_accuracy: right as f64 / (right + wrong) as f64,
        latency: None,
        joules_per_image: None,
        arch: arch.into(),
        params: 78_042,
        macs: 12_345_678,
        train_images_per_s: 512.0,
        infer_images_per_s: 2048.0,
        confusion: Confusion::try_from(vec![vec![right, wrong], vec![wrong, right]]).unwrap(),
        curve,
    }
}

fn report() -> Report {
    let prediction = Prediction {
        class: 1,
        confidence: 0.75,
    };
    Report {
        title: "EuroSAT".into(),
        command: "ghostlight distill --data 'a & b'".into(),
        recipe_toml: "seed = 0\n".into(),
        platforms: vec!["ghostlight 0.1.0 on a <CPU>".into()],
        data: DataSummary {
            name: "a & b".into(),
            classes: vec!["<script>alert(1)</script>".into(), "sea & lake \"".into()],
            train_images: 800,
            validation_images: 100,
            test_images: 200,
            image_size: 8,
            skipped: 2.into(),
        },
        models: vec![
            model("teacher", 98, 2),
            model("student_alone", 90, 10),
            model("student_dkd", 95, 5),
        ],
        comparisons: vec![Comparison {
            taught: 2,
            alone: 1,
            students: Paired {
                images: 200,
                only_first: 15,
                only_second: 5,
            },
        }],
        samples: vec![Sample {
            rgb: vec![90; 192],
            width: 8,
            height: 8,
            truth: 0,
            predictions: vec![prediction; 3],
        }],
        samples_note: "The first test image.".into(),
    }
}

#[test]
fn the_page_says_what_was_gained() {
    let page = render(&report()).unwrap();
    assert!(page.contains(
        "classifies <b>95.00&nbsp;%</b> of 200 test images right: 5.00 points more than"
    ));
    assert!(page.contains("and 3.00 points less than its teacher (98.00&nbsp;%)"));
    assert!(
        page.contains("78,042")
            && page.contains("12.3&nbsp;M")
            && page.contains("2 files could not be read")
    );
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = render(&report()).unwrap();
    assert!(!page.contains("<script") && !page.contains("src=\"http") && !page.contains("@import"));
    assert!(!page.contains("<link") && !page.contains("url("));
    assert_eq!(page.matches("<svg ").count(), 6);
    assert!(page.contains("&lt;script&gt;") && page.contains("sea &amp; lake &quot;"));
}

#[test]
fn an_equal_result_is_not_called_a_gain() {
    let mut equal = report();
    equal.models[2].confusion = equal.models[1].confusion.clone();
    equal.comparisons[0].students.only_first = equal.comparisons[0].students.only_second;
    let page = render(&equal).unwrap();
    assert!(page.contains("exactly what the same network trained alone"));
    assert!(page.contains("<td>may be chance</td>"));
}

#[test]
fn the_students_are_compared_image_by_image() {
    let page = render(&report()).unwrap();
    let row = part(&page, "<h2>What teaching changed</h2>", "</table>");
    for said in [
        "<th class=\"key c2\" title=\"resnet8 by dkd\">resnet8 by dkd</th><td><b>+5.00</b></td><td>+0.68 to +9.88</td>",
        "style=\"--a:53.4%;--b:0.0%;--m:75.3%\"",
        "<td>15</td><td>5</td><td>0.041</td><td>more than chance</td>",
    ] {
        assert!(row.contains(said), "{said} is not in {row}");
    }
    assert!(
        !page.contains("one in twenty"),
        "a single test is no choice of many"
    );
}

#[test]
fn students_without_a_mistake_may_differ_on_other_images() {
    let mut perfect = report();
    for (student, name) in [(1, "student_alone"), (2, "student_dkd")] {
        perfect.models[student] = model(name, 100, 0);
    }
    perfect.comparisons[0].students = Paired {
        images: 200,
        only_first: 0,
        only_second: 0,
    };
    let page = render(&perfect).unwrap();
    assert!(page.contains("<td>−1.88 to +1.88</td>"), "{page}");
}

#[test]
fn a_comparison_of_other_students_is_refused() {
    let mut wrong = report();
    wrong.comparisons[0].students.only_first = 14;
    let message = render(&wrong).unwrap_err().to_string();
    assert!(
        message.contains("difference of 9") && message.contains("200 and 10"),
        "{message}"
    );
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let mut wrong = report();
    wrong.models[1].confusion = Confusion::new(3);
    let message = render(&wrong).unwrap_err().to_string();
    assert_eq!(
        message,
        "the confusion matrix of student_alone speaks of 3 classes, but the data has 2"
    );

    let mut wrong = report();
    wrong.samples[0].predictions[2].class = 2;
    assert!(matches!(
        render(&wrong),
        Err(ReportError::Classes { found: 3, .. })
    ));

    let mut wrong = report();
    wrong.samples[0].predictions.pop();
    let message = render(&wrong).unwrap_err().to_string();
    assert_eq!(
        message,
        "sample 0 has 2 predictions, but the report has 3 networks"
    );

    let mut wrong = report();
    wrong.comparisons[0].alone = 3;
    let message = render(&wrong).unwrap_err().to_string();
    assert_eq!(
        message,
        "a comparison speaks of network 3, counted from 0, but the report has 3"
    );

    let mut wrong = report();
    wrong.samples[0].rgb.pop();
    let message = render(&wrong).unwrap_err().to_string();
    assert_eq!(
        message,
        "sample 0 has 191 bytes, but 8 x 8 RGB pixels need 192"
    );
}

/// The part of a page from `start` to the next `end`.
fn part<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

/// A report on as many classes, all of whose images are recognised.
fn perfect(classes: usize) -> Report {
    let mut report = report();
    let row = |class: usize| {
        (0..classes)
            .map(|other| u64::from(class == other))
            .collect()
    };
    let matrix = Confusion::try_from((0..classes).map(row).collect::<Vec<_>>()).unwrap();
    report.data.classes = (0..classes).map(|class| format!("k{class}")).collect();
    for model in &mut report.models {
        model.confusion = matrix.clone();
    }
    report.comparisons[0].students = Paired {
        images: classes as u64,
        only_first: 0,
        only_second: 0,
    };
    report
}

#[test]
fn matrices_of_more_than_twenty_classes_have_small_cells() {
    for (classes, dense) in [(20, false), (21, true)] {
        let page = render(&perfect(classes)).unwrap();
        assert_eq!(page.contains("\"matrices dense\""), dense, "{classes}");
    }
}

#[test]
fn examples_have_a_legend_and_a_mark_for_each_answer_and_none_have_no_heading() {
    let mut mixed = report();
    mixed.samples[0].predictions[1].class = 0;
    let page = render(&mixed).unwrap();
    let examples = part(&page, "<h2>Examples</h2>", "<div class=\"sheet\">");
    let legend = part(examples, "<p class=\"legend\">", "</p>");
    let roles =
        "<span class=\"key c0\">Teacher</span> <span class=\"key c1\">resnet8 alone</span> ";
    assert!(legend.starts_with(roles), "{legend}");
    let sheet = part(&page, "<div class=\"sheet\">", "</div>");
    for answer in ["\"c0 wrong\"", "\"c1 right\"", "\"c2 wrong\""] {
        assert!(sheet.contains(answer), "{answer} is not in {sheet}");
    }
    mixed.samples.clear();
    assert!(!render(&mixed).unwrap().contains("Examples"));
}

#[test]
fn the_loss_terms_have_colours_of_their_own() {
    let page = render(&report()).unwrap();
    let terms = part(&page, "<b>Loss terms of resnet8 by dkd</b>", "</figure>");
    let legend = "<span class=\"key c3\">ce</span> <span class=\"key c4\">dkd</span>";
    assert!(terms.contains(legend), "{terms}");
}

#[test]
fn files_that_were_left_out_are_counted_in_words() {
    let mut some = report();
    for (skipped, said) in [
        (0, None),
        (1, Some("One file could not be read")),
        (1234, Some("1,234 files could not be read")),
    ] {
        some.data.skipped = skipped.into();
        let page = render(&some).unwrap();
        assert_eq!(page.contains("could not be read"), said.is_some());
        assert!(said.is_none_or(|said| page.contains(said)), "{skipped}");
    }
    let bad = |file: &str| BadFile {
        file: file.into(),
        reason: "it is <empty>".into(),
    };
    some.data.skipped = vec![bad("a/1.png"), bad("b/2.png")].into();
    let page = render(&some).unwrap();
    let said =
        "2 files could not be read and were left out (a/1.png and 1 other: it is &lt;empty&gt;).";
    assert!(page.contains(said), "{page}");
}

#[test]
fn recalls_stand_side_by_side_with_what_was_gained_and_a_class_without_images_has_none() {
    let page = render(&report()).unwrap();
    let row = "<td>100</td><td>98.00&nbsp;%</td><td>90.00&nbsp;%</td><td>95.00&nbsp;% <small class=\"more\">+5.00</small></td>";
    assert!(page.contains(row));
    let mut empty = report();
    for (model, right) in empty.models.iter_mut().zip([98, 90, 95]) {
        let rows = vec![vec![right, 100 - right], vec![0, 0]];
        model.confusion = Confusion::try_from(rows).unwrap();
    }
    empty.comparisons[0].students = Paired {
        images: 100,
        only_first: 10,
        only_second: 5,
    };
    let row = "<td>0</td><td>–</td><td>–</td><td>–</td>";
    assert!(render(&empty).unwrap().contains(row));
}

#[test]
fn cells_are_shaded_by_their_share_and_mistakes_named_by_their_number() {
    let mut mistaken = perfect(4);
    // Shares of 62 % right and 60 % wrong, on either side of where letters turn white.
    let rows = vec![
        vec![62, 38, 0, 0],
        vec![60, 40, 0, 0],
        vec![0, 0, 97, 3],
        vec![0, 3, 3, 94],
    ];
    mistaken.models[0].confusion = Confusion::try_from(rows).unwrap();
    let page = render(&mistaken).unwrap();
    let [matrix, perfect] = [0, 1].map(|model: usize| {
        let matrices = page.split("<figure class=\"matrix\">").skip(1);
        matrices.collect::<Vec<_>>()[model]
    });
    for cell in [
        "\"r\" style=\"--s:62%\" title=\"k0 → k0: 62 (62.0 %)\"",
        "\"w\" style=\"--s:62%\" title=\"k0 → k1: 38 (38.0 %)\"",
        "\"w d\" style=\"--s:77%\" title=\"k1 → k0: 60 (60.0 %)\"",
        "\"r d\" style=\"--s:97%\" title=\"k2 → k2: 97 (97.0 %)\"",
        "<td></td>",
    ] {
        assert!(matrix.contains(cell), "{cell} is not in {matrix}");
    }
    let said = "mistakes: k1 taken for k0 (60); k0 taken for k1 (38); k2 taken for k3 (3).</p>";
    assert!(matrix.contains(said), "{matrix}");
    assert!(perfect.contains("No mistakes."), "{perfect}");
    let (right, wrong) = ("\"r d\" style=\"--s:100%\"", "<td></td>");
    assert_eq!(
        [right, wrong].map(|cell| perfect.matches(cell).count()),
        [4, 13]
    );
    let mut unmet = report();
    for model in &mut unmet.models {
        model.confusion = Confusion::try_from(vec![vec![0, 10], vec![0, 0]]).unwrap();
    }
    unmet.comparisons[0].students = Paired {
        images: 10,
        only_first: 0,
        only_second: 0,
    };
    assert!(render(&unmet).unwrap().contains("<td class=\"r\">0</td>"));
}
