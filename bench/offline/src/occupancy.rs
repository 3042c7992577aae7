//! How many cubes of a kernel a multiprocessor holds, and what stops another one.

use crate::card::Card;
use serde::{Deserialize, Serialize};

/// Units of a warp.
pub const WARP: u32 = 32;

/// What stops another cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// The warps of a multiprocessor.
    Warps,
    /// Its registers.
    Registers,
    /// Its shared memory.
    Shared,
    /// Its count of cubes.
    Cubes,
}

/// What a multiprocessor holds of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occupancy {
    /// Cubes.
    pub cubes: u32,
    /// Warps over those that a multiprocessor has room for, in percent.
    pub percent: u32,
    /// What stops another cube.
    pub limit: Limit,
}

impl Occupancy {
    /// That of cubes of `units` units, each unit with `registers`, each cube with `shared` bytes of shared memory.
    ///
    /// Registers go to a warp by 256 and to schedulers, of which there are four, alike; shared memory goes to a cube by 128 bytes, before
    /// Ampere by 256.
    pub fn of(card: &Card, registers: u32, shared: usize, units: u32) -> Self {
        let warps = units.div_ceil(WARP).max(1);
        let of_warp = (registers.max(1) * WARP).next_multiple_of(256);
        let held = Card::REGISTERS / of_warp / Card::SCHEDULERS * Card::SCHEDULERS;
        let grain = if card.version < 80 { 256 } else { 128 };
        let of_cube = (shared + card.shared_of_system).next_multiple_of(grain);
        let by_shared = match of_cube {
            0 => u32::MAX,
            bytes => (card.shared / bytes) as u32,
        };
        let limits = [
            (card.warps / warps, Limit::Warps),
            (held / warps, Limit::Registers),
            (by_shared, Limit::Shared),
            (card.cubes, Limit::Cubes),
        ];
        let (cubes, limit) = limits
            .into_iter()
            .min_by_key(|limit| limit.0)
            .expect("there are four");
        Self {
            cubes,
            percent: cubes * warps * 100 / card.warps,
            limit,
        }
    }

    /// How often a card is filled by `cubes` cubes.
    pub fn waves(&self, card: &Card, cubes: u64) -> f64 {
        cubes as f64 / f64::from((self.cubes * card.multiprocessors).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on(target: &str, registers: u32, shared: usize, units: u32) -> Occupancy {
        Occupancy::of(
            Card::of(target).expect("it is listed"),
            registers,
            shared,
            units,
        )
    }

    #[test]
    fn occupancy_is_what_the_vendors_calculator_says() {
        for (target, registers, shared, units, cubes, percent, limit) in [
            // 117 registers are 120, of which a warp takes 3,840: 17 warps, of which 16 go to schedulers alike.
            ("sm_90", 117, 0, 128, 4, 25, Limit::Registers),
            ("sm_90", 32, 0, 128, 16, 100, Limit::Warps),
            ("sm_90", 227, 0, 128, 2, 12, Limit::Registers),
            // 10 KB and the system's one in 228 KB.
            ("sm_90", 32, 10_240, 32, 20, 31, Limit::Shared),
            ("sm_80", 32, 48 << 10, 128, 3, 18, Limit::Shared),
            ("sm_70", 32, 48 << 10, 128, 2, 12, Limit::Shared),
            ("sm_75", 32, 0, 128, 8, 100, Limit::Warps),
            ("sm_75", 16, 0, 32, 16, 50, Limit::Cubes),
            ("sm_87", 32, 0, 256, 6, 100, Limit::Warps),
            ("sm_89", 64, 0, 128, 8, 66, Limit::Registers),
        ] {
            let wanted = Occupancy {
                cubes,
                percent,
                limit,
            };
            assert_eq!(
                on(target, registers, shared, units),
                wanted,
                "{target} {registers} {shared} {units}"
            );
        }
    }

    proptest! {
        #[test]
        fn more_registers_or_shared_memory_never_hold_more_cubes(
            card in prop::sample::select(crate::CARDS.to_vec()), registers in 1u32..250, shared in 0usize..90_000, units in 1u32..1024,
        ) {
            let now = Occupancy::of(&card, registers, shared, units);
            prop_assert!(now.percent <= 100);
            prop_assert!(Occupancy::of(&card, registers + 5, shared, units).cubes <= now.cubes);
            prop_assert!(Occupancy::of(&card, registers, shared + 999, units).cubes <= now.cubes);
        }
    }
}
