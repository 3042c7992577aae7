//! Cards that a kernel can be held against: what a multiprocessor of theirs has room for, and how fast they are at best.
//!
//! Limits are those of the CUDA C++ Programming Guide 12.9, table "Technical Specifications per Compute Capability"; clocks and bandwidths
//! those of the vendor's data sheets (boost clock).

/// A card, as far as compilation, occupancy and two bounds of a launch's time need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Card {
    /// What `ptxas` calls its architecture: `sm_80`.
    pub target: &'static str,
    /// Compute capability: 9.0 is 90.
    pub version: u32,
    /// Its marketing name.
    pub name: &'static str,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Warps that a multiprocessor holds.
    pub warps: u32,
    /// Cubes that a multiprocessor holds.
    pub cubes: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub shared: usize,
    /// Bytes of shared memory that a cube may ask for.
    pub shared_of_cube: usize,
    /// Bytes of shared memory that the system takes of every cube.
    pub shared_of_system: usize,
    /// Multiply-adds in f32 that a multiprocessor starts in a cycle.
    pub fma: u32,
    /// Cycles in a ns.
    pub ghz: f64,
    /// Bytes from its memory in a ns.
    pub gb_s: f64,
    /// Bytes on the card.
    pub memory: u64,
}

const KB: usize = 1 << 10;
const GB: u64 = 1 << 30;

/// The cards, oldest first; one for each architecture.
pub const CARDS: [Card; 6] = [
    Card {
        target: "sm_70",
        version: 70,
        name: "Tesla V100-SXM2-32GB",
        multiprocessors: 80,
        warps: 64,
        cubes: 32,
        shared: 96 * KB,
        shared_of_cube: 96 * KB,
        shared_of_system: 0,
        fma: 64,
        ghz: 1.530,
        gb_s: 900.0,
        memory: 32 * GB,
    },
    Card {
        target: "sm_75",
        version: 75,
        name: "Tesla T4",
        multiprocessors: 40,
        warps: 32,
        cubes: 16,
        shared: 64 * KB,
        shared_of_cube: 64 * KB,
        shared_of_system: 0,
        fma: 64,
        ghz: 1.590,
        gb_s: 320.0,
        memory: 16 * GB,
    },
    Card {
        target: "sm_80",
        version: 80,
        name: "NVIDIA A100-SXM4-80GB",
        multiprocessors: 108,
        warps: 64,
        cubes: 32,
        shared: 164 * KB,
        shared_of_cube: 163 * KB,
        shared_of_system: KB,
        fma: 64,
        ghz: 1.410,
        gb_s: 2039.0,
        memory: 80 * GB,
    },
    Card {
        target: "sm_87",
        version: 87,
        name: "Jetson AGX Orin 64GB",
        multiprocessors: 16,
        warps: 48,
        cubes: 16,
        shared: 164 * KB,
        shared_of_cube: 163 * KB,
        shared_of_system: KB,
        fma: 128,
        ghz: 1.300,
        gb_s: 204.8,
        memory: 64 * GB,
    },
    Card {
        target: "sm_89",
        version: 89,
        name: "NVIDIA GeForce RTX 4090",
        multiprocessors: 128,
        warps: 48,
        cubes: 24,
        shared: 100 * KB,
        shared_of_cube: 99 * KB,
        shared_of_system: KB,
        fma: 128,
        ghz: 2.520,
        gb_s: 1008.0,
        memory: 24 * GB,
    },
    Card {
        target: "sm_90",
        version: 90,
        name: "NVIDIA H100 80GB HBM3",
        multiprocessors: 132,
        warps: 64,
        cubes: 32,
        shared: 228 * KB,
        shared_of_cube: 227 * KB,
        shared_of_system: KB,
        fma: 128,
        ghz: 1.755,
        gb_s: 3350.0,
        memory: 80 * GB,
    },
];

impl Card {
    /// Registers of a multiprocessor, on all of [`CARDS`].
    pub const REGISTERS: u32 = 65_536;
    /// Schedulers of a multiprocessor, each of which starts one instruction of a warp a cycle.
    pub const SCHEDULERS: u32 = 4;

    /// The card of an architecture.
    pub fn of(target: &str) -> Option<&'static Self> {
        CARDS.iter().find(|card| card.target == target)
    }

    /// What `ptxas` is told: architecture-specific from Hopper on, as CubeCL's `SmArch` compiles for it.
    pub fn arch(&self) -> String {
        let suffix = if self.version >= 90 { "a" } else { "" };
        format!("{}{suffix}", self.target)
    }

    /// The time in us that `bytes` take from memory or to it.
    pub fn bytes_us(&self, bytes: u64) -> f64 {
        bytes as f64 / self.gb_s / 1e3
    }

    /// The time in us that `macs` multiply-adds in f32 take, as many at a time as there are lanes for them.
    pub fn macs_us(&self, macs: u64) -> f64 {
        macs as f64 / f64::from(self.multiprocessors * self.fma) / self.ghz / 1e3
    }

    /// The least time in us of `warps` that each start `steps` instructions: as many at a time as there are schedulers, one a cycle,
    /// waiting for nothing.
    pub fn floor_us(&self, warps: u64, steps: u64) -> f64 {
        let at_once = f64::from(self.multiprocessors * Self::SCHEDULERS);
        let rounds = (warps as f64 / at_once).max(1.0);
        rounds * steps as f64 / self.ghz / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_found_by_its_architecture() {
        assert_eq!(
            Card::of("sm_89").map(|card| card.multiprocessors),
            Some(128)
        );
        assert_eq!(Card::of("sm_1"), None);
        for card in CARDS {
            assert_eq!(card.target, format!("sm_{}", card.version));
            assert!(
                card.shared_of_cube + card.shared_of_system <= card.shared,
                "{card:?}"
            );
        }
    }

    #[test]
    fn the_floor_of_few_warps_is_that_of_one() {
        let h100 = Card::of("sm_90").expect("it is listed");
        // 1,755 cycles a us.
        for (us, wanted) in [
            (h100.floor_us(1, 1755), 1.0),
            (h100.floor_us(4 * 132, 1755), 1.0),
            (h100.floor_us(8 * 132, 1755), 2.0),
            (h100.bytes_us(3_350_000), 1.0),
            (h100.macs_us(128 * 132 * 1755), 1.0),
        ] {
            assert!((us - wanted).abs() < 1e-12, "{us}, wanted {wanted}");
        }
    }
}
