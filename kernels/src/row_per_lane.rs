//! A row per lane: a vector holds one element of as many rows as it has lanes, so that what is done to every row takes no lane's
//! neighbour, however short the rows are.

use crate::{Client, DType, launch};
use cubecl::prelude::*;

/// Whether rows of `length` elements lie in a lane each: below twice a vector's lanes, on a CPU whose buffers are scalars and vectors.
///
/// DKD of 2^20 logits in f32, both ways in one run, best of nine rounds on 2 cores in vectors of 16: 31.3 ms along the classes and 3.3
/// with a row per lane at 2 classes, 23.6 and 2.3 at 3, 11.7 and 2.6 at 4, 12.3 and 2.4 at 5, 5.4 and 1.9 at 8, 5.9 and 1.8 at 10, 4.8 and 1.6 at
/// 12, 1.77 and 1.24 at 16, 1.58 and 1.22 at 24, 1.29 and 1.27 at 31; at 32 one run had 1.14 and 1.19, another 1.59 and 1.26. In f64, in
/// vectors of 8, the ways are level from 16 on.
pub(crate) fn are_short(client: &Client, dtype: DType, length: usize) -> bool {
    launch::is_cpu(client)
        && client.properties().features.unaligned_io
        && length < 2 * launch::widest(client, dtype)
}

/// The rows that the lanes of a vector stand for. Lanes past the last row stand for the last one again: they read what is there,
/// find what it finds, and write the same over it.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct RowPerLane<N: Size> {
    /// The row of the first lane.
    first: usize,
    /// How many rows behind it that of each lane is.
    behind: Vector<u32, N>,
    /// Where the first row starts.
    start: usize,
    /// How many elements behind it that of each lane starts: few enough for 32 bits, so that one instruction makes them all.
    offsets: Vector<u32, N>,
    /// Elements of a row.
    pub length: usize,
}

#[cube]
impl<N: Size> RowPerLane<N> {
    /// The rows from `first` on, of `rows` rows of `length` elements.
    pub fn new(first: usize, rows: usize, length: usize) -> Self {
        let missed = comptime!(crate::planted::or("abreast_last_row", 0usize, 1usize));
        let last = u32::cast_from(min(rows - 1 - first, N::value()));
        let last = last - min(last, u32::cast_from(missed));
        let mut behind = Vector::<u32, N>::new(0u32);
        #[unroll]
        for lane in 0..N::value().comptime() {
            behind.insert(lane, min(u32::cast_from(lane), last));
        }
        RowPerLane::<N> {
            first,
            behind,
            start: first * length,
            offsets: behind * Vector::new(u32::cast_from(length)),
            length,
        }
    }

    /// Element `i` of each row of a buffer of scalars.
    pub fn load<S: Float, F: Float, B: Size>(&self, x: &[Vector<S, B>], i: usize) -> Vector<F, N> {
        let mut column = Vector::<S, N>::new(S::new(0.0f32));
        #[unroll]
        for lane in 0..N::value().comptime() {
            let offset = usize::cast_from(self.offsets.extract(lane));
            column.insert(lane, x[self.start + i + offset].extract(0usize));
        }
        Vector::cast_from(column)
    }

    /// Writes element `i` of each row.
    pub fn store<S: Float, F: Float, B: Size>(
        &self,
        x: &mut [Vector<S, B>],
        i: usize,
        value: Vector<F, N>,
    ) {
        let column = Vector::<S, N>::cast_from(value);
        #[unroll]
        for lane in 0..N::value().comptime() {
            let offset = usize::cast_from(self.offsets.extract(lane));
            x[self.start + i + offset] = Vector::new(column.extract(lane));
        }
    }

    /// The label of each row.
    pub fn labels(&self, labels: &[u32]) -> Vector<u32, N> {
        let mut all = Vector::<u32, N>::new(0u32);
        #[unroll]
        for lane in 0..N::value().comptime() {
            let behind = usize::cast_from(self.behind.extract(lane));
            all.insert(lane, labels[self.first + behind]);
        }
        all
    }
}
