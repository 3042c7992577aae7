use crate::run::{Checkpoint, NamedTensor, RunDir, weights_digest};
use crate::train::TrainError;
use std::path::PathBuf;

/// A teacher that was trained elsewhere.
pub struct LoadedTeacher {
    /// The file or the run that it comes from.
    pub path: PathBuf,
    /// Its weights, under PyTorch's keys.
    pub weights: Vec<NamedTensor>,
}

impl LoadedTeacher {
    /// Puts the weights in the place of a training's end, where it has not begun. A run holds all that it takes to repeat it, its
    /// teachers too.
    ///
    /// # Errors
    /// [`TrainError::LoadedTeacher`] if the run began with another teacher; those of the disk.
    pub(super) fn install(&self, run: &RunDir, name: &str) -> Result<(), TrainError> {
        if let Some(there) = run.load_checkpoint(name)? {
            let same = weights_digest(&there.weights) == weights_digest(&self.weights);
            return match same && there.state["finished"] == true {
                true => Ok(()),
                false => Err(TrainError::LoadedTeacher {
                    path: self.path.clone(),
                    reason: format!(
                        "the run in {} has another one already; go on without --teacher, or start a new run",
                        run.path().display()
                    ),
                }),
            };
        }
        let checkpoint = Checkpoint {
            weights: self.weights.clone(),
            optimiser: Vec::new(),
            state: serde_json::json!({"position": crate::train::nowhere(), "finished": true}),
        };
        Ok(run.save_checkpoint(name, &checkpoint)?)
    }
}
