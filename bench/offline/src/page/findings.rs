//! What the first look at the kernels found, at commit 36fd1c4, and what has become of it: the figures are the table's, the reasons are
//! written by hand.

use super::misses;
use crate::card::Card;
use crate::shape::{Row, Table};
use std::fmt::Write;

/// Something that was wrong with kernels of a kind.
struct Finding {
    /// What.
    title: &'static str,
    /// What the first look said.
    was: &'static str,
    /// The problems: beginnings of `op/phase`.
    rows: &'static [&'static str],
    /// Why it is as it is, or what would help.
    reason: &'static str,
}

const FINDINGS: [Finding; 11] = [
    Finding {
        title: "flip alignment",
        was: "1 cube, 32 units at work; floor 3,087 us for 12 us of bytes; 8 lines for one",
        rows: &["flip_align/"],
        reason: "maps of 2x2 are one orbit of the transforms: 64 cubes do four or five short launches one after the other. The eight vectors that wait for their partners take 72 to 128 registers: 25 to 43 % occupancy, with 16 loads of 128 bits on their way for each unit",
    },
    Finding {
        title: "batch norm, train: moments, sums of the gradient, normalising",
        was: "1 cube, 64 units, whatever the map: 733 us backward, 311 us forward for 15 and 8 us; 7 to 8 lines for one",
        rows: &["batch_norm_relu/"],
        reason: "a cube owns a run of pixels and a slice of the channels. Small maps are less than two waves: with fewer than 8 pixels a unit the partial sums would be traffic that shows. Merging hundreds of runs of few channels is work for a few cubes (43 %)",
    },
    Finding {
        title: "layer norm and group norm, gradient",
        was: "4 to 8 cubes: 444 us for 35 us of bytes",
        rows: &["layer_norm/backward", "group_norm/backward"],
        reason: "a cube of teams owns a run of rows and keeps its sums in registers; an image is shared by cubes, which read `x` and `grad` twice. Half a wave to a wave: more partial sums would be a tenth of the traffic again",
    },
    Finding {
        title: "grouped convolution, weight gradient",
        was: "512 cubes of 32 units: 444 us for 31 us; 7.1 lines for one, bank conflicts 2.0",
        rows: &["grouped/grad_weight"],
        reason: "a unit has a vector of channels of a group, neighbours have neighbours. With 8 and more a group the units of one read the same inputs, so that a request has few distinct bytes, one stretch a group",
    },
    Finding {
        title: "grouped convolution, forward and input gradient",
        was: "165 us for 31 us; stores 8 lines for one",
        rows: &["grouped/forward", "grouped/grad_input"],
        reason: "about half of the instructions find addresses; the walked cube begins at the first row of an image, so it asks for borders, which most cubes do not",
    },
    Finding {
        title: "depthwise convolution, weight gradient",
        was: "8 to 12 cubes: 144 to 169 us for 12 to 31 us; 227 registers, 12 % occupancy",
        rows: &["depthwise/grad_weight"],
        reason: "3x3 to 5x5 are within the aim. From 7x7 on six in ten instructions are multiply-adds, and sums, gradients and loads on their way take 80 to 128 registers (37 to 23 %). Pixels that are no whole lines cost up to 1.7 lines for one, channel multipliers 2 to 3.5",
    },
    Finding {
        title: "gate, add_relu",
        was: "7 cubes: 20 to 34 us for 14 to 22 us; 7 to 8 lines for one",
        rows: &["gate/", "add_relu/"],
        reason: "a unit owns a vector of channels of up to 32 pixels, neighbours own neighbours",
    },
    Finding {
        title: "pools, resizing",
        was: "7 to 8 lines for one throughout",
        rows: &[
            "max_pool/",
            "average_pool/",
            "adaptive_average/",
            "bilinear/",
        ],
        reason: "a unit owns a vector of a pixel. Pixels of 36 channels begin off lines of memory; the gradient to 3x3 bins divides for every bin over a pixel",
    },
    Finding {
        title: "dense convolution and matrix product",
        was: "34 TFLOP/s at best: no tensor cores, no double buffer, scalar loads of `a`",
        rows: &["dense/", "batched/"],
        reason: "no tensor cores yet. 64 sums a unit take 142 registers, so that sums that wait for nobody hide latency, not warps (1.25 to 1.4 times the multiply-adds); 16 columns or fewer pay as much for bringing as for multiplying; few images are few cubes, as parts are chosen as for 16 images, whose bits then do not hang on the batch",
    },
    Finding {
        title: "depthwise convolution, forward and input gradient",
        was: "5x5 and 7x7: 154 to 168 registers, 18 % occupancy, spills of up to 64 bytes",
        rows: &["depthwise/forward", "depthwise/grad_input"],
        reason: "one row of four outputs a unit, 64 to 89 registers up to 7x7. Two outputs would reach 50 %, and a 7x7 would keep the first-level cache busy three times as long as memory; longer kernels hold their taps in registers (18 to 25 %)",
    },
    Finding {
        title: "losses, softmax, layer norm forward, optimizers, activations",
        was: "good as they were: 1.0 lines for one",
        rows: &[
            "dkd/",
            "kd/",
            "distill/",
            "dual_teacher/",
            "cosine/",
            "softmax/",
            "layer_norm/forward",
            "group_norm/forward",
            "adamw/",
            "activation/",
            "dropout/",
        ],
        reason: "few long rows are few cubes, as a team shares no row with another; a row's exponentials are taken twice, and reductions cost short rows as much as long ones; odd lengths of rows leave vectors of one or two elements",
    },
];

pub(super) fn markdown(table: &Table) -> String {
    let mut text = String::from(
        "Calls of the catalogue of more than 1 MB; *worst* is the one whose floor is most times what binds it, bytes or multiply-adds. A call misses where its floor is above 1.5 times that, its \
         lines are above 1.25 for one, or a unit spills more than 16 bytes.\n\n\
         | what | the first look, at 36fd1c4 | calls that miss | worst: floor / bound, us | its launch | lines | why it is so |\n|---|---|---:|---:|---|---:|---|\n",
    );
    let Some(card) = Card::of(&table.target) else {
        return text;
    };
    for finding in FINDINGS {
        let rows: Vec<&Row> = table.rows.iter().filter(|row| finding.has(row)).collect();
        let ratio = |row: &&Row| row.floor_us() / row.bound_us(card);
        let Some(worst) = rows
            .iter()
            .copied()
            .max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
        else {
            continue;
        };
        let missing = rows.iter().filter(|row| misses(row, card)).count();
        let longest = worst
            .launches
            .iter()
            .max_by(|a, b| a.floor_us.total_cmp(&b.floor_us));
        let launch = longest.map_or("-".into(), |it| {
            format!("`{}`, {} x {} ({})", it.kernel, it.cubes, it.units, it.busy)
        });
        let _ = writeln!(
            text,
            "| {} | {} | {missing} of {} | {:.1} / {:.1} in {} | {launch} | {:.1} | {} |",
            finding.title,
            finding.was,
            rows.len(),
            worst.floor_us(),
            worst.bound_us(card),
            worst.name(),
            longest.map_or(1.0, |it| it.scatter()),
            finding.reason,
        );
    }
    text + &halves(table)
}

/// A line on maps of 16 bits, which the table has no rows of.
fn halves(table: &Table) -> String {
    let Some(halves) = &table.halves else {
        return String::new();
    };
    let launches: usize = halves.widest.values().sum();
    let widths: Vec<String> = halves
        .widest
        .iter()
        .map(|(bits, times)| format!("{bits} bits in {times}"))
        .collect();
    let refused = match halves.refused {
        0 => String::new(),
        calls => format!(" {calls} calls refuse them: what is small must keep its digits."),
    };
    format!(
        "\n**Maps of 16 bits.** The first look found no load of more than 64 bits. Today the widest load of a launch's kernel is {} of {launches}.{refused} `launch::widest` stops at four \
         elements, whatever their size, so that a problem is walked as the same one in 32 bits.\n",
        widths.join(", "),
    )
}

impl Finding {
    fn has(&self, row: &Row) -> bool {
        let name = row.name();
        let is = |beginning: &&str| name.starts_with(*beginning);
        row.variant == "ours"
            && row.bytes > crate::gate::SMALL
            && row.refused.is_none()
            && self.rows.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{shape, table};

    #[test]
    fn maps_of_16_bits_have_a_line() {
        let mut table = table(vec![shape("a")]);
        assert_eq!(halves(&table), "");
        let halves = table.halves.get_or_insert_default();
        halves.widest = [(64, 3), (128, 1)].into();
        let text = super::halves(&table);
        assert!(text.contains("64 bits in 3, 128 bits in 1 of 4."), "{text}");
    }

    #[test]
    fn a_finding_counts_the_calls_that_miss_and_shows_the_worst() {
        let mut table = table(vec![shape("softmax_by_teams")]);
        let mut slow = table.rows[0].clone();
        slow.case = "16384x49".into();
        slow.launches[0].floor_us = 500.0;
        table.rows.push(slow);
        let text = markdown(&table);
        let line = text
            .lines()
            .find(|line| line.contains("softmax"))
            .expect("there is one for it");
        assert!(
            line.contains("| 1 of 2 | 500.0 / 10.0 in softmax/forward/16384x49 |"),
            "{line}"
        );
        assert!(
            !text.contains("flip alignment"),
            "nothing of it is in the table: {text}"
        );
    }
}
