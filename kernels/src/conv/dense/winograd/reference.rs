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

fn filter(
    problem: &ConvProblem,
    input: &[f64],
    weight: &[f64],
    outputs: usize,
    transforms: &Transforms,
) -> Vec<f64> {
    let side = outputs + 2;
    let ([h, w], [oh, ow]) = (problem.input, problem.output());
    let (ci, co) = (problem.in_channels, problem.out_channels);
    let [up, left] = problem.options.padding;
    let pixel = |n: usize, y: usize, x: usize, i: usize| {
        let inside = y >= up && x >= left && y - up < h && x - left < w;
        let at = |y, x| input[((n * h + y) * w + x) * ci + i];
        if inside { at(y - up, x - left) } else { 0.0 }
    };
    let square = |side: usize, at: &dyn Fn(usize, usize) -> f64| -> Matrix {
        let line = |y| (0..side).map(|x| at(y, x)).collect();
        (0..side).map(line).collect()
    };
    let weights: Vec<Matrix> = (0..ci * co)
        .map(|pair| {
            let taps = square(3, &|y, x| weight[(y * 3 + x) * ci * co + pair]);
            both_axes(&transforms.weight, &taps)
        })
        .collect();
    let mut result = vec![0.0; problem.output_shape().iter().product()];
    let corners = (0..oh.div_ceil(outputs))
        .flat_map(|ty| (0..ow.div_ceil(outputs)).map(move |tx| (ty * outputs, tx * outputs)));
    for (n, (y0, x0)) in (0..problem.batch).flat_map(|n| corners.clone().map(move |c| (n, c))) {
        let inputs: Vec<Matrix> = (0..ci)
            .map(|i| {
                let tile = square(side, &|y, x| pixel(n, y0 + y, x0 + x, i));
                both_axes(&transforms.input, &tile)
            })
            .collect();
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
        }
    }
}
