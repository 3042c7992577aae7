use std::io;
use std::path::PathBuf;

/// Why a recipe was refused. `origin` is the file, the named recipe or the command-line option the text came from.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Neither a recipe that comes with the program nor a file.
    #[error(
        "no recipe `{name}`: there is no such file, and the recipes that come with ghostlight are {known}"
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// The recipes that come with the program.
        known: String,
    },
    /// The file exists but cannot be read.
    #[error("cannot read the recipe {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// The text is not TOML.
    #[error("{origin} is not valid TOML: {reason}")]
    Syntax {
        /// Where the text came from.
        origin: String,
        /// The parser's message with line and column.
        reason: String,
    },
    /// `--set` without an equals sign or without a key.
    #[error("{option} {given}: write {option} key=value, for example {option} train.batch=64")]
    Assignment {
        /// The command-line option.
        option: String,
        /// What followed it.
        given: String,
    },
    /// A key no recipe has.
    #[error("{origin}: unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// Where the key came from.
        origin: String,
        /// The key as written, with its section.
        key: String,
        /// The known key most like it.
        nearest: &'static str,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: `{key}` is {value}, but must be {allowed}")]
    Value {
        /// Where the value came from.
        origin: String,
        /// The key with its section.
        key: String,
        /// The value as TOML.
        value: String,
        /// What the key may hold, in words.
        allowed: String,
    },
    /// Values that are fine one by one but not together.
    #[error("recipe: {conflict}")]
    Conflict {
        /// The keys, their values and the way out.
        conflict: String,
    },
}
