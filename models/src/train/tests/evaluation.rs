use super::super::evaluate::{answer, argmax};
use super::*;

#[test]
fn the_largest_of_a_row_is_found_wherever_it_stands() {
    for classes in 1..20 {
        for best in 0..classes {
            let mut row: Vec<f32> = (0..classes).map(|i| (i as f32).sin() - 5.0).collect();
            row[best] = -3.0;
            assert_eq!(argmax(&row), best, "{row:?}");
            assert_eq!(answer(&row, 0).class, best, "{row:?}");
        }
    }
}

#[test]
fn of_equal_values_the_first_counts_and_no_nan_beats_a_number() {
    assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    assert_eq!(argmax(&[f32::NAN, 1.0, f32::NAN, 2.0, f32::NAN]), 3);
    assert_eq!(argmax(&[f32::NAN; 3]), 0);
    assert_eq!(argmax(&[f32::NEG_INFINITY, f32::NAN]), 0);
}

#[test]
fn an_answer_is_as_sure_as_the_softmax_says() {
    let close = |row: &[f32], wanted: f32| (answer(row, 0).confidence - wanted).abs() < 1e-6;
    assert!(close(&[0.0, 3f32.ln()], 0.75));
    assert!(close(&[2.0, 2.0, 2.0, 2.0], 0.25));
    assert!(close(&[-1000.0, 1000.0], 1.0));
}

/// A network that answers `class` whatever it sees.
fn answering(fixture: &Fixture, class: usize) -> Network {
    let mut network = fixture.network(0);
    let mut weights = network.store.weights().unwrap();
    for tensor in &mut weights {
        if tensor.name.starts_with("fc.") {
            tensor.data.fill(0.0);
        }
        if tensor.name == "fc.bias" {
            tensor.data[class] = 1.0;
        }
    }
    network.store.set_weights(&weights).unwrap();
    network
}

#[test]
fn every_test_image_counts_once_under_its_true_and_its_predicted_class() {
    let fixture = Fixture::new(&[]);
    let session = fixture.session(&Silent);
    // 30 % of 7, 8 and 10 images.
    let truths = [2, 2, 3];
    for class in 0..IMAGES.len() {
        let network = answering(&fixture, class);
        for evaluation in [
            evaluate(&session, &network, &session.split.test, "").unwrap(),
            measure(&session, &network, "").unwrap(),
        ] {
            let confusion = &evaluation.confusion;
            let wanted = truths.map(|images| {
                let mut row = vec![0; IMAGES.len()];
                row[class] = images;
                row
            });
            assert_eq!(confusion.rows(), wanted, "all are called {class}");
            let share = truths[class] as f64 / TESTED as f64;
            assert!((confusion.accuracy() - share).abs() < 1e-12);
            assert!(evaluation.images_per_s > 0.0);
        }
    }
}

#[test]
fn answers_come_in_the_order_of_the_images_whatever_batch_they_are_in() {
    let fixture = Fixture::new(&[]);
    let session = fixture.session(&Silent);
    let network = fixture.network(0);
    let indices: Vec<u32> = (0..12).collect();
    let (together, _) = answers(&session, &network, &indices).unwrap();
    assert_eq!(together.len(), indices.len());
    let confidences: Vec<f32> = together.iter().map(|answer| answer.confidence).collect();
    assert!(confidences[0] != confidences[1], "all images look the same");
    for (&index, answer) in indices.iter().zip(&together) {
        let (alone, _) = answers(&session, &network, &[index]).unwrap();
        let same = alone[0].class == answer.class;
        let close = (alone[0].confidence - answer.confidence).abs() < 1e-5;
        assert!(same && close, "image {index}: {answer:?}, alone {alone:?}");
    }
}

#[test]
fn an_evaluation_changes_nothing_in_the_network() {
    let fixture = Fixture::new(&[]);
    let session = fixture.session(&Silent);
    let network = fixture.network(0);
    let before = network.store.weights().unwrap();
    evaluate(&session, &network, &session.split.test, "").unwrap();
    assert!(before == network.store.weights().unwrap());
}
