use super::error::CommandError;
use super::output::result;
use crate::nn::{Mode, Randomness};
use crate::train::TrainError;
use crate::zoo::{self, Architecture, Network, Size, ZooError};
use clap::Args;
use ghostlight_autodiff::{DType, Tape, Tensor, Var};
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
    /// Time training steps and inference too, which takes seconds a network.
    #[arg(long)]
    measure: bool,
}

/// How long each of a network's two speeds is measured for, once it is warm.
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
            "{:>14} {:>8} {:>14} {:>8}",
            "train images/s", "first, s", "infer images/s", "first, s"
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
    /// In training and in inference.
    speeds: Option<[Speed; 2]>,
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
        let step_bytes = match Network::step_bytes(arch, batch) {
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
        let show = |speed: Speed| format!("{:>14.0} {:>8.2}", speed.images_per_s, speed.first_s);
        let speeds = self.speeds.map_or_else(String::new, |[train, infer]| {
            format!("{} {}", show(train), show(infer))
        });
        result(format_args!(
            "{:24} {:>5} {:>13} {:>11.2} {:>16.1} {speeds}",
            self.name,
            self.side,
            self.size.params,
            self.size.macs as f64 / 1e6,
            self.step_bytes as f64 / (1 << 20) as f64,
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
        if let Some([train, infer]) = self.speeds {
            row["train_images_per_s"] = train.images_per_s.into();
            row["first_train_step_s"] = train.first_s.into();
            row["infer_images_per_s"] = infer.images_per_s.into();
            row["first_inference_s"] = infer.first_s.into();
        }
        row
    }
}

/// How fast steps of one kind are.
#[derive(Clone, Copy)]
struct Speed {
    /// Images a second, once its kernels are compiled.
    images_per_s: f64,
    /// The first step, which compiles what no step before it did, in seconds.
    first_s: f64,
}

/// The speed of training steps (forward and backward pass, without the optimiser) and of inference, on the default device. Inference comes
/// first: its first step finds no kernel compiled, that of training only those that both have.
fn measure(arch: Architecture, batch: usize) -> Result<[Speed; 2], CommandError> {
    let client = cubecl::Device::default().client();
    let network = Network::new(&client, DType::F32, arch, 0, 0)?;
    let [height, width] = arch.image;
    let shape = [batch, height, width, 3];
    let images = vec![0.5; shape.iter().product()];
    let images = Var::constant(Tensor::from_f32(&client, &images, &shape)?);
    let speed = |mode| -> Result<Speed, CommandError> {
        let step = || -> Result<(), CommandError> {
            let tape = Tape::new();
            let logits = match mode {
                Mode::Infer => network.forward(&tape, mode, &images)?,
                Mode::Train => {
                    let randomness = Randomness::of_step(0, 0, 0, 0, None);
                    network.forward_dropping(&tape, randomness, &images)?
                }
            };
            if mode == Mode::Train {
                tape.backward(&[(&logits, 1.0)])?;
                // Done when the first parameter's gradient is there, which comes last.
                network.store.grads().slice(0, &[1])?.to_f32()?;
            }
            logits.tensor().to_f32()?;
            Ok(())
        };
        let start = Instant::now();
        step()?;
        let first_s = start.elapsed().as_secs_f64();
        let (start, mut steps) = (Instant::now(), 0);
        while start.elapsed() < MEASURED {
            step()?;
            steps += 1;
        }
        let images_per_s = f64::from(steps) * batch as f64 / start.elapsed().as_secs_f64();
        Ok(Speed {
            images_per_s,
            first_s,
        })
    };
    let infer = speed(Mode::Infer)?;
    Ok([speed(Mode::Train)?, infer])
}
