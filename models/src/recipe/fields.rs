//! Every key of a recipe and the values it may take, each stated once.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use toml::Value;

use crate::data::folder::SIZES;

/// The values a key may take. Its `Display` completes the sentence "must be ...".
#[derive(Clone, Copy, Debug)]
pub enum Allowed {
    /// `true` or `false`.
    Flag,
    /// Any text that is not blank.
    Name,
    /// The name of a file, or nothing.
    File,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number, both ends included.
    Whole(i64, i64),
    /// 0, which switches the feature off, or a whole number between these, both included.
    ZeroOrWhole(i64, i64),
    /// A finite number between these bounds.
    Real(Bound<f64>, Bound<f64>),
    /// This word, or a finite number between these bounds.
    WordOrReal(&'static str, Bound<f64>, Bound<f64>),
    /// A list of whole numbers from this one on.
    Numbers(i64),
    /// A list of texts that are not blank.
    Names,
}

const fn real(min: f64, max: f64) -> Allowed {
    Allowed::Real(Bound::Included(min), Bound::Included(max))
}

const fn strictly_between(min: f64, max: f64) -> Allowed {
    Allowed::Real(Bound::Excluded(min), Bound::Excluded(max))
}

/// Every key, as `section.field`, with what it may hold.
pub const FIELDS: &[(&str, Allowed)] = &[
    // TOML's integers are signed.
    ("seed", Allowed::Whole(0, i64::MAX)),
    ("data.test_fraction", strictly_between(0.0, 1.0)),
    (
        "data.validation_fraction",
        Allowed::Real(Bound::Included(0.0), Bound::Excluded(1.0)),
    ),
    ("data.train_per_class", Allowed::Whole(0, 1_000_000)),
    ("data.validation_per_class", Allowed::Whole(0, 1_000_000)),
    ("data.test_per_class", Allowed::Whole(0, 1_000_000)),
    ("data.split_file", Allowed::File),
    (
        "data.layout",
        Allowed::OneOf(&["auto", "folders", "rsod", "dota"]),
    ),
    (
        "data.objects",
        Allowed::OneOf(&["auto", "scenes", "upright", "axis"]),
    ),
    ("data.margin", real(0.0, 2.0)),
    ("data.least_size", Allowed::Whole(0, 4096)),
    ("data.difficult", Allowed::Flag),
    ("data.memory_mb", Allowed::Whole(0, 100_000_000)),
    // The sides to which images can be resized; those that can be drawn end earlier.
    (
        "data.image_size",
        Allowed::ZeroOrWhole(*SIZES.start() as i64, *SIZES.end() as i64),
    ),
    ("data.deep_images", Allowed::OneOf(&["stretch", "refuse"])),
    ("data.synthetic_per_class", Allowed::Whole(5, 2000)),
    ("data.synthetic_size", Allowed::Whole(16, 128)),
    ("augment.dihedral", Allowed::Flag),
    ("augment.shift", Allowed::Whole(0, 32)),
    ("augment.mixup", real(0.0, 10.0)),
    ("teacher.arch", Allowed::Name),
    ("teacher.epochs", Allowed::Whole(1, 10_000)),
    ("student.arch", Allowed::Name),
    ("student.epochs", Allowed::Whole(1, 10_000)),
    ("train.batch", Allowed::Whole(2, 4096)),
    ("train.optimiser", Allowed::OneOf(&["sgd", "adamw"])),
    ("train.peak_lr", real(1e-6, 10.0)),
    (
        "train.schedule",
        Allowed::OneOf(&["one_cycle", "cosine", "constant", "step", "plateau"]),
    ),
    ("train.warmup", real(0.0, 0.9)),
    ("train.final_ratio", real(0.0, 1.0)),
    ("train.drop_every", Allowed::Whole(1, 10_000)),
    ("train.plateau_epochs", Allowed::Whole(1, 10_000)),
    ("train.drop_factor", strictly_between(0.0, 1.0)),
    ("train.momentum", real(0.0, 0.999)),
    ("train.nesterov", Allowed::Flag),
    ("train.beta1", real(0.0, 0.9999)),
    ("train.beta2", real(0.0, 0.999_999)),
    ("train.epsilon", real(1e-12, 1.0)),
    ("train.weight_decay", real(0.0, 1.0)),
    ("train.label_smoothing", real(0.0, 0.9)),
    (
        "train.dropout",
        Allowed::WordOrReal("own", Bound::Included(0.0), Bound::Excluded(1.0)),
    ),
    ("train.early_stop", Allowed::ZeroOrWhole(1, 10_000)),
    ("train.fused", Allowed::Flag),
    ("distill.name", Allowed::Name),
    ("distill.teachers", Allowed::Numbers(1)),
    ("distill.turns", Allowed::OneOf(&["together", "in_turn"])),
    ("distill.ce_weight", real(0.0, 100.0)),
    ("distill.warmup_epochs", Allowed::Whole(0, 10_000)),
    ("distill.kd.weight", real(0.0, 100.0)),
    ("distill.kd.temperature", real(0.1, 100.0)),
    ("distill.dkd.weight", real(0.0, 100.0)),
    ("distill.dkd.alpha", real(0.0, 100.0)),
    ("distill.dkd.beta", real(0.0, 100.0)),
    ("distill.dkd.temperature", real(0.1, 100.0)),
    ("distill.dual.temperature", real(0.1, 100.0)),
    (
        "distill.dual.rule",
        Allowed::OneOf(&["table", "proportional"]),
    ),
    ("distill.dual.per_sample", Allowed::Flag),
    ("distill.dual.low", real(0.0, 1.0)),
    ("distill.dual.high", real(0.0, 1.0)),
    ("distill.dual.minimum", real(0.0, 1.0)),
    ("distill.dual.even", real(0.0, 1.0)),
    ("distill.dual.lesser", real(0.0, 1.0)),
    ("distill.dual.greater", real(0.0, 1.0)),
    ("distill.cosine.weight", real(0.0, 100.0)),
    (
        "distill.cosine.of",
        Allowed::OneOf(&["logits", "centred", "probabilities", "features"]),
    ),
    ("distill.cosine.temperature", real(0.1, 100.0)),
    ("distill.cosine.student_stage", Allowed::Name),
    ("distill.cosine.teacher_stage", Allowed::Name),
    ("distill.align.weight", real(0.0, 1000.0)),
    ("distill.align.teacher", Allowed::Whole(1, 100)),
    ("distill.align.student_stages", Allowed::Names),
    ("distill.align.teacher_stages", Allowed::Names),
    (
        "distill.align.group",
        Allowed::OneOf(&[
            "d4",
            "flips",
            "rotations",
            "identity",
            "random",
            "horizontal_flip",
            "half_turn",
        ]),
    ),
    (
        "distill.align.select",
        Allowed::OneOf(&[
            "hard",
            "soft_min",
            "attention",
            "attention_detached",
            "mixed",
        ]),
    ),
    ("distill.align.tau", real(1e-6, 1e6)),
    (
        "distill.align.norm",
        Allowed::OneOf(&["none", "sample", "position"]),
    ),
    ("distill.align.batch_norm", Allowed::Flag),
];

/// The sections that are lists: one way to write each element, and numbers from 1 on the command line.
pub(super) const LISTS: &[&str] = &["teacher", "student", "distill"];

/// `key` as [`FIELDS`] has it: without numbers of elements, and what a teacher or student has of its own from the common section.
fn canonical(key: &str) -> String {
    let parts = key.split('.').filter(|part| part.parse::<usize>().is_err());
    let key = parts.collect::<Vec<_>>().join(".");
    let own = ["teacher.", "student."]
        .iter()
        .find_map(|role| key.strip_prefix(role));
    let common = own.filter(|rest| *rest == "train" || rest.starts_with("train."));
    common.map(str::to_string).unwrap_or(key)
}

/// Keys that say how a run is done and not what comes out of it: it may go on with others.
pub(crate) const WITHOUT_EFFECT_ON_RESULTS: [&str; 1] = ["data.memory_mb"];

/// What `key` may hold, or `None` for a key no recipe has.
pub(super) fn allowed(key: &str) -> Option<Allowed> {
    let key = canonical(key);
    let field = FIELDS.iter().find(|(known, _)| *known == key);
    field.map(|(_, allowed)| *allowed)
}

/// Whether keys begin with `key` and a dot.
pub(super) fn is_section(key: &str) -> bool {
    let section = format!("{}.", canonical(key));
    FIELDS.iter().any(|(known, _)| known.starts_with(&section))
}

/// Where `key` stands in [`FIELDS`].
pub(super) fn order(key: &str) -> Option<usize> {
    let key = canonical(key);
    FIELDS.iter().position(|(known, _)| *known == key)
}

/// The known key a reader most likely meant: the fewest single-letter edits away, with or without its section.
pub(super) fn nearest(key: &str) -> &'static str {
    let last = |k: &str| k.rsplit('.').next().unwrap_or_default().to_lowercase();
    let edits =
        |known: &str| edits(known, &key.to_lowercase()).min(edits(&last(known), &last(key)));
    FIELDS
        .iter()
        .map(|(known, _)| *known)
        .min_by_key(|known| edits(known))
        .unwrap_or_default()
}

/// Levenshtein distance, one row at a time.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

impl Allowed {
    /// Whether `value` has the right type and lies in range. A whole number is also a real one; NaN and infinities never are.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Flag, Value::Boolean(_)) => true,
            (Self::Name, Value::String(text)) => !text.trim().is_empty(),
            (Self::File, Value::String(text)) => text.is_empty() || !text.trim().is_empty(),
            (Self::OneOf(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::Whole(min, max), Value::Integer(n)) => (min..=max).contains(&n),
            (Self::ZeroOrWhole(min, max), Value::Integer(n)) => *n == 0 || (min..=max).contains(&n),
            (Self::Real(min, max), Value::Float(x)) => (*min, *max).contains(x),
            (Self::Real(min, max), Value::Integer(n)) => (*min, *max).contains(&(*n as f64)),
            (Self::Numbers(least), Value::Array(items)) => items
                .iter()
                .all(|item| Self::Whole(*least, i64::MAX).contains(item)),
            (Self::Names, Value::Array(items)) => {
                items.iter().all(|item| Self::Name.contains(item))
            }
            (Self::WordOrReal(word, ..), Value::String(text)) => text == word,
            (Self::WordOrReal(_, min, max), number) => Self::Real(*min, *max).contains(number),
            _ => false,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Name => f.write_str("a name in quotes"),
            Self::File => f.write_str("the name of a file in quotes, or \"\" for none"),
            Self::OneOf([only]) => write!(f, "\"{only}\""),
            Self::OneOf(words) => write!(f, "one of \"{}\"", words.join("\", \"")),
            Self::Whole(min, i64::MAX) => write!(f, "a whole number from {min} to 2^63-1"),
            Self::Whole(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::ZeroOrWhole(min, max) => write!(f, "0 or a whole number from {min} to {max}"),
            Self::Real(Bound::Excluded(min), Bound::Excluded(max)) => {
                write!(f, "a number above {min} and below {max}")
            }
            Self::Numbers(least) => write!(f, "a list of whole numbers from {least} on"),
            Self::Names => f.write_str("a list of names in quotes"),
            Self::WordOrReal(word, min, max) => {
                write!(f, "\"{word}\" or {}", Self::Real(*min, *max))
            }
            Self::Real(min, max) => {
                let end = |bound: &Bound<f64>| match bound {
                    Bound::Included(x) => format!("{x}"),
                    Bound::Excluded(x) => format!("{x} (excluded)"),
                    Bound::Unbounded => "any".to_string(),
                };
                write!(f, "a number from {} to {}", end(min), end(max))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_number_and_infinity_are_in_no_range() {
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(
                FIELDS
                    .iter()
                    .all(|(_, allowed)| !allowed.contains(&Value::Float(x)))
            );
        }
    }

    #[test]
    fn ends_are_included_unless_said_otherwise() {
        let whole = Allowed::Whole(2, 4096);
        assert!(whole.contains(&Value::Integer(2)) && whole.contains(&Value::Integer(4096)));
        assert!(!whole.contains(&Value::Integer(1)) && !whole.contains(&Value::Integer(4097)));
        let open = strictly_between(0.0, 1.0);
        assert!(open.contains(&Value::Float(0.5)));
        assert!(!open.contains(&Value::Float(0.0)) && !open.contains(&Value::Integer(1)));
        assert!(Allowed::ZeroOrWhole(8, 512).contains(&Value::Integer(0)));
        assert!(!Allowed::ZeroOrWhole(8, 512).contains(&Value::Integer(7)));
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        assert_eq!(nearest("train.bacth"), "train.batch");
        assert_eq!(nearest("temperature"), "distill.kd.temperature");
        assert_eq!(nearest("distil.dkd.Beta"), "distill.dkd.beta");
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn the_distance_of_two_words_counts_letters_put_in_taken_out_and_changed() {
        for (a, b, distance) in [
            ("", "", 0),
            ("beta", "beta", 0),
            ("", "beta", 4),
            ("seed", "sed", 1),
            ("flaw", "lawn", 2),
            ("ab", "ba", 2),
            ("momentum", "moment", 2),
            ("saturday", "sunday", 3),
        ] {
            assert_eq!((edits(a, b), edits(b, a)), (distance, distance), "{a}, {b}");
        }
    }
}
