//! Convolutions as a first kernel has them: one unit an output, one multiply-add after the other, no vectors. What a hand-written
//! kernel is worth is its ratio to this.

use crate::contender::Variant;
use cubecl::prelude::*;
use ghostlight_autodiff::{DType, KernelError, Tensor};
use ghostlight_kernels::conv::depthwise::DepthwiseProblem;
use ghostlight_kernels::launch;

/// What its rows are called.
pub(crate) const NAIVE: &str = "naive";

/// A convolution of any number of groups, `w [kh, kw, ci / groups, co]`.
#[derive(Debug, Clone, Copy)]
pub struct NaiveConv {
    /// Images.
    pub batch: usize,
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Groups.
    pub groups: usize,
    /// Rows and columns from one output to the next.
    pub stride: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilation: [usize; 2],
    /// Zeros above and left.
    pub padding: [usize; 2],
}

impl NaiveConv {
    /// A depthwise convolution.
    pub fn depthwise(problem: &DepthwiseProblem) -> Self {
        let options = problem.options;
        Self {
            batch: problem.batch,
            input: problem.input,
            output: problem.output(),
            kernel: problem.kernel,
            in_channels: problem.channels,
            out_channels: problem.out_channels(),
            groups: problem.channels,
            stride: options.stride,
            dilation: options.dilation,
            padding: [options.padding[0], options.padding[2]],
        }
    }

    /// The share of its multiply-adds that no way of computing it saves: taps in the padding are work in the cost and need not be done,
    /// and of stride 1 a tile of four outputs along an axis needs as many products as it has inputs (Winograd's).
    pub fn least_share(&self) -> f64 {
        let axis = |i: usize| {
            let (k, output) = (self.kernel[i], self.output[i]);
            let places = (0..output)
                .flat_map(|o| (0..k).map(move |tap| o * self.stride[i] + tap * self.dilation[i]));
            let inside = places
                .filter(|place| (self.padding[i]..self.padding[i] + self.input[i]).contains(place))
                .count();
            let tile = match self.stride == [1; 2] {
                true => (4 + k - 1) as f64 / (4 * k) as f64,
                false => 1.0,
            };
            tile * inside as f64 / (output * k).max(1) as f64
        };
        axis(0) * axis(1)
    }
}

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Extents {
    items: usize,
    run: usize,
    batch: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    kh: usize,
    kw: usize,
    ci: usize,
    co: usize,
    groups: usize,
    stride_y: usize,
    stride_x: usize,
    dilation_y: usize,
    dilation_x: usize,
    top: usize,
    left: usize,
}

#[cube]
impl Extents {
    /// The padded input row under tap `ky` of output row `oy`; what lies inside is `top..top + h`.
    fn row(&self, oy: usize, ky: usize) -> usize {
        oy * self.stride_y + ky * self.dilation_y
    }

    fn column(&self, ox: usize, kx: usize) -> usize {
        ox * self.stride_x + kx * self.dilation_x
    }

    fn inside(&self, y: usize, x: usize) -> bool {
        y >= self.top && y < self.top + self.h && x >= self.left && x < self.left + self.w
    }

    /// The index of a padded pixel's channel.
    fn pixel(&self, n: usize, y: usize, x: usize, channel: usize) -> usize {
        ((n * self.h + y - self.top) * self.w + x - self.left) * self.ci + channel
    }
}

#[cube(launch_unchecked)]
fn forward(x: &[f32], w: &[f32], y: &mut [f32], e: Extents) {
    let first = ABSOLUTE_POS * e.run;
    let (each_in, each_out) = (e.ci / e.groups, e.co / e.groups);
    for item in first..min(first + e.run, e.items) {
        let o = item % e.co;
        let pixel = item / e.co;
        let ox = pixel % e.ow;
        let oy = pixel / e.ow % e.oh;
        let n = pixel / e.ow / e.oh;
        let group = o / each_out * each_in;
        let mut sum = 0.0f32;
        for ky in 0..e.kh {
            for kx in 0..e.kw {
                let (iy, ix) = (e.row(oy, ky), e.column(ox, kx));
                if e.inside(iy, ix) {
                    for i in 0..each_in {
                        sum += x[e.pixel(n, iy, ix, group + i)]
                            * w[((ky * e.kw + kx) * each_in + i) * e.co + o];
                    }
                }
            }
        }
        y[item] = sum;
    }
}

#[cube(launch_unchecked)]
fn grad_input(w: &[f32], grad: &[f32], out: &mut [f32], e: Extents) {
    let first = ABSOLUTE_POS * e.run;
    let (each_in, each_out) = (e.ci / e.groups, e.co / e.groups);
    for item in first..min(first + e.run, e.items) {
        let i = item % e.ci;
        let pixel = item / e.ci;
        let x = pixel % e.w + e.left;
        let y = pixel / e.w % e.h + e.top;
        let n = pixel / e.w / e.h;
        let group = i / each_in * each_out;
        let mut sum = 0.0f32;
        for ky in 0..e.kh {
            for kx in 0..e.kw {
                let (up, back) = (ky * e.dilation_y, kx * e.dilation_x);
                if y >= up && x >= back {
                    let (oy, ox) = ((y - up) / e.stride_y, (x - back) / e.stride_x);
                    if oy * e.stride_y == y - up
                        && ox * e.stride_x == x - back
                        && oy < e.oh
                        && ox < e.ow
                    {
                        let at = ((n * e.oh + oy) * e.ow + ox) * e.co + group;
                        let tap = ((ky * e.kw + kx) * each_in + i % each_in) * e.co + group;
                        for o in 0..each_out {
                            sum += grad[at + o] * w[tap + o];
                        }
                    }
                }
            }
        }
        out[item] = sum;
    }
}

#[cube(launch_unchecked)]
fn grad_weight(x: &[f32], grad: &[f32], out: &mut [f32], e: Extents) {
    let first = ABSOLUTE_POS * e.run;
    let (each_in, each_out) = (e.ci / e.groups, e.co / e.groups);
    for item in first..min(first + e.run, e.items) {
        let o = item % e.co;
        let i = item / e.co % each_in;
        let tap = item / e.co / each_in;
        let channel = o / each_out * each_in + i;
        let mut sum = 0.0f32;
        for n in 0..e.batch {
            for oy in 0..e.oh {
                for ox in 0..e.ow {
                    let (iy, ix) = (e.row(oy, tap / e.kw), e.column(ox, tap % e.kw));
                    if e.inside(iy, ix) {
                        sum += x[e.pixel(n, iy, ix, channel)]
                            * grad[((n * e.oh + oy) * e.ow + ox) * e.co + o];
                    }
                }
            }
        }
        out[item] = sum;
    }
}

/// A phase of a convolution.
#[derive(Debug, Clone, Copy)]
enum Pass {
    Forward,
    GradInput,
    GradWeight,
}

impl NaiveConv {
    /// From `x` and `w`.
    pub fn forward<'a>(self) -> Variant<'a> {
        self.variant(Pass::Forward, [0, 1])
    }

    /// From `x`, `w` and the output's gradient.
    pub fn grad_input<'a>(self) -> Variant<'a> {
        self.variant(Pass::GradInput, [1, 2])
    }

    /// From `x`, `w` and the output's gradient.
    pub fn grad_weight<'a>(self) -> Variant<'a> {
        self.variant(Pass::GradWeight, [0, 2])
    }

    fn variant<'a>(self, pass: Pass, [a, b]: [usize; 2]) -> Variant<'a> {
        Variant::new(NAIVE, move |t| Ok(vec![self.launch(pass, &t[a], &t[b])?]))
    }

    fn launch(&self, pass: Pass, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
        let client = a.client();
        let ([h, w], [oh, ow], [kh, kw]) = (self.input, self.output, self.kernel);
        let shape = match pass {
            Pass::Forward => vec![self.batch, oh, ow, self.out_channels],
            Pass::GradInput => vec![self.batch, h, w, self.in_channels],
            Pass::GradWeight => vec![kh, kw, self.in_channels / self.groups, self.out_channels],
        };
        let out = Tensor::empty(client, &shape, DType::F32);
        let grid = launch::grid(client, out.len());
        let extents = ExtentsLaunch::new(
            out.len(),
            grid.run,
            self.batch,
            h,
            w,
            oh,
            ow,
            kh,
            kw,
            self.in_channels,
            self.out_channels,
            self.groups,
            self.stride[0],
            self.stride[1],
            self.dilation[0],
            self.dilation[1],
            self.padding[0],
            self.padding[1],
        );
        let (count, dim) = (grid.count, grid.dim);
        let [x, y, z] = [a.arg(1), b.arg(1), out.arg(1)];
        // SAFETY: the extents are those of the tensors, and every tap is asked whether it lies inside.
        unsafe {
            match pass {
                Pass::Forward => forward::launch_unchecked(client, count, dim, x, y, z, extents),
                Pass::GradInput => {
                    grad_input::launch_unchecked(client, count, dim, x, y, z, extents)
                }
                Pass::GradWeight => {
                    grad_weight::launch_unchecked(client, count, dim, x, y, z, extents)
                }
            }
        }
        launch::throttle(client);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_tiles_save_products() {
        let conv = |side: usize, k: usize, stride: usize| NaiveConv {
            batch: 1,
            input: [side; 2],
            output: [side.div_ceil(stride); 2],
            kernel: [k; 2],
            in_channels: 1,
            out_channels: 1,
            groups: 1,
            stride: [stride; 2],
            dilation: [1; 2],
            padding: [k / 2; 2],
        };
        let near = |conv: NaiveConv, share: f64| {
            let found = conv.least_share();
            assert!((found - share).abs() < 1e-12, "{conv:?}: {found}");
        };
        near(conv(8, 1, 1), 1.0);
        // 22 of 24 taps of a row of 8 are inside; 6 products for 4 outputs of 3 taps each.
        near(conv(8, 3, 1), (22.0 / 24.0 / 2.0f64).powi(2));
        // Outputs at 0, 2, 4, 6: the first alone reaches over the border.
        near(conv(8, 3, 2), (11.0 / 12.0f64).powi(2));
    }
}
