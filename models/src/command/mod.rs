//! The command line: what a person types, and what they see.

mod compare;
mod data;
mod distill;
mod error;
mod eval;
mod forward;
mod map;
mod memory;
mod models;
mod output;
mod predict;
mod profile;
mod progress;
mod recipes;
mod signals;
mod source;
mod table;
mod typed;

use clap::{Parser, Subcommand};
use ghostlight_kernels::tune;
use output::note;
use std::path::PathBuf;
use std::process::ExitCode;

/// Distil large teachers into light students that classify remote-sensing images.
#[derive(Parser)]
#[command(name = "ghostlight", version)]
struct Arguments {
    /// Let kernels choose as the bench found to be faster on this device, or as FILE says: the same bits, sooner. So does GHOSTLIGHT_TUNED=1, or =FILE.
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    tuned: Option<Option<PathBuf>>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train teachers, students alone and students with the teachers' help, and compare them.
    Distill(distill::DistillArguments),
    /// Compare finished runs: methods by students, over seeds.
    Compare(compare::CompareArguments),
    /// Look at folders of images before training on them.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Evaluate a run's networks on a folder of images.
    Eval(eval::EvalArguments),
    /// Classify images with a network of a run.
    Predict(predict::PredictArguments),
    /// List the recipes that come with the program, or show one.
    Recipes(recipes::RecipesArguments),
    /// Classify a large image tile by tile, and draw the map.
    Map(map::MapArguments),
    /// Show where the time and the memory of a training step go.
    Profile(profile::ProfileArguments),
    /// List the networks with their sizes.
    Models(models::ModelsArguments),
    /// Run one network on a batch of tensors: what other programs compare themselves with.
    Forward(forward::ForwardArguments),
}

/// Wrong input: the message says what to change.
const BAD_INPUT: u8 = 2;
/// Stopped by Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Runs the command line; see `ghostlight --help`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stop = signals::stop_flag();
    let tuned = arguments.tuned.as_ref().map(Option::as_deref);
    match tune::use_asked(|| cubecl::Device::default().client(), tuned) {
        Ok(None) => {}
        Ok(Some(choices)) => note(format_args!("tuned: {choices} choices")),
        Err(error) => {
            note(format_args!("error: --tuned: {error}"));
            return ExitCode::from(BAD_INPUT);
        }
    }
    let result = match arguments.command {
        Command::Distill(arguments) => distill::run(&arguments, &stop),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Data(command) => data::run(&command, &stop),
        Command::Eval(arguments) => eval::run(&arguments, &stop),
        Command::Predict(arguments) => predict::run(&arguments, &stop),
        Command::Recipes(arguments) => recipes::run(&arguments),
        Command::Map(arguments) => map::run(&arguments, &stop),
        Command::Profile(arguments) => profile::run(&arguments, &stop),
        Command::Models(arguments) => models::run(&arguments, &stop),
        Command::Forward(arguments) => forward::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::from(if error.is_interruption() {
                INTERRUPTED
            } else {
                BAD_INPUT
            })
        }
    }
}
