use crate::results::Results;
use serde_json::Value;

/// One value a row each; lists, such as the medians of turns, are in `results.json` alone.
const COLUMNS: [&str; 31] = [
    "op",
    "phase",
    "case",
    "variant",
    "clock",
    "cache",
    "median_ms",
    "low_ms",
    "high_ms",
    "calls",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "roofline",
    "bound",
    "gb_s",
    "gflop_s",
    "intensity",
    "error",
    "unchecked",
    "digest",
    "launches",
    "allocations",
    "looks",
    "peak_bytes",
    "compile_ms",
    "ghz",
    "load",
    "joules",
    "note",
];

/// The run's rows for a spreadsheet: names in the first line, then a line a row, fields between commas, blank where there is no value.
pub fn csv(results: &Results) -> String {
    let mut out = COLUMNS.join(",") + ",sweep,at\n";
    for row in &results.rows {
        let row = serde_json::to_value(row).unwrap_or_default();
        let of_sweep = [&row["sweep"]["axis"], &row["sweep"]["at"]];
        let values = COLUMNS.iter().map(|name| &row[*name]).chain(of_sweep);
        out += &values.map(field).collect::<Vec<_>>().join(",");
        out.push('\n');
    }
    out
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
