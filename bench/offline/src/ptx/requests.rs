//! What the units of a warp ask for together: they are lined up by how often each has come past an instruction, which is where they meet
//! unless they diverged.

use super::instruction::{Op, Space};
use super::program::Program;
use std::collections::BTreeSet;

/// Bytes of a line of global memory.
const LINE: u64 = 128;
/// Banks of shared memory, each a word of 4 bytes wide.
const BANKS: usize = 32;

/// The addresses that each unit of a cube asked for, by instruction, in the order of its passes.
pub(super) type Addresses = Vec<Vec<Vec<u64>>>;

/// Calls `visit` with the addresses of every request of a warp that an instruction of `op` made, lanes that took no part left out.
fn requests(
    program: &Program,
    addresses: &Addresses,
    op: Op,
    mut visit: impl FnMut(usize, &[Option<u64>]),
) {
    for warp in addresses.chunks(crate::WARP as usize) {
        for (at, it) in program.instructions.iter().enumerate() {
            if it.op != op {
                continue;
            }
            let passes = warp.iter().map(|unit| unit[at].len()).max().unwrap_or(0);
            for pass in 0..passes {
                let lanes: Vec<Option<u64>> = warp
                    .iter()
                    .map(|unit| unit[at].get(pass).copied())
                    .collect();
                visit(it.bytes(), &lanes);
            }
        }
    }
}

/// Lines that requests of `op` touch over those that the same bytes side by side would: 1 is ideal; none without a request.
pub(super) fn lines(program: &Program, addresses: &Addresses, op: Op) -> Option<f64> {
    let (mut touched, mut needed) = (0usize, 0u64);
    requests(program, addresses, op, |bytes, lanes| {
        let bytes = bytes as u64;
        let distinct: BTreeSet<u64> = lanes.iter().flatten().copied().collect();
        let lines: BTreeSet<u64> = distinct
            .iter()
            .flat_map(|address| [address / LINE, (address + bytes - 1) / LINE])
            .collect();
        touched += lines.len();
        needed += (distinct.len() as u64 * bytes).div_ceil(LINE);
    });
    (needed > 0).then(|| touched as f64 / needed as f64)
}

/// Turns that the banks of shared memory take over those without conflicts: 1 is ideal; none without a request. A warp's request goes in
/// parts of 128 bytes, as its units lie, and units that ask for the same word share it.
pub(super) fn turns(program: &Program, addresses: &Addresses) -> Option<f64> {
    let (mut turns, mut parts) = (0usize, 0usize);
    for op in [Op::Load(Space::Shared), Op::Store(Space::Shared)] {
        requests(program, addresses, op, |bytes, lanes| {
            let words = (bytes / 4).max(1);
            for part in lanes.chunks((BANKS / words).max(1)) {
                let asked: BTreeSet<u64> = part
                    .iter()
                    .flatten()
                    .flat_map(|address| (0..words as u64).map(move |word| address / 4 + word))
                    .collect();
                let mut banks = [0usize; BANKS];
                for word in asked {
                    banks[word as usize % BANKS] += 1;
                }
                let most = banks.into_iter().max().unwrap_or(0);
                turns += most;
                parts += usize::from(most > 0);
            }
        });
    }
    (parts > 0).then(|| turns as f64 / parts as f64)
}
