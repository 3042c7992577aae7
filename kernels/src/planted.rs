//! Wrong kernels on purpose, to show that the tests turn red for them: a switch that exists in test builds alone.
//!
//! With the feature `planted`, the environment variable `GHOSTLIGHT_PLANTED` names one bug for the whole process. Without the
//! feature every question is answered no at compile time. The list of bugs, and of the test that catches each, is
//! `docs/planted-bugs.md`, which the tests read.

/// Whether the bug `name` is planted; asked on the host, also while a kernel is expanded.
#[cfg(feature = "planted")]
pub(crate) fn is(name: &str) -> bool {
    use std::sync::LazyLock;
    static PLANTED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("GHOSTLIGHT_PLANTED").ok());
    let planted = PLANTED.as_deref() == Some(name);
    if planted {
        // A test that turned red without asking for the bug would prove nothing.
        eprintln!("planted: {name}");
    }
    planted
}

/// Whether the bug `name` is planted: never, in this build.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_name: &str) -> bool {
    false
}

/// `right`, or `wrong` where the bug `name` is planted.
pub(crate) fn or<T>(name: &str, right: T, wrong: T) -> T {
    if is(name) { wrong } else { right }
}
