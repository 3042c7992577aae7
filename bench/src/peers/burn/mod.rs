//! burn 0.22.1: its CPU backend Flex, and its CubeCL backend on our own device.
//!
//! Its images are NCHW. Flex keeps them so in memory (`burn-flex`), and a user whose data is NHWC pays for the way there and back
//! (`burn-flex+layout`, operations on images only). The CubeCL backend computes on NHWC memory that it sees as NCHW, so that
//! there is nothing to convert (`burn-cubecl`); it is built without autotuning and without fusion. Convolutions and pools have
//! backward functions, which are called; other gradients are its autodiff's, whose forward pass runs before the clock starts
//! wherever a phase is a backward pass alone, so that those operands are warm even in rows of flushed caches.

mod conv;
mod loss;
mod operands;
mod pointwise;
mod pool;

use crate::contender::{Contender, Peer, Task};
use crate::locked;
use crate::peers::linked::{Linked, Work};
use burn_tensor::Device;
use operands::Operands;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// burn on one of its backends.
pub struct Burn {
    version: String,
    rows: Vec<BackendRow>,
}

/// A backend, and how it gets images.
#[derive(Clone)]
struct BackendRow {
    name: &'static str,
    device: Device,
    images: Images,
}

/// Its CPU backend on its own layout: the one that is not slow.
pub(super) const FLEX: &str = "burn-flex";

/// How images lie in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Images {
    /// NCHW before and after the call.
    Theirs,
    /// NHWC before and after the call, whose memory is brought into order within it.
    Converted,
    /// NHWC before and whatever the call leaves after it.
    Seen,
}

impl Burn {
    /// Its CPU backend.
    pub fn flex() -> Self {
        let row = |name, images| BackendRow {
            name,
            device: Device::flex(),
            images,
        };
        Self {
            version: "burn-flex".into(),
            rows: vec![
                row(FLEX, Images::Theirs),
                row("burn-flex+layout", Images::Converted),
            ],
        }
    }

    /// Its CubeCL backend on `device`.
    pub fn cubecl(device: cubecl::Device) -> Self {
        Self {
            version: "burn-cubecl".into(),
            rows: vec![BackendRow {
                name: "burn-cubecl",
                device: Device::new(device),
                images: Images::Seen,
            }],
        }
    }
}

impl Peer for Burn {
    fn version(&self) -> [String; 2] {
        [self.version.clone(), locked::version("burn-tensor").into()]
    }

    fn contenders(&mut self, task: &Task) -> Vec<Box<dyn Contender>> {
        let Some(op) = op(task.op).filter(|_| !task.arguments.is_null()) else {
            return Vec::new();
        };
        let has = |row: &&BackendRow| match row.images {
            Images::Theirs => true,
            Images::Converted => op.of_images,
            // It has no gradient of bilinear resizing.
            Images::Seen => [task.op, task.phase] != ["bilinear", "grad_input"],
        };
        let fit = self.rows.iter().filter(has);
        fit.map(|row| contender(op.open, row.clone(), task))
            .collect()
    }
}

type Open = fn(&Operands, &str, &Value) -> Result<Work, String>;

struct Op {
    open: Open,
    /// Whether the order of an image's memory matters to it.
    of_images: bool,
}

fn op(name: &str) -> Option<Op> {
    let of_images = |open| Op {
        open,
        of_images: true,
    };
    let of_any = |open| Op {
        open,
        of_images: false,
    };
    Some(match name {
        "activation" => of_any(pointwise::activation),
        "adaptive_average" => of_images(pool::adaptive_average),
        "add_relu" => of_any(pointwise::add_relu),
        "average_pool" => of_images(pool::average_pool),
        "batch_norm_relu" => of_images(pointwise::batch_norm_relu),
        "bilinear" => of_images(pool::bilinear),
        "cosine" => of_any(loss::cosine),
        "depthwise" => of_images(conv::depthwise),
        "grouped" => of_images(conv::grouped),
        "dense" => of_images(conv::dense),
        "distill" => of_any(loss::distill),
        "dkd" => of_any(loss::dkd),
        "dual_teacher" => of_any(loss::dual_teacher),
        "gate" => of_any(pointwise::gate),
        "kd" => of_any(loss::kd),
        "layer_norm" => of_any(pointwise::layer_norms),
        "max_pool" => of_images(pool::max_pool),
        "soft_sign" => of_any(pointwise::soft_sign),
        "softmax" => of_any(pointwise::softmaxes),
        _ => return None,
    })
}

fn contender(open: Open, row: BackendRow, task: &Task) -> Box<dyn Contender> {
    let (inputs, arguments) = (task.inputs.to_vec(), task.arguments.clone());
    let (name, phase) = (row.name, task.phase.to_string());
    Box::new(Linked::new(name, move |values| {
        open(&Operands::new(&row, &inputs, values), &phase, &arguments)
    }))
}

/// The case that `arguments` describe.
fn case<C: DeserializeOwned>(arguments: &Value) -> Result<C, String> {
    serde_json::from_value(arguments.clone()).map_err(|error| error.to_string())
}
