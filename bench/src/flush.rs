use crate::machine::last_level_cache;
use ghostlight_autodiff::{Client, DType, Tensor};
use ghostlight_kernels::{launch, pointwise};
use std::sync::Barrier;
use std::thread;

/// A core's share: more than any cache that a core has to itself.
const LEAST_SHARE: usize = 8 << 20;
/// All shares together, whatever cache a machine claims to have.
const MOST: usize = 1 << 30;

/// Memory that all cores write to push everything else out of all of their caches, those included that a core has to itself: with two
/// cores and one that writes, half of the operands stay in the other one's.
pub struct Flush {
    shares: Vec<Vec<u8>>,
    /// The same in the memory of a device that has caches of its own.
    device: Option<Tensor>,
}

impl Flush {
    /// Twice a last-level cache of `bytes` on the host: as much as the cache would leave a part of what was there before.
    pub fn of(bytes: Option<usize>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let share = 2 * bytes.unwrap_or(32 << 20) / cores;
        Self {
            shares: vec![vec![0; share.clamp(LEAST_SHARE, MOST / cores)]; cores],
            device: None,
        }
    }

    /// That, by the last-level cache that `client`'s device tells of, and the same on the device where it is none of the host's cores.
    pub fn on(client: &Client) -> Self {
        let mut flush = Self::of(last_level_cache(client));
        if !launch::is_cpu(client) {
            let floats = flush.bytes() / DType::F32.size();
            flush.device = Some(Tensor::zeros(client, &[floats], DType::F32));
        }
        flush
    }

    /// Nothing, for turns that flush nothing.
    pub fn none() -> Self {
        Self {
            shares: Vec::new(),
            device: None,
        }
    }

    /// Bytes that are written, by all cores together.
    pub fn bytes(&self) -> usize {
        self.shares.iter().map(Vec::len).sum()
    }

    /// Touches every cache line, each core those of its share.
    pub fn run(&mut self) {
        let all_there = Barrier::new(self.shares.len());
        thread::scope(|scope| {
            for share in &mut self.shares {
                let all_there = &all_there;
                scope.spawn(move || {
                    // Together, so that no core is left out because another had done its share.
                    all_there.wait();
                    for byte in share.iter_mut().step_by(64) {
                        *byte = byte.wrapping_add(1);
                    }
                    std::hint::black_box(share);
                });
            }
        });
        if let Some(tensor) = &self.device {
            pointwise::fill(tensor, 1.0);
            // A failed launch shows when the results are read.
            let _ = cubecl::future::block_on(tensor.client().sync());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_last_level_cache_is_written_and_every_line_of_it() {
        let mut flush = Flush::of(Some(48 << 20));
        assert!(flush.bytes() >= 2 * (48 << 20) && flush.bytes() <= MOST);
        flush.run();
        let lines = flush
            .shares
            .iter()
            .flat_map(|share| share.iter().step_by(64));
        assert!(lines.into_iter().all(|byte| *byte == 1));
        assert_eq!(
            Flush::of(Some(usize::MAX / 4)).shares[0].len() * flush.shares.len(),
            MOST
        );
        assert_eq!(Flush::none().bytes(), 0);
    }
}
