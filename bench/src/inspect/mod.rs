//! What the kernels of the catalogue become on a card that is not there, or on this CPU: `cargo xtask bench inspect`.
//!
//! `gpu` launches the phases on a pretended card and looks at what it compiled, `cpu` runs them here and reads what LLVM was given.

mod cpu;
mod gpu;

use crate::session::Session;
use clap::{Args, ValueEnum};
use ghostlight_autodiff::DType;
use ghostlight_offline::{CARDS, Card, Device, Table, ToolError, Toolkit, gate, page};
use gpu::{Found, Naive};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// The card whose figures are kept, and the other that every kernel must compile for.
const KEPT: [&str; 2] = ["sm_90", "sm_80"];

/// Where the figures are kept; a bench is not run where the user is.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results");
const KEPT_AS: [&str; 2] = ["gpu-shape.json", "gpu-shape.md"];

/// What `inspect` is told.
#[derive(Args)]
pub(crate) struct Inspect {
    /// `cpu`, or the architecture of a card: sm_70, sm_75, sm_80, sm_87, sm_89, sm_90.
    #[arg(long, default_value = "sm_90")]
    target: String,
    /// Shows the text of every kernel too; machine code needs a disassembler, see `cargo xtask setup --ptxas`.
    #[arg(long)]
    show: Option<Text>,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
    /// What maps are stored as; bytes are then taken to be in proportion.
    #[arg(long, default_value = "f32")]
    dtype: Stored,
    /// Writes gpu-shape.md and gpu-shape.json, of the whole catalogue; into another folder than docs/results with `--write=DIR`.
    #[arg(
        long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = RESULTS,
        conflicts_with_all = ["target", "show", "json", "dtype", "check", "filters"]
    )]
    write: Option<PathBuf>,
    /// Fails where a kernel spills, scatters or serialises that did not in docs/results/gpu-shape.json, or does not compile.
    #[arg(
        long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = RESULTS,
        conflicts_with_all = ["target", "show", "json", "dtype"]
    )]
    check: Option<PathBuf>,
    /// Parts of `op/phase/case`, all of which a phase must have.
    pub filters: Vec<String>,
}

/// The types of elements that a card has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stored {
    F16,
    Bf16,
    F32,
    F64,
}

impl Stored {
    fn dtype(self) -> DType {
        match self {
            Self::F16 => DType::F16,
            Self::Bf16 => DType::Bf16,
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}

/// The text of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Text {
    /// PTX.
    Ptx,
    /// A card's machine code.
    Sass,
    /// LLVM's intermediate language.
    Ll,
}

/// Looks at the phases of `session`.
pub(crate) fn run(session: &Session, options: &Inspect) -> Result<ExitCode, Box<dyn Error>> {
    if options.target == "cpu" {
        on_cpu(session, options)?;
        return Ok(ExitCode::SUCCESS);
    }
    let toolkit = Toolkit::find();
    if options.write.is_some() || options.check.is_some() {
        let toolkit = toolkit.ok_or(
            "--write and --check need ptxas and libdevice: `cargo xtask setup --ptxas` fetches them",
        )?;
        return keep(session, options, &toolkit);
    }
    if toolkit.is_none() {
        eprintln!(
            "inspect: there is no ptxas under CUDA_PATH, hence no registers, spills and occupancy: `cargo xtask setup --ptxas` fetches it"
        );
    }
    let card = card_of(&options.target)?;
    let device = Device::open(card, &[card]);
    let found = Found::of(session, &device, options.dtype.dtype(), Naive::Wanted)?;
    if let Some(show) = options.show {
        found.show(card, show, toolkit.as_ref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let table = found.table(&[card], toolkit.as_ref())?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&table)?),
        false => print!("{}", page::launches_of(&table)),
    }
    Ok(ExitCode::SUCCESS)
}

fn on_cpu(session: &Session, options: &Inspect) -> Result<(), Box<dyn Error>> {
    if options.dtype != Stored::F32 {
        return Err(
            "--target cpu looks at what the bench runs there, which is f32: leave --dtype out"
                .into(),
        );
    }
    match options.show {
        Some(Text::Ptx | Text::Sass) => {
            Err("--target cpu has `--show ll` alone: CubeCL keeps no machine code".into())
        }
        show => cpu::run(session, show.is_some(), options.json),
    }
}

/// Makes the table that is kept, and writes it or holds it against the one that was.
fn keep(
    session: &Session,
    options: &Inspect,
    toolkit: &Toolkit,
) -> Result<ExitCode, Box<dyn Error>> {
    let targets: Vec<&'static Card> = KEPT.into_iter().map(card_of).collect::<Result<_, _>>()?;
    let device = Device::open(targets[0], &targets);
    let found = Found::of(session, &device, DType::F32, Naive::LeftOut)?;
    let mut table = found.table(&targets, Some(toolkit))?;
    for shape in table.rows.iter_mut().flat_map(|row| &mut row.launches) {
        shape.comptime.clear();
    }
    let halves = Found::of(session, &device, DType::F16, Naive::LeftOut)?;
    table.halves = Some(halves.halves(targets[0]));
    if let Some(folder) = &options.write {
        table.write(&folder.join(KEPT_AS[0]))?;
        let path = folder.join(KEPT_AS[1]);
        std::fs::write(&path, page::markdown(&table))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match &options.check {
        Some(folder) => {
            let before = Table::read(&folder.join(KEPT_AS[0]))?;
            Ok(check(&before, &table, targets[0]))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

fn card_of(target: &str) -> Result<&'static Card, String> {
    let known = || CARDS.map(|card| card.target).join(", ");
    Card::of(target).ok_or_else(|| format!("--target {target}: there are cpu, {}", known()))
}

/// Says what became worse, and how to let it.
fn check(before: &Table, now: &Table, card: &Card) -> ExitCode {
    if before.ptxas != now.ptxas {
        let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".into());
        eprintln!(
            "inspect: ptxas is {}, the table's was {}",
            name(&now.ptxas),
            name(&before.ptxas)
        );
    }
    let faults = gate::faults(before, now, card);
    for fault in &faults {
        println!("{fault}");
    }
    let stale = gate::stale(before, now);
    if stale > 0 {
        println!("{stale} calls have other figures than the table");
    }
    if stale > 0 || !faults.is_empty() {
        println!("`cargo xtask bench inspect --write` renews it");
    }
    match faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What a tool said of a kernel, where it is a reason to have no figures.
fn reason(error: ToolError) -> Result<String, ToolError> {
    match error {
        ToolError::Refused { said, .. } => Ok(said),
        other => Err(other),
    }
}
