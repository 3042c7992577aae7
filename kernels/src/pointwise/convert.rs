use super::flat::{Flat, Span};
use crate::{Cost, DType, KernelError, Tensor, launch};
use cubecl::prelude::*;

const OP: &str = "convert";

/// `out = x`, each element the nearest that `S` has. One unit owns a run of vectors.
#[cube(launch_unchecked)]
fn convert_kernel<R: Float, S: Float, N: Size>(
    x: &[Vector<R, N>],
    out: &mut [Vector<S, N>],
    span: Span,
    #[define(R, S)] _dtypes: [cubecl::ir::ElemType; 2],
) {
    for i in span.first()..span.end() {
        out[i] = Vector::cast_from(x[i]);
    }
}

/// The elements of `x` as `dtype`: parameters of 32 bits for a pass in 16 bits, or its gradients for a step in 32. One launch; none
/// for an empty tensor.
///
/// # Errors
/// In this order: `x` is a window; [`KernelError::Range`] for a `dtype` that the device does not have.
pub fn convert(x: &Tensor, dtype: DType) -> Result<Tensor, KernelError> {
    x.check_whole(OP, "x")?;
    let client = x.client();
    if !dtype.is_on(client) {
        let wanted = "an element type of this device, see `DType::is_on`";
        return Err(KernelError::range(
            OP,
            "dtype",
            format!("{dtype:?}"),
            wanted,
        ));
    }
    let out = Tensor::empty(client, x.shape(), dtype);
    if out.is_empty() {
        return Ok(out);
    }
    // A vector must fit a register on both sides.
    let flat = if x.dtype().size() > dtype.size() {
        Flat::over(x)
    } else {
        Flat::over(&out)
    };
    // SAFETY: both hold the same number of vectors.
    unsafe {
        convert_kernel::launch_unchecked(
            client,
            flat.cubes(),
            flat.units(),
            flat.width,
            flat.arg(x),
            flat.arg(&out),
            flat.span(),
            [x.dtype().elem(), dtype.elem()],
        );
    }
    launch::throttle(client);
    Ok(out)
}

/// Reads one tensor, writes one of another type.
pub fn cost_of_convert(x: &Tensor, dtype: DType) -> Cost {
    Cost::traffic(x.len(), 0, x.dtype().size()) + Cost::traffic(0, x.len(), dtype.size())
}
