//! Poolings and resizing, by burn's own functions for both directions.

use super::case;
use super::operands::Operands;
use crate::catalogue::{PoolCase, ResizeCase};
use crate::peers::linked::Work;
use burn_backend::ops::ModuleOps;
use burn_dispatch::Dispatch;
use burn_tensor::module::{
    adaptive_avg_pool2d, avg_pool2d, avg_pool2d_backward, interpolate, max_pool2d,
    max_pool2d_with_indices, max_pool2d_with_indices_backward,
};
use burn_tensor::ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn_tensor::{Tensor, TensorData};
use serde_json::Value;

pub fn max_pool(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let PoolCase { k, s, p, .. } = case(arguments)?;
    let options = MaxPoolOptions::new([k; 2])
        .with_stride([s; 2])
        .with_padding([p; 2]);
    let x = operands.image(0);
    Ok(match phase {
        "inference" => {
            operands.work(move |row| vec![row.image(max_pool2d(x.clone(), options.clone()))])
        }
        // With the indices that the backward pass reads.
        "forward" => operands.work(move |row| {
            let (y, _) = max_pool2d_with_indices(x.clone(), options.clone());
            vec![row.image(y)]
        }),
        _ => {
            let (grad, (_, indices)) = (
                operands.image(1),
                max_pool2d_with_indices(x.clone(), options),
            );
            operands.work(move |row| {
                vec![row.image(max_pool2d_with_indices_backward(
                    x.clone(),
                    [k; 2],
                    [s; 2],
                    [p; 2],
                    [1; 2],
                    false,
                    grad.clone(),
                    indices.clone(),
                ))]
            })
        }
    })
}

pub fn average_pool(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let PoolCase {
        n,
        h,
        w,
        c,
        k,
        s,
        p,
    } = case(arguments)?;
    let options = AvgPoolOptions::new([k; 2])
        .with_stride([s; 2])
        .with_padding([p; 2]);
    Ok(through(
        operands,
        phase,
        [n, h, w, c],
        move |x| avg_pool2d(x, options.clone()),
        move |x, grad| avg_pool2d_backward(x, grad, [k; 2], [s; 2], [p; 2], true, false),
    ))
}

pub fn adaptive_average(
    operands: &Operands,
    phase: &str,
    arguments: &Value,
) -> Result<Work, String> {
    let ResizeCase {
        n, h, w, c, oh, ow, ..
    } = case(arguments)?;
    Ok(through(
        operands,
        phase,
        [n, h, w, c],
        move |x| adaptive_avg_pool2d(x, [oh, ow]),
        |x, grad| {
            let [x, grad] = [x, grad].map(Tensor::into_dispatch);
            Tensor::from_dispatch(Dispatch::adaptive_avg_pool2d_backward(x, grad))
        },
    ))
}

pub fn bilinear(operands: &Operands, phase: &str, arguments: &Value) -> Result<Work, String> {
    let ResizeCase {
        n,
        h,
        w,
        c,
        oh,
        ow,
        corners,
    } = case(arguments)?;
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(corners)
        .with_output_size([oh, ow]);
    let backwards = options.clone();
    Ok(through(
        operands,
        phase,
        [n, h, w, c],
        move |x| interpolate(x, options.clone()),
        move |x, grad| {
            let [x, grad] = [x, grad].map(Tensor::into_dispatch);
            let grad = Dispatch::interpolate_backward(x, grad, [oh, ow], backwards.clone());
            Tensor::from_dispatch(grad)
        },
    ))
}

/// A function of an image, or its gradient, which needs the image's shape alone.
fn through(
    operands: &Operands,
    phase: &str,
    shape: [usize; 4],
    forward: impl Fn(Tensor<4>) -> Tensor<4> + Clone + 'static,
    backward: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4> + Clone + 'static,
) -> Work {
    let given = operands.image(0);
    if phase == "forward" {
        return operands.work(move |row| vec![row.image(forward(given.clone()))]);
    }
    let zeros = TensorData::new(vec![0.0f32; shape.iter().product()], shape);
    let x = operands.of_ours(Tensor::from_data(zeros, &operands.row.device));
    operands.work(move |row| vec![row.image(backward(x.clone(), given.clone()))])
}
