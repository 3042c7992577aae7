//! An interpreter that answers questions, one JSON object a line each way.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A script of `peers/` under an interpreter, for as long as it is held.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `peers/SCRIPT` under `python`.
    ///
    /// # Errors
    /// The interpreter does not start.
    pub fn start(python: &str, script: &str, words: &[&str]) -> Result<Self, String> {
        let script = format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(python);
        command.arg(script).args(words);
        Self::of(command).map_err(|error| format!("{python} does not start: {error}"))
    }

    /// Starts what `command` says.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("it has no pipes"));
        };
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// The system's number of it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The answer to `question`.
    ///
    /// # Errors
    /// What the script says is wrong; that it went away.
    pub fn ask(&mut self, question: &Value) -> Result<Value, String> {
        let mut line = String::new();
        writeln!(self.input, "{question}")
            .and_then(|()| self.input.flush())
            .and_then(|()| self.output.read_line(&mut line))
            .map_err(|error| format!("PyTorch went away: {error}"))?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|_| "PyTorch went away; does the interpreter have it?".to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }
}

/// The numbers of a list; none of anything else.
pub(crate) fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_f64).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
