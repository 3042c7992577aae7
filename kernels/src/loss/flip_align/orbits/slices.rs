//! The slices of a sample's sums: a cube adds up one, and the next launch adds up those of a sample.

use crate::{Client, KernelError, Tensor, launch};
use cubecl::prelude::*;

/// Items of a unit are as few as leave a sample so many slices, which fill a card at the batches that one trains with.
const SLICES: usize = 64;
/// Items that a unit adds up at most, one after the other.
const MOST_ITEMS: usize = 64;

/// How the items of the samples are dealt to cubes.
pub(super) struct Slices {
    batch: usize,
    /// Items of a sample.
    items: usize,
    /// Items of a unit.
    per_unit: usize,
    /// Slices of a sample.
    pub count: usize,
    /// Units of a cube, a power of two.
    pub units: usize,
}

impl Slices {
    /// Slices for `items` items of each of `batch` samples, on a device that is no CPU.
    pub fn of(client: &Client, batch: usize, items: usize) -> Self {
        let units = units(client);
        let per_unit = items.div_ceil(units * SLICES).clamp(1, MOST_ITEMS);
        Self {
            batch,
            items,
            per_unit,
            count: items.div_ceil(units * per_unit),
            units,
        }
    }

    /// The cubes of the launch.
    pub fn cubes(&self, client: &Client) -> CubeCount {
        launch::cubes(client, self.batch * self.count)
    }

    /// The argument of the launch.
    pub fn arg(&self) -> DealtLaunch {
        DealtLaunch::new(self.batch, self.items, self.per_unit, self.count)
    }

    /// Room for the sums of `columns` numbers of each slice.
    pub fn room(&self, like: &Tensor, columns: usize) -> Result<Tensor, KernelError> {
        let shape = [self.batch * self.count, columns.next_power_of_two()];
        Tensor::room(
            super::OP,
            "scratch",
            like.client(),
            &shape,
            like.dtype().accumulator(),
        )
    }
}

/// Units of a cube on a device that is no CPU, a power of two.
pub(super) fn units(client: &Client) -> usize {
    1 << launch::grid(client, 1).dim.x.ilog2()
}

/// [`Slices`] as a kernel argument.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Dealt {
    pub batch: usize,
    pub items: usize,
    pub per_unit: usize,
    /// Slices of a sample.
    pub slices: usize,
}

/// The cube's slice.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Slice {
    pub sample: usize,
    /// Its number among the sample's.
    number: usize,
    /// The unit's first item; the next is a cube's units further.
    pub item: usize,
    /// Whether it is no other cube's.
    there: bool,
}

#[cube]
impl Slice {
    /// The slice of the cube. One past the last is the last again, and writes nothing.
    pub fn new(dealt: &Dealt, #[comptime] units: usize) -> Slice {
        let all = dealt.batch * dealt.slices;
        let cube = min(CUBE_POS, all - 1);
        let number = cube % dealt.slices;
        Slice {
            sample: cube / dealt.slices,
            number,
            item: number * dealt.per_unit * units + UNIT_POS as usize,
            there: CUBE_POS < all,
        }
    }

    /// Whether the unit writes what there is one of for each sample.
    pub fn leads(&self) -> bool {
        self.there && self.number == 0 && UNIT_POS == 0
    }

    /// Writes the sums of the units' numbers to `partials`.
    pub fn write<F: Float>(
        &self,
        own: &Array<F>,
        dealt: &Dealt,
        partials: &mut [F],
        #[comptime] columns: usize,
        #[comptime] units: usize,
    ) {
        let padded = comptime!(columns.next_power_of_two());
        let unit = UNIT_POS as usize;
        // One number more than there are units, so that a plane's units meet the banks one each both times.
        let stride = comptime!(units + 1);
        let mut slots = Shared::<[F]>::new_slice(comptime!(columns * stride));
        #[unroll]
        for g in 0..columns {
            slots[g * stride + unit] = own[g];
        }
        sync_cube();
        // From here on a unit has a part of one column.
        let column = unit % padded;
        let mut part = F::new(0.0f32);
        if column < columns {
            let first = column * stride + unit / padded * padded;
            #[unroll]
            for k in 0..padded {
                part += slots[first + k];
            }
        }
        let sums = fold::<F>(part, padded, units);
        if self.there && unit < padded {
            partials[(self.sample * dealt.slices + self.number) * padded + unit] = sums[unit];
        }
    }
}

/// The sums of the numbers of all units whose places leave the same remainder by `columns`, a power of two, in that order.
#[cube]
fn fold<F: Float>(own: F, #[comptime] columns: usize, #[comptime] units: usize) -> Shared<[F]> {
    let unit = UNIT_POS as usize;
    let mut slots = Shared::<[F]>::new_slice(units);
    slots[unit] = own;
    sync_cube();
    #[unroll]
    for level in 0..comptime!((units / columns).ilog2() as usize) {
        let apart = comptime!(units >> (level + 1));
        if unit < apart {
            let other = slots[unit + apart];
            slots[unit] += other;
        }
        sync_cube();
    }
    slots
}

/// The sums over the slices of `sample` of the first `columns` of what their cubes wrote to `partials`, in every unit of the cube.
#[cube]
pub(super) fn totals<F: Float>(
    partials: &[F],
    sample: usize,
    slices: usize,
    #[comptime] columns: usize,
    #[comptime] units: usize,
) -> Array<F> {
    let padded = comptime!(columns.next_power_of_two());
    let first = sample * slices * padded;
    let mut own = F::new(0.0f32);
    let mut i = UNIT_POS as usize;
    while i < slices * padded {
        own += partials[first + i];
        i += units;
    }
    let sums = fold::<F>(own, padded, units);
    let mut all = Array::<F>::new(columns);
    #[unroll]
    for g in 0..columns {
        all[g] = sums[g];
    }
    all
}
