//! candle 0.11.1 on the CPU.
//!
//! Its images are NCHW: `candle` has them so before and after the call, `candle+layout` brings them from NHWC and back within it. It
//! has no backward functions of its own, so gradients are its autodiff's, whose forward pass runs before the clock starts wherever a
//! phase is a backward pass alone, so that those operands are warm even in rows of flushed caches. Its autodiff cannot leave one
//! operand's gradient out: a convolution's `grad_input` and `grad_weight` are the same work, both gradients. Softmax and the norms are
//! written as a user would, with the tensor operations of candle-core.

mod operands;
mod ops;

use crate::catalogue::PoolCase;
use crate::contender::{Contender, Peer, Task};
use crate::peers::linked::{Linked, Work};
use operands::Operands;
use serde_json::Value;

/// candle on the CPU.
pub struct Candle;

/// How images lie in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Images {
    /// NCHW before and after the call.
    Theirs,
    /// NHWC before and after the call, whose memory is brought into order within it.
    Converted,
}

impl Peer for Candle {
    fn version(&self) -> [String; 2] {
        [
            "candle".into(),
            crate::locked::version("candle-core").into(),
        ]
    }

    fn contenders(&mut self, task: &Task) -> Vec<Box<dyn Contender>> {
        let Some((open, of_images)) = op(task) else {
            return Vec::new();
        };
        let rows = [
            ("candle", Images::Theirs),
            ("candle+layout", Images::Converted),
        ];
        let rows = rows.into_iter().take(if of_images { 2 } else { 1 });
        rows.map(|(name, images)| contender(open, name, images, task))
            .collect()
    }
}

type Open = fn(&Operands, &str, &Value) -> Result<Work, String>;

/// What computes a task, and whether the order of an image's memory matters to it.
fn op(task: &Task) -> Option<(Open, bool)> {
    Some(match task.op {
        "activation" => (ops::activation, false),
        "average_pool" if pools(task) => (ops::average_pool, true),
        "batch_norm_relu" => (ops::batch_norm_relu, true),
        "dense" => (ops::dense, true),
        "depthwise" => (ops::depthwise, true),
        "grouped" => (ops::grouped, true),
        "layer_norm" => (ops::layer_norm, false),
        "max_pool" if pools(task) && task.phase == "inference" => (ops::max_pool, true),
        "softmax" => (ops::softmax, false),
        _ => return None,
    })
}

/// Whether it has this pooling: it knows no padding, and no gradient of windows that overlap. (Its gradient of a maximum over 2x2
/// pixels is a quarter of what it should be, and no contender.)
fn pools(task: &Task) -> bool {
    let case: Result<PoolCase, _> = serde_json::from_value(task.arguments.clone());
    case.is_ok_and(|case| case.p == 0 && case.k == case.s)
}

fn contender(open: Open, name: &'static str, images: Images, task: &Task) -> Box<dyn Contender> {
    let (inputs, arguments) = (task.inputs.to_vec(), task.arguments.clone());
    let phase = task.phase.to_string();
    Box::new(Linked::new(name, move |values| {
        let operands = Operands {
            images,
            inputs: &inputs,
            values,
        };
        open(&operands, &phase, &arguments)
    }))
}
