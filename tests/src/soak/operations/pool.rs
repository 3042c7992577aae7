use super::{Draw, Problem, len};
use crate::abs;
use ghostlight_autodiff::check::Check;
use ghostlight_autodiff::{Function, ops};
use ghostlight_kernels::DType;
use ghostlight_kernels::pool::adaptive_average::{self as adaptive, AdaptiveAverageProblem};
use ghostlight_kernels::pool::average::{self, AveragePoolOptions, AveragePoolProblem};
use ghostlight_kernels::pool::global_average as global;
use ghostlight_kernels::pool::max::{self, MaxPoolOptions, MaxPoolProblem};
use ghostlight_kernels::resize::bilinear::{self as resize, Alignment, BilinearProblem};

/// A linear map of one input: the magnitude of its terms is what it gives of magnitudes.
fn linear<F: Function>(
    check: Check<'static, F>,
    forward: impl Fn(&[f64]) -> Vec<f64> + Clone + 'static,
    backward: impl Fn(&[f64]) -> Vec<f64> + Clone + 'static,
) -> Check<'static, F> {
    let (bare_forward, bare_backward) = (forward.clone(), backward.clone());
    check
        .reference(move |x| forward(&x[0]))
        .gradient(move |_, g| vec![backward(g)])
        .magnitude(move |x, g| vec![bare_forward(&abs(&x[0])), bare_backward(&abs(g))])
        .factor(3.0)
        .linear_in(&[0])
}

/// Kernel, stride, padding, dilation and ceil mode of windows, and a map that they fit into.
struct Windows {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
    input: [usize; 4],
}

fn windows(draw: &mut Draw, dilated: bool) -> Windows {
    let kernel = draw.pick("kernel", &[[1, 1], [2, 2], [3, 3], [2, 3], [5, 4]]);
    let stride = draw.any("stride", &[[1, 1], [2, 2], [1, 3], [3, 2]]);
    let dilation = match dilated {
        true => draw.any("dilation", &[[1, 1], [1, 1], [2, 1], [2, 2]]),
        false => [1, 1],
    };
    let ceil_mode = draw.any("ceil", &[false, true]);
    let padding = kernel.map(|side| draw.extent("padding", 0, side / 2));
    let n = draw.extent("n", 1, 3);
    let [h, w] = [0, 1].map(|axis| {
        let least = (kernel[axis] - 1) * dilation[axis] + 1;
        let name = ["h", "w"][axis];
        let least = least.saturating_sub(2 * padding[axis]).max(1);
        draw.extent(name, least, least + 9)
    });
    let input = [n, h, w, draw.channels("c")];
    Windows {
        kernel,
        stride,
        padding,
        dilation,
        ceil_mode,
        input,
    }
}

pub fn max_pool(mut draw: Draw) -> Problem {
    let Windows {
        kernel,
        stride,
        padding,
        dilation,
        ceil_mode,
        input,
    } = windows(&mut draw, true);
    let options = MaxPoolOptions {
        kernel,
        stride,
        padding,
        dilation,
        ceil_mode,
    };
    let problem = MaxPoolProblem::new(input, DType::F64, options).expect("windows fit");
    let x = draw.values(len(&input));
    let check = Check::of(ops::MaxPool { options })
        .inputs([(x, input.to_vec())])
        .reference(move |x| max::reference::forward(&problem, &x[0]))
        .gradient(move |x, g| vec![max::reference::backward(&problem, &x[0], g)])
        // A value is one of the operands.
        .magnitude(move |x, g| {
            vec![
                vec![0.0; g.len()],
                max::reference::backward(&problem, &x[0], &abs(g)),
            ]
        })
        .terms(kernel[0] * kernel[1]);
    draw.problem(check, false)
}

pub fn average_pool(mut draw: Draw) -> Problem {
    let Windows {
        kernel,
        stride,
        padding,
        ceil_mode,
        input,
        ..
    } = windows(&mut draw, false);
    let count_include_pad = draw.any("count padding", &[false, true]);
    let options = AveragePoolOptions {
        kernel,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
    };
    let problem = AveragePoolProblem::new(input, DType::F64, options).expect("windows fit");
    let x = draw.values(len(&input));
    let check = Check::of(ops::AveragePool { options }).inputs([(x, input.to_vec())]);
    let forward = move |x: &[f64]| average::reference::forward(&problem, x);
    let backward = move |g: &[f64]| average::reference::backward(&problem, g);
    draw.problem(
        linear(check, forward, backward).terms(kernel[0] * kernel[1]),
        false,
    )
}

pub fn adaptive_average(mut draw: Draw) -> Problem {
    let input = draw.map();
    let output = [draw.extent("bins h", 1, 7), draw.extent("bins w", 1, 7)];
    let problem = AdaptiveAverageProblem::new(input, DType::F64, output).expect("bins fit");
    let x = draw.values(len(&input));
    let check = Check::of(ops::AdaptiveAverage { output }).inputs([(x, input.to_vec())]);
    let forward = move |x: &[f64]| adaptive::reference::forward(&problem, x);
    let backward = move |g: &[f64]| adaptive::reference::backward(&problem, g);
    draw.problem(linear(check, forward, backward).terms(81), false)
}

pub fn global_average(mut draw: Draw) -> Problem {
    let input @ [_, h, w, c] = draw.map();
    let x = draw.values(len(&input));
    let check = Check::of(ops::GlobalAverage).inputs([(x, input.to_vec())]);
    let forward = move |x: &[f64]| global::reference::forward(x, h * w, c);
    let backward = move |g: &[f64]| global::reference::backward(g, h * w, c);
    draw.problem(linear(check, forward, backward).terms(h * w), false)
}

pub fn bilinear(mut draw: Draw) -> Problem {
    let alignment = draw.any("alignment", &[Alignment::HalfPixel, Alignment::Corners]);
    let input = draw.map();
    let output = [draw.extent("to h", 1, 12), draw.extent("to w", 1, 12)];
    let problem = BilinearProblem::new(input, DType::F64, output, alignment).expect("pixels");
    let x = draw.values(len(&input));
    // A share near 1 leaves a small rest, which differs by a unit of 1.
    let with_floor = |m: Vec<f64>| -> Vec<f64> {
        let floor = m.iter().fold(0.0, |a: f64, &b| a.max(b)) / 8.0;
        m.iter().map(|v| v + floor).collect()
    };
    let check = Check::of(ops::Bilinear { output, alignment })
        .inputs([(x, input.to_vec())])
        .reference(move |x| resize::reference::forward(&problem, &x[0]))
        .gradient(move |_, g| vec![resize::reference::backward(&problem, g)])
        .magnitude(move |x, g| {
            let value = resize::reference::forward(&problem, &abs(&x[0]));
            let gradient = resize::reference::backward(&problem, &abs(g));
            [value, gradient].map(with_floor).into()
        })
        .linear_in(&[0])
        .factor(6.0)
        .terms(24);
    draw.problem(check, false)
}
