//! Sweeps that the command line asks for: `depthwise c=16..1024*2 k=3`.

use crate::results::Sweep;
use crate::suite::SuiteError;
use serde_json::{Map, Value};

/// More points than this are a slip of the hand.
const MOST_POINTS: usize = 200;

/// The problems of an operation in which some fields take these values, and all others those of the catalogue's first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub op: String,
    fields: Vec<(String, Vec<Value>)>,
}

impl Line {
    /// The sweeps that `words` tell, each an operation and then its fields, as `depthwise c=16..1024*2 k=3`.
    ///
    /// # Errors
    /// [`SuiteError::Sweep`]: no operation first or no such one, no field, a field twice, values that are no list and no range, too many points.
    pub fn read(words: &[String], ops: &[String]) -> Result<Vec<Self>, SuiteError> {
        let mut lines: Vec<Self> = Vec::new();
        for word in words {
            match (word.split_once('='), lines.last_mut()) {
                (None, _) if ops.contains(word) => lines.push(Self {
                    op: word.clone(),
                    fields: Vec::new(),
                }),
                (None, _) => {
                    return Err(wrong(
                        word,
                        format!(
                            "this is no operation and no FIELD=VALUES; there are {}, and filters stand before --sweep",
                            ops.join(", ")
                        ),
                    ));
                }
                (Some(_), None) => {
                    return Err(wrong(
                        word,
                        "an operation comes first, as in `depthwise c=16..1024*2`".into(),
                    ));
                }
                (Some((field, _)), Some(line))
                    if line.fields.iter().any(|(known, _)| known == field) =>
                {
                    return Err(wrong(
                        word,
                        format!("`{field}` was told before; list its values, as {field}=3,5,7"),
                    ));
                }
                (Some((field, text)), Some(line)) => {
                    let values = values(text).map_err(|reason| wrong(word, reason))?;
                    line.fields.push((field.into(), values));
                }
            }
        }
        for line in &lines {
            let points = line
                .fields
                .iter()
                .map(|(_, values)| values.len())
                .product::<usize>();
            if line.fields.is_empty() {
                return Err(wrong(&line.op, "no field; write FIELD=VALUES, as c=16..1024*2, with fields as `list` shows them".into()));
            }
            if points > MOST_POINTS {
                return Err(wrong(
                    &line.op,
                    format!("{points} points, at most {MOST_POINTS}; take longer steps"),
                ));
            }
        }
        Ok(lines)
    }

    /// The fields of every point, from those of `base`, and where it lies on the axis, if there is one axis and it is of numbers.
    ///
    /// # Errors
    /// [`SuiteError::Sweep`]: a field that `base` does not have.
    pub fn points(&self, base: &Value) -> Result<Vec<(Value, Option<Sweep>)>, SuiteError> {
        let base = base.as_object().cloned().unwrap_or_default();
        let unknown = self
            .fields
            .iter()
            .find(|(field, _)| !base.contains_key(field));
        if let Some((field, _)) = unknown {
            let fields: Vec<&str> = base.keys().map(String::as_str).collect();
            return Err(wrong(
                &self.op,
                format!("it has no `{field}`; its fields are {}", fields.join(", ")),
            ));
        }
        let mut axes = self.fields.iter().filter(|(_, values)| values.len() > 1);
        let axis = axes.next().filter(|_| axes.next().is_none());
        let mut points: Vec<Map<String, Value>> = vec![base];
        for (field, values) in &self.fields {
            let with = |point: &Map<String, Value>, value: &Value| {
                let mut point = point.clone();
                point.insert(field.clone(), value.clone());
                point
            };
            points = points
                .iter()
                .flat_map(|point| values.iter().map(move |value| with(point, value)))
                .collect();
        }
        let swept = points.into_iter().map(|point| {
            let sweep = axis.and_then(|(axis, _)| {
                let at = point.get(axis)?.as_f64()?;
                Some(Sweep {
                    axis: axis.clone(),
                    at,
                })
            });
            (Value::Object(point), sweep)
        });
        Ok(swept.collect())
    }
}

fn wrong(sweep: &str, reason: String) -> SuiteError {
    SuiteError::Sweep {
        sweep: sweep.into(),
        reason,
    }
}

/// `3`, `3,5,7`, `16..1024*2`, `8..64+8`, or words.
fn values(text: &str) -> Result<Vec<Value>, String> {
    let Some((first, rest)) = text.split_once("..") else {
        return text.split(',').map(one).collect();
    };
    let malformed = || {
        format!("`{text}` is no range; write FIRST..LAST*FACTOR or FIRST..LAST+STEP, as 16..1024*2")
    };
    let at = rest.find(['*', '+']).ok_or_else(malformed)?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| malformed());
    let (first, last, step) = (
        number(first)?,
        number(&rest[..at])?,
        number(&rest[at + 1..])?,
    );
    let by_factor = rest[at..].starts_with('*');
    if first > last || step < 1 + usize::from(by_factor) || by_factor && first == 0 {
        return Err(format!("`{text}` never gets from {first} to {last}"));
    }
    let next = |value: &usize| match by_factor {
        true => value.checked_mul(step),
        false => value.checked_add(step),
    };
    let all = std::iter::successors(Some(first), next).take_while(|value| *value <= last);
    Ok(all.take(MOST_POINTS + 1).map(Value::from).collect())
}

/// A number, a truth value, or a word.
fn one(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_number() || value.is_boolean() => Ok(value),
        _ if !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "_-".contains(c)) =>
        {
            Ok(text.into())
        }
        _ => Err(format!("`{text}` is no value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: &str) -> Result<Vec<Line>, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        let ops = ["depthwise", "activation"].map(String::from);
        Line::read(&words, &ops).map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_lists_and_words_are_values() {
        assert_eq!(
            values("16..128*2"),
            Ok([16, 32, 64, 128].map(Value::from).to_vec())
        );
        assert_eq!(values("3..10+3"), Ok([3, 6, 9].map(Value::from).to_vec()));
        assert_eq!(values("3,5"), Ok(vec![json!(3), json!(5)]));
        assert_eq!(values("relu,true"), Ok(vec![json!("relu"), json!(true)]));
        for (text, wanted) in [
            ("16..8*2", "never gets from 16 to 8"),
            ("1..8*1", "never gets"),
            ("0..8*2", "never gets"),
            ("1..8", "FIRST..LAST*FACTOR"),
            ("a..8*2", "FIRST..LAST*FACTOR"),
            ("3,,5", "no value"),
        ] {
            let error = values(text).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_is_no_sweep_is_refused_with_the_way_out() {
        for (line, wanted) in [
            ("depth c=3", "`depth`: this is no operation"),
            ("c=3", "an operation comes first"),
            ("depthwise", "no field"),
            ("depthwise c=3 c=5", "told before"),
            ("depthwise c=1..9", "FIRST..LAST"),
            ("depthwise c=1..100+1 k=1..9+2", "500 points"),
        ] {
            let error = read(line).expect_err(line);
            assert!(
                error.starts_with("--sweep") && error.contains(wanted),
                "{error}"
            );
        }
    }

    #[test]
    fn one_axis_is_a_sweep_and_two_are_a_grid() {
        let base = json!({"n": 8, "c": 1, "k": 1});
        let lines = read("depthwise c=16..64*2 k=3 depthwise c=1,2 k=3,5").expect("two sweeps");
        let points = lines[0].points(&base).expect("its fields");
        assert_eq!(points.len(), 3);
        let last = Sweep {
            axis: "c".into(),
            at: 64.0,
        };
        assert_eq!(points[2], (json!({"n": 8, "c": 64, "k": 3}), Some(last)));
        let grid = lines[1].points(&base).expect("its fields");
        assert!(grid.len() == 4 && grid.iter().all(|(_, sweep)| sweep.is_none()));
        let unknown = read("depthwise q=3").expect("a field")[0].points(&base);
        let error = unknown.expect_err("no such field").to_string();
        assert!(error.contains("no `q`; its fields are c, k, n"), "{error}");
    }
}
