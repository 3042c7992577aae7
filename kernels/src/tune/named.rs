use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Numbers with names, in their order: `rows=12 vectors=2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Named(Vec<(Cow<'static, str>, usize)>);

impl Named {
    /// These names with these numbers.
    pub fn of<const N: usize>(names: [&'static str; N], values: [usize; N]) -> Self {
        let names = names.into_iter().map(Cow::Borrowed);
        Self(names.zip(values).collect())
    }

    /// The numbers, where the names are these.
    pub fn values_of<const N: usize>(&self, names: [&str; N]) -> Option<[usize; N]> {
        let is_same =
            self.0.len() == N && self.0.iter().zip(names).all(|((is, _), name)| is == name);
        is_same.then(|| std::array::from_fn(|i| self.0[i].1))
    }

    /// The numbers alone.
    pub(super) fn values(&self) -> Vec<usize> {
        self.0.iter().map(|&(_, value)| value).collect()
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{name}={value}")?;
        }
        Ok(())
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |word: &str| {
            let parts = word.split_once('=');
            let found = parts.and_then(|(name, value)| Some((name, value.parse().ok()?)));
            let (name, value) = found
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("`{word}` in `{text}` is no name=number"))?;
            Ok((Cow::Owned(name.to_string()), value))
        };
        text.split_whitespace()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Named> for String {
    fn from(named: Named) -> Self {
        named.to_string()
    }
}
