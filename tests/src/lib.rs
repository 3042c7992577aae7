//! Ghostlight.
