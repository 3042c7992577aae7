use super::error::CommandError;
use super::output::result;
use crate::measure::{Latency, latency, of_batches};
use crate::nn::Randomness;
use crate::train::TrainError;
use crate::zoo::{self, Architecture, Network, Size, ZooError};
use clap::Args;
use ghostlight_autodiff::{DType, Tape, Tensor, Var};
use ghostlight_kernels::launch;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Args)]
pub(super) struct ModelsArguments {
    /// The networks; all of them if none is named.
    names: Vec<String>,
    /// Classes that they tell apart.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    classes: u32,
    /// Side of the images in pixels; what each network was made for if not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
    /// Images of a training step.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=65536))]
    batch: u32,
    /// Print one JSON array on standard output.
    #[arg(long)]
    json: bool,
    /// Time training steps, inference and inference of a single image too, which takes seconds a network; the energy of the last where the
    /// processor counts it, and the memory that the steps held.
    #[arg(long)]
    measure: bool,
}

/// How long training steps are measured for, once they are warm.
const MEASURED: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: &ModelsArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let names: Vec<&str> = match arguments.names.as_slice() {
        [] => zoo::names().collect(),
        named => named.iter().map(String::as_str).collect(),
    };
    for name in &names {
        zoo::check(name)?;
    }
    let mut rows = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(TrainError::Stopped.into());
        }
        let row = Row::of(name, arguments)?;
        if arguments.json {
            rows.push(row.json());
        } else {
            if index == 0 {
                header(arguments)?;
            }
            row.print()?;
        }
    }
    match arguments.json {
        true => result(Value::Array(rows)),
        false => Ok(()),
    }
}

fn header(arguments: &ModelsArguments) -> Result<(), CommandError> {
    let speeds = match arguments.measure {
        true => format!(
            "{:>9} {:>9} {:>14} {:>8} {:>14} {:>8} {:>13} {:>9} {:>9}",
            "peak, MiB",
            "pool, MiB",
            "train images/s",
            "first, s",
            "infer images/s",
            "first, s",
            "one image, ms",
            "95 %, ms",
            "mJ"
        ),
        false => String::new(),
    };
    let step = format!("MiB, step of {}", arguments.batch);
    result(format_args!(
        "{:24} {:>5} {:>13} {:>11} {step:>16} {speeds}",
        "network", "px", "parameters", "MMACs"
    ))
}

struct Row {
    name: String,
    side: usize,
    size: Size,
    step_bytes: u64,
    speeds: Option<Speeds>,
}

impl Row {
    fn of(name: &str, arguments: &ModelsArguments) -> Result<Self, CommandError> {
        let side = arguments
            .size
            .map_or_else(|| zoo::native_size(name), |side| side as usize);
        let (classes, batch) = (arguments.classes as usize, arguments.batch as usize);
        let too_small = |source| CommandError::Size {
            arch: name.to_string(),
            height: side,
            width: side,
            source,
        };
        let arch = Architecture::new(name, classes).images(side, side);
        let size = Network::sketch(arch)?.size().map_err(too_small)?;
        let step_bytes = match Network::step_bytes(arch, batch, true) {
            Err(ZooError::Kernel(source)) => return Err(too_small(source)),
            other => other?,
        };
        let speeds = match arguments.measure {
            true => Some(measure(arch, batch)?),
            false => None,
        };
        Ok(Self {
            name: name.to_string(),
            side,
            size,
            step_bytes,
            speeds,
        })
    }

    fn print(&self) -> Result<(), CommandError> {
        let speeds = self.speeds.map_or_else(String::new, |speeds| {
            let Speeds { infer, single, .. } = speeds;
            let joules = single.joules_per_image;
            format!(
                "{:>9.1} {:>9.1} {:>14.0} {:>8.2} {:>14.0} {:>8.2} {:>13.2} {:>9.2} {:>9}",
                mib(speeds.peak_bytes),
                mib(speeds.pool_bytes),
                speeds.train_images_per_s,
                speeds.first_train_s,
                infer.images_per_s,
                infer.first_s,
                1e3 * single.median_s,
                1e3 * single.p95_s,
                joules.map_or_else(|| "-".to_string(), |joules| format!("{:.2}", 1e3 * joules)),
            )
        });
        result(format_args!(
            "{:24} {:>5} {:>13} {:>11.2} {:>16.1} {speeds}",
            self.name,
            self.side,
            self.size.params,
            self.size.macs as f64 / 1e6,
            mib(self.step_bytes),
        ))
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "name": self.name,
            "size": self.side,
            "params": self.size.params,
            "macs": self.size.macs,
            "step_bytes": self.step_bytes,
        });
        if let Some(speeds) = self.speeds {
            let Speeds { infer, single, .. } = speeds;
            row["peak_bytes"] = speeds.peak_bytes.into();
            row["pool_bytes"] = speeds.pool_bytes.into();
            row["train_images_per_s"] = speeds.train_images_per_s.into();
            row["first_train_step_s"] = speeds.first_train_s.into();
            row["infer_images_per_s"] = infer.images_per_s.into();
            row["first_inference_s"] = infer.first_s.into();
            row["infer_joules_per_image"] = infer.joules_per_image.into();
            row["single_median_s"] = single.median_s.into();
            row["single_p95_s"] = single.p95_s.into();
            row["single_joules"] = single.joules_per_image.into();
        }
        row
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// How fast a network is on the default device, and what its training steps hold there.
#[derive(Clone, Copy)]
struct Speeds {
    /// The most that a training step held at once, counted while steps ran: parameters, gradients and images, what the backward pass needs of
    /// the forward pass, and scratch.
    peak_bytes: u64,
    /// What the device's memory pool had taken behind them.
    pool_bytes: u64,
    /// Images a second of training steps (forward and backward pass, without the optimiser), once their kernels are compiled.
    train_images_per_s: f64,
    /// The first training step, which compiles those kernels that inference does not have, in seconds.
    first_train_s: f64,
    /// Inference in batches, which comes first and finds no kernel compiled.
    infer: Latency,
    /// Inference of one image.
    single: Latency,
}

fn measure(arch: Architecture, batch: usize) -> Result<Speeds, CommandError> {
    let client = cubecl::Device::default().client();
    // What networks before this one left in the pool. A failure shows when something is read.
    let _ = client.memory_cleanup();
    let [before, _] = launch::held_and_peak();
    let network = Network::new(&client, DType::F32, arch, 0, 0)?;
    let [height, width] = arch.image;
    let shape = [batch, height, width, 3];
    let images = vec![0.5; shape.iter().product()];
    let infer = of_batches(&client, &network, &images, batch)?;
    let single = latency(&client, &network, &images)?;
    let images = Var::constant(Tensor::from_f32(&client, &images, &shape)?);
    let step = || -> Result<(), CommandError> {
        let tape = Tape::new();
        let randomness = Randomness::of_step(0, 0, 0, 0, None);
        let logits = network.forward_dropping(&tape, randomness, &images)?;
        tape.backward(&[(&logits, 1.0)])?;
        // Done when the first parameter's gradient is there, which comes last.
        network.store.grads().slice(0, &[1])?.to_f32()?;
        logits.tensor().to_f32()?;
        Ok(())
    };
    let start = Instant::now();
    step()?;
    let first_train_s = start.elapsed().as_secs_f64();
    launch::reset_peak();
    let (start, mut steps) = (Instant::now(), 0);
    while start.elapsed() < MEASURED {
        step()?;
        steps += 1;
    }
    let train_images_per_s = f64::from(steps) * batch as f64 / start.elapsed().as_secs_f64();
    let [_, peak] = launch::held_and_peak();
    Ok(Speeds {
        peak_bytes: peak.saturating_sub(before),
        pool_bytes: launch::pooled(&client),
        train_images_per_s,
        first_train_s,
        infer,
        single,
    })
}
