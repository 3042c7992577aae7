//! From the lengths of two vectors, and how far they lie apart, to the loss and the gradient of their cosine: one lane a sample, or one
//! sample's numbers alone.

use cubecl::prelude::*;

/// One number a sample, where a vector lies along the sample.
pub(in crate::loss) type One = Const<1>;

/// What a cosine multiplies by.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(in crate::loss) struct Scalars {
    /// The least norm.
    pub epsilon: InputScalar,
    /// Of softmaxes.
    pub inverse_t: InputScalar,
    /// The weight over the batch.
    pub weight: InputScalar,
}

/// What the lengths of the student's vector `u` and the teacher's `w` come to.
#[derive(CubeType, Clone, Copy)]
pub(in crate::loss) struct Norms<F: Float, N: Size> {
    /// The teacher's vector times this has the student's length: where it is the student's, their difference is 0, however it is
    /// rounded.
    pub ratio: Vector<F, N>,
    /// 1 over what `u` is divided by.
    share: Vector<F, N>,
    u_short: Vector<bool, N>,
    /// `1 - |u|^2` and `1 - |w|^2` of the divided vectors: nothing but rounding, unless the divisor was epsilon.
    u_lack: Vector<F, N>,
    w_lack: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Norms<F, N> {
    /// From the sums of squares.
    pub fn new(u_square: Vector<F, N>, w_square: Vector<F, N>, epsilon: F) -> Norms<F, N> {
        let one = Vector::<F, N>::new(F::new(1.0f32));
        let zero = Vector::<F, N>::new(F::new(0.0f32));
        let epsilon = Vector::<F, N>::new(epsilon);
        let u_norm = u_square.sqrt();
        let w_norm = w_square.sqrt();
        let u_short = u_norm.less_than(&epsilon);
        let w_short = w_norm.less_than(&epsilon);
        let u_divisor = select_many(u_short, epsilon, u_norm);
        let w_divisor = select_many(w_short, epsilon, w_norm);
        let share = one / u_divisor;
        Norms::<F, N> {
            ratio: u_divisor / w_divisor,
            share,
            u_short,
            u_lack: select_many(u_short, one - u_square * share * share, zero),
            w_lack: select_many(w_short, one - w_square / (w_divisor * w_divisor), zero),
        }
    }

    /// The loss and the gradient's factors, from the squared distance between `u` and `w` times [`Norms::ratio`].
    pub fn turned(&self, apart: Vector<F, N>, weight: Vector<F, N>) -> Turned<F, N> {
        let one = Vector::<F, N>::new(F::new(1.0f32));
        let half = Vector::<F, N>::new(F::new(0.5f32));
        let share = self.share;
        let doubt = (apart * share * share + self.u_lack + self.w_lack) * half;
        // Of a length that is not the divisor there is no derivative.
        let along = select_many(self.u_short, one, doubt);
        let share = if comptime!(crate::planted::is("cosine_length")) {
            one
        } else {
            share
        };
        Turned::<F, N> {
            loss: doubt * weight,
            ratio: self.ratio,
            along,
            by: share * share * weight,
        }
    }
}

/// What the angles of samples come to.
#[derive(CubeType, Clone, Copy)]
pub(in crate::loss) struct Turned<F: Float, N: Size> {
    pub loss: Vector<F, N>,
    /// [`Norms::ratio`].
    ratio: Vector<F, N>,
    /// How much of `u` itself the gradient takes away.
    along: Vector<F, N>,
    by: Vector<F, N>,
}

#[cube]
impl<F: Float, N: Size> Turned<F, N> {
    /// The gradient with respect to `u`.
    pub fn pull(&self, u: Vector<F, N>, w: Vector<F, N>) -> Vector<F, N> {
        ((u - w * self.ratio) - self.along * u) * self.by
    }
}

/// The one sample's numbers in all lanes of vectors that lie along it.
#[cube]
pub(in crate::loss) fn along_sample<F: Float, N: Size>(turned: &Turned<F, One>) -> Turned<F, N> {
    Turned::<F, N> {
        loss: Vector::new(turned.loss.extract(0usize)),
        ratio: Vector::new(turned.ratio.extract(0usize)),
        along: Vector::new(turned.along.extract(0usize)),
        by: Vector::new(turned.by.extract(0usize)),
    }
}
