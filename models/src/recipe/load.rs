//! Reading, changing, checking and writing recipes.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::error::RecipeError;
use super::fields::{allowed, order};
use super::merge::{check, leaves, merge};
use super::named::NAMED;
use super::{AlignNorm, Compared, Distill, Optimiser, Recipe, Select, Train, Turns};
use ghostlight_kernels::loss::distill::DistillOptions;
use ghostlight_kernels::planted;
use std::collections::BTreeSet;

/// One key on which two recipes disagree, its values as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key with its section.
    pub key: String,
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
        let unsaid = Self {
            distill: vec![Distill::default()],
            ..Self::default()
        };
        unsaid.overlay(origin, table)
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
        for own in self
            .teacher
            .iter()
            .map(|it| &it.train)
            .chain(self.student.iter().map(|it| &it.train))
        {
            check_train(&self.train_with(own))?;
        }
        self.check_ways()
    }

    /// Refuses ways to teach that cannot be told apart, or that ask for what is not there.
    fn check_ways(&self) -> Result<(), RecipeError> {
        let conflict = |conflict: String| Err(RecipeError::Conflict { conflict });
        for (key, count) in [
            ("teacher", self.teacher.len()),
            ("student", self.student.len()),
            ("distill", self.distill.len()),
        ] {
            if count == 0 {
                return conflict(format!(
                    "`{key}` is an empty list; give at least one [[{key}]]"
                ));
            }
        }
        let mut titles = BTreeSet::new();
        for (index, way) in self.distill.iter().enumerate() {
            let key = match self.distill.len() {
                1 => "distill".to_string(),
                _ => format!("distill.{}", index + 1),
            };
            let title = way.title();
            let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
            if !title.chars().all(plain) || title == "alone" || title.starts_with('.') {
                return conflict(format!(
                    "`{key}.name` = \"{title}\" becomes part of file names, and \"alone\" is the student without a teacher; use letters, digits, +, -, _ and ."
                ));
            }
            if !titles.insert(title.clone()) {
                return conflict(format!(
                    "two ways to teach are called \"{title}\"; give one of them a `name`"
                ));
            }
            let teaches = !way.terms().is_empty();
            if way.ce_weight == 0.0 && !teaches {
                return conflict(format!(
                    "`{key}` has neither labels (`{key}.ce_weight` is 0) nor a teacher's term above 0: nothing to learn; raise one"
                ));
            }
            let count = self.teacher.len();
            let unknown = way.teachers.iter().find(|&&teacher| teacher > count);
            let aligned = way
                .align
                .as_ref()
                .map(|align| align.teacher)
                .filter(|&it| it > count);
            if let Some(teacher) = unknown.copied().or(aligned) {
                return conflict(format!(
                    "`{key}` listens to teacher {teacher}, but the recipe has {count}; add a [[teacher]], or listen to another"
                ));
            }
            let listened = way.listened(count);
            let twice = (1..listened.len()).find(|&it| listened[..it].contains(&listened[it]));
            if let Some(place) = twice {
                return conflict(format!(
                    "`{key}.teachers` names teacher {} twice; leave one of them out",
                    listened[place] + 1
                ));
            }
            if way.dual.is_some() && listened.len() != 2 {
                return conflict(format!(
                    "`{key}.dual` weighs two teachers, but listens to {}; say which two in `{key}.teachers`, or add a [[teacher]]",
                    listened.len()
                ));
            }
            if way.dual.is_some() && way.kd.as_ref().is_some_and(|kd| kd.weight > 0.0) {
                return conflict(format!(
                    "`{key}.dual` is a divergence from each teacher already; take `{key}.kd` out, or make a way of its own of it"
                ));
            }
            if way.dual.is_some() && way.turns == Turns::InTurn {
                return conflict(format!(
                    "`{key}.dual` weighs two teachers in every step, but `{key}.turns` = \"in_turn\"; set `{key}.turns` = \"together\""
                ));
            }
            if listened.len() > DistillOptions::MOST_TEACHERS && way.turns == Turns::Together {
                return conflict(format!(
                    "`{key}` listens to {} teachers at once, of whom {} fit; name some in `{key}.teachers`, or set `{key}.turns` = \"in_turn\"",
                    listened.len(),
                    DistillOptions::MOST_TEACHERS
                ));
            }
            if let Some(dual) = way.dual.as_ref().filter(|dual| dual.low > dual.high) {
                return conflict(format!(
                    "`{key}.dual.low` = {} lies above `{key}.dual.high` = {}",
                    dual.low, dual.high
                ));
            }
            if let Some(align) = &way.align {
                let (ours, theirs) = (align.student_stages.len(), align.teacher_stages.len());
                if ours != theirs {
                    return conflict(format!(
                        "`{key}.align` names {ours} of the student's stages and {theirs} of the teacher's; name one for each"
                    ));
                }
                if align.select == Select::Mixed && align.norm != AlignNorm::None {
                    return conflict(format!(
                        "`{key}.align.select` = \"mixed\" has no gradient through a norm; set `{key}.align.norm` = \"none\""
                    ));
                }
            }
            if let Some(cosine) = &way.cosine {
                let named = !(cosine.student_stage.is_empty() && cosine.teacher_stage.is_empty());
                if named && cosine.of != Compared::Features {
                    return conflict(format!(
                        "`{key}.cosine` names stages, which only `{key}.cosine.of` = \"features\" compares"
                    ));
                }
            }
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

    /// The keys on which two recipes disagree, in the order of [`FIELDS`](super::FIELDS).
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (left, right) = (leaves(&self.to_table()), leaves(&other.to_table()));
        let find = |side: &[(String, Value)], key: &str| {
            let found = side.iter().find(|(k, _)| k == key);
            found
                .map(|(_, value)| value.to_string())
                .unwrap_or_default()
        };
        let both = left.iter().chain(&right).map(|(key, _)| key.clone());
        let mut keys: Vec<String> = both.collect::<BTreeSet<_>>().into_iter().collect();
        keys.sort_by_key(|key| order(key));
        keys.into_iter()
            .map(|key| Difference {
                left: find(&left, &key),
                right: find(&right, &key),
                key,
            })
            .filter(|difference| difference.left != difference.right)
            .collect()
    }

    fn to_table(&self) -> Table {
        Table::try_from(self).expect("TOML holds every recipe whose seed is in range")
    }

    /// This recipe with the values of `table`, each checked first.
    fn overlay(&self, origin: &str, table: Table) -> Result<Self, RecipeError> {
        let mut merged = self.to_table();
        merge(origin, &mut merged, table)?;
        merged
            .try_into()
            .map_err(|reason: toml::de::Error| RecipeError::Syntax {
                origin: origin.into(),
                reason: reason.to_string().trim_end().into(),
            })
    }
}

/// Refuses hyper-parameters that cancel each other.
fn check_train(train: &Train) -> Result<(), RecipeError> {
    let level = train.momentum == 0.0 && !planted::is("nesterov_without_momentum");
    if train.optimiser == Optimiser::Sgd && train.nesterov && level {
        return Err(RecipeError::Conflict {
            conflict: "`train.nesterov` = true looks ahead along the momentum, but `train.momentum` is 0; raise the momentum, or set `train.nesterov` = false".into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
