//! The kernels on this machine's CPU: LLVM's intermediate language after its optimiser, as CubeCL's CPU runtime compiles it.
//!
//! The runtime writes it to the folder that an environment variable names, if it is told to when it is built; machine code it keeps to
//! itself. As a process cannot well change its own environment, the command runs itself once more.

use crate::input::Input;
use crate::phase::Phase;
use crate::session::Session;
use ghostlight_autodiff::Client;
use serde::Serialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The folder that CubeCL writes to.
const FOLDER: &str = "CUBECL_DEBUG_PLIRON";
/// The file in it, below a folder of the kernel's name.
const FILE: &str = "llvm.opt.ll";

/// What a kernel became.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Lowered {
    /// Its instructions.
    instructions: usize,
    /// Multiply-adds in floating point, vectors counted once.
    fma: usize,
    /// Loads of floating point, as times x bits.
    loads: String,
    /// Stores of floating point.
    stores: String,
}

/// What a phase was the first to launch.
#[derive(Serialize)]
struct Line<'t> {
    call: &'t str,
    kernel: &'t str,
    #[serde(flatten)]
    lowered: Lowered,
}

pub(super) fn run(session: &Session, show: bool, json: bool) -> Result<(), Box<dyn Error>> {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        return once_more();
    };
    let client = cubecl::Device::cpu()?.client();
    let mut known = BTreeSet::new();
    let mut trouble = None;
    if !json && !show {
        println!(
            "| call | kernel | instructions | fma | loads | stores |\n|---|---|---:|---:|---|---|"
        );
    }
    session.each(|phase| {
        for variant in 0..phase.variants.len() {
            if let Err(reason) = call(&phase, variant, &client) {
                eprintln!("{}: refused: {reason}", phase.line());
            }
            let told = tell(&folder, &phase.line(), &mut known, show, json);
            trouble = trouble.take().or(told.err());
        }
        Ok(())
    })?;
    match trouble {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Runs this command again, with a folder to write to.
fn once_more() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(env::current_exe()?);
    let status = command
        .args(env::args_os().skip(1))
        .env(FOLDER, folder.path())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the run that CubeCL writes for ended with {status}").into()),
    }
}

fn call(phase: &Phase, variant: usize, client: &Client) -> Result<(), String> {
    let variant = &phase.variants[variant];
    let mut contender = variant.contender(client, &phase.inputs, &variant.name);
    let zeros = |input: &Input| vec![0.0; input.len()];
    contender.load(&phase.inputs.iter().map(zeros).collect::<Vec<_>>())?;
    contender.call().map(drop)
}

/// Prints the kernels that are new in `folder`.
fn tell(
    folder: &Path,
    call: &str,
    known: &mut BTreeSet<PathBuf>,
    show: bool,
    json: bool,
) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        let Ok(text) = fs::read_to_string(path.join(FILE)) else {
            continue;
        };
        if !known.insert(path.clone()) {
            continue;
        }
        let kernel = path.file_name().unwrap_or_default().to_string_lossy();
        let lowered = Lowered::of(&text);
        if show {
            println!("; {call}: {kernel}\n{text}");
        } else if json {
            let kernel = &kernel;
            println!(
                "{}",
                serde_json::to_string(&Line {
                    call,
                    kernel,
                    lowered
                })?
            );
        } else {
            let Lowered {
                instructions,
                fma,
                loads,
                stores,
            } = lowered;
            println!("| {call} | `{kernel}` | {instructions} | {fma} | {loads} | {stores} |");
        }
    }
    Ok(())
}

impl Lowered {
    fn of(text: &str) -> Self {
        let mut it = Self::default();
        let (mut loads, mut stores) = (Vec::new(), Vec::new());
        // Instructions are indented; so are the cases of a switch, in brackets' company.
        for line in text
            .lines()
            .filter(|line| line.starts_with("  ") && !line.trim_start().starts_with([']', 'i']))
        {
            it.instructions += 1;
            let code = line
                .split_once(" = ")
                .map_or(line.trim_start(), |(_, code)| code);
            it.fma += usize::from(code.contains("@llvm.fma.") || code.contains("@llvm.fmuladd."));
            if let Some(of) = code.strip_prefix("load ") {
                loads.extend(bits(of));
            } else if let Some(of) = code.strip_prefix("store ") {
                stores.extend(bits(of));
            }
        }
        (it.loads, it.stores) = (widths(loads), widths(stores));
        it
    }
}

/// Bits of a floating-point type, or of a vector of one, that a text begins with.
fn bits(text: &str) -> Option<usize> {
    let element = |name: &str| match name {
        "half" | "bfloat" => Some(16),
        "float" => Some(32),
        "double" => Some(64),
        _ => None,
    };
    let Some(vector) = text.strip_prefix('<') else {
        return element(text.split([' ', ',']).next()?);
    };
    let (times, ty) = vector.split_once('>')?.0.split_once(" x ")?;
    Some(times.parse::<usize>().ok()? * element(ty)?)
}

fn widths(mut bits: Vec<usize>) -> String {
    bits.sort_unstable_by(|a, b| b.cmp(a));
    let words: Vec<String> = bits
        .chunk_by(|a, b| a == b)
        .map(|same| format!("{}x{}", same.len(), same[0]))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_read_of_llvms_language() {
        let text = "define void @k(ptr %0) {\nentry:\n  %1 = load <16 x float>, ptr %0, align 4\n  %2 = load ptr, ptr %0, align 8\n  \
            %3 = load float, ptr %2, align 4\n  %4 = tail call <16 x float> @llvm.fma.v16f32(<16 x float> %1, <16 x float> %1, <16 x float> %1)\n  \
            store <4 x double> %4, ptr %0, align 4\n  ret void\n}\n";
        let wanted = Lowered {
            instructions: 6,
            fma: 1,
            loads: "1x512 1x32".into(),
            stores: "1x256".into(),
        };
        assert_eq!(Lowered::of(text), wanted);
    }
}
