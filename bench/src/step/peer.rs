use super::case::{CLASSES, Case, Kind};
use crate::peers::process::{Process, numbers};
use crate::turn::Turn;
use serde_json::{Value, json};

/// PyTorch in a process of its own, which takes the same steps on the same machine, in turns with us: `peers/torch_steps.py`.
pub struct TorchSteps {
    process: Process,
    /// Its versions and those of the libraries that networks are from, by name.
    pub versions: Vec<(String, String)>,
}

impl TorchSteps {
    /// PyTorch's ways to take a step of `kind`.
    pub fn ways(kind: Kind) -> &'static [&'static str] {
        match kind {
            Kind::Infer => &["eager", "compiled", "frozen"],
            Kind::Train | Kind::Distill => &["eager"],
        }
    }

    /// Starts it under `python`, on `device` (`cpu` or `cuda`) and `threads` threads.
    ///
    /// # Errors
    /// The interpreter does not start, or lacks a library; PyTorch takes another number of threads.
    pub fn start(python: &str, device: &str, threads: usize) -> Result<Self, String> {
        let words = [device, &threads.to_string()];
        Self::over(Process::start(python, "torch_steps.py", &words)?, threads)
    }

    /// A peer that answers as `peers/torch_steps.py` does.
    pub(super) fn over(mut process: Process, threads: usize) -> Result<Self, String> {
        let answer = process.ask(&json!({"hello": true}))?;
        if answer["threads"].as_u64() != Some(threads as u64) {
            let taken = &answer["threads"];
            return Err(format!(
                "PyTorch runs on {taken} threads, where we have {threads}"
            ));
        }
        let names = ["torch", "torchvision", "timm"];
        let version = |name: &str| Some((name.into(), answer[name].as_str()?.into()));
        Ok(Self {
            process,
            versions: names.into_iter().filter_map(version).collect(),
        })
    }

    /// Builds `case`'s networks, which must have `parameters`, and warms its step up in one of [`TorchSteps::ways`].
    ///
    /// # Errors
    /// PyTorch's; networks of another size.
    pub fn load(&mut self, case: &Case, way: &str, parameters: &[usize]) -> Result<(), String> {
        let answer = self.process.ask(&json!({
            "do": "load", "way": way, "kind": case.kind, "network": case.network, "teacher": case.teacher,
            "batch": case.batch, "side": case.side, "classes": CLASSES,
        }))?;
        let found = answer["parameters"].as_array().into_iter().flatten();
        let found: Vec<u64> = found.filter_map(Value::as_u64).collect();
        if !found
            .iter()
            .copied()
            .eq(parameters.iter().map(|&count| count as u64))
        {
            return Err(format!(
                "its networks have {found:?} parameters, ours {parameters:?}: not the same networks"
            ));
        }
        Ok(())
    }

    /// The times of the steps that count in `turn`, in ms.
    ///
    /// # Errors
    /// PyTorch's.
    pub fn turn(&mut self, way: &str, turn: Turn) -> Result<Vec<f64>, String> {
        let turn = json!({"discarded": turn.discarded, "least": turn.least, "ms": turn.ms});
        let answer = self
            .process
            .ask(&json!({"do": "turn", "way": way, "turn": turn}))?;
        match numbers(&answer["ms"]) {
            none if none.is_empty() => Err("PyTorch told no time".into()),
            times => Ok(times),
        }
    }

    /// Lets go of all steps.
    pub fn forget(&mut self) {
        // Who does not answer fails at the next question too.
        let _ = self.process.ask(&json!({"do": "forget"}));
    }
}
