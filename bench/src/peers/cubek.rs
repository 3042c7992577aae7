//! CubeK's convolutions on our own device, NHWC as ours: its depthwise kernel, and its direct one for grouped and dense.
//!
//! Forward passes only: its gradients and its implicit GEMMs are built on matrix units (their `AcceleratedTileKind` is CMMA or MMA),
//! which CubeCL's CPU runtime does not have; they were not tried there. Those rows stay blank.

use super::linked::{Linked, Read, Work};
use crate::catalogue::{DenseCase, DepthwiseCase, GroupedCase};
use crate::contender::{Contender, Peer, Task};
use crate::input::{DTYPE, Input};
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::TensorBinding;
use cubecl::server::Handle;
use cubek_convolution::{
    ConvolutionArgs, DepthwiseStrategy, DepthwiseTensors, DepthwiseTiling, DirectTensors,
    launch_depthwise, launch_direct,
};
use ghostlight_autodiff::Client;
use ghostlight_kernels::launch;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// CubeK on our device.
pub struct CubeK(pub Client);

impl Peer for CubeK {
    fn version(&self) -> [String; 2] {
        [
            "cubek".into(),
            crate::locked::version("cubek-convolution").into(),
        ]
    }

    fn contenders(&mut self, task: &Task) -> Vec<Box<dyn Contender>> {
        let conv = (task.phase == "forward").then(|| Conv::of(task)).flatten();
        let contender = conv.map(|conv| {
            let (client, inputs) = (self.0.clone(), task.inputs.to_vec());
            let open = move |values: &[Vec<f32>]| Ok(open(&client, &inputs, values, conv));
            Box::new(Linked::new("cubek", open)) as Box<dyn Contender>
        });
        contender.into_iter().collect()
    }
}

/// What a convolution is told beside its operands.
#[derive(Clone, Copy)]
struct Conv {
    output: [usize; 4],
    padding: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
    depthwise: bool,
}

impl Conv {
    fn of(task: &Task) -> Option<Self> {
        let square = |output, k: usize, stride, groups| Self {
            output,
            padding: k / 2,
            stride,
            dilation: 1,
            groups,
            depthwise: false,
        };
        match task.op {
            "depthwise" => {
                let case: DepthwiseCase = case(task)?;
                Some(Self {
                    output: case.problem().output_shape(),
                    padding: case.dilation * (case.k / 2),
                    stride: case.stride,
                    dilation: case.dilation,
                    groups: case.c,
                    // Its depthwise kernel has one output channel for each input channel.
                    depthwise: case.multiplier == 1,
                })
            }
            "grouped" => {
                let case: GroupedCase = case(task)?;
                let output = case.problem().output_shape();
                Some(square(output, case.k, case.stride, case.groups))
            }
            "dense" => {
                let case: DenseCase = case(task)?;
                let output = case.problem().output_shape();
                Some(square(output, case.k, case.stride, 1))
            }
            _ => None,
        }
    }
}

fn case<C: DeserializeOwned>(task: &Task) -> Option<C> {
    serde_json::from_value(task.arguments.clone()).ok()
}

/// A contiguous tensor on the device.
#[derive(Clone)]
struct OnDevice {
    handle: Handle,
    shape: Arc<[usize]>,
}

impl OnDevice {
    fn of(client: &Client, values: &[f32], shape: &[usize]) -> Self {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self {
            handle: client.create_from_slice(&bytes),
            shape: shape.into(),
        }
    }

    fn binding(&self) -> TensorBinding {
        let mut strides = vec![1; self.shape.len()];
        for axis in (1..strides.len()).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        // SAFETY: the memory holds the elements of `shape`, without gaps.
        unsafe {
            TensorBinding::from_raw_parts(
                self.handle.clone(),
                strides.into(),
                self.shape.to_vec().into(),
            )
        }
    }
}

fn open(client: &Client, inputs: &[Input], values: &[Vec<f32>], conv: Conv) -> Work {
    let input = OnDevice::of(client, &values[0], &inputs[0].shape);
    let [co, taps, each] = filter_extents(&inputs[1].shape);
    let k = (taps as f64).sqrt() as usize;
    let weight = filters(&values[1], [co, taps, each]);
    let weight = OnDevice::of(client, &weight, &[co, k, k, each]);
    let client = client.clone();
    Box::new(move || {
        let (client, input, weight) = (client.clone(), input.clone(), weight.clone());
        Ok(Box::new(move || {
            let out = convolve(&client, &input, &weight, conv)?;
            cubecl::future::block_on(client.sync()).map_err(|error| error.to_string())?;
            Ok(vec![read(client, out)])
        }))
    })
}

/// Output channels, taps, and input channels of a group, of `[kh, kw, co]` or `[kh, kw, ci, co]` weights.
fn filter_extents(shape: &[usize]) -> [usize; 3] {
    let taps = shape[0] * shape[1];
    match shape {
        [_, _, each, co] => [*co, taps, *each],
        _ => [shape[2], taps, 1],
    }
}

/// `[taps, each, co]` to `[co, taps, each]`.
fn filters(weight: &[f32], [co, taps, each]: [usize; 3]) -> Vec<f32> {
    let at = |i: usize| (i % (taps * each)) * co + i / (taps * each);
    (0..co * taps * each).map(|i| weight[at(i)]).collect()
}

fn convolve(
    client: &Client,
    input: &OnDevice,
    weight: &OnDevice,
    conv: Conv,
) -> Result<OnDevice, String> {
    let out = OnDevice {
        handle: client.empty(conv.output.iter().product::<usize>() * 4),
        shape: conv.output.as_slice().into(),
    };
    let dtype = ElemType::Float(FloatKind::F32);
    let [input, weight, result] = [input, weight, &out].map(OnDevice::binding);
    let args = ConvolutionArgs::<2> {
        stride: [conv.stride; 2],
        padding: [conv.padding; 2],
        dilation: [conv.dilation; 2],
    };
    let launched = match conv.depthwise {
        true => {
            let tensors = DepthwiseTensors {
                input,
                weight,
                out: result,
            };
            launch_depthwise(client, tensors, args, conv.groups, dtype, tiling(client))
        }
        false => {
            let tensors = DirectTensors {
                input,
                weight,
                bias: None,
                out: result,
            };
            launch_direct(client, tensors, args, conv.groups, dtype)
        }
    };
    launched.map_err(|error| format!("{error:?}"))?;
    Ok(out)
}

/// Its own choice asks for four units a cube. A device with fewer cores gets as many rows as it has, and the widest vectors: a 5x5
/// over 28x28x240 took 6 times our time so, and 46 times with the one channel a vector that its own choice has for most shapes.
fn tiling(client: &Client) -> DepthwiseStrategy {
    let hardware = &client.properties().hardware;
    let planes = (hardware.max_units_per_cube / hardware.plane_size_max.max(1)) as usize;
    let its_own = DepthwiseTiling::default();
    if planes >= its_own.rows {
        return DepthwiseStrategy::Routine;
    }
    DepthwiseStrategy::Fixed(DepthwiseTiling {
        rows: planes.max(1),
        lines: launch::widest(client, DTYPE),
        ..its_own
    })
}

fn read(client: Client, tensor: OnDevice) -> Read {
    Box::new(move || {
        let bytes = client.read_one(tensor.handle.clone());
        let bytes = bytes.map_err(|error| error.to_string())?;
        let values = bytes.chunks_exact(4);
        let value = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        Ok(values.map(|four| f64::from(value(four))).collect())
    })
}
