use super::error::CommandError;
use super::output::{self, note};
use crate::data::{Augment, ChannelStats, Dataset, Split};
use crate::distill::{Planned, plan, way};
use crate::profile::{self, Ceilings, Profile, Watching};
use crate::recipe::Recipe;
use crate::run::write_atomic;
use crate::summary::Role;
use crate::train::{Session, Silent, TrainError, Training, take_epoch};
use crate::zoo::{self, Architecture, Network};
use clap::Args;
use ghostlight_autodiff::DType;
use ghostlight_kernels::launch;
use rand::RngExt;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[derive(Args)]
pub(super) struct ProfileArguments {
    /// A network, which learns from labels alone.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "recipe",
        required_unless_present = "recipe"
    )]
    arch: Option<String>,
    /// A recipe, by name or file: its first student, taught in its first way by its teachers.
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<String>,
    /// Which training of the recipe instead, as `student_alone` or `teacher`.
    #[arg(long, value_name = "NAME", requires = "recipe")]
    training: Option<String>,
    /// Change one value of the recipe, as train.batch=64.
    #[arg(long, value_name = "KEY=VALUE", requires = "recipe")]
    set: Vec<String>,
    /// Images of a step. Default: the recipe's, or 64.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=65536))]
    batch: Option<u32>,
    /// Side of the images in pixels. Default: the recipe's, or 64.
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(8..=4096))]
    size: Option<u32>,
    /// Classes that the images are of.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    classes: u32,
    /// Steps to watch, after as many that warm up and are timed unwatched.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// Write what happened when, for Perfetto (ui.perfetto.dev) or chrome://tracing.
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// Look through every result for the first NaN or infinity, and name its operation.
    #[arg(long)]
    hunt_nan: bool,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ProfileArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let recipe = recipe(arguments)?;
    let trainings = plan(&recipe);
    let planned = chosen(arguments, &trainings)?;
    for planned in &trainings {
        zoo::check(planned.arch)?;
    }
    let train = recipe.train_with(planned.train);
    let side = match (arguments.size, recipe.data.image_size) {
        (Some(side), _) => side as usize,
        (None, 0) => 64,
        (None, side) => side,
    };
    let dataset = images(arguments, train.batch, side)?;
    let client = cubecl::Device::default().client();
    let split = Split {
        train: (0..dataset.len() as u32).collect(),
        ..Split::default()
    };
    let arch = |name| Architecture::new(name, dataset.classes.len()).images(side, side);
    let of_teachers = trainings.iter().filter(|it| it.role == Role::Teacher);
    let asked = of_teachers.filter(|_| planned.role == Role::Taught);
    let teachers = asked.map(|it| {
        Network::new(
            &client,
            DType::F32,
            arch(it.arch),
            recipe.seed,
            it.seed_role,
        )
    });
    let teachers: Vec<Network> = teachers.collect::<Result<_, _>>()?;
    let epoch = |watch: Option<&Watching>| -> Result<f64, TrainError> {
        let session = Session {
            client: &client,
            recipe: &recipe,
            dataset: &dataset,
            split: &split,
            stats: ChannelStats {
                mean: [0.5; 3],
                std: [0.25; 3],
            },
            progress: &Silent,
            cache: None,
            watch,
            stop,
        };
        let training = Training {
            name: planned.name.clone(),
            title: planned.title.clone(),
            arch: planned.arch,
            epochs: 1,
            train: train.clone(),
            role: planned.seed_role,
            way: way(&session, planned)?,
            teachers: &teachers,
        };
        take_epoch(&session, training)
    };
    note(format_args!(
        "warming up: {} steps of {} images",
        arguments.steps, train.batch
    ));
    epoch(None)?;
    let speed = epoch(None)?;
    let ceilings = Ceilings::measure(&client)?;
    note("watching");
    let watch = Watching::begin(&client, arguments.hunt_nan);
    epoch(Some(&watch))?;
    let found = watch.end();
    if let Some(path) = &arguments.trace {
        let trace = profile::trace(&found, &format!("{} {}", planned.arch, planned.title));
        write_atomic(path, trace.to_string().as_bytes())?;
    }
    let step = Duration::from_secs_f64(train.batch as f64 / speed.max(1e-9));
    let shown = Shown {
        arguments,
        found: &found,
        ceilings,
        steps: arguments.steps as usize,
        step,
        batch: train.batch,
        what: format!(
            "{} ({}), {} images of {side} x {side}",
            planned.title, planned.arch, train.batch
        ),
        on_cpu: launch::is_cpu(&client),
    };
    match arguments.json {
        true => output::result(shown.json()),
        false => shown.print(),
    }
}

/// The recipe that is asked for, or one whose student is the network that is.
fn recipe(arguments: &ProfileArguments) -> Result<Recipe, CommandError> {
    let mut recipe = match &arguments.recipe {
        Some(name) => Recipe::load(name)?,
        None => Recipe::default(),
    };
    for assignment in &arguments.set {
        recipe.set(assignment)?;
    }
    if let Some(arch) = &arguments.arch {
        recipe.set_from("--arch", "student.arch", arch)?;
        recipe.train.batch = 64;
    }
    if let Some(batch) = arguments.batch {
        recipe.set_from("--batch", "train.batch", &batch.to_string())?;
        for own in recipe.teacher.iter_mut().map(|it| &mut it.train) {
            own.remove("batch");
        }
        for own in recipe.student.iter_mut().map(|it| &mut it.train) {
            own.remove("batch");
        }
    }
    // The pixels are drawn: no change makes them another step.
    recipe.augment.shift = 0;
    recipe.validate()?;
    Ok(recipe)
}

fn chosen<'a, 'b>(
    arguments: &ProfileArguments,
    trainings: &'b [Planned<'a>],
) -> Result<&'b Planned<'a>, CommandError> {
    let wanted = |planned: &&Planned| match (&arguments.training, &arguments.arch) {
        (Some(name), _) => planned.name == *name,
        (None, Some(_)) => planned.role == Role::Alone,
        (None, None) => planned.role == Role::Taught,
    };
    trainings
        .iter()
        .find(wanted)
        .ok_or_else(|| CommandError::NoTraining {
            name: arguments.training.clone().unwrap_or_default(),
            names: trainings
                .iter()
                .map(|planned| planned.name.clone())
                .collect(),
        })
}

/// As many random images as the steps take.
fn images(
    arguments: &ProfileArguments,
    batch: usize,
    side: usize,
) -> Result<Arc<Dataset>, CommandError> {
    let count = batch * arguments.steps as usize;
    let mut random = crate::random::stream(0, crate::random::Purpose::Synthetic, 0, 0);
    let pixels = (0..count * side * side * 3).map(|_| random.random::<u8>());
    let classes = (0..arguments.classes).map(|class| format!("class {class}"));
    let labels = (0..count as u32).map(|i| i % arguments.classes);
    let files = (0..count).map(|i| i.to_string());
    let dataset = Dataset::new(
        "random pixels".into(),
        classes.collect(),
        (side, side),
        pixels.collect(),
        labels.collect(),
        files.collect(),
    )?;
    Augment {
        dihedral: true,
        shift: 0,
    }
    .check(&dataset)?;
    Ok(Arc::new(dataset))
}

/// What is said of a profile.
struct Shown<'a> {
    arguments: &'a ProfileArguments,
    found: &'a Profile,
    ceilings: Ceilings,
    steps: usize,
    /// One unwatched step.
    step: Duration,
    batch: usize,
    what: String,
    on_cpu: bool,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Shown<'_> {
    fn print(&self) -> Result<(), CommandError> {
        let steps = self.steps as f64;
        output::result(format_args!(
            "{}: {:.2} ms a step unwatched ({:.0} images/s); below, means of {} watched steps, whose kernels run one at a time",
            self.what,
            ms(self.step),
            self.batch as f64 / self.step.as_secs_f64(),
            self.steps,
        ))?;
        let operations = profile::operations(self.found);
        let all: Duration = operations.iter().map(|line| line.time).sum();
        output::result(format_args!(
            "\n{:26} {:>6} {:>9} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "operation", "calls", "ms", "share", "MB", "MMACs", "roofline", "launches", "allocs"
        ))?;
        for line in &operations {
            let bytes = line.cost.bytes_read + line.cost.bytes_written;
            let share = match line.direction {
                "" => "-".to_string(),
                _ => format!("{:.0} %", 100.0 * self.ceilings.share(line.cost, line.time)),
            };
            output::result(format_args!(
                "{:26} {:>6.0} {:>9.3} {:>4.1} % {:>9.2} {:>9.2} {share:>9} {:>8.0} {:>8.0}",
                format!("{} {}", line.op, line.direction),
                line.calls as f64 / steps,
                ms(line.time) / steps,
                100.0 * line.time.as_secs_f64() / all.as_secs_f64().max(1e-12),
                bytes as f64 / steps / 1e6,
                line.cost.macs as f64 / steps / 1e6,
                line.launches as f64 / steps,
                line.allocations as f64 / steps,
            ))?;
        }
        output::result(format_args!(
            "roofline: of {:.1} GMAC/s, this project's product of {side} x {side}, or {:.1} GB/s, its copy, whichever binds",
            self.ceilings.macs / 1e9,
            self.ceilings.bytes / 1e9,
            side = 768,
        ))?;
        output::result(format_args!(
            "\n{:52} {:>8} {:>9} {:>6} {:>10}",
            "kernel", "launches", "ms", "share", "longest ms"
        ))?;
        for line in profile::kernels(self.found) {
            output::result(format_args!(
                "{:52} {:>8.1} {:>9.3} {:>4.1} % {:>10.3}",
                line.name,
                line.launches as f64 / steps,
                ms(line.time) / steps,
                100.0 * line.time.as_secs_f64() / all.as_secs_f64().max(1e-12),
                ms(line.longest),
            ))?;
        }
        self.print_memory()?;
        if let Some(path) = &self.arguments.trace {
            output::result(format_args!(
                "\ntrace: {} (open it at ui.perfetto.dev or in chrome://tracing)",
                path.display()
            ))?;
        }
        match (&self.found.not_finite, self.arguments.hunt_nan) {
            (Some(found), _) => output::result(format_args!("\nnot finite: {found}")),
            (None, true) => output::result("\nevery result is finite"),
            (None, false) => Ok(()),
        }
    }

    fn print_memory(&self) -> Result<(), CommandError> {
        let held = &self.found.held;
        output::result(format_args!(
            "\nmemory{}: {:.1} MB before the first operation, {:.1} MB at the peak, of which",
            match self.on_cpu {
                true => "",
                false => " of the device",
            },
            held.before as f64 / 1e6,
            held.peak as f64 / 1e6
        ))?;
        for holder in &held.holders {
            output::result(format_args!(
                "  {:24} {:>10.2} MB",
                holder.op,
                holder.bytes as f64 / 1e6
            ))?;
        }
        output::result("  an operation's: what it had left in memory when the forward pass ended")
    }

    fn json(&self) -> Value {
        let operations: Vec<Value> = profile::operations(self.found)
            .into_iter()
            .map(|line| {
                json!({
                    "op": line.op, "direction": line.direction, "calls": line.calls, "ms": ms(line.time), "ms_with_host": ms(line.whole),
                    "macs": line.cost.macs, "bytes": line.cost.bytes_read + line.cost.bytes_written,
                    "roofline": self.ceilings.share(line.cost, line.time), "launches": line.launches, "allocations": line.allocations,
                })
            })
            .collect();
        let kernels: Vec<Value> = profile::kernels(self.found)
            .into_iter()
            .map(|line| {
                json!({"name": line.name, "launches": line.launches, "ms": ms(line.time), "longest_ms": ms(line.longest)})
            })
            .collect();
        let held = &self.found.held;
        let holders: Vec<Value> = held
            .holders
            .iter()
            .map(|it| json!({"op": it.op, "bytes": it.bytes}))
            .collect();
        json!({
            "what": self.what,
            "steps": self.steps,
            "ms_a_step": ms(self.step),
            "ceilings": {"macs_per_s": self.ceilings.macs, "bytes_per_s": self.ceilings.bytes},
            "operations": operations,
            "kernels": kernels,
            "memory": {"before": held.before, "peak": held.peak, "holders": holders},
            "not_finite": self.found.not_finite.as_ref().map(ToString::to_string),
        })
    }
}
