//! A table as a page to publish: what the columns mean, where each finding of the first look stands, the cards' limits, every launch.

mod findings;

use crate::card::{CARDS, Card};
use crate::gate::{FLOOR, LINES, SMALL, SPILL};
use crate::shape::{Built, Row, Shape, Table};
use std::fmt::Write;

/// What stands in an empty cell.
const NONE: &str = "-";

/// The page of a table, as Markdown.
pub fn markdown(table: &Table) -> String {
    let mut page = String::new();
    let card = Card::of(&table.target);
    let name = card.map_or(&*table.target, |card| card.name);
    let with = match &table.ptxas {
        Some(release) => format!("`ptxas` {release}"),
        None => "no `ptxas`, hence no registers".into(),
    };
    let launches: usize = table.rows.iter().map(|row| row.launches.len()).sum();
    let _ = writeln!(
        page,
        "# The kernels on a GPU that is not there\n\n\
         Every problem of [the bench](../bench.md)'s catalogue as an {name} would be asked to run it: {} calls, {launches} launches, \
         compiled by CubeCL for `sm_90` and `sm_80`, assembled by {with}. Nothing here is a time that was measured. The bench's `naive` kernels are left out.\n\n\
         ```text\n\
         cargo xtask bench inspect --write                                          # writes this page and gpu-shape.json beside it\n\
         cargo xtask bench inspect --check                                          # what became worse; a step of `cargo xtask ci`\n\
         cargo xtask bench inspect depthwise/forward --target sm_80 --show ptx      # one operation, on another card\n\
         ```\n",
        table.rows.len(),
    );
    page += COLUMNS;
    page += "\n## Where the first findings stand\n\n";
    page += &findings::markdown(table);
    page += "\n## What a multiprocessor has room for\n\n";
    page += &cards();
    page += "\n## All launches\n\n";
    page += &launches_of(table);
    page
}

const COLUMNS: &str = "\
## What the columns mean

- **cubes x units (busy)**: the grid, and how many units of the cube in its middle touch global memory at all.
- **waves**: how often the cubes fill the card. Below 1, multiprocessors are idle.
- **regs, occ**: registers of a unit; the warps that a multiprocessor holds, in percent of those it has room for, and what stops another cube. `sm_90; sm_80`.
- **spill**: bytes that a unit stores and loads again because registers ran out. Up to 16 are `ptxas` preferring a step of occupancy.
- **loop**: PTX instructions of the innermost loop that a unit spends most time in, multiply-adds among them, loads from global memory as times x bits.
- **lines**: lines of 128 bytes that the requests of a warp touch, over those that the same bytes side by side would: loads / stores. 1 is ideal, 32 the worst.
- **banks**: turns that the banks of shared memory take over those without conflicts.
- **steps**: PTX instructions of a unit.
- **floor**: the time in us of these at one a cycle and scheduler, waiting for nothing. **bytes / fma**: the time of the call's bytes at the card's bandwidth, and of its
  multiply-adds at its peak in f32. The real time lies above all three.

The figures come from walking the PTX of one cube, in the middle of the grid, on zeros. Latency, caches and launches are out of sight; what hangs
on data takes one side; lanes are lined up by how often they came past an instruction.
";

fn cards() -> String {
    let mut text = String::from(
        "| card | target | multiprocessors | warps | cubes | registers | shared memory, of a cube | clock | bandwidth |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for card in CARDS {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {} | {} | {} KB, {} KB | {:.2} GHz | {} GB/s |",
            card.name,
            card.target,
            card.multiprocessors,
            card.warps,
            card.cubes,
            Card::REGISTERS,
            card.shared >> 10,
            card.shared_of_cube >> 10,
            card.ghz,
            card.gb_s,
        );
    }
    text
}

/// The lines of a table, as `inspect` prints them too.
pub fn launches_of(table: &Table) -> String {
    let mut text = String::from(
        "| call | kernel | cubes x units (busy) | waves | regs, occ | spill | shared | loop | lines | banks | steps | floor | bytes / fma |\n\
         |---|---|---:|---:|---|---|---:|---|---|---:|---:|---:|---:|\n",
    );
    let card = Card::of(&table.target);
    for row in &table.rows {
        let bytes = card.map_or(NONE.into(), |card| {
            let (bytes, macs) = (card.bytes_us(row.bytes), card.macs_us(row.macs));
            format!("{bytes:.1} / {macs:.1}")
        });
        if let Some(reason) = &row.refused {
            let _ = writeln!(
                text,
                "| {} | refused: {reason} |||||||||||{bytes} |",
                row.name()
            );
        }
        let mut last = String::new();
        for (i, shape) in row.launches.iter().enumerate() {
            let cells = cells(shape, &table.target);
            // Launches in a row that look alike are one line.
            if cells == last {
                continue;
            }
            let call = if i == 0 { row.name() } else { String::new() };
            let bytes = if i == 0 { &bytes } else { "" };
            let _ = writeln!(text, "| {call} | {cells} | {bytes} |");
            last = cells;
        }
    }
    text
}

fn cells(shape: &Shape, target: &str) -> String {
    let ratio = |value: Option<f64>| value.map_or(NONE.into(), |value| format!("{value:.1}"));
    let built = |cell: fn(&Built) -> String| {
        let cells: Vec<String> = shape.built.values().rev().map(cell).collect();
        if cells.is_empty() {
            NONE.into()
        } else {
            cells.join("; ")
        }
    };
    let waves = shape
        .built
        .get(target)
        .map(|built| format!("{:.2}", built.waves));
    let spilled = if shape.spilled() > 0 {
        built(|built| format!("{}/{}", built.usage.spill_stores, built.usage.spill_loads))
    } else {
        "0".into()
    };
    let mut kernel = format!("`{}`", shape.kernel);
    for (target, reason) in &shape.failed {
        let first = reason.lines().next().unwrap_or("");
        let _ = write!(
            kernel,
            ", **not for {target}**: {}",
            first.replace('|', "/")
        );
    }
    if let Some(unknown) = &shape.unknown {
        let _ = write!(kernel, " (not walked: `{unknown}`)");
    }
    let hot = &shape.hot;
    let loads = if hot.loads.is_empty() {
        NONE
    } else {
        &hot.loads
    };
    [
        kernel,
        format!("{} x {} ({})", shape.cubes, shape.units, shape.busy),
        waves.unwrap_or_else(|| NONE.into()),
        built(|built| {
            format!(
                "{}, {} % ({})",
                built.usage.registers,
                built.occupancy,
                format!("{:?}", built.limit).to_lowercase()
            )
        }),
        spilled,
        shape.shared.to_string(),
        format!("{}, {} fma, {loads}", hot.instructions, hot.fma),
        format!("{} / {}", ratio(shape.loads), ratio(shape.stores)),
        ratio(shape.banks),
        shape.steps.to_string(),
        format!("{:.1}", shape.floor_us),
    ]
    .join(" | ")
}

/// Whether a row misses one of the aims: its floor, its lines, its spills.
fn misses(row: &Row, card: &Card) -> bool {
    let slow = row.bytes > SMALL && row.floor_us() > FLOOR * row.bound_us(card);
    slow || row
        .launches
        .iter()
        .any(|shape| shape.scatter() > LINES || shape.spilled() > SPILL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{shape, table};

    #[test]
    fn a_page_has_a_line_for_every_launch_that_differs_from_the_one_before() {
        let mut other = shape("b");
        other.loads = Some(8.0);
        let text = launches_of(&table(vec![shape("a"), shape("a"), other]));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains("softmax/forward/4096 rows of 1000")
                && lines[0].contains("512 x 128 (128)"),
            "{text}"
        );
        assert!(lines[1].contains("8.0 / 1.0"), "{text}");
        let pipes = |line: &str| line.matches('|').count();
        assert!(
            lines
                .iter()
                .all(|line| pipes(line) == pipes(text.lines().next().unwrap_or(""))),
            "{text}"
        );
    }

    #[test]
    fn a_kernel_that_was_not_compiled_says_why() {
        let mut broken = shape("a");
        broken
            .failed
            .insert("sm_80".into(), "no libdevice\nmore".into());
        let page = markdown(&table(vec![broken]));
        assert!(page.contains("**not for sm_80**: no libdevice |"), "{page}");
    }
}
