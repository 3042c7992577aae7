use crate::cascade::{Cascade, block_end, block_start, blocks};
use crate::team::{Team, Teams};
use crate::{KernelError, Tensor, launch};
use cubecl::prelude::*;

/// The sum in blocks, by the first unit.
#[cube(launch_unchecked)]
fn sum_kernel<F: Float>(
    values: &[F],
    total: &mut [F],
    count: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    if ABSOLUTE_POS == 0 {
        let mut all = Cascade::<F, Const<1>>::new();
        for block in 0..blocks(count) {
            let mut part = F::new(0.0f32);
            for i in block_start(block)..block_end(block, count) {
                part += values[i];
            }
            all.add(Vector::new(part));
        }
        total[0] = all.total().extract(0usize);
    }
}

/// The sum where units are many: one team takes the values in turns.
#[cube(launch_unchecked)]
fn sum_by_team<F: Float>(
    values: &[F],
    total: &mut [F],
    count: usize,
    team: usize,
    #[define(F)] _dtype: cubecl::ir::ElemType,
) {
    let mut team = Team::<F, Const<1>>::new(1usize, team);
    let mut sum = F::new(0.0f32);
    let mut i = team.unit;
    while i < count {
        let mut part = F::new(0.0f32);
        let end = team.block(i, count);
        while i < end {
            part += values[i];
            i += team.size;
        }
        sum += part;
    }
    let sum = team.sum(Vector::new(sum));
    if team.leads() {
        total[0] = sum.extract(0usize);
    }
}

fn launch_by_team(values: &Tensor, total: &Tensor) {
    let client = values.client();
    let teams = Teams::of(client, 1, values.len());
    // SAFETY: the kernel stops at the last value.
    unsafe {
        sum_by_team::launch_unchecked(
            client,
            teams.count,
            teams.dim,
            values.arg(1),
            total.arg(1),
            values.len(),
            teams.size,
            values.dtype().elem(),
        );
    }
    launch::throttle(client);
}

/// The sum `[1]` of `values` `[n]`, in an order that depends on `n` alone; 0 for none. One launch.
///
/// # Errors
/// `values` is no vector.
pub fn sum(values: &Tensor) -> Result<Tensor, KernelError> {
    let [count] = values.dims("sum", "values", "[n]")?;
    let client = values.client();
    if count == 0 {
        return Ok(Tensor::zeros(client, &[1], values.dtype()));
    }
    let total = Tensor::empty(client, &[1], values.dtype());
    if !launch::is_cpu(client) {
        launch_by_team(values, &total);
        return Ok(total);
    }
    let grid = launch::grid(client, 1);
    // SAFETY: the kernel stops at `count`.
    unsafe {
        sum_kernel::launch_unchecked(
            client,
            grid.count,
            grid.dim,
            values.arg(1),
            total.arg(1),
            count,
            values.dtype().elem(),
        );
    }
    launch::throttle(client);
    Ok(total)
}
