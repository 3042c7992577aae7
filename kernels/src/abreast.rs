//! Rows abreast: a vector holds one element of as many rows as it has lanes, so that what is done to every row takes no lane's
//! neighbour, however short the rows are.

use crate::{Client, DType, launch};
use cubecl::prelude::*;

/// Whether rows of `length` elements are walked abreast: below twice a vector's lanes, on a CPU whose buffers are scalars and vectors.
///
/// DKD of 2^20 logits in f32, best of nine rounds on 2 cores in vectors of 16, took 41 ms along the classes and 3.6 abreast at 2 classes,
/// 12.4 and 2.2 at 4, 3.6 and 1.6 at 8, 1.7 and 1.3 at 16, 1.60 and 1.18 at 24, 1.14 and 1.19 at 32; in f64, in vectors of 8, 40 and
/// 23 at 2 classes and the same at 16.
pub(crate) fn are_short(client: &Client, dtype: DType, length: usize) -> bool {
    launch::is_cpu(client)
        && client.properties().features.unaligned_io
        && length < 2 * launch::widest(client, dtype)
}

/// The rows that the lanes of a vector stand for. Lanes past the last row stand for the last one again: they read what is there,
/// find what it finds, and write the same over it.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Abreast {
    /// The row of the first lane.
    first: usize,
    /// The last row of the tensor.
    last: usize,
    /// Elements of a row.
    pub length: usize,
}

#[cube]
impl Abreast {
    /// The rows from `first` on, of `rows` rows of `length` elements.
    pub fn new(first: usize, rows: usize, length: usize) -> Abreast {
        let missed = comptime!(crate::planted::or("abreast_last_row", 0usize, 1usize));
        Abreast {
            first,
            last: rows - 1 - min(missed, rows - 1),
            length,
        }
    }

    /// Where the row of lane `lane` starts. The products are the same for all bundles of a walk, or are one a bundle.
    fn start(&self, #[comptime] lane: usize) -> usize {
        min(
            self.first * self.length + lane * self.length,
            self.last * self.length,
        )
    }

    /// Element `i` of each row of a buffer of scalars.
    pub fn load<S: Float, F: Float, B: Size, N: Size>(
        &self,
        x: &[Vector<S, B>],
        i: usize,
    ) -> Vector<F, N> {
        let mut column = Vector::<S, N>::new(S::new(0.0f32));
        #[unroll]
        for lane in 0..N::value().comptime() {
            let index = self.start(lane) + i;
            column.insert(lane, x[index].extract(0usize));
        }
        Vector::cast_from(column)
    }

    /// Writes element `i` of each row.
    pub fn store<S: Float, F: Float, B: Size, N: Size>(
        &self,
        x: &mut [Vector<S, B>],
        i: usize,
        value: Vector<F, N>,
    ) {
        let column = Vector::<S, N>::cast_from(value);
        #[unroll]
        for lane in 0..N::value().comptime() {
            let index = self.start(lane) + i;
            x[index] = Vector::new(column.extract(lane));
        }
    }

    /// The label of each row.
    pub fn labels<N: Size>(&self, labels: &[u32]) -> Vector<u32, N> {
        let mut all = Vector::<u32, N>::new(0u32);
        #[unroll]
        for lane in 0..N::value().comptime() {
            all.insert(lane, labels[min(self.first + lane, self.last)]);
        }
        all
    }
}
