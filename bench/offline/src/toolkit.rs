//! NVIDIA's own assembler and disassembler, where a CUDA toolkit is there: registers, spills, machine code.

use crate::card::Card;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, io};

/// Why a tool gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A file of its own cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not start.
    #[error("{} does not start: {source}", tool.display())]
    Start {
        /// The tool.
        tool: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It refuses its input.
    #[error("{} refuses it: {said}", tool.display())]
    Refused {
        /// The tool.
        tool: PathBuf,
        /// What it said.
        said: String,
    },
    /// The toolkit has no disassembler.
    #[error("there is no {}: `cargo xtask setup --ptxas` fetches one", tool.display())]
    NoDisassembler {
        /// Where it was looked for.
        tool: PathBuf,
    },
}

/// The tools of a CUDA toolkit.
#[derive(Clone, Debug)]
pub struct Toolkit {
    bin: PathBuf,
}

/// What a unit takes of a multiprocessor, as `ptxas -v` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Registers.
    pub registers: u32,
    /// Bytes stored because registers ran out.
    pub spill_stores: u32,
    /// Bytes loaded again.
    pub spill_loads: u32,
}

impl Toolkit {
    /// That under the folder of the environment variable `CUDA_PATH`, where CubeCL looks for libdevice too; none without a `ptxas` there.
    pub fn find() -> Option<Self> {
        Self::under(Path::new(&env::var_os("CUDA_PATH")?))
    }

    /// That under `folder`.
    pub fn under(folder: &Path) -> Option<Self> {
        let bin = folder.join("bin");
        bin.join("ptxas").is_file().then_some(Self { bin })
    }

    /// The assembler's release: `12.9.86`.
    ///
    /// # Errors
    /// It does not start.
    pub fn version(&self) -> Result<String, ToolError> {
        let output = run(Command::new(self.bin.join("ptxas")).arg("--version"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let release = text.rsplit_once(", V").map(|(_, rest)| rest.lines().next());
        Ok(release.flatten().unwrap_or("unknown").trim().to_string())
    }

    /// What `card` needs of `ptx`.
    ///
    /// # Errors
    /// In this order: a temporary file cannot be written; `ptxas` does not start; it refuses the text.
    pub fn assemble(&self, ptx: &str, card: &Card) -> Result<Usage, ToolError> {
        self.assembled(ptx, card, |_, usage| Ok(usage))
    }

    /// The machine code of `ptx` on `card`.
    ///
    /// # Errors
    /// Those of [`Toolkit::assemble`], then: there is no disassembler, it does not start, it refuses the machine code.
    pub fn disassemble(&self, ptx: &str, card: &Card) -> Result<String, ToolError> {
        self.assembled(ptx, card, |cubin, _| {
            let tool = self.bin.join("nvdisasm");
            if !tool.is_file() {
                return Err(ToolError::NoDisassembler { tool });
            }
            let output = run(Command::new(tool).arg("-c").arg(cubin))?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
    }

    fn assembled<T>(
        &self,
        ptx: &str,
        card: &Card,
        then: impl FnOnce(&Path, Usage) -> Result<T, ToolError>,
    ) -> Result<T, ToolError> {
        let folder = tempfile::tempdir().map_err(|source| ToolError::File {
            path: env::temp_dir(),
            source,
        })?;
        let (text, cubin) = (
            folder.path().join("kernel.ptx"),
            folder.path().join("kernel.cubin"),
        );
        fs::write(&text, ptx).map_err(|source| ToolError::File {
            path: text.clone(),
            source,
        })?;
        let tool = self.bin.join("ptxas");
        let mut command = Command::new(&tool);
        command
            .arg(format!("-arch={}", card.arch()))
            .args(["-v", "-o"]);
        let output = run(command.arg(&cubin).arg(&text))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match usage(&said) {
            Some(usage) => then(&cubin, usage),
            None => Err(ToolError::Refused { tool, said }),
        }
    }
}

fn run(command: &mut Command) -> Result<Output, ToolError> {
    let tool = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| ToolError::Start {
        tool: tool.clone(),
        source,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(ToolError::Refused { tool, said })
}

/// What `ptxas -v` says of the entry point, which it names last: functions of libdevice that were inlined stand before it.
fn usage(said: &str) -> Option<Usage> {
    let number = |behind: &str| {
        let ahead = said[..said.rfind(behind)?].trim_end();
        let digits = ahead.rfind(|c: char| !c.is_ascii_digit());
        ahead[digits.map_or(0, |at| at + 1)..].parse().ok()
    };
    Some(Usage {
        registers: number(" registers")?,
        spill_stores: number(" bytes spill stores").unwrap_or(0),
        spill_loads: number(" bytes spill loads").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_and_spills_are_read_of_the_entry_point() {
        let said = "ptxas info    : Function properties for __nv_expf\n    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
            ptxas info    : Compiling entry function 'k' for 'sm_90a'\nptxas info    : Function properties for k\n    \
            24 bytes stack frame, 52 bytes spill stores, 36 bytes spill loads\nptxas info    : Used 168 registers, used 0 barriers\n";
        let wanted = Usage {
            registers: 168,
            spill_stores: 52,
            spill_loads: 36,
        };
        assert_eq!(usage(said), Some(wanted));
        assert_eq!(usage("ptxas fatal : nothing"), None);
    }

    #[test]
    fn a_folder_without_an_assembler_is_no_toolkit() {
        let folder = tempfile::tempdir().expect("a folder of the test's own");
        assert!(Toolkit::under(folder.path()).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn what_a_tool_says_against_its_input_is_told() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder of the test's own");
        let tool = folder.path().join("bin/ptxas");
        fs::create_dir_all(tool.parent().expect("it has one")).expect("it is writable");
        fs::write(
            &tool,
            "#!/bin/sh\necho 'line 3: no such register' >&2\nexit 255\n",
        )
        .expect("it is writable");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let toolkit = Toolkit::under(folder.path()).expect("there is an assembler");
        let card = Card::of("sm_80").expect("it is listed");
        let error = toolkit
            .assemble(".version 8.7", card)
            .expect_err("it is refused");
        assert!(error.to_string().contains("no such register"), "{error}");
    }
}
