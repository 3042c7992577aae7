use super::case;
use super::operands::{Operands, read};
use crate::catalogue::{DenseCase, DepthwiseCase, GroupedCase};
use crate::peers::linked::{Read, Work};
use burn_backend::ops::ModuleOps;
use burn_dispatch::Dispatch;
use burn_tensor::Tensor;
use burn_tensor::module::{conv2d, conv2d_weight_backward};
use burn_tensor::ops::ConvOptions;
use serde_json::Value;

pub fn depthwise(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let DepthwiseCase {
        k,
        c,
        stride,
        dilation,
        ..
    } = case(arguments)?;
    let options = ConvOptions::new([stride; 2], [dilation * (k / 2); 2], [dilation; 2], c);
    // [kh, kw, co] to [co, 1, kh, kw]
    let weight = operands.tensor::<3>(1).permute([2, 0, 1]).unsqueeze_dim(1);
    let weight = operands.in_memory(weight);
    convolution(operands, phase, weight, options, |grad| {
        read(grad.squeeze_dim::<3>(1).permute([1, 2, 0]))
    })
}

pub fn grouped(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let GroupedCase {
        k, stride, groups, ..
    } = case(arguments)?;
    let options = ConvOptions::new([stride; 2], [k / 2; 2], [1; 2], groups);
    dense_layout(operands, phase, options)
}

pub fn dense(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let DenseCase { k, stride, .. } = case(arguments)?;
    let options = ConvOptions::new([stride; 2], [k / 2; 2], [1; 2], 1);
    dense_layout(operands, phase, options)
}

fn dense_layout(operands: &Operands, phase: &str, options: ConvOptions<2>) -> Result<Work, String> {
    convolution(operands, phase, operands.weight(1), options, |grad| {
        read(grad.permute([2, 3, 1, 0]))
    })
}

/// `back` reads a gradient of the weights in our order.
fn convolution(
    operands: &Operands,
    phase: &str,
    weight: Tensor<4>,
    options: ConvOptions<2>,
    back: fn(Tensor<4>) -> Read,
) -> Result<Work, String> {
    let x = operands.image(0);
    if phase == "forward" {
        return Ok(operands.work(move |row| {
            let y = conv2d(x.clone(), weight.clone(), None, options.clone());
            vec![row.image(y)]
        }));
    }
    let grad = operands.image(2);
    Ok(match phase {
        "grad_input" => operands.work(move |row| {
            let [x, weight, grad] = [&x, &weight, &grad].map(|t| t.clone().into_dispatch());
            let grad = Dispatch::conv2d_x_backward(x, weight, grad, options.clone());
            vec![row.image(Tensor::from_dispatch(grad))]
        }),
        "grad_weight" => operands.work(move |_| {
            let grad =
                conv2d_weight_backward(x.clone(), weight.clone(), grad.clone(), options.clone());
            vec![back(grad)]
        }),
        _ => return Err(format!("there is no phase {phase}")),
    })
}
