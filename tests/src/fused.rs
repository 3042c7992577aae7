use crate::{
    VALUE, abs, assert_alike, assert_near, assert_refuses_dtype, assert_refuses_shape, client,
    dtypes, naive, poison, reals, upload,
};
use ghostlight_kernels::norm::batch_norm::{self, BatchNorm, reference::Layer};
use ghostlight_kernels::{Affine, Clamp, DType, KernelError, Tensor};
use proptest::sample::Index;

const EPSILON: f64 = 1e-3;

/// A convolution with the norm, the residual and the ReLU that follow it in inference: what its tests have to know of it.
pub trait FusedConvolution {
    /// The shapes of input, weight and output.
    fn shapes(&self) -> [[usize; 4]; 3];
    /// The products that an output is the sum of.
    fn products(&self) -> usize;
    /// The convolution's own reference.
    fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64>;
    /// The sums of the magnitudes of all terms of each output, which its rounding is measured by.
    fn magnitude(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        self.reference(&abs(x), &abs(w))
    }
    /// The operation.
    ///
    /// # Errors
    /// The operation's own.
    fn launch(&self, x: &Tensor, w: &Tensor, affine: &Affine) -> Result<Tensor, KernelError>;
}

/// The operands of a fused convolution on the host.
struct Operands {
    x: Vec<f64>,
    w: Vec<f64>,
    residual: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Operands {
    fn draw(fused: &impl FusedConvolution, seed: u64) -> Self {
        let [x, w, y] = fused.shapes();
        let map = |i: u64| reals(seed + i, y[3]);
        let whole = |i: u64, shape: [usize; 4]| reals(seed + i, shape.iter().product());
        Self {
            x: whole(0, x),
            w: whole(1, w),
            residual: whole(2, y),
            gamma: map(9),
            // On both sides of what a ReLU6 stops at.
            beta: map(10).iter().map(|v| 8.0 * v).collect(),
            mean: map(11),
            variance: map(12).iter().map(|v| v.abs() + 0.5).collect(),
        }
    }

    /// What the convolution's and the batch norm's own references make of them.
    fn composed(
        &self,
        fused: &impl FusedConvolution,
        with_residual: bool,
        clamp: Clamp,
    ) -> Vec<f64> {
        let layer = Layer {
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: EPSILON,
            residual: with_residual.then_some(self.residual.as_slice()),
            clamp,
        };
        let convolved = fused.reference(&self.x, &self.w);
        layer.apply(&convolved, &self.mean, &self.variance)
    }

    /// What the operation makes of them, on memory full of NaN.
    fn run(
        &self,
        fused: &impl FusedConvolution,
        dtype: DType,
        with_residual: bool,
        clamp: Clamp,
    ) -> Tensor {
        let [x, w, y] = fused.shapes();
        let vector = |values: &[f64]| upload(values, &[values.len()], dtype);
        let norm = BatchNorm {
            gamma: vector(&self.gamma),
            beta: vector(&self.beta),
            running_mean: vector(&self.mean),
            running_var: vector(&self.variance),
            epsilon: EPSILON,
            momentum: 0.1,
        };
        let (x, w) = (upload(&self.x, &x, dtype), upload(&self.w, &w, dtype));
        let residual = upload(&self.residual, &y, dtype);
        let scale = batch_norm::running_scale(&norm.gamma, &norm.running_var, EPSILON)
            .expect("it is a norm");
        poison(dtype, &[x.len(), residual.len()]);
        let affine = Affine {
            centre: &norm.running_mean,
            scale: &scale,
            shift: &norm.beta,
            residual: with_residual.then_some(&residual),
            clamp,
        };
        let output = fused.launch(&x, &w, &affine).expect("the operands fit");
        assert_eq!(output.shape(), y);
        output
    }
}

/// Fails unless the fused convolution is the convolution and a batch norm, by their references.
pub fn assert_fused_is_composed(
    fused: &impl FusedConvolution,
    seed: u32,
    with_residual: bool,
    clamp: Clamp,
) {
    let operands = Operands::draw(fused, seed.into());
    let wanted = operands.composed(fused, with_residual, clamp);
    // The scale is at most sqrt(2), mean and residual are at most 1 each, the shift is at most 8.
    let magnitude: Vec<f64> = fused
        .magnitude(&operands.x, &operands.w)
        .iter()
        .map(|sum| 1.5 * (sum + 2.0) + 8.0)
        .collect();
    let tolerance = VALUE * naive(fused.products() + 4);
    for dtype in dtypes() {
        let got = operands.run(fused, dtype, with_residual, clamp);
        assert_near("conv_affine", &got, &wanted, &magnitude, tolerance);
    }
}

/// Fails unless `value`, which is not finite, at `place` of one of five operands comes through the fused residual and ReLU as through the
/// composition.
pub fn assert_not_finite_passes_fused(
    fused: &impl FusedConvolution,
    seed: u32,
    operand: usize,
    place: Index,
    value: f64,
) {
    let mut operands = Operands::draw(fused, seed.into());
    let spoiled = match operand {
        0 => &mut operands.x,
        1 => &mut operands.residual,
        2 => &mut operands.gamma,
        3 => &mut operands.beta,
        _ => &mut operands.mean,
    };
    if !spoiled.is_empty() {
        *place.get_mut(spoiled) = value;
    }
    for clamp in [Clamp::Relu, Clamp::Relu6] {
        let wanted = operands.composed(fused, true, clamp);
        for dtype in dtypes() {
            let got = operands.run(fused, dtype, true, clamp);
            assert_alike("conv_affine", &got, &wanted);
        }
    }
}

/// Fails unless each map of another length or type, and a residual of another shape, is refused by name.
pub fn assert_fused_refuses(fused: &impl FusedConvolution) {
    let [x, w, y] = fused.shapes();
    let zeros = |shape: &[usize], dtype| Tensor::zeros(&client(), shape, dtype);
    let (x, w) = (zeros(&x, DType::F32), zeros(&w, DType::F32));
    let longer = y[3] + 1;
    let fits = zeros(&y[3..], DType::F32);
    let long = zeros(&[longer], DType::F32);
    let wide = zeros(&y[3..], DType::F64);
    let apply = |[centre, scale, shift]: [&Tensor; 3], residual: Option<&Tensor>| {
        let affine = Affine {
            centre,
            scale,
            shift,
            residual,
            clamp: Clamp::Relu,
        };
        fused.launch(&x, &w, &affine)
    };
    assert_refuses_shape(apply([&long, &fits, &fits], None), "centre", &[longer]);
    assert_refuses_shape(apply([&fits, &long, &fits], None), "scale", &[longer]);
    assert_refuses_dtype(apply([&fits, &fits, &wide], None), "shift", DType::F64);
    let residual = apply([&fits, &fits, &fits], Some(&long));
    assert_refuses_shape(residual, "residual", &[longer]);
}
