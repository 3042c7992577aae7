//! What one answer of a network costs: time, and energy where the machine counts it.
//!
//! Images a second of full batches say how fast a folder is classified. How long a single image takes is another matter, and a device in the
//! field knows nothing else: [`latency`].

mod energy;

pub use energy::{Energy, Reading};

use crate::nn::Mode;
use crate::zoo::Network;
use ghostlight_autodiff::{Client, KernelError, Tape, Tensor, Var};
use ghostlight_kernels::planted;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long passes are repeated for, once they are warm.
const MEASURED: Duration = Duration::from_secs(2);
/// Passes whose time does not count, after the first: caches fill, and a core raises its clock.
const WARM: usize = 3;
/// Passes that are timed at least, of networks that are slower than that.
const LEAST: usize = 5;
/// Different batches that passes take turns with.
const BATCHES: usize = 8;

/// The time of passes from images on the device to logits in the host's memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Images of a pass.
    pub batch: usize,
    /// Passes that were timed.
    pub passes: usize,
    /// Seconds of the first pass, which compiles what no pass before it did; not among those timed.
    pub first_s: f64,
    /// Median of the passes' seconds.
    pub median_s: f64,
    /// Their 95th percentile: one pass in twenty takes longer.
    pub p95_s: f64,
    /// Images a second over all passes.
    pub images_per_s: f64,
    /// Joules an image, of the whole processor and with whatever else ran on it; `None` where no counter can be read.
    #[serde(default)]
    pub joules_per_image: Option<f64>,
}

/// How long one image takes: [`of_batches`] of 1, for two seconds.
///
/// # Errors
/// Those of [`of_batches`].
pub fn latency(client: &Client, network: &Network, images: &[f32]) -> Result<Latency, KernelError> {
    of_batches(client, network, images, 1)
}

/// [`latency`], measured for no longer than `time`, but for a few passes at least.
///
/// # Errors
/// Those of [`of_batches`].
pub fn latency_within(
    client: &Client,
    network: &Network,
    images: &[f32],
    time: Duration,
) -> Result<Latency, KernelError> {
    timed(client, network, images, 1, time)
}

/// Times passes of `batch` images for two seconds, after a few that do not count. `images` are normalised, `[n, height, width, 3]` at the network's
/// size; passes take them in turns, the first again after the last.
///
/// # Errors
/// Those of the kernels: a `batch` of 0, or no whole image in `images`.
pub fn of_batches(
    client: &Client,
    network: &Network,
    images: &[f32],
    batch: usize,
) -> Result<Latency, KernelError> {
    timed(client, network, images, batch, MEASURED)
}

fn timed(
    client: &Client,
    network: &Network,
    images: &[f32],
    batch: usize,
    time: Duration,
) -> Result<Latency, KernelError> {
    let [height, width] = network.image;
    let shape = [batch, height, width, 3];
    let batches = batches(images, height * width * 3, batch)
        .iter()
        .map(|values| Tensor::from_f32(client, values, &shape).map(Var::constant))
        .collect::<Result<Vec<_>, _>>()?;
    let pass = |i: usize| -> Result<f64, KernelError> {
        let start = Instant::now();
        let logits = network.forward(&Tape::new(), Mode::Infer, &batches[i % batches.len()])?;
        logits.tensor().to_f32()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first_s = pass(0)?;
    for i in 0..WARM {
        pass(i)?;
    }
    let energy = Energy::find();
    let before = energy.as_ref().and_then(Energy::read);
    let (start, mut seconds) = (Instant::now(), Vec::new());
    while start.elapsed() < time || seconds.len() < LEAST {
        seconds.push(pass(seconds.len())?);
    }
    let (elapsed, passes) = (start.elapsed().as_secs_f64(), seconds.len());
    let joules = energy
        .zip(before)
        .and_then(|(energy, before)| energy.since(&before));
    let count = (passes * batch) as f64;
    Ok(Latency {
        batch,
        passes,
        first_s,
        median_s: percentile(&mut seconds, 50),
        p95_s: percentile(&mut seconds, 95),
        images_per_s: count / elapsed,
        joules_per_image: joules.map(|joules| joules / count),
    })
}

/// Batches of images of `len` values, made of all whole ones in turns; an empty one where there is none, which no tensor takes.
fn batches(images: &[f32], len: usize, batch: usize) -> Vec<Vec<f32>> {
    let whole = images.chunks_exact(len.max(1));
    let count = whole.len().div_ceil(batch.max(1)).clamp(1, BATCHES);
    let mut turns = whole.cycle();
    (0..count)
        .map(|_| turns.by_ref().take(batch).flatten().copied().collect())
        .collect()
}

/// The least of `values` that no less than `percent` of them reach; not a number without any.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    let rank = planted::or("percentile_one_below", rank, rank.saturating_sub(1));
    let value = values.get(rank.saturating_sub(1));
    value.copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::Architecture;
    use cubecl::Device;
    use ghostlight_autodiff::DType;

    #[test]
    fn the_95th_percentile_of_twenty_is_the_last_but_one() {
        let mut values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 95), 19.0);
        assert_eq!(percentile(&mut values, 50), 10.0);
        assert_eq!(percentile(&mut [7.0], 95), 7.0);
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 50), 2.0);
        assert!(percentile(&mut [], 50).is_nan());
    }

    #[test]
    fn batches_take_all_whole_images_in_turns() {
        let images: Vec<f32> = (0..7).map(|v| v as f32).collect();
        let wanted = [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 0.0, 1.0]];
        assert_eq!(batches(&images, 2, 2), wanted);
        assert_eq!(
            batches(&images[..2], 2, 3),
            [[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]
        );
        assert_eq!(batches(&images, 1, 1).len(), 7);
        assert_eq!(batches(&images[..1], 2, 3), [Vec::<f32>::new()]);
    }

    #[test]
    fn a_networks_passes_are_timed_one_image_at_a_time_and_many() {
        let client = Device::default().client();
        let arch = Architecture::new("resnet8", 4).images(16, 16);
        let network = Network::new(&client, DType::F32, arch, 0, 0).unwrap();
        let images = vec![0.25; 3 * 16 * 16 * 3];
        let one = latency(&client, &network, &images).unwrap();
        let many = of_batches(&client, &network, &images, 8).unwrap();
        for (found, batch) in [(one, 1), (many, 8)] {
            assert_eq!(found.batch, batch);
            assert!(found.passes >= LEAST, "{found:?}");
            assert!(
                0.0 < found.median_s && found.median_s <= found.p95_s,
                "{found:?}"
            );
            assert!(found.first_s > 0.0, "{found:?}");
            // All passes together take the time that they take one by one, but for the loop around them.
            let seconds = found.passes as f64 * batch as f64 / found.images_per_s;
            assert!(seconds >= 0.9 * MEASURED.as_secs_f64(), "{found:?}");
            assert!(found.joules_per_image.is_none_or(|joules| joules > 0.0));
        }
        assert!(latency(&client, &network, &images[..5]).is_err());
        // Numbers that a decimal holds exactly: what is measured may come back a last digit off.
        let whole = Latency {
            first_s: 0.5,
            median_s: 0.25,
            p95_s: 0.375,
            images_per_s: 4.0,
            joules_per_image: Some(1.5),
            ..one
        };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Latency>(&text).unwrap(), whole);
    }
}
