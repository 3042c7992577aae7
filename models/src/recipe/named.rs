//! The recipes that come with the program.

/// By name, the text of each; its first lines, a comment, say what it is.
pub(super) const NAMED: &[(&str, &str)] = &[
    ("default", include_str!("../../recipes/default.toml")),
    ("synthetic", include_str!("../../recipes/synthetic.toml")),
    ("ghost-dkd", include_str!("../../recipes/ghost-dkd.toml")),
    (
        "ghost-dkd-quick",
        include_str!("../../recipes/ghost-dkd-quick.toml"),
    ),
    ("flip-align", include_str!("../../recipes/flip-align.toml")),
    (
        "flip-align-quick",
        include_str!("../../recipes/flip-align-quick.toml"),
    ),
    (
        "dual-teacher",
        include_str!("../../recipes/dual-teacher.toml"),
    ),
    (
        "dual-teacher-quick",
        include_str!("../../recipes/dual-teacher-quick.toml"),
    ),
    ("kl-cosine", include_str!("../../recipes/kl-cosine.toml")),
    (
        "kl-cosine-quick",
        include_str!("../../recipes/kl-cosine-quick.toml"),
    ),
    ("related", include_str!("../../recipes/related.toml")),
    (
        "related-quick",
        include_str!("../../recipes/related-quick.toml"),
    ),
];

/// The text of the recipe `name`, if the program has one.
pub fn text(name: &str) -> Option<&'static str> {
    let found = NAMED.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// The first sentence of a recipe's text: what it is.
pub fn headline(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix('#'));
    let words: Vec<&str> = comment.flat_map(str::split_whitespace).collect();
    let all = words.join(" ");
    match all.find(". ") {
        // Not at an abbreviation, as "et al. 2025".
        Some(_) => sentence(&all).to_string(),
        None => all,
    }
}

/// Up to the first full stop outside of brackets.
fn sentence(text: &str) -> &str {
    let mut depth = 0i32;
    for (place, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            '.' if depth == 0 && text[place + 1..].starts_with(' ') => return &text[..=place],
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_says_what_it_is_in_a_sentence() {
        for (name, text) in NAMED {
            let headline = headline(text);
            assert!((20..250).contains(&headline.len()), "{name}: {headline}");
        }
    }

    #[test]
    fn a_headline_ends_at_the_first_full_stop_outside_of_brackets() {
        assert_eq!(
            headline("# A (B et al. 2025). More.\n# Still.\nx = 1"),
            "A (B et al. 2025)."
        );
        assert_eq!(headline("# One\n# two: 0.5 of it"), "One two: 0.5 of it");
        assert_eq!(headline("x = 1\n# no"), "");
    }
}
