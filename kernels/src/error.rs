use crate::{DType, Tensor};

/// What a kernel's host function refuses before it launches anything, and what the crates above refuse of an operation.
///
/// Each variant names the operation, what it was given and what it wanted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// A tensor has the wrong shape.
    #[error("{op}: {tensor} has shape {got:?}, wanted {wanted}")]
    Shape {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// The shape it has.
        got: Vec<usize>,
        /// The shape it should have, in words or numbers.
        wanted: String,
    },
    /// A tensor has not the element type that the first argument asks for: its own, or that of sums of it.
    #[error("{op}: {tensor} holds {got:?}, wanted {wanted:?} beside the first argument")]
    DType {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// The element type it has.
        got: DType,
        /// The element type it should have.
        wanted: DType,
    },
    /// A channel window was given to an operation that reads and writes whole tensors only.
    #[error(
        "{op}: {tensor} {shape:?} is a window (offset {offset}, {pitch} elements between pixels), wanted a whole tensor"
    )]
    Window {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name.
        tensor: &'static str,
        /// The window's shape.
        shape: Vec<usize>,
        /// Elements before its first one.
        offset: usize,
        /// Elements from one of its pixels to the next.
        pitch: usize,
    },
    /// A tensor, or the scratch that a problem takes, has more elements than a kernel's indices reach.
    #[error(
        "{op}: {tensor} {shape:?} is past the {} elements that 32-bit indices reach, wanted fewer: take a smaller batch or smaller images, or cut it into several tensors",
        Tensor::MOST_ELEMENTS
    )]
    TooLarge {
        /// The operation that was asked for.
        op: &'static str,
        /// The argument's name, or what else is too large.
        tensor: &'static str,
        /// The extents whose product is too large.
        shape: Vec<usize>,
    },
    /// A result would be written over what is read for it.
    #[error("{op}: {tensor} shares memory with {other}, wanted {wanted}")]
    Overlap {
        /// The operation that was asked for.
        op: &'static str,
        /// The name of what is written.
        tensor: &'static str,
        /// The name of the argument that it shares memory with.
        other: &'static str,
        /// Where it may lie.
        wanted: &'static str,
    },
    /// A number is outside of its allowed range.
    #[error("{op}: {parameter} is {got}, wanted {wanted}")]
    Range {
        /// The operation that was asked for.
        op: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// The value it has.
        got: String,
        /// The allowed range, in words.
        wanted: &'static str,
    },
    /// A class label is no class of the problem.
    #[error("{op}: label {label} of sample {sample} is out of range, wanted 0..{classes}")]
    Label {
        /// The operation that was asked for.
        op: &'static str,
        /// The position of the sample in the batch.
        sample: usize,
        /// The label found there.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// What runs an operation, above this crate, was handed something that breaks its rules. Its words are boxed, so that an error stays
    /// as small as that of a shape.
    #[error("{op}: {subject} {got}, wanted {wanted}")]
    Contract {
        /// The operation that was asked for, or that broke the rule.
        op: &'static str,
        /// What broke it, in words.
        subject: Box<str>,
        /// How, in words.
        got: Box<str>,
        /// The rule, in words.
        wanted: Box<str>,
    },
    /// The device refused or failed; what it said.
    #[error("the device failed: {0}")]
    Device(String),
}

impl KernelError {
    /// A [`KernelError::Range`] for a value that can be displayed.
    pub fn range(
        op: &'static str,
        parameter: &'static str,
        got: impl ToString,
        wanted: &'static str,
    ) -> Self {
        Self::Range {
            op,
            parameter,
            got: got.to_string(),
            wanted,
        }
    }

    /// Passes when a floating-point parameter is finite and satisfies `allowed`.
    ///
    /// # Errors
    /// [`KernelError::Range`] otherwise; NaN is never allowed.
    pub fn check_float(
        op: &'static str,
        parameter: &'static str,
        got: f64,
        wanted: &'static str,
        allowed: impl Fn(f64) -> bool,
    ) -> Result<(), Self> {
        if got.is_finite() && allowed(got) {
            Ok(())
        } else {
            Err(Self::range(op, parameter, got, wanted))
        }
    }
}
