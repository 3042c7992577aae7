//! The recipes that come with the program.

/// By name, the text of each.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("default", include_str!("../../recipes/default.toml")),
    ("synthetic", include_str!("../../recipes/synthetic.toml")),
];
