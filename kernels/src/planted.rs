//! Wrong code on purpose, to show that the tests turn red for it: a switch that exists in test builds alone, one for all crates.
//!
//! With the feature `planted`, the environment variable `GHOSTLIGHT_PLANTED` names one bug for the whole process and for those that it
//! starts. Without the feature every question is answered no at compile time. The list of bugs, and of the test that catches each, is
//! `docs/planted-bugs.md`, which the tests read. The crates above ask here too, so that the feature of this crate serves them all.

/// Whether the bug `name` is planted; asked on the host, also while a kernel is expanded.
#[cfg(feature = "planted")]
pub fn is(name: &str) -> bool {
    use std::sync::LazyLock;
    static PLANTED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("GHOSTLIGHT_PLANTED").ok());
    let planted = PLANTED.as_deref() == Some(name);
    if planted {
        tell(name);
    }
    planted
}

/// Says that the bug was asked for: a test that turned red without asking for it would prove nothing.
#[cfg(feature = "planted")]
fn tell(name: &str) {
    use std::sync::Once;
    static TOLD: Once = Once::new();
    TOLD.call_once(|| match std::env::var_os("GHOSTLIGHT_PLANTED_MARK") {
        // A file, as standard error may be what a test looks at, and a child's is its parent's to show.
        Some(mark) => std::fs::write(mark, name).expect("the mark of a planted bug is writable"),
        None => eprintln!("planted: {name}"),
    });
}

/// Whether the bug `name` is planted: never, in this build.
#[cfg(not(feature = "planted"))]
pub const fn is(_name: &str) -> bool {
    false
}

/// `right`, or `wrong` where the bug `name` is planted.
pub fn or<T>(name: &str, right: T, wrong: T) -> T {
    if is(name) { wrong } else { right }
}
