use super::super::error::CommandError;
use super::super::output::note;
use super::DistillArguments;
use crate::data::Dataset;
use crate::distill::{LoadedTeacher, RunData, plan};
use crate::recipe::Recipe;
use crate::run::{NamedTensor, RunDir};
use crate::summary::Role;
use crate::train::TrainError;
use crate::weights;
use crate::zoo::{Architecture, Network};
use ghostlight_autodiff::{Client, DType};
use std::path::Path;

/// The teachers that `--teacher` names, each held to the recipe's architecture of its place.
pub(super) fn load(
    arguments: &DistillArguments,
    recipe: &Recipe,
    dataset: &Dataset,
    data: &RunData,
    client: &Client,
) -> Result<Vec<LoadedTeacher>, CommandError> {
    let mut all = Vec::new();
    for (path, teacher) in arguments.teacher.iter().zip(&recipe.teacher) {
        let mut found = match path.is_dir() {
            true => of_run(path, &teacher.arch, dataset, data)?,
            false => weights::read(path)?,
        };
        // Tensors that only a training needs, in the file of one that has not ended.
        found.retain(|tensor| !tensor.name.contains('/'));
        weights::check_finite(path, &found)?;
        let arch = Architecture::new(&teacher.arch, data.classes.len());
        let arch = arch.images(data.height, data.width);
        let mut network = Network::new(client, DType::F32, arch, recipe.seed, 0)?;
        let fits = network.store.set_weights(&found);
        fits.map_err(|source| CommandError::Mismatch {
            path: path.display().to_string(),
            source,
        })?;
        all.push(LoadedTeacher {
            path: path.clone(),
            weights: found,
        });
    }
    Ok(all)
}

/// The weights of the first teacher of `arch` in the run at `path`.
fn of_run(
    path: &Path,
    arch: &str,
    dataset: &Dataset,
    data: &RunData,
) -> Result<Vec<NamedTensor>, CommandError> {
    let run = RunDir::open(path)?;
    let recipe = run.recipe()?;
    let refuse = |reason: String| TrainError::LoadedTeacher {
        path: path.to_path_buf(),
        reason,
    };
    let trainings = plan(&recipe);
    let teachers = || {
        trainings
            .iter()
            .filter(|planned| planned.role == Role::Teacher)
    };
    let Some(planned) = teachers().find(|planned| planned.arch == arch) else {
        let archs: Vec<&str> = teachers().map(|planned| planned.arch).collect();
        return Err(refuse(format!(
            "the run's teachers are {}, but the recipe wants {arch}; set teacher.arch, or give the file of another of its networks, in {}",
            archs.join(" and "),
            path.join("checkpoints").display()
        )).into());
    };
    let theirs: RunData = run.split()?;
    if theirs.classes != data.classes {
        return Err(refuse(format!(
            "it tells {:?} apart, but the images are of {:?}",
            theirs.classes, data.classes
        ))
        .into());
    }
    let unfinished = || CommandError::Unfinished {
        run: run.path().to_path_buf(),
        phase: planned.name.clone(),
    };
    let checkpoint = run.load_checkpoint(&planned.name)?.ok_or_else(unfinished)?;
    if checkpoint.state["finished"] != true {
        return Err(unfinished());
    }
    if let Some(trained_on) = theirs.trained_on(dataset) {
        let test = data.split.test.iter();
        let seen = test
            .filter(|&&i| trained_on.contains(&dataset.digests[i as usize]))
            .count();
        if seen > 0 {
            note(format_args!(
                "warning: {} was trained on {seen} of the {} test images: its own accuracy and its students' will look better than they are",
                path.display(),
                data.split.test.len()
            ));
        }
    }
    Ok(checkpoint.weights)
}
