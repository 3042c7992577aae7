use crate::Turn;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// PyTorch in a process of its own, which runs what it is told on the same machine, in turns with us.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `peers/torch_peer.py` under `python`.
    ///
    /// # Errors
    /// The interpreter does not start, or has no PyTorch.
    pub fn start(python: &str) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/torch_peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("--torch {python} does not start: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("--torch {python} has no pipes"));
        };
        let mut peer = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        match peer.ask(&json!({"hello": true})) {
            Some(_) => Ok(peer),
            None => Err(format!(
                "--torch {python} cannot run PyTorch; install it with {python} -m pip install torch"
            )),
        }
    }

    /// Has the operands made and the call warmed.
    pub fn prepare(&mut self, op: &str, phase: &str, arguments: &Value) {
        self.ask(&json!({"prepare": arguments, "op": op, "phase": phase}));
    }

    /// The times of one turn of what was prepared, in ms; none when PyTorch failed, which it says on standard error.
    pub fn run(&mut self, turn: Turn) -> Vec<f64> {
        let turn = json!({"discarded": turn.discarded, "least": turn.least, "ms": turn.ms});
        let answer = self.ask(&json!({"run": turn})).unwrap_or_default();
        let times = answer["ms"].as_array().cloned().unwrap_or_default();
        times.iter().filter_map(Value::as_f64).collect()
    }

    fn ask(&mut self, question: &Value) -> Option<Value> {
        writeln!(self.input, "{question}").ok()?;
        self.input.flush().ok()?;
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
