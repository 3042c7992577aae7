//! Products of two panels that lie side by side: what the gradients of wide weights come to on a CPU, once a block of pixels is packed.

use cubecl::prelude::*;

/// Rows of a panel: those of two vectors of 16 take 16 KB, and their products are summed in registers one by one.
pub(crate) const PANEL: usize = 128;

/// Adds `inputs^T grads` over `count` rows to a tile of `partials`: `taps` rows, of which the first `used` are there, by `vectors` vectors.
///
/// A row of `inputs` has `input_pitch` elements, one of `grads` `vectors` vectors, one of `partials` `pitch` vectors; the three numbers
/// before say where the panels and the tile start.
#[cube]
pub(crate) fn add_products<F: Float, N: Size>(
    inputs: &[F],
    input: usize,
    input_pitch: usize,
    grads: &[Vector<F, N>],
    grad: usize,
    count: usize,
    partials: &mut [Vector<F, N>],
    offset: usize,
    pitch: usize,
    used: usize,
    #[comptime] taps: usize,
    #[comptime] vectors: usize,
) {
    let mut acc = Array::<Vector<F, N>>::new(taps * vectors);
    #[unroll]
    for q in 0..comptime!(taps * vectors) {
        acc[q] = Vector::<F, N>::new(F::new(0.0f32));
    }
    for i in 0..count {
        let mut gv = Array::<Vector<F, N>>::new(vectors);
        #[unroll]
        for o in 0..vectors {
            gv[o] = grads[grad + i * vectors + o];
        }
        #[unroll]
        for q in 0..taps {
            let xv = Vector::<F, N>::cast_from(inputs[input + i * input_pitch + q]);
            #[unroll]
            for o in 0..vectors {
                let a = comptime!(q * vectors + o);
                acc[a] = fma(xv, gv[o], acc[a]);
            }
        }
    }
    #[unroll]
    for q in 0..taps {
        if q < used {
            #[unroll]
            for o in 0..vectors {
                partials[offset + q * pitch + o] += acc[q * vectors + o];
            }
        }
    }
}
