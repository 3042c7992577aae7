//! Laying what somebody wrote over a recipe's table, key by key, and taking a table apart into keys.

use toml::{Table, Value};

use super::error::RecipeError;
use super::fields::{LISTS, allowed, is_section, nearest};
use super::{Dkd, Student, Teacher};
use ghostlight_kernels::planted;

/// Lays the values of `given` over `target`, a whole recipe's table; `origin` names the text in errors.
pub(super) fn merge(origin: &str, target: &mut Table, given: Table) -> Result<(), RecipeError> {
    merge_section(origin, "", target, given)?;
    // A way that names no term is decoupled distillation.
    let ways = target.get_mut("distill").and_then(Value::as_array_mut);
    for way in ways.into_iter().flatten().filter_map(Value::as_table_mut) {
        let is_term = |key: &String| is_section(&format!("distill.{key}"));
        if !way.keys().any(is_term) {
            let dkd = Table::try_from(Dkd::default()).expect("TOML holds every term");
            way.insert("dkd".into(), Value::Table(dkd));
        }
    }
    Ok(())
}

fn merge_section(
    origin: &str,
    section: &str,
    target: &mut Table,
    given: Table,
) -> Result<(), RecipeError> {
    for (key, value) in given {
        let path = match section {
            "" => key.clone(),
            _ => format!("{section}.{key}"),
        };
        if LISTS.contains(&path.as_str()) {
            let list = target
                .entry(key)
                .or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else {
                unreachable!("recipes keep lists of these")
            };
            merge_list(origin, &path, list, value)?;
            continue;
        }
        match value {
            Value::Table(inner) if allowed(&path).is_none() && is_section(&path) => {
                let entry = target
                    .entry(key)
                    .or_insert_with(|| Value::Table(Table::new()));
                let Value::Table(entry) = entry else {
                    unreachable!("a section is a table")
                };
                merge_section(origin, &path, entry, inner)?;
            }
            Value::Table(inner) if allowed(&path).is_none() && !inner.is_empty() => {
                for (key, value) in leaves_below(&path, &Value::Table(inner)) {
                    check(origin, &key, &value)?;
                }
            }
            value => {
                check(origin, &path, &value)?;
                target.insert(key, value);
            }
        }
    }
    Ok(())
}

/// A list in full, some of its elements by number, or its only one.
fn merge_list(
    origin: &str,
    path: &str,
    list: &mut Vec<Value>,
    given: Value,
) -> Result<(), RecipeError> {
    let refuse = |value: &dyn std::fmt::Display, allowed: String| RecipeError::Value {
        origin: origin.into(),
        key: path.into(),
        value: value.to_string(),
        allowed,
    };
    let section = || format!("a section of its own, [{path}], or several, [[{path}]]");
    match given {
        Value::Array(items) => {
            list.clear();
            let several = items.len() > 1;
            for (number, item) in items.into_iter().enumerate() {
                let Value::Table(item) = item else {
                    return Err(refuse(&item, section()));
                };
                let mut element = blank(path);
                let path = match several {
                    true => format!("{path}.{}", number + 1),
                    false => path.to_string(),
                };
                merge_section(origin, &path, &mut element, item)?;
                list.push(Value::Table(element));
            }
            Ok(())
        }
        Value::Table(items) if !items.is_empty() && items.keys().all(|key| is_number(key)) => {
            for (number, item) in items {
                let count = list.len();
                let index = number.parse::<usize>().unwrap_or(0).wrapping_sub(1);
                let (Some(Value::Table(element)), Value::Table(item)) = (list.get_mut(index), item)
                else {
                    return Err(refuse(
                        &format!("asked for its number {number}"),
                        format!(
                            "one of the {count} that the recipe has, from {path}.1 on, with a key"
                        ),
                    ));
                };
                merge_section(origin, &format!("{path}.{number}"), element, item)?;
            }
            Ok(())
        }
        Value::Table(item) => match &mut list[..] {
            [Value::Table(only)] => merge_section(origin, path, only, item),
            several => Err(refuse(
                &format!("a list of {}", several.len()),
                format!(
                    "told apart by number, as {path}.1.{}",
                    item.keys().next().map_or("KEY", |key| key)
                ),
            )),
        },
        other => Err(refuse(&other, section())),
    }
}

fn is_number(key: &str) -> bool {
    key.parse::<usize>().is_ok()
}

/// An element of the list `path` before anything was said of it.
fn blank(path: &str) -> Table {
    let table = match path {
        "teacher" => Table::try_from(Teacher::default()),
        "student" => Table::try_from(Student::default()),
        _ => Table::try_from(super::Distill::default()),
    };
    table.expect("TOML holds every default")
}

/// The keys of a recipe's table with their sections, and their values. Elements of a list are told apart by number where there are
/// several. A table where a value belongs counts as a value.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let each = table.iter();
    each.flat_map(|(key, value)| leaves_below(key, value))
        .collect()
}

fn leaves_below(path: &str, value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Array(elements) if LISTS.contains(&path) => match &elements[..] {
            [only] => leaves_below(path, only),
            several => (1..)
                .zip(several)
                .flat_map(|(number, element)| leaves_below(&format!("{path}.{number}"), element))
                .collect(),
        },
        Value::Table(section)
            if allowed(path).is_none() && (is_section(path) || !section.is_empty()) =>
        {
            let fields = section.iter();
            fields
                .flat_map(|(key, value)| leaves_below(&format!("{path}.{key}"), value))
                .collect()
        }
        value => vec![(path.to_string(), value.clone())],
    }
}

/// Refuses a key that no recipe has, and a value that the key does not take.
pub(super) fn check(origin: &str, key: &str, value: &Value) -> Result<(), RecipeError> {
    let refused = |allowed: String| RecipeError::Value {
        origin: origin.into(),
        key: key.into(),
        value: value.to_string(),
        allowed,
    };
    match allowed(key) {
        Some(allowed) if allowed.contains(value) => Ok(()),
        Some(allowed) => Err(refused(allowed.to_string())),
        None if is_section(key) => Err(refused(format!("a section of its own, [{key}]"))),
        None if planted::is("unknown_keys_are_ignored") => Ok(()),
        None => Err(RecipeError::UnknownKey {
            origin: origin.into(),
            key: key.into(),
            nearest: nearest(key),
        }),
    }
}
