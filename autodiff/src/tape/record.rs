//! What a tape holds, and how it knows its own variables.

use crate::{DType, Gradients, KernelError, Tensor};
use ghostlight_kernels::planted;
use std::sync::atomic::{AtomicU64, Ordering};

/// Maps an output's gradient to the inputs' gradients, consuming what was saved.
pub(super) type Backward =
    Box<dyn FnOnce(&Tensor, &[bool], &mut [Option<Tensor>]) -> Result<Gradients, KernelError>>;

/// A recorded tensor: what its gradient looks like, and where that goes.
pub(super) struct Node {
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// A gradient ends here, in a tensor of the caller's, which it is added to.
    Leaf { grad: Tensor },
    /// A gradient of some channels becomes one of all of them.
    Window { input: usize, start: usize },
    /// A gradient of all channels becomes one of each part, in order: its node, if it needs one, and its number of channels.
    Join { parts: Vec<(Option<usize>, usize)> },
    /// A gradient passes through; `inputs` holds the nodes of those that need one.
    Step {
        op: &'static str,
        inputs: Vec<Option<usize>>,
        reads_windows: bool,
        backward: Backward,
    },
}

/// One pass of one tape: what is recorded between two backward passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    tape: u64,
    number: u64,
}

/// Where a variable was recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pass: Pass,
    node: usize,
}

pub(super) struct Record {
    pass: Pass,
    nodes: Vec<Node>,
}

impl Default for Record {
    fn default() -> Self {
        static TAPES: AtomicU64 = AtomicU64::new(0);
        let tape = TAPES.fetch_add(1, Ordering::Relaxed);
        Self {
            pass: Pass { tape, number: 0 },
            nodes: Vec::new(),
        }
    }
}

impl Record {
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn push(&mut self, output: &Tensor, kind: Kind) -> Origin {
        self.nodes.push(Node {
            shape: output.shape().to_vec(),
            dtype: output.dtype(),
            kind,
        });
        Origin {
            pass: self.pass,
            node: self.nodes.len() - 1,
        }
    }

    /// Ends the pass: hands out its nodes, and disowns its variables.
    pub fn finish(&mut self) -> Vec<Node> {
        self.pass.number += 1;
        std::mem::take(&mut self.nodes)
    }

    /// The node of a variable, which `op` was handed as its `role` number `index`.
    ///
    /// # Errors
    /// [`KernelError::Contract`] when it was recorded by another tape, or in a pass that has ended.
    pub fn node(
        &self,
        Origin { pass, node }: Origin,
        op: &'static str,
        role: &str,
        index: usize,
    ) -> Result<usize, KernelError> {
        if pass == self.pass || planted::is("tape_takes_strangers") {
            return Ok(node);
        }
        let got = if pass.tape == self.pass.tape {
            "was recorded before the last backward pass, which used its record up"
        } else {
            "was recorded by another tape"
        };
        Err(KernelError::Contract {
            op,
            subject: format!("{role} {index}").into(),
            got: got.into(),
            wanted: "a variable of this tape's present pass, or a constant".into(),
        })
    }
}
