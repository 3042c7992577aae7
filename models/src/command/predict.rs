use super::error::CommandError;
use super::output::{self, note};
use crate::data::folder::{self, Single};
use crate::data::{Normaliser, stop as stopping};
use crate::distill::{Planned, RunData, plan};
use crate::nn::Mode;
use crate::recipe::Recipe;
use crate::run::RunDir;
use crate::summary::Role;
use crate::train::TrainError;
use crate::zoo::{Architecture, Network};
use clap::Args;
use ghostlight_autodiff::{Client, DType, Tape, Tensor, Var};
use ghostlight_kernels::planted;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Args)]
pub(super) struct PredictArguments {
    /// The run's folder.
    run: PathBuf,
    /// Image files (JPEG, PNG, TIFF, BMP, WebP, PNM) of any size.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Which of the run's networks answers, as `teacher` or `student_alone`. Default: the first student that was taught.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print one JSON array on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// Classes named for each image.
const NAMED: usize = 3;

pub(super) fn run(arguments: &PredictArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let run = RunDir::open(&arguments.run)?;
    let recipe = run.recipe()?;
    let data: RunData = run.split()?;
    let size = (data.height, data.width);
    let images = arguments
        .images
        .iter()
        .map(|path| {
            stopping::check(stop)?;
            folder::image(path, size, data.stretch.as_ref())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let shallow = images.iter().filter(|image| !image.deep).count();
    if data.stretch.is_some() && shallow > 0 {
        note(format_args!(
            "warning: {shallow} images have 8 bits a sample, but those that the run was trained on had more: the network may not know such images"
        ));
    }
    let client = cubecl::Device::default().client();
    let planned = chosen(&run, &recipe, arguments.model.as_deref())?;
    let network = load(&client, &run, &recipe, &data, &planned)?;
    let normaliser = Normaliser::new(&data.stats);
    let mut found = Vec::new();
    for (path, Single { pixels, .. }) in arguments.images.iter().zip(images) {
        if stop.load(Ordering::Relaxed) {
            return Err(TrainError::Stopped.into());
        }
        let mut values = vec![0.0; pixels.len()];
        match planted::is("predictions_of_raw_pixels") {
            false => normaliser.write(&pixels, &mut values),
            true => values = pixels.iter().map(|&byte| byte.into()).collect(),
        }
        let image = Tensor::from_f32(&client, &values, &[1, data.height, data.width, 3])?;
        let logits = network.forward(&Tape::new(), Mode::Infer, &Var::constant(image))?;
        let logits = logits.tensor().to_f32()?;
        if !logits.iter().all(|value| value.is_finite()) {
            let (arch, peak_lr) = (network.arch.clone(), recipe.train.peak_lr);
            return Err(TrainError::NotFinite { arch, peak_lr }.into());
        }
        let ranked = ranked(&logits);
        let named = ranked
            .iter()
            .take(NAMED)
            .map(|&(class, p)| (&data.classes[class], p));
        if arguments.json {
            let classes: Vec<_> = named
                .map(|(class, p)| serde_json::json!({"class": class, "probability": p}))
                .collect();
            found.push(serde_json::json!({"image": path, "classes": classes}));
        } else {
            let named: Vec<String> = named
                .map(|(class, p)| format!("{class} {:.1} %", 100.0 * p))
                .collect();
            let image = path.display();
            output::result(format_args!("{image}: {}", named.join(", ")))?;
        }
    }
    if arguments.json {
        output::result(serde_json::Value::Array(found))?;
    }
    Ok(())
}

/// The classes of finite logits with their probabilities, the most probable first.
fn ranked(logits: &[f32]) -> Vec<(usize, f32)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|value| (value - largest).exp()).sum();
    let mut ranked: Vec<(usize, f32)> = logits
        .iter()
        .map(|value| (value - largest).exp() / sum)
        .enumerate()
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

/// The training whose network is called `name`, or the first student that was taught.
pub(super) fn chosen<'a>(
    run: &RunDir,
    recipe: &'a Recipe,
    name: Option<&str>,
) -> Result<Planned<'a>, CommandError> {
    let trainings = plan(recipe);
    let found = trainings.iter().find(|planned| match name {
        Some(name) => planned.name == name,
        None => planned.role == Role::Taught,
    });
    found.cloned().ok_or_else(|| CommandError::Network {
        run: run.path().to_path_buf(),
        name: name.unwrap_or_default().to_string(),
        names: trainings
            .iter()
            .map(|planned| planned.name.clone())
            .collect(),
    })
}

/// The network of a training as the run left it.
pub(super) fn load(
    client: &Client,
    run: &RunDir,
    recipe: &Recipe,
    data: &RunData,
    planned: &Planned,
) -> Result<Network, CommandError> {
    let unfinished = || CommandError::Unfinished {
        run: run.path().to_path_buf(),
        phase: planned.name.clone(),
    };
    let checkpoint = run.load_checkpoint(&planned.name)?.ok_or_else(unfinished)?;
    if checkpoint.state["finished"] != true {
        return Err(unfinished());
    }
    let arch = Architecture::new(planned.arch, data.classes.len()).images(data.height, data.width);
    let mut network = Network::new(client, DType::F32, arch, recipe.seed, 0)?;
    network
        .store
        .set_weights(&checkpoint.weights)
        .map_err(|source| TrainError::Weights {
            path: run.checkpoint_path(&planned.name),
            source,
        })?;
    Ok(network)
}
