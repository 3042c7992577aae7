//! Winograd's filtering over `f64` slices, its matrices made from its points as Toom and Cook have it: that it is the convolution, and by how
//! much it may err.

use crate::conv::dense::{ConvOptions, ConvProblem};

/// A matrix, row by row.
type Matrix = Vec<Vec<f64>>;

/// The transforms of inputs, weight and products for one axis of a tile.
struct Transforms {
    input: Matrix,
    weight: Matrix,
    output: Matrix,
}

impl Transforms {
    /// For tiles of 2 or 4 outputs a side; infinity is the last point.
    fn of(outputs: usize) -> Self {
        let points: &[f64] = match outputs {
            2 => &[0.0, 1.0, -1.0],
            _ => &[0.0, 0.75, -0.75, 1.5, -1.5],
        };
        let but = |i: usize| {
            let others = points.iter().enumerate().filter(move |&(j, _)| j != i);
            others.map(|(_, &point)| point)
        };
        // The coefficients of the polynomial with these zeros, lowest first.
        let polynomial = |zeros: &mut dyn Iterator<Item = f64>| {
            let mut coefficients = vec![0.0; outputs + 2];
            coefficients[0] = 1.0;
            for zero in zeros {
                for i in (0..coefficients.len()).rev() {
                    let below = if i > 0 { coefficients[i - 1] } else { 0.0 };
                    coefficients[i] = below - zero * coefficients[i];
                }
            }
            coefficients
        };
        let count = points.len();
        let mut input: Matrix = (0..count).map(|i| polynomial(&mut but(i))).collect();
        input.push(polynomial(&mut points.iter().copied()));
        let mut weight: Matrix = (0..count)
            .map(|i| {
                let factor: f64 = but(i).map(|other| points[i] - other).product();
                (0..3).map(|tap| points[i].powi(tap) / factor).collect()
            })
            .collect();
        weight.push(vec![0.0, 0.0, 1.0]);
        let output = (0..outputs)
            .map(|power| {
                let mut row: Vec<f64> = points.iter().map(|p| p.powi(power as i32)).collect();
                row.push(f64::from(u8::from(power + 1 == outputs)));
                row
            })
            .collect();
        Self {
            input,
            weight,
            output,
        }
    }

    /// The same without signs: what bounds the rounding of the transforms.
    fn abs(mut self) -> Self {
        for matrix in [&mut self.input, &mut self.weight, &mut self.output] {
            matrix.iter_mut().flatten().for_each(|v| *v = v.abs());
        }
        self
    }
}

/// `matrix tile matrix^T`.
fn both_axes(matrix: &Matrix, tile: &Matrix) -> Matrix {
    let down: Matrix = matrix
        .iter()
        .map(|row| {
            let column = |c: usize| row.iter().zip(tile).map(|(m, line)| m * line[c]).sum();
            (0..tile[0].len()).map(column).collect()
        })
        .collect();
    let across = |line: &Vec<f64>| {
        let at = |row: &Vec<f64>| row.iter().zip(line).map(|(m, v)| m * v).sum();
        matrix.iter().map(at).collect()
    };
    down.iter().map(across).collect()
}

/// The convolution by tiles of `outputs` by `outputs`.
pub fn forward(problem: &ConvProblem, input: &[f64], weight: &[f64], outputs: usize) -> Vec<f64> {
    filter(problem, input, weight, outputs, &Transforms::of(outputs))
}

/// The sum of the magnitudes of all terms of each output, those that cancel included: with matrices and operands without signs. A unit of
/// rounding of it bounds what Winograd's filtering errs by.
pub fn magnitude(problem: &ConvProblem, input: &[f64], weight: &[f64], outputs: usize) -> Vec<f64> {
    let abs = |values: &[f64]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let transforms = Transforms::of(outputs).abs();
    filter(problem, &abs(input), &abs(weight), outputs, &transforms)
}

/// The gradient with respect to the weight by tiles of `outputs` by `outputs`.
pub fn grad_weight(problem: &ConvProblem, input: &[f64], grad: &[f64], outputs: usize) -> Vec<f64> {
    filter_weight(problem, input, grad, outputs, &Transforms::of(outputs))
}

/// [`magnitude`] of the gradient with respect to the weight.
pub fn weight_magnitude(
    problem: &ConvProblem,
    input: &[f64],
    grad: &[f64],
    outputs: usize,
) -> Vec<f64> {
    let abs = |values: &[f64]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let transforms = Transforms::of(outputs).abs();
    filter_weight(problem, &abs(input), &abs(grad), outputs, &transforms)
}

/// The problem and the weight of the gradient with respect to the input, which is a convolution of the output's gradient.
pub fn transposed(problem: &ConvProblem, weight: &[f64]) -> (ConvProblem, Vec<f64>) {
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let mut flipped = vec![0.0; weight.len()];
    for tap in 0..9 {
        for (i, o) in (0..ci).flat_map(|i| (0..co).map(move |o| (i, o))) {
            flipped[((8 - tap) * co + o) * ci + i] = weight[(tap * ci + i) * co + o];
        }
    }
    let padding = problem.options.padding.map(|padding| 2 - padding);
    let problem = ConvProblem {
        input: problem.output(),
        in_channels: co,
        out_channels: ci,
        options: ConvOptions {
            padding,
            ..problem.options
        },
        ..*problem
    };
    (problem, flipped)
}

fn square(side: usize, at: &dyn Fn(usize, usize) -> f64) -> Matrix {
    let line = |y| (0..side).map(|x| at(y, x)).collect();
    (0..side).map(line).collect()
}

/// The inputs of each tile of the problem, zeros outside of the map, channel by channel and transformed; with its image and its first output.
fn tiles_of<'a>(
    problem: &'a ConvProblem,
    input: &'a [f64],
    outputs: usize,
    transforms: &'a Transforms,
) -> impl Iterator<Item = (usize, [usize; 2], Vec<Matrix>)> + 'a {
    let ([h, w], [oh, ow], ci) = (problem.input, problem.output(), problem.in_channels);
    let [up, left] = problem.options.padding;
    let pixel = move |n: usize, y: usize, x: usize, i: usize| {
        let inside = y >= up && x >= left && y - up < h && x - left < w;
        let at = |y, x| input[((n * h + y) * w + x) * ci + i];
        if inside { at(y - up, x - left) } else { 0.0 }
    };
    let corners = move || {
        let down = (0..oh).step_by(outputs);
        down.flat_map(move |y| (0..ow).step_by(outputs).map(move |x| [y, x]))
    };
    let tiles = (0..problem.batch).flat_map(move |n| corners().map(move |corner| (n, corner)));
    tiles.map(move |(n, [y0, x0])| {
        let of_channel = |i| {
            let tile = square(outputs + 2, &|y, x| pixel(n, y0 + y, x0 + x, i));
            both_axes(&transforms.input, &tile)
        };
        (n, [y0, x0], (0..ci).map(of_channel).collect())
    })
}

/// The transpose of [`filter`] as a map of the weight.
fn filter_weight(
    problem: &ConvProblem,
    input: &[f64],
    grad: &[f64],
    outputs: usize,
    transforms: &Transforms,
) -> Vec<f64> {
    let side = outputs + 2;
    let [oh, ow] = problem.output();
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let transpose = |matrix: &Matrix| -> Matrix {
        let column = |c: usize| matrix.iter().map(|row| row[c]).collect();
        (0..matrix[0].len()).map(column).collect()
    };
    let (of_grad, back) = (transpose(&transforms.output), transpose(&transforms.weight));
    let mut sums = vec![vec![vec![0.0; side]; side]; ci * co];
    for (n, [y0, x0], inputs) in tiles_of(problem, input, outputs, transforms) {
        for o in 0..co {
            let tile = square(outputs, &|y, x| {
                let inside = y0 + y < oh && x0 + x < ow;
                let at = |y, x| grad[((n * oh + y) * ow + x) * co + o];
                if inside { at(y0 + y, x0 + x) } else { 0.0 }
            });
            let grads = both_axes(&of_grad, &tile);
            for (i, (y, x)) in
                (0..ci).flat_map(|i| (0..side * side).map(move |p| (i, (p / side, p % side))))
            {
                sums[i * co + o][y][x] += inputs[i][y][x] * grads[y][x];
            }
        }
    }
    let taps: Vec<Matrix> = sums.iter().map(|sums| both_axes(&back, sums)).collect();
    let pairs = |tap: usize| taps.iter().map(move |taps| taps[tap / 3][tap % 3]);
    (0..9).flat_map(pairs).collect()
}

fn filter(
    problem: &ConvProblem,
    input: &[f64],
    weight: &[f64],
    outputs: usize,
    transforms: &Transforms,
) -> Vec<f64> {
    let side = outputs + 2;
    let [oh, ow] = problem.output();
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let weights: Vec<Matrix> = (0..ci * co)
        .map(|pair| {
            let taps = square(3, &|y, x| weight[(y * 3 + x) * ci * co + pair]);
            both_axes(&transforms.weight, &taps)
        })
        .collect();
    let mut result = vec![0.0; problem.output_shape().iter().product()];
    for (n, [y0, x0], inputs) in tiles_of(problem, input, outputs, transforms) {
        for o in 0..co {
            let sums = square(side, &|y, x| {
                (0..ci)
                    .map(|i| inputs[i][y][x] * weights[i * co + o][y][x])
                    .sum()
            });
            let tile = both_axes(&transforms.output, &sums);
            for (y, x) in (0..outputs).flat_map(|y| (0..outputs).map(move |x| (y, x))) {
                if y0 + y < oh && x0 + x < ow {
                    result[((n * oh + y0 + y) * ow + x0 + x) * co + o] = tile[y][x];
                }
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::conv::dense::reference;

    #[test]
    fn the_matrices_of_the_points_make_the_convolution() {
        for (outputs, padding) in [(2, [1, 1]), (4, [1, 1]), (4, [0, 2]), (2, [2, 0])] {
            let problem = ConvProblem {
                batch: 2,
                input: [7, 9],
                kernel: [3, 3],
                in_channels: 3,
                out_channels: 2,
                options: ConvOptions {
                    stride: [1, 1],
                    padding,
                },
                dtype: DType::F64,
            };
            let values = |count: usize| -> Vec<f64> {
                (0..count)
                    .map(|i| (i * i % 17) as f64 / 8.0 - 1.0)
                    .collect()
            };
            let x = values(problem.input_shape().iter().product());
            let w = values(problem.weight_shape().iter().product());
            let near = |got: Vec<f64>, wanted: Vec<f64>| {
                for (got, wanted) in got.iter().zip(&wanted) {
                    assert!((got - wanted).abs() < 1e-12, "{got}, wanted {wanted}");
                }
            };
            let wanted = reference::forward(&problem, &x, &w);
            near(forward(&problem, &x, &w, outputs), wanted);
            let g = values(problem.output_shape().iter().product());
            let (back, flipped) = transposed(&problem, &w);
            let wanted = reference::grad_input(&problem, &w, &g);
            near(forward(&back, &g, &flipped, outputs), wanted);
            let wanted = reference::grad_weight(&problem, &x, &g);
            near(grad_weight(&problem, &x, &g, outputs), wanted);
        }
    }
}
