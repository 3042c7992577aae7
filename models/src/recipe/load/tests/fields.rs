//! Every key of a recipe, wherever it stands: what it does not take, and how a misspelt one is found.

use super::*;
use std::ops::Bound;

/// Values, as TOML, that a key of `allowed` does not take.
fn refused_by(allowed: Allowed) -> Vec<String> {
    let below_and_above = |min: i64, max: i64| {
        let beyond = [min.checked_sub(1), max.checked_add(1)];
        beyond
            .into_iter()
            .flatten()
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
    };
    let mut values: Vec<String> = match allowed {
        Allowed::Flag => ["1", "'true'"].map(String::from).into(),
        Allowed::File => ["' '", "1"].map(String::from).into(),
        Allowed::Name => ["''", "' '", "1"].map(String::from).into(),
        Allowed::OneOf(_) => ["'nonsense'", "''", "true"].map(String::from).into(),
        Allowed::Whole(min, max) => below_and_above(min, max),
        Allowed::ZeroOrWhole(_, max) => below_and_above(0, max),
        Allowed::Real(min, max) | Allowed::WordOrReal(_, min, max) => {
            let beyond = |bound: Bound<f64>, outwards: fn(f64) -> f64| match bound {
                Bound::Included(end) => outwards(end),
                Bound::Excluded(end) => end,
                Bound::Unbounded => unreachable!("a recipe's numbers have ends"),
            };
            let ends = [beyond(min, f64::next_down), beyond(max, f64::next_up)];
            let ends = ends.map(|x| format!("{x:?}"));
            [
                &ends[..],
                &["nan", "inf", "'many'", "true"].map(String::from),
            ]
            .concat()
        }
        Allowed::Numbers(least) => vec![format!("[{}]", least - 1), "['1']".into(), "1".into()],
        Allowed::Names => ["['']", "[1]", "'layer1'"].map(String::from).into(),
    };
    // No key takes a table, and none takes both of these.
    values.push("{ of = 1 }".into());
    match allowed {
        Allowed::Whole(..) | Allowed::ZeroOrWhole(..) => {
            values.extend(["0.5".into(), "'many'".into()])
        }
        _ => values.push("1979-05-27".into()),
    }
    values
}

/// A recipe that says `key = value`, at each place where the key may stand, with the path by which it is refused there.
fn places(key: &str, value: &str) -> Vec<(String, String)> {
    let mut places = vec![(format!("{key} = {value}"), key.to_string())];
    let (section, rest) = key.split_once('.').unwrap_or(("", key));
    if ["teacher", "student", "distill"].contains(&section) {
        let text = format!("[[{section}]]\n[[{section}]]\n{rest} = {value}");
        places.push((text, format!("{section}.2.{rest}")));
    }
    if section == "train" {
        for role in ["teacher", "student"] {
            places.push((
                format!("{role}.train.{rest} = {value}"),
                format!("{role}.train.{rest}"),
            ));
            let text = format!("[[{role}]]\n[[{role}]]\ntrain = {{ {rest} = {value} }}");
            places.push((text, format!("{role}.2.train.{rest}")));
        }
    }
    places
}

#[test]
fn a_value_that_a_key_does_not_take_is_refused_with_its_path_wherever_it_stands() {
    for (key, allowed) in FIELDS {
        for value in refused_by(*allowed) {
            for (text, path) in places(key, &value) {
                let refused = refusal(&text);
                let named = refused.contains(&format!("mine.toml: `{path}` is "));
                assert!(
                    named && refused.ends_with(&format!("must be {allowed}")),
                    "{text}: {refused}"
                );
            }
        }
    }
}

#[test]
fn a_misspelt_key_is_refused_with_its_path_wherever_it_stands() {
    for (key, _) in FIELDS {
        let (most, last) = key.split_at(key.len() - 1);
        for misspelt in [format!("{key}{last}"), most.to_string(), format!("{most}_")] {
            if FIELDS.iter().any(|(known, _)| *known == misspelt) {
                continue;
            }
            for (text, path) in places(&misspelt, "1") {
                let refused = refusal(&text);
                let beginning = format!("mine.toml: unknown key `{path}`; did you mean `");
                assert!(refused.starts_with(&beginning), "{text}: {refused}");
            }
        }
    }
}

#[test]
fn a_key_without_a_value_is_refused_with_its_line() {
    for (key, _) in FIELDS {
        let refused = refusal(&format!("# Mine.\n{key} ="));
        assert!(
            refused.contains("not valid TOML") && refused.contains("line 2"),
            "{refused}"
        );
    }
}

#[test]
fn values_at_the_ends_of_every_range_are_taken_and_written_out_again() {
    for (key, allowed) in FIELDS {
        let values = match *allowed {
            Allowed::Whole(min, max) => vec![min.to_string(), max.to_string()],
            Allowed::ZeroOrWhole(min, max) => ["0".into(), min.to_string(), max.to_string()].into(),
            Allowed::Real(min, max) | Allowed::WordOrReal(_, min, max) => {
                let included = |bound| match bound {
                    Bound::Included(end) => Some(format!("{end:?}")),
                    _ => None,
                };
                [included(min), included(max)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            _ => Vec::new(),
        };
        for value in values {
            for (text, _) in places(key, &value) {
                let recipe = Recipe::parse("mine.toml", &text)
                    .unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(
                    Recipe::parse("", &recipe.to_toml()).unwrap(),
                    recipe,
                    "{text}"
                );
            }
        }
    }
}
