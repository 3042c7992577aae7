//! Annotations that nobody meant to write.

use super::annotation::{Annotation, Broken, Object};
use super::{dota, tests, voc};
use proptest::prelude::*;

/// The parts of annotation files, whole and broken, to be put together at random.
fn fragments(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let part = prop_oneof![prop::sample::select(parts).prop_map(String::from), ".{0,6}"];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

fn lines_are_in(text: &str, found: &Annotation) -> bool {
    let last = text.lines().count().max(1) as u32 + 1;
    let line = |object: &Result<_, Broken>| match object {
        Ok(object) => line_of(object),
        Err(broken) => broken.line,
    };
    found
        .objects
        .iter()
        .all(|object| (1..=last).contains(&line(object)))
}

fn line_of(object: &Object) -> u32 {
    let corners = object.outline.0.as_flattened();
    assert!(corners.iter().all(|value| value.is_finite()));
    assert!(!object.class.trim().is_empty());
    object.line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_dota_parser_panic_or_lose_its_line(text in fragments(&[
        "imagesource:", "gsd:", "\n", "\r\n", "\r", " ", "\t", "1", "-3.5", "1e400", "nan", "plane", "0", "1 1 5 1 5 5 1 5 ship 0\n", "\u{feff}",
    ])) {
        let found = dota::parse(&text);
        prop_assert!(lines_are_in(&text, &found), "{:?}", found);
    }

    #[test]
    fn no_text_makes_the_voc_parser_panic_or_lose_its_line(text in fragments(&[
        "<annotation>", "</annotation>", "<object>", "</object>", "<bndbox>", "</bndbox>", "<name>", "</name>", "<xmin>1</xmin>",
        "<ymin>1</ymin>", "<xmax>9</xmax>", "<ymax>9</ymax>", "<size><width>1</width><height>-2</height></size>", "<difficult>1</difficult>",
        "<!--", "-->", "<![CDATA[", "]]>", "&amp;", "&", "\n", "ship", "<name xmlns='x'>", "<?xml version='1.0'?>", "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    ])) {
        let found = voc::parse(&text);
        prop_assert!(lines_are_in(&text, &found), "{:?}", found);
    }

    #[test]
    fn a_byte_changed_in_a_sound_file_changes_no_more_than_what_it_says(at in 0..600usize, byte in any::<u8>()) {
        let mut bytes = tests::voc(&[("ship", [3, 3, 9, 9]), ("plane", [1, 2, 3, 4])]).into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(lines_are_in(&text, &voc::parse(&text)));
    }
}

#[test]
fn a_file_of_a_hundred_thousand_open_elements_is_broken_and_nothing_worse() {
    let text = "<annotation>".repeat(100_000);
    let found = voc::parse(&text);
    assert!(matches!(found.objects.as_slice(), [Err(_)]));
}
