use super::*;

fn model(arch: &str, right: u64, wrong: u64) -> ModelReport {
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
            test_accuracy: 0.25 * epoch as f64,
        })
        .collect();
    ModelReport {
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
            test_images: 200,
            image_size: 8,
            skipped: 2,
        },
        models: [
            model("resnet20", 98, 2),
            model("resnet8", 90, 10),
            model("resnet8", 95, 5),
        ],
        students: Paired {
            images: 200,
            only_first: 15,
            only_second: 5,
        },
        samples: vec![Sample {
            rgb: vec![90; 192],
            width: 8,
            height: 8,
            truth: 0,
            predictions: [prediction; 3],
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
    assert!(page.contains("3.00 points less than its teacher"));
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
fn the_style_sheet_knows_every_colour_of_the_charts() {
    for colour in chart::COLOURS {
        let attribute = format!(
            "[stroke=\"#{:02X}{:02X}{:02X}\"]",
            colour.0, colour.1, colour.2
        );
        assert!(
            include_str!("style.css").contains(&attribute),
            "{attribute}"
        );
    }
}

#[test]
fn an_equal_result_is_not_called_a_gain() {
    let mut equal = report();
    equal.models[2].confusion = equal.models[1].confusion.clone();
    equal.students.only_first = equal.students.only_second;
    let page = render(&equal).unwrap();
    assert!(page.contains("exactly what the same network trained alone"));
    assert!(page.contains("chance alone may make as much of a difference"));
}

#[test]
fn the_students_are_compared_image_by_image() {
    let page = render(&report()).unwrap();
    for said in [
        "the distilled student alone is right about 15, the student alone about 5",
        "a difference of +5.00 points",
        "95&nbsp;% interval from +0.68 to +9.88",
        "more than chance makes",
        "p&nbsp;=&nbsp;0.041",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn students_without_a_mistake_may_differ_on_other_images() {
    let mut perfect = report();
    for student in [1, 2] {
        perfect.models[student] = model("resnet8", 100, 0);
    }
    perfect.students = Paired {
        images: 200,
        only_first: 0,
        only_second: 0,
    };
    let page = render(&perfect).unwrap();
    assert!(page.contains("interval from −1.88 to +1.88"), "{page}");
}

#[test]
fn a_comparison_of_other_students_is_refused() {
    let mut wrong = report();
    wrong.students.only_first = 14;
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
        "the confusion matrix of the student alone speaks of 3 classes, but the data has 2"
    );

    let mut wrong = report();
    wrong.samples[0].predictions[2].class = 2;
    assert!(matches!(
        render(&wrong),
        Err(ReportError::Classes { found: 3, .. })
    ));

    let mut wrong = report();
    wrong.samples[0].rgb.pop();
    let message = render(&wrong).unwrap_err().to_string();
    assert_eq!(
        message,
        "sample 0 has 191 bytes, but 8 x 8 RGB pixels need 192"
    );
}
