use super::OP;
use crate::{DType, KernelError, Tensor};

/// Which factor of a product is transposed, a comptime choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Neither: `a [m, k]`, `b [k, n]`.
    Plain,
    /// The second: `a [m, k]`, `b [n, k]`.
    TransposedB,
    /// The first: `a [k, m]`, `b [k, n]`.
    TransposedA,
}

/// What is computed of the operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchedOptions {
    /// Matrices of a sample.
    pub heads: usize,
    /// Which factor is transposed.
    pub form: Form,
    /// What products are multiplied by.
    pub alpha: f64,
}

/// Validated extents of `samples heads` products of `[m, k]` and `[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchedProblem {
    /// Samples.
    pub samples: usize,
    /// Rows of a product.
    pub m: usize,
    /// Products that an element is the sum of.
    pub k: usize,
    /// Columns of a product.
    pub n: usize,
    /// Heads, form and factor.
    pub options: BatchedOptions,
    /// Element type of `b`.
    pub dtype: DType,
}

impl BatchedProblem {
    /// The problem of `a` and `b`, each `[s, rows, heads columns]` or `[s, heads, rows, columns]`; both may be windows.
    ///
    /// # Errors
    /// In this order: no heads; an `alpha` that is not finite; the shape of `a`, its element type, that of `b` or the accumulator of
    /// that; the shape of `b`, its samples and the extent that it shares with `a`.
    pub fn new(a: &Tensor, b: &Tensor, options: BatchedOptions) -> Result<Self, KernelError> {
        let BatchedOptions { heads, form, alpha } = options;
        if heads == 0 {
            return Err(KernelError::range(OP, "heads", heads, "at least 1"));
        }
        KernelError::check_float(OP, "alpha", alpha, "finite", |_| true)?;
        let dtype = b.dtype();
        let [samples, rows, columns] = matrices(a, "a", heads)?;
        check_dtype(a, "a", dtype)?;
        let (m, k) = match form {
            Form::Plain | Form::TransposedB => (rows, columns),
            Form::TransposedA => (columns, rows),
        };
        let [others, rows, columns] = matrices(b, "b", heads)?;
        let (depth, n) = match form {
            Form::Plain | Form::TransposedA => (rows, columns),
            Form::TransposedB => (columns, rows),
        };
        if others != samples || depth != k {
            let axis = match form {
                Form::Plain | Form::TransposedA => "rows",
                Form::TransposedB => "columns",
            };
            return Err(KernelError::Shape {
                op: OP,
                tensor: "b",
                got: b.shape().to_vec(),
                wanted: format!("{samples} samples of matrices of {k} {axis}"),
            });
        }
        Ok(Self {
            samples,
            m,
            k,
            n,
            options,
            dtype,
        })
    }

    /// The products' shape where heads are an axis: `[s, heads, m, n]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.samples, self.options.heads, self.m, self.n]
    }

    /// How many products there are.
    pub(super) fn count(&self) -> usize {
        self.samples * self.options.heads
    }

    /// Passes when what is added and what is written belong to this problem; see [`super::batched_into`].
    pub(super) fn check_results(
        &self,
        plus: Option<&Tensor>,
        out: &Tensor,
    ) -> Result<(), KernelError> {
        let &Self { samples, m, n, .. } = self;
        let heads = self.options.heads;
        if let Some(plus) = plus {
            plus.check(OP, "plus", &[heads, m, n], self.dtype.accumulator())?;
        }
        if matrices(out, "out", heads)? != [samples, m, n] {
            return Err(KernelError::Shape {
                op: OP,
                tensor: "out",
                got: out.shape().to_vec(),
                wanted: format!(
                    "[{samples}, {m}, {}] or [{samples}, {heads}, {m}, {n}]",
                    heads * n
                ),
            });
        }
        check_dtype(out, "out", self.dtype)
    }
}

/// Samples, rows and columns of the matrices of `tensor`.
fn matrices(tensor: &Tensor, name: &'static str, heads: usize) -> Result<[usize; 3], KernelError> {
    tensor.check_addressable(OP, name)?;
    match *tensor.shape() {
        [samples, rows, all] if all.is_multiple_of(heads) => Ok([samples, rows, all / heads]),
        [samples, count, rows, columns] if count == heads => Ok([samples, rows, columns]),
        _ => Err(KernelError::Shape {
            op: OP,
            tensor: name,
            got: tensor.shape().to_vec(),
            wanted: format!("[s, rows, {heads} x columns] or [s, {heads}, rows, columns]"),
        }),
    }
}

/// Passes for elements of `dtype` or of its accumulator.
fn check_dtype(tensor: &Tensor, name: &'static str, dtype: DType) -> Result<(), KernelError> {
    if [dtype, dtype.accumulator()].contains(&tensor.dtype()) {
        return Ok(());
    }
    Err(KernelError::DType {
        op: OP,
        tensor: name,
        got: tensor.dtype(),
        wanted: dtype,
    })
}
