use super::process::Process;
use crate::contender::{Contender, Peer, Task};
use crate::flush::Flush;
use crate::input::{Content, Input};
use crate::turn::Turn;
use crate::verify::digest;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::{env, fs};

/// PyTorch in a process of its own, which runs the same operands on the same machine, in turns with us.
pub struct Torch {
    process: Rc<RefCell<Process>>,
    /// Where operands and results change hands.
    folder: Rc<tempfile::TempDir>,
    version: String,
    /// Whether compiled functions run beside the eager ones.
    compiled: bool,
}

impl Torch {
    /// Starts `peers/torch_peer.py` under `python`, on `device` (`cpu` or `cuda`).
    ///
    /// # Errors
    /// The interpreter does not start, or has no PyTorch.
    pub fn start(python: &str, device: &str, compiled: bool) -> Result<Self, String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("no folder for PyTorch: {error}"))?;
        let at = folder.path().to_string_lossy();
        let mut process = Process::start(python, "torch_peer.py", &[device, &*at])?;
        let answer = process.ask(&json!({"hello": true}))?;
        let version = answer["torch"].as_str().unwrap_or_default().to_string();
        Ok(Self {
            process: Rc::new(RefCell::new(process)),
            folder: Rc::new(folder),
            version,
            compiled,
        })
    }
}

impl Peer for Torch {
    fn version(&self) -> [String; 2] {
        ["torch".into(), self.version.clone()]
    }

    fn process(&self) -> Option<u32> {
        Some(self.process.borrow().id())
    }

    fn contenders(&mut self, task: &Task) -> Vec<Box<dyn Contender>> {
        if task.arguments.is_null() {
            return Vec::new();
        }
        let names: &[&'static str] = match self.compiled {
            true => &["torch", "torch-compiled"],
            false => &["torch"],
        };
        let contenders = names.iter().map(|name| {
            Box::new(Running {
                name,
                process: self.process.clone(),
                folder: self.folder.clone(),
                question: json!({
                    "variant": name, "op": task.op, "phase": task.phase, "arguments": task.arguments,
                }),
                inputs: task.inputs.to_vec(),
                held: Vec::new(),
                draw: String::new(),
                called: String::new(),
            }) as Box<dyn Contender>
        });
        contenders.collect()
    }
}

struct Running {
    name: &'static str,
    process: Rc<RefCell<Process>>,
    folder: Rc<tempfile::TempDir>,
    question: Value,
    inputs: Vec<Input>,
    /// The draws that the process holds, by a digest of theirs, the latest last.
    held: Vec<String>,
    /// The one that a call takes.
    draw: String,
    /// The one that the last call took, whose results are there.
    called: String,
}

/// Draws that the process holds: those between which turns alternate.
const HELD: usize = 2;

impl Running {
    fn ask(&self, more: Value) -> Result<Value, String> {
        let mut question = self.question.clone();
        if let (Some(question), Some(more)) = (question.as_object_mut(), more.as_object()) {
            question.extend(more.clone());
        }
        self.process.borrow_mut().ask(&question)
    }

    fn read(&self, what: &str, draw: &str) -> Result<Vec<Vec<f64>>, String> {
        let answer = self.ask(json!({"do": what, "draw": draw}))?;
        let paths = answer["files"].as_array().cloned().unwrap_or_default();
        let read = paths.iter().map(|path| {
            let path = path.as_str().unwrap_or_default();
            let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            let values = bytes
                .chunks_exact(4)
                .map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])));
            Ok(values.collect())
        });
        read.collect()
    }
}

impl Contender for Running {
    fn name(&self) -> &str {
        self.name
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.draw = digest(values.iter().map(Vec::as_slice));
        if let Some(place) = self.held.iter().position(|draw| *draw == self.draw) {
            self.held[place..].rotate_left(1);
            return Ok(());
        }
        let drop = match self.held.len() == HELD {
            // Never the one whose results may still be read.
            true => Some(self.held.remove(usize::from(self.held[0] == self.called))),
            false => None,
        };
        let mut files = Vec::new();
        for (i, (input, values)) in self.inputs.iter().zip(values).enumerate() {
            let path = self.folder.path().join(format!("input{i}"));
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            let labels = matches!(input.content, Content::Labels { .. });
            files.push(json!({"path": path, "shape": input.shape, "labels": labels}));
        }
        self.ask(json!({"do": "load", "draw": self.draw, "drop": drop, "inputs": files}))?;
        self.held.push(self.draw.clone());
        Ok(())
    }

    fn call(&mut self) -> Result<f64, String> {
        let once = Turn {
            discarded: 0,
            least: 1,
            ms: 0.0,
            cold: false,
            together: 1,
        };
        let times = self.turn(once, &mut Flush::none())?;
        times
            .first()
            .copied()
            .ok_or_else(|| "PyTorch told no time".into())
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        self.read("outputs", &self.called)
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        self.read("operands", &self.draw)
    }

    fn turn(&mut self, turn: Turn, flush: &mut Flush) -> Result<Vec<f64>, String> {
        self.called = self.draw.clone();
        let answer = self.ask(json!({"do": "turn", "draw": self.draw, "turn": {
            "discarded": turn.discarded, "least": turn.least, "ms": turn.ms, "together": turn.together,
            "flush": if turn.cold { flush.bytes() } else { 0 },
        }}))?;
        Ok(super::process::numbers(&answer["ms"]))
    }
}

/// The interpreter to ask for PyTorch where none was named: the one that is called `python3`, if it has it.
pub fn found() -> Option<String> {
    let has_torch = |python: &PathBuf| {
        let found = Command::new(python)
            .args([
                "-c",
                "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)",
            ])
            .stderr(Stdio::null())
            .status();
        found.is_ok_and(|status| status.success())
    };
    let folders = env::var_os("PATH")?;
    let python = env::split_paths(&folders)
        .map(|folder| folder.join("python3"))
        .find(|python| python.is_file())?;
    has_torch(&python).then(|| python.display().to_string())
}
