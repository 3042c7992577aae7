//! Reading, changing, checking and writing recipes.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::error::RecipeError;
use super::fields::{FIELDS, allowed, nearest};
use super::{Recipe, lr_at};
use ghostlight_kernels::planted;

/// The recipes that come with the program, by name.
const NAMED: &[(&str, &str)] = &[
    ("default", include_str!("../../recipes/default.toml")),
    ("synthetic", include_str!("../../recipes/synthetic.toml")),
];

/// One key on which two recipes disagree, its values as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key with its section.
    pub key: &'static str,
    /// The value in the first recipe.
    pub left: String,
    /// The value in the second.
    pub right: String,
}

impl Recipe {
    /// Names of the recipes that come with the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// Reads a recipe by name or, failing that, from a file; keys left out keep their defaults.
    ///
    /// Errors, in order: [`NotFound`](RecipeError::NotFound), [`Unreadable`](RecipeError::Unreadable),
    /// [`Syntax`](RecipeError::Syntax), then per key [`UnknownKey`](RecipeError::UnknownKey) or
    /// [`Value`](RecipeError::Value), and [`Conflict`](RecipeError::Conflict).
    pub fn load(name_or_path: &str) -> Result<Self, RecipeError> {
        let recipe = match NAMED.iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Self::parse(&format!("recipe `{name}`"), text)?,
            None => {
                let path = Path::new(name_or_path);
                if !path.exists() {
                    let known = Self::names()
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", ");
                    return Err(RecipeError::NotFound {
                        name: name_or_path.into(),
                        known,
                    });
                }
                let text = fs::read_to_string(path).map_err(|reason| RecipeError::Unreadable {
                    path: path.into(),
                    reason,
                })?;
                Self::parse(name_or_path, &text)?
            }
        };
        recipe.validate()?;
        Ok(recipe)
    }

    /// Reads TOML text over the defaults; `origin` names it in errors. Conflicts between keys are left to
    /// [`validate`](Self::validate).
    pub fn parse(origin: &str, text: &str) -> Result<Self, RecipeError> {
        let table: Table = text
            .parse()
            .map_err(|reason: toml::de::Error| RecipeError::Syntax {
                origin: origin.into(),
                reason: reason.to_string().trim_end().into(),
            })?;
        Self::default().overlay(origin, table)
    }

    /// Applies one `key=value` of the command line. The value is TOML; a bare word counts as a string.
    ///
    /// Conflicts between keys are left to [`validate`](Self::validate), so that options may be given in any order.
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        match assignment.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.set_from("--set", key.trim(), value.trim())
            }
            _ => Err(RecipeError::Assignment {
                option: "--set".into(),
                given: assignment.into(),
            }),
        }
    }

    /// As [`set`](Self::set), for options with a name of their own: `set_from("--seed", "seed", "7")`.
    pub fn set_from(&mut self, option: &str, key: &str, value: &str) -> Result<(), RecipeError> {
        let value = value
            .parse()
            .unwrap_or_else(|_| Value::String(value.into()));
        let table = key.rsplit('.').fold(value, |inner, part| {
            Value::Table(Table::from_iter([(part.into(), inner)]))
        });
        match table {
            Value::Table(table) => *self = self.overlay(option, table)?,
            _ => unreachable!("a key has at least one part, so its value was wrapped in a table"),
        }
        Ok(())
    }

    /// Checks every range again, for recipes built in code, and what no single range can say.
    pub fn validate(&self) -> Result<(), RecipeError> {
        if let (Err(_), Some(range)) = (i64::try_from(self.seed), allowed("seed")) {
            return Err(RecipeError::Value {
                origin: "recipe".into(),
                key: "seed".into(),
                value: self.seed.to_string(),
                allowed: range.to_string(),
            });
        }
        for (key, value) in leaves(&self.to_table()) {
            check("recipe", &key, &value)?;
        }
        let (size, shift) = (self.data.image_size, self.augment.shift);
        if size != 0 && shift >= size {
            return Err(RecipeError::Conflict {
                conflict: format!(
                    "`augment.shift` = {shift} would move whole images of `data.image_size` = {size} out of view; lower the shift"
                ),
            });
        }
        let data = &self.data;
        let counts = [
            data.train_per_class,
            data.validation_per_class,
            data.test_per_class,
        ];
        if !data.split_file.is_empty() && counts != [0; 3] {
            return Err(RecipeError::Conflict {
                conflict: "`data.split_file` says which images train, validate and test, so that `data.train_per_class`, \
                           `data.validation_per_class` and `data.test_per_class` have to be 0"
                    .into(),
            });
        }
        let level = self.train.momentum == 0.0 && !planted::is("nesterov_without_momentum");
        if self.train.nesterov && level {
            return Err(RecipeError::Conflict {
                conflict: "`train.nesterov` = true looks ahead along the momentum, but `train.momentum` is 0; raise the momentum, or set `train.nesterov` = false".into(),
            });
        }
        let distill = &self.distill;
        if distill.ce_weight == 0.0 && distill.alpha == 0.0 && distill.beta == 0.0 {
            return Err(RecipeError::Conflict {
                conflict: "`distill.ce_weight`, `distill.alpha` and `distill.beta` are all 0: nothing to learn; raise one".into(),
            });
        }
        Ok(())
    }

    /// The recipe with every field written out; reading it back gives the same recipe.
    ///
    /// # Panics
    /// On a seed above 2^63-1, set in code and never [validated](Self::validate).
    pub fn to_toml(&self) -> String {
        self.to_table().to_string()
    }

    /// The keys on which two recipes disagree, in the order of [`FIELDS`].
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (left, right) = (leaves(&self.to_table()), leaves(&other.to_table()));
        let find = |side: &[(String, Value)], key: &str| {
            side.iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value.to_string())
                .unwrap_or_default()
        };
        FIELDS
            .iter()
            .map(|(key, _)| Difference {
                key,
                left: find(&left, key),
                right: find(&right, key),
            })
            .filter(|difference| difference.left != difference.right)
            .collect()
    }

    /// Learning rate of step `step` of `total_steps`: see [`lr_at`].
    pub fn lr_at(&self, step: usize, total_steps: usize) -> f32 {
        lr_at(&self.train, step, total_steps)
    }

    fn to_table(&self) -> Table {
        Table::try_from(self).expect("TOML holds every recipe whose seed is in range")
    }

    /// This recipe with the values of `table`, each checked first.
    fn overlay(&self, origin: &str, table: Table) -> Result<Self, RecipeError> {
        let mut merged = self.to_table();
        for (key, value) in leaves(&table) {
            check(origin, &key, &value)?;
            match key.split_once('.') {
                Some((section, field)) => {
                    if let Some(Value::Table(section)) = merged.get_mut(section) {
                        section.insert(field.into(), value);
                    }
                }
                None => {
                    merged.insert(key, value);
                }
            }
        }
        merged
            .try_into()
            .map_err(|reason: toml::de::Error| RecipeError::Syntax {
                origin: origin.into(),
                reason: reason.to_string().trim_end().into(),
            })
    }
}

/// The keys of a table with their sections, and their values. A table where a value belongs counts as a value.
fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section)
                if allowed(key).is_none() && (is_section(key) || !section.is_empty()) =>
            {
                found.extend(
                    section
                        .iter()
                        .map(|(field, value)| (format!("{key}.{field}"), value.clone())),
                );
            }
            _ => found.push((key.clone(), value.clone())),
        }
    }
    found
}

fn is_section(key: &str) -> bool {
    FIELDS.iter().any(|(known, _)| {
        known
            .split_once('.')
            .is_some_and(|(section, _)| section == key)
    })
}

fn check(origin: &str, key: &str, value: &Value) -> Result<(), RecipeError> {
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

#[cfg(test)]
mod tests;
