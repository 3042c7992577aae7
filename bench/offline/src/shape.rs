//! The figures of launches, and the table that they are kept in.

use crate::card::Card;
use crate::occupancy::{Limit, Occupancy};
use crate::ptx::{Geometry, Hot, Walk};
use crate::toolkit::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The version of the table's format; a file of another one is refused.
pub const FORMAT: u32 = 1;

/// Why a table cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its file holds something else.
    #[error("{}: {reason}; `cargo xtask bench inspect --write` writes it anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What kernels become, problem by problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// [`FORMAT`].
    pub format: u32,
    /// The architecture whose card sees the launches, and whose figures have no other name with them.
    pub target: String,
    /// The release of `ptxas`; none where there was none, and registers are out of sight.
    pub ptxas: Option<String>,
    /// What the same problems come to on maps of 16 bits; none where nobody looked.
    pub halves: Option<Halves>,
    /// The problems, in the order of the catalogue.
    pub rows: Vec<Row>,
}

/// What the problems come to on maps of 16 bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Halves {
    /// Launches by the widest load from global memory of their kernel, in bits.
    pub widest: BTreeMap<u32, usize>,
    /// Calls that the operation refuses.
    pub refused: usize,
    /// Kernels that became no PTX, with the reason.
    pub failed: BTreeMap<String, String>,
}

/// One variant of one phase of one problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The operation.
    pub op: String,
    /// The phase.
    pub phase: String,
    /// The problem.
    pub case: String,
    /// `ours`, or what else runs on the device: `naive`, `unfused`.
    pub variant: String,
    /// Bytes that a call reads and writes at least.
    pub bytes: u64,
    /// Its multiply-adds.
    pub macs: u64,
    /// Why there are no launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What a call launches, in order.
    pub launches: Vec<Shape>,
}

/// One launch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The kernel, without its crate.
    pub kernel: String,
    /// Its comptime choices; left out of the table that is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comptime: String,
    /// Cubes.
    pub cubes: u64,
    /// Units of a cube.
    pub units: u32,
    /// Units of a cube that have work.
    pub busy: u32,
    /// Bytes of shared memory of a cube.
    pub shared: usize,
    /// Instructions of a unit.
    pub steps: u64,
    /// The time in us that these take at least, see [`Card::floor_us`].
    pub floor_us: f64,
    /// Lines that loads touch over those needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads: Option<f64>,
    /// Lines that stores touch over those needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stores: Option<f64>,
    /// Turns of shared memory's banks over those needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banks: Option<f64>,
    /// The innermost loop that a unit spends most time in.
    pub hot: Hot,
    /// What the walk does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// By target: what a multiprocessor holds of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub built: BTreeMap<String, Built>,
    /// By target: why it became no PTX, or no machine code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
}

/// What a multiprocessor holds of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// Registers and spills.
    pub usage: Usage,
    /// Warps over those that there is room for, in percent.
    pub occupancy: u32,
    /// What stops another cube.
    pub limit: Limit,
    /// How often the cubes fill the card.
    pub waves: f64,
}

impl Built {
    /// Of a launch whose cubes take `shared` bytes of shared memory.
    pub fn of(card: &Card, usage: Usage, shared: usize, geometry: &Geometry) -> Self {
        let occupancy = Occupancy::of(card, usage.registers, shared, geometry.units());
        Self {
            usage,
            occupancy: occupancy.percent,
            limit: occupancy.limit,
            waves: rounded(occupancy.waves(card, geometry.count())),
        }
    }
}

impl Shape {
    /// Of a launch of the kernel at the path `kernel` that was walked, as `card` would run it.
    pub fn of(
        kernel: &str,
        comptime: &str,
        shared: usize,
        geometry: &Geometry,
        walk: &Walk,
        card: &Card,
    ) -> Self {
        let warps = geometry.count() * u64::from(geometry.units().div_ceil(crate::WARP));
        Self {
            kernel: name(kernel).into(),
            comptime: comptime.into(),
            cubes: geometry.count(),
            units: geometry.units(),
            busy: walk.busy,
            shared,
            steps: walk.steps,
            floor_us: rounded(card.floor_us(warps, walk.steps)),
            loads: walk.loads.map(rounded),
            stores: walk.stores.map(rounded),
            banks: walk.banks.map(rounded),
            hot: walk.hot.clone(),
            unknown: walk.unknown.clone(),
            built: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// The widest loads and the narrowest share of lines are one number for whoever compares: the worse of loads and stores.
    pub fn scatter(&self) -> f64 {
        self.loads.unwrap_or(1.0).max(self.stores.unwrap_or(1.0))
    }

    /// Bytes spilled on the target where most are.
    pub fn spilled(&self) -> u32 {
        let each = self
            .built
            .values()
            .map(|built| built.usage.spill_stores.max(built.usage.spill_loads));
        each.max().unwrap_or(0)
    }
}

impl Row {
    /// `op/phase/case`, with the variant behind it where it is not ours.
    pub fn name(&self) -> String {
        let name = format!("{}/{}/{}", self.op, self.phase, self.case);
        match &*self.variant {
            "ours" => name,
            variant => format!("{name} ({variant})"),
        }
    }

    /// The time in us that a call takes on `card` at best: that of its bytes, or of its multiply-adds where these take longer.
    pub fn bound_us(&self, card: &Card) -> f64 {
        card.bytes_us(self.bytes).max(card.macs_us(self.macs))
    }

    /// The least time in us of all launches, one after the other.
    pub fn floor_us(&self) -> f64 {
        self.launches.iter().map(|shape| shape.floor_us).sum()
    }
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let text = fs::read_to_string(path).map_err(|source| TableError::File {
            path: path.into(),
            source,
        })?;
        let content = |reason: String| TableError::Content {
            path: path.into(),
            reason,
        };
        let table: Self =
            serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        match table.format {
            FORMAT => Ok(table),
            other => Err(content(format!("its format is {other}, not {FORMAT}"))),
        }
    }

    /// Writes it, one launch a line, so that a change of one shows as one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        let file = |source| TableError::File {
            path: path.into(),
            source,
        };
        fs::write(path, self.text().map_err(|error| file(error.into()))?).map_err(file)
    }

    fn text(&self) -> Result<String, serde_json::Error> {
        let head = serde_json::json!([self.format, self.target, self.ptxas, self.halves]);
        let mut text = format!(
            "{{\"format\":{},\"target\":{},\"ptxas\":{},\"halves\":{},\"rows\":[",
            head[0], head[1], head[2], head[3]
        );
        for (i, row) in self.rows.iter().enumerate() {
            let bare = Row {
                launches: Vec::new(),
                ..row.clone()
            };
            let bare = serde_json::to_string(&bare)?;
            // The list of launches is the last field.
            text += if i == 0 { "\n" } else { ",\n" };
            text += bare.strip_suffix("]}").unwrap_or(&bare);
            for (j, shape) in row.launches.iter().enumerate() {
                text += if j == 0 { "\n  " } else { ",\n  " };
                text += &serde_json::to_string(shape)?;
            }
            text += "]}";
        }
        Ok(text + "\n]}\n")
    }

    /// The row of the same problem, phase and variant as `row`.
    pub fn row(&self, row: &Row) -> Option<&Row> {
        let name = row.name();
        self.rows.iter().find(|it| it.name() == name)
    }
}

/// A kernel's path without its crate, and without the type that CubeCL makes of its name.
pub fn name(path: &str) -> &str {
    let path = path.rsplit_once("::").map_or(path, |(path, _)| path);
    path.strip_prefix("ghostlight_kernels::").unwrap_or(path)
}

/// To two digits behind the point: more would change without a reason.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shape(kernel: &str) -> Shape {
        let usage = Usage {
            registers: 40,
            ..Usage::default()
        };
        let built = Built {
            usage,
            occupancy: 75,
            limit: Limit::Registers,
            waves: 2.0,
        };
        Shape {
            kernel: kernel.into(),
            cubes: 512,
            units: 128,
            busy: 128,
            steps: 100,
            floor_us: 2.0,
            loads: Some(1.0),
            stores: Some(1.0),
            built: [("sm_90".to_string(), built)].into(),
            ..Shape::default()
        }
    }

    pub(crate) fn table(launches: Vec<Shape>) -> Table {
        Table {
            format: FORMAT,
            target: "sm_90".into(),
            ptxas: Some("12.9.86".into()),
            halves: None,
            rows: vec![Row {
                op: "softmax".into(),
                phase: "forward".into(),
                case: "4096 rows of 1000".into(),
                variant: "ours".into(),
                bytes: 32 << 20,
                macs: 1 << 20,
                refused: None,
                launches,
            }],
        }
    }

    #[test]
    fn a_kernel_is_called_as_in_its_crate() {
        assert_eq!(
            name("ghostlight_kernels::norm::softmax::team::softmax_by_teams::SoftmaxByTeams"),
            "norm::softmax::team::softmax_by_teams"
        );
        assert_eq!(name("double"), "double");
    }

    #[test]
    fn a_call_is_bound_by_its_bytes_or_by_its_multiply_adds() {
        let card = Card::of("sm_90").expect("it is listed");
        let mut row = table(Vec::new()).rows.remove(0);
        assert_eq!(row.bound_us(card), card.bytes_us(row.bytes));
        row.macs = 1 << 40;
        assert_eq!(row.bound_us(card), card.macs_us(1 << 40));
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder of the test's own");
        let path = folder.path().join("table.json");
        let mut table = table(vec![shape("a"), shape("b")]);
        table.halves = Some(Halves {
            widest: [(64, 2)].into(),
            ..Halves::default()
        });
        table.rows.push(Row {
            refused: Some("no \"room\"".into()),
            ..table.rows[0].clone()
        });
        table.rows[1].launches.clear();
        table.write(&path).expect("it is writable");
        assert_eq!(Table::read(&path).expect("it is a table"), table);
        let lines = fs::read_to_string(&path)
            .expect("it is there")
            .lines()
            .count();
        assert_eq!(lines, 1 + 3 + 1 + 1, "one launch a line");
        table.format = 0;
        table.write(&path).expect("it is writable");
        let error = Table::read(&path).expect_err("another format");
        assert!(error.to_string().contains("format is 0"), "{error}");
    }
}
