//! The eight transforms on the 3 x 3 map that counts from 1 to 9, and the laws of the group.

use ghostlight_kernels::loss::flip_align::reference::transformed;
use ghostlight_kernels::loss::flip_align::{Group, Transform};

const NINE: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

#[test]
fn the_eight_transforms_move_nine_pixels_as_their_names_say() {
    #[rustfmt::skip]
    let images = [
        (Transform::IDENTITY,       [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Transform::HORIZONTAL,     [3, 2, 1, 6, 5, 4, 9, 8, 7]),
        (Transform::VERTICAL,       [7, 8, 9, 4, 5, 6, 1, 2, 3]),
        (Transform::HALF_TURN,      [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (Transform::TRANSPOSE,      [1, 4, 7, 2, 5, 8, 3, 6, 9]),
        (Transform::TURN_LEFT,      [3, 6, 9, 2, 5, 8, 1, 4, 7]),
        (Transform::TURN_RIGHT,     [7, 4, 1, 8, 5, 2, 9, 6, 3]),
        (Transform::ANTI_TRANSPOSE, [9, 6, 3, 8, 5, 2, 7, 4, 1]),
    ];
    for (code, (g, wanted)) in images.into_iter().enumerate() {
        assert_eq!(g.code() as usize, code);
        assert_eq!(Transform::of_code(code as u32), Some(g));
        assert_eq!(transformed(g, &NINE, [3, 3]), wanted.map(f64::from), "{g}");
    }
    assert_eq!(Transform::of_code(8), None);
    assert_eq!(Transform::of_code(u32::MAX), None);
}

#[test]
fn the_inverse_undoes_a_transform_and_only_the_quarter_turns_are_not_their_own() {
    for g in Transform::ALL {
        let there = transformed(g, &NINE, [3, 3]);
        assert_eq!(transformed(g.inverse(), &there, [3, 3]), NINE, "{g}");
        let quarter = g == Transform::TURN_LEFT || g == Transform::TURN_RIGHT;
        assert_eq!(g.inverse() != g, quarter);
        assert_eq!(g.inverse().after(g), Transform::IDENTITY);
        assert_eq!(g.after(g.inverse()), Transform::IDENTITY);
    }
}

#[test]
fn one_transform_after_another_is_the_product_of_the_two() {
    for g in Transform::ALL {
        for h in Transform::ALL {
            let both = transformed(g, &transformed(h, &NINE, [3, 3]), [3, 3]);
            assert_eq!(
                transformed(g.after(h), &NINE, [3, 3]),
                both,
                "{g} after {h}"
            );
        }
    }
}

#[test]
fn flips_move_the_pixels_of_maps_that_are_not_square() {
    let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let of = |g| transformed(g, &six, [2, 3]);
    assert_eq!(of(Transform::HORIZONTAL), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    assert_eq!(of(Transform::VERTICAL), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    assert_eq!(of(Transform::HALF_TURN), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn every_group_of_choices_is_closed_and_begins_with_the_identity() {
    for group in [Group::D4, Group::Flips, Group::Rotations] {
        let choices = group.choices().unwrap();
        assert_eq!(
            (choices[0], choices.len()),
            (Transform::IDENTITY, group.columns())
        );
        assert!(choices.is_sorted());
        for &g in choices {
            for &h in choices {
                assert!(choices.contains(&g.after(h)), "{group}: {g} after {h}");
            }
        }
        assert_eq!(group.transposes(), choices.iter().any(|g| g.transposes()));
    }
}

#[test]
fn a_draw_is_repeatable_even_and_the_same_for_a_longer_batch() {
    let drawn = Transform::draw(7, 8000, &Transform::ALL);
    assert_eq!(drawn, Transform::draw(7, 8000, &Transform::ALL));
    assert_eq!(drawn[..100], Transform::draw(7, 100, &Transform::ALL));
    for g in Transform::ALL {
        let count = drawn.iter().filter(|&&d| d == g).count();
        // Six standard deviations.
        assert!(count.abs_diff(1000) < 180, "{g}: {count} of 8000");
    }
    for seed in [0, 8, u64::MAX] {
        let other = Transform::draw(seed, 8000, &Transform::ALL);
        let same = drawn.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same.abs_diff(1000) < 180, "seed {seed}: {same} of 8000");
    }
    let half = Transform::draw(3, 50, &[Transform::HALF_TURN]);
    assert_eq!(half, vec![Transform::HALF_TURN; 50]);
    assert!(Transform::draw(3, 50, &[]).is_empty());
}
