//! One run: the trainings that follow from its recipe, one after the other, and what they come to.

mod data;
mod outcome;
mod plan;
mod teachers;

pub use data::RunData;
pub use plan::{Planned, plan};
pub use teachers::LoadedTeacher;

use crate::methods::{Way, WayError};
use crate::recipe::{Recipe, Schedule, Train};
use crate::report::render;
use crate::run::{Platform, RunDir};
use crate::summary::{Role, Summary};
use crate::train::{Session, TrainError, Training, train_network};
use crate::zoo::{Architecture, Network};
use outcome::Outcome;

/// Trains all networks of the recipe, or goes on where the run stands, and writes summary and report. `command` repeats the run;
/// teachers that are `loaded` are not trained.
///
/// # Errors
/// A way to teach that does not fit the networks, before anything is trained; those of [`train_network`] and of the run directory.
pub fn distill(
    session: &Session,
    data: &RunData,
    run: &RunDir,
    loaded: &[LoadedTeacher],
    command: &str,
) -> Result<Summary, TrainError> {
    let recipe = session.recipe;
    let trainings = plan(recipe);
    let mut metrics = run.metrics()?;
    run.add_platform(&Platform::of(session.client))?;
    // Hours before it would be used, a way to teach that fits no network is refused.
    let ways = trainings.iter().map(|planned| way(session, planned));
    let ways: Vec<Way> = ways.collect::<Result<_, _>>()?;
    if session.split.validation.is_empty() {
        for planned in &trainings {
            check_without_validation(&recipe.train_with(planned.train))?;
        }
    }
    let mut teachers: Vec<Network> = Vec::new();
    let mut outcomes = Vec::new();
    for (planned, way) in trainings.iter().zip(ways) {
        let of_teacher = planned.role == Role::Teacher;
        if let Some(teacher) = loaded.get(teachers.len()).filter(|_| of_teacher) {
            teacher.install(run, &planned.name)?;
        }
        let training = Training {
            name: planned.name.clone(),
            title: planned.title.clone(),
            arch: planned.arch,
            epochs: planned.epochs,
            train: recipe.train_with(planned.train),
            role: planned.seed_role,
            way,
            teachers: match of_teacher {
                true => &[],
                false => &teachers,
            },
        };
        let trained = train_network(session, run, &mut metrics, training)?;
        let (outcome, network) = Outcome::of(session, &mut metrics, planned, trained)?;
        outcomes.push(outcome);
        match of_teacher {
            true => teachers.push(network),
            false => drop(network),
        }
    }
    let (report, summary) = outcome::conclude(session, data, run, command, outcomes)?;
    session.check()?;
    run.write_report(&render(&report)?)?;
    run.write_summary(&summary)?;
    Ok(summary)
}

/// Refuses a training that would wait for validation images that are not there.
fn check_without_validation(train: &Train) -> Result<(), TrainError> {
    let choice = match (train.early_stop, train.schedule) {
        (0, Schedule::Plateau) => "train.schedule = \"plateau\"".to_string(),
        (0, _) => return Ok(()),
        (epochs, _) => format!("train.early_stop = {epochs}"),
    };
    Err(TrainError::NoValidation { choice })
}

/// In what way the network of `planned` learns.
///
/// # Errors
/// [`WayError`].
pub fn way(session: &Session, planned: &Planned) -> Result<Way, WayError> {
    let recipe: &Recipe = session.recipe;
    let smoothing = recipe.train_with(planned.train).label_smoothing;
    let Some(distill) = planned.way else {
        return Ok(Way::alone(smoothing));
    };
    let dataset = session.dataset;
    let arch =
        |name| Architecture::new(name, dataset.classes.len()).images(dataset.height, dataset.width);
    let teachers = recipe
        .teacher
        .iter()
        .map(|teacher| arch(teacher.arch.as_str()));
    let teachers: Vec<Architecture> = teachers.collect();
    let seeds = (recipe.seed, planned.seed_role);
    Way::new(
        session.client,
        distill,
        smoothing,
        arch(planned.arch),
        &teachers,
        seeds,
    )
}

#[cfg(test)]
mod tests;
