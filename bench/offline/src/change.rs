//! What a change did to the kernels' figures: two tables, call by call.

use crate::shape::{Row, Shape, Table};
use std::fmt;

/// A call whose figures are others than they were.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The call.
    pub row: String,
    /// Each figure that changed: its name, what it was, what it is.
    pub figures: Vec<(&'static str, f64, f64)>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.row)?;
        for (i, (name, was, is)) in self.figures.iter().enumerate() {
            let behind = if i == 0 { ":" } else { "," };
            write!(f, "{behind} {name} {was} -> {is}")?;
        }
        Ok(())
    }
}

/// The calls of both tables whose figures changed, in the order of `now`.
pub fn changes(before: &Table, now: &Table) -> Vec<Change> {
    let both = now
        .rows
        .iter()
        .filter_map(|row| Some((before.row(row)?, row)));
    both.filter_map(|(was, is)| {
        let figures = figures(was)
            .into_iter()
            .zip(figures(is))
            .filter(|(was, is)| was.1 != is.1)
            .map(|((name, was), (_, is))| (name, was, is))
            .collect::<Vec<_>>();
        (!figures.is_empty()).then(|| Change {
            row: is.name(),
            figures,
        })
    })
    .collect()
}

/// What a call comes to: sums over its launches, or the worst of them.
fn figures(row: &Row) -> [(&'static str, f64); 6] {
    let worst = |figure: fn(&Shape) -> f64| row.launches.iter().map(figure).fold(0.0, f64::max);
    let least = row
        .launches
        .iter()
        .flat_map(|shape| shape.built.values())
        .map(|built| f64::from(built.occupancy));
    [
        ("launches", row.launches.len() as f64),
        ("floor in us", (row.floor_us() * 100.0).round() / 100.0),
        ("lines for one", worst(Shape::scatter)),
        ("turns of banks", worst(|shape| shape.banks.unwrap_or(0.0))),
        ("bytes spilled", worst(|shape| f64::from(shape.spilled()))),
        ("least occupancy in %", least.fold(100.0, f64::min)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{shape, table};

    #[test]
    fn a_change_names_the_figures_that_moved_and_no_others() {
        let before = table(vec![shape("a"), shape("b")]);
        let mut now = before.clone();
        assert_eq!(changes(&before, &now), []);
        now.rows[0].launches[1].stores = Some(8.0);
        now.rows[0].launches[1].floor_us = 3.5;
        let said: Vec<String> = changes(&before, &now)
            .iter()
            .map(Change::to_string)
            .collect();
        assert_eq!(
            said,
            ["softmax/forward/4096 rows of 1000: floor in us 4 -> 5.5, lines for one 1 -> 8"]
        );
    }
}
