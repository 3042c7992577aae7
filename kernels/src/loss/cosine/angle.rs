//! From the lengths of two vectors, and how far they lie apart, to the loss and the gradient of their cosine.

use cubecl::prelude::*;

/// What the lengths of the student's vector `u` and the teacher's `w` come to.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Norms<F: Float> {
    /// The teacher's vector times this has the student's length: where it is the student's, their difference is 0, however it is
    /// rounded.
    pub ratio: F,
    /// 1 over what `u` is divided by.
    share: F,
    u_short: bool,
    /// `1 - |u|^2` and `1 - |w|^2` of the divided vectors: nothing but rounding, unless the divisor was epsilon.
    u_lack: F,
    w_lack: F,
}

#[cube]
impl<F: Float> Norms<F> {
    /// From the sums of squares.
    pub fn new(u_square: F, w_square: F, epsilon: F) -> Norms<F> {
        let one = F::new(1.0f32);
        let zero = F::new(0.0f32);
        let u_norm = u_square.sqrt();
        let w_norm = w_square.sqrt();
        let u_short = u_norm < epsilon;
        let w_short = w_norm < epsilon;
        let u_divisor = select(u_short, epsilon, u_norm);
        let w_divisor = select(w_short, epsilon, w_norm);
        let share = one / u_divisor;
        Norms::<F> {
            ratio: u_divisor / w_divisor,
            share,
            u_short,
            u_lack: select(u_short, one - u_square * share * share, zero),
            w_lack: select(w_short, one - w_square / (w_divisor * w_divisor), zero),
        }
    }

    /// The loss and the gradient's factors, from the squared distance between `u` and `w` times [`Norms::ratio`]; `mean` is 1 over
    /// the batch.
    pub fn turned<N: Size>(&self, apart: F, mean: F) -> Turned<F, N> {
        let one = F::new(1.0f32);
        let share = self.share;
        let doubt = (apart * share * share + self.u_lack + self.w_lack) * F::new(0.5f32);
        // Of a length that is not the divisor there is no derivative.
        let along = select(self.u_short, one, doubt);
        let share = if comptime!(crate::planted::is("cosine_length")) {
            one
        } else {
            share
        };
        Turned::<F, N> {
            loss: doubt * mean,
            along: Vector::new(along),
            by: Vector::new(share * share * mean),
        }
    }
}

/// What a sample's angle comes to.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Turned<F: Float, N: Size> {
    pub loss: F,
    /// How much of `u` itself the gradient takes away.
    along: Vector<F, N>,
    by: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Turned<F, N> {
    /// The gradient with respect to `u`; `ratio` is [`Norms::ratio`].
    pub fn pull(&self, u: Vector<F, N>, w: Vector<F, N>, ratio: Vector<F, N>) -> Vector<F, N> {
        ((u - w * ratio) - self.along * u) * self.by
    }
}
