use super::*;
use plotters::coord::ranged1d::BoldPoints;

fn chart(values: &[f64]) -> String {
    let points = values
        .iter()
        .enumerate()
        .map(|(i, y)| (i + 1, *y))
        .collect();
    figure(
        "loss <all>",
        &[Series {
            name: "a&b".into(),
            place: 2,
            points,
            ..Series::default()
        }],
        Axis::Plain,
        Legend::Own,
    )
    .unwrap()
}

#[test]
fn text_stays_text_and_names_are_escaped() {
    let figure = chart(&[3.0, 2.0, 1.0]);
    assert!(figure.contains("<text") && figure.contains("epoch"));
    for epoch in ["\n1\n", "\n2\n", "\n3\n"] {
        assert!(figure.contains(epoch), "{epoch:?} is not in {figure}");
    }
    assert!(!figure.contains("cannot be drawn"), "{figure}");
    assert!(
        figure.contains("loss &lt;all&gt;")
            && figure.contains("a&amp;b")
            && !figure.contains("<all>")
    );
}

#[test]
fn one_epoch_equal_values_and_no_values_are_drawn_without_complaint() {
    assert!(chart(&[0.5]).contains("<circle"));
    assert!(chart(&[0.0, 0.0, 0.0]).contains("<polyline"));
    assert!(!chart(&[]).contains("<svg"));
}

#[test]
fn a_difference_is_drawn_with_its_sign_and_from_nothing() {
    let points = vec![(1, 0.02), (2, 0.03)];
    let line = Series {
        name: "gain".into(),
        place: 2,
        points,
        ..Series::default()
    };
    let figure = figure("gain", &[line], Axis::Points, Legend::Own).unwrap();
    assert!(
        figure.contains("+3.0") && figure.contains("\n0\n"),
        "{figure}"
    );
}

#[test]
fn a_loss_that_diverged_is_said_and_not_drawn() {
    let figure = chart(&[3.0, f64::NAN, f64::INFINITY]);
    assert!(figure.contains("2 values are infinite or not a number") && !figure.contains("NaN\""));
    assert!(!chart(&[f64::NAN]).contains("<svg"));
}

/// A figure of one line through `count` equal values.
fn line(place: usize, count: usize, axis: Axis) -> String {
    let name = "a".into();
    let points = (1..=count).map(|epoch| (epoch, 0.5)).collect();
    let series = Series {
        name,
        place,
        points,
        ..Series::default()
    };
    figure("a", &[series], axis, Legend::Own).unwrap()
}

#[test]
fn the_vertical_axis_reaches_a_little_beyond_its_values() {
    for (low, high, axis, bottom, top) in [
        (1.0, 3.0, Axis::Plain, 0.88, 3.12),
        // Losses and accuracies do not fall below nothing, nor do shares rise above all.
        (0.05, 3.05, Axis::Plain, 0.0, 3.23),
        (0.0, 1.0, Axis::Plain, 0.0, 1.06),
        (-1.0, 1.0, Axis::Points, -1.12, 1.12),
        (49.0, 99.0, Axis::Percent, 46.0, 100.5),
        (40.0, 50.0, Axis::Percent, 39.4, 50.6),
        (49.0, 99.0, Axis::Plain, 46.0, 102.0),
        // Equal values have room on either side, however small they are.
        (2.0, 2.0, Axis::Plain, 1.9, 2.1),
        (-2.0, -2.0, Axis::Plain, -2.1, -1.9),
        (0.0, 0.0, Axis::Plain, 0.0, 5e-5),
    ] {
        let found = limits((low, high), axis);
        let close = (found.0 - bottom).abs() < 1e-9 && (found.1 - top).abs() < 1e-9;
        assert!(close, "{low} to {high}: {found:?}");
    }
    assert_eq!(span([2.0, -1.0, 3.0].into_iter()), (-1.0, 3.0));
}

#[test]
fn ticks_have_the_decimals_in_which_neighbours_differ() {
    for (value, range, axis, text) in [
        (2.0, 6.0, Axis::Plain, "2"),
        (20.0, 60.0, Axis::Plain, "20"),
        (2.5, 0.5, Axis::Plain, "2.50"),
        (2.0, 0.0, Axis::Plain, "2.000000"),
        (50.0, 20.0, Axis::Percent, "50 %"),
        (50.5, 3.0, Axis::Percent, "50.5 %"),
        (0.0, 3.0, Axis::Points, "0"),
        (1.5, 3.0, Axis::Points, "+1.5"),
        (-1.5, 3.0, Axis::Points, "−1.5"),
        (1e-9, 6e-9, Axis::Points, "+0.000000"),
    ] {
        assert_eq!(tick(value, range, axis), text);
    }
}

#[test]
fn epochs_lie_evenly_between_the_ends_and_a_lone_one_in_the_middle() {
    let (first, last) = (1.0, 5.0);
    let placed = [1.0, 2.0, 3.0, 5.0].map(|epoch| Epochs { first, last }.map(&epoch, (10, 110)));
    assert_eq!(placed, [10, 35, 60, 110]);
    let (first, last) = (3.0, 3.0);
    assert_eq!(Epochs { first, last }.map(&3.0, (10, 110)), 60);
}

#[test]
fn the_epochs_named_are_round_and_no_more_than_there_is_room_for() {
    let named = |first: f64, last: f64, room: usize| {
        let points = Epochs { first, last }.key_points(BoldPoints(room));
        points
            .iter()
            .map(|epoch| *epoch as usize)
            .collect::<Vec<_>>()
    };
    assert_eq!(named(1.0, 5.0, 10), [1, 2, 3, 4, 5]);
    assert_eq!(named(1.0, 30.0, 10), [5, 10, 15, 20, 25, 30]);
    assert_eq!(
        named(1.0, 100.0, 10),
        (1..=10).map(|ten| 10 * ten).collect::<Vec<_>>()
    );
    assert_eq!(
        named(1.0, 200.0, 10),
        (1..=10).map(|ten| 20 * ten).collect::<Vec<_>>()
    );
    assert_eq!(named(1.0, 11.0, 10), [2, 4, 6, 8, 10]);
    assert_eq!(named(7.0, 7.0, 10), [7]);
    // There is room for two at least.
    assert_eq!(named(1.0, 4.0, 0), [2, 4]);
}

#[test]
fn shares_are_drawn_as_percentages_and_other_values_as_they_are() {
    assert!(line(0, 3, Axis::Percent).contains("\n50.0 %\n"));
    assert!(line(0, 3, Axis::Plain).contains("\n0.50"));
}

#[test]
fn few_points_are_marked_by_the_colours_own_mark_and_many_are_not() {
    let marks = |colour, count| {
        let figure = line(colour, count, Axis::Plain);
        ["<polygon", "<circle", "<line"].map(|mark| figure.matches(mark).count())
    };
    let (unmarked, triangles) = (marks(0, 41), marks(0, 40));
    assert_eq!(triangles[0] - unmarked[0], 40);
    let [crosses, circles] = [marks(1, 40), marks(2, 40)];
    assert_eq!(circles[1] - unmarked[1], 40);
    // Two strokes each.
    assert_eq!(crosses[2] - unmarked[2], 80);
    for colour in [1, 2] {
        assert_eq!(marks(colour, 41), unmarked);
    }
}

#[test]
fn past_the_last_colour_the_first_comes_again_with_dashes_in_line_and_legend() {
    let lines = [
        1,
        1 + COLOURS.len(),
        1 + 2 * COLOURS.len(),
        1 + 3 * COLOURS.len(),
    ];
    let [first, dashed, dotted, again] = lines.map(|place| line(place, 3, Axis::Plain));
    assert!(first.contains("<span class=\"key c1\">"));
    assert!(dashed.contains("<span class=\"key c1 d1\">"));
    assert!(dotted.contains("<span class=\"key c1 d2\">"));
    assert_eq!(first, again);
    let inks: std::collections::HashSet<_> =
        (0..18).map(|place| format!("{:?}", ink(place))).collect();
    assert_eq!(inks.len(), 18, "two lines are drawn alike");
}

#[test]
fn the_style_sheet_knows_every_ink_of_the_charts() {
    let rules = rules();
    for (place, dashes) in [
        (0, "none"),
        (5, "none"),
        (6, "9 4"),
        (11, "9 4"),
        (17, "2 3"),
    ] {
        let RGBColor(red, green, blue) = ink(place);
        let colour = place % 6;
        let rule = format!(
            ".chart [stroke=\"#{red:02X}{green:02X}{blue:02X}\"]{{stroke:var(--c{colour});stroke-dasharray:{dashes}}}"
        );
        assert!(rules.contains(&rule), "{rule} is not in {rules}");
        let drawn = line(place, 3, Axis::Plain);
        assert!(
            drawn.contains(&format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"")),
            "{drawn}"
        );
    }
}

#[test]
fn a_band_lies_under_its_line_and_a_ring_on_its_epoch() {
    let series = Series {
        points: vec![(1, 0.5), (2, 0.75)],
        band: vec![(1, 0.25, 0.6), (2, 0.5, 1.0), (3, f64::NAN, 1.0)],
        ring: Some(2),
        ..Series::default()
    };
    let drawn = figure(
        "a",
        std::slice::from_ref(&series),
        Axis::Percent,
        Legend::Shared,
    )
    .unwrap();
    let without = figure(
        "a",
        &[Series {
            band: Vec::new(),
            ring: None,
            ..series
        }],
        Axis::Percent,
        Legend::Shared,
    )
    .unwrap();
    let count = |figure: &str, mark: &str| figure.matches(mark).count();
    // The band's outline, and no more than its finite epochs.
    assert_eq!(count(&drawn, "<polygon"), count(&without, "<polygon") + 1);
    assert_eq!(count(&drawn, "<circle"), count(&without, "<circle") + 1);
    assert!(
        !drawn.contains("NaN") && drawn.contains("opacity=\"0.16\""),
        "{drawn}"
    );
    // The axis reaches as far as the band does.
    assert!(
        drawn.contains("40 %") && !without.contains("40 %"),
        "{drawn}"
    );
}

#[test]
fn a_lone_point_among_many_lines_is_marked() {
    let lines: Vec<Series> = (0..8)
        .map(|place| Series {
            place,
            points: vec![(1, 0.5)],
            ..Series::default()
        })
        .collect();
    let drawn = figure("a", &lines, Axis::Plain, Legend::Shared).unwrap();
    let marks = ["<polygon", "<circle"].map(|mark| drawn.matches(mark).count());
    assert_eq!(marks[0], 2);
    assert_eq!(marks[1], 4);
    assert!(
        !drawn.contains("<span"),
        "a shared legend is drawn elsewhere"
    );
}
