//! What a change made worse: a table of now beside the one that is kept.
//!
//! A figure is at fault where it misses its aim and is worse than it was. So what is known to be bad may stay, what becomes worse may not,
//! and what is new must meet the aims or be written down, by renewing the table, for all to see.

use crate::card::Card;
use crate::shape::{Row, Shape, Table};
use std::fmt;

/// Bytes that a unit may spill: below, `ptxas` prefers a step of occupancy.
pub const SPILL: u32 = 16;
/// Lines that requests may touch over those needed.
pub const LINES: f64 = 1.25;
/// The floor of an operation's instructions over [`Row::bound_us`].
pub const FLOOR: f64 = 1.5;
/// Operations that move fewer bytes are launches more than work.
pub const SMALL: u64 = 1 << 20;
/// What figures may differ by without a reason: compilers take other ways.
const SLACK: f64 = 1.05;

/// One thing that became worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The problem.
    pub row: String,
    /// The kernel; none where it is the whole call.
    pub kernel: Option<String>,
    /// What about it.
    pub about: About,
}

/// What became worse.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// It became no PTX, or no machine code, for a target.
    NotCompiled(String, String),
    /// The operation refuses the problem, which it did not.
    Refused(String),
    /// It spills so many bytes a unit, after so many.
    Spills(u32, Option<u32>),
    /// Its requests touch so many lines for one, after so many.
    Scatters(f64, Option<f64>),
    /// Its instructions take so many us, after so many, beside those that bind it.
    Serialises(f64, Option<f64>, f64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.row)?;
        if let Some(kernel) = &self.kernel {
            write!(f, ", {kernel}")?;
        }
        let after = |was: Option<String>| was.map_or("is new".into(), |was| format!("was {was}"));
        match &self.about {
            About::NotCompiled(target, reason) => {
                write!(f, ": is not compiled for {target}: {reason}")
            }
            About::Refused(reason) => write!(f, ": is refused: {reason}"),
            About::Spills(now, was) => {
                let was = after(was.map(|was| was.to_string()));
                write!(
                    f,
                    ": spills {now} bytes a unit ({was}; {SPILL} are allowed)"
                )
            }
            About::Scatters(now, was) => {
                let was = after(was.map(|was| format!("{was:.2}")));
                write!(
                    f,
                    ": touches {now:.2} lines for one ({was}; {LINES} are allowed)"
                )
            }
            About::Serialises(now, was, bound) => {
                let was = after(was.map(|was| format!("{was:.1}")));
                write!(
                    f,
                    ": takes {now:.1} us of instructions ({was}), its bytes and multiply-adds {bound:.1} ({FLOOR} times as much is allowed)"
                )
            }
        }
    }
}

/// What `now` has that is worse than in `before`, on `card`.
pub fn faults(before: &Table, now: &Table, card: &Card) -> Vec<Fault> {
    let halves = now.halves.iter().flat_map(|halves| &halves.failed);
    let mut faults: Vec<Fault> = halves
        .map(|(kernel, reason)| Fault {
            row: "maps of 16 bits".into(),
            kernel: Some(kernel.clone()),
            about: About::NotCompiled(now.target.clone(), reason.clone()),
        })
        .collect();
    for row in &now.rows {
        let was = before.row(row);
        let mut add = |kernel: Option<&str>, about: About| {
            let fault = Fault {
                row: row.name(),
                kernel: kernel.map(String::from),
                about,
            };
            // A kernel that is launched several times is told once.
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        };
        if let Some(reason) = &row.refused
            && was.is_none_or(|was| was.refused.is_none())
        {
            add(None, About::Refused(reason.clone()));
        }
        for shape in &row.launches {
            for about in of_launch(shape, was) {
                add(Some(&shape.kernel), about);
            }
        }
        let (floor, bound) = (row.floor_us(), row.bound_us(card));
        let had = was.filter(|was| was.refused.is_none()).map(Row::floor_us);
        if row.bytes > SMALL && floor > FLOOR * bound && had.is_none_or(|had| floor > SLACK * had) {
            add(None, About::Serialises(floor, had, bound));
        }
    }
    faults
}

fn of_launch(shape: &Shape, was: Option<&Row>) -> Vec<About> {
    let mut found: Vec<About> = shape
        .failed
        .iter()
        .map(|(target, reason)| About::NotCompiled(target.clone(), reason.clone()))
        .collect();
    let same = || {
        was.into_iter()
            .flat_map(|was| &was.launches)
            .filter(|it| it.kernel == shape.kernel)
    };
    let spilled = same().map(Shape::spilled).max();
    if shape.spilled() > SPILL && spilled.is_none_or(|was| shape.spilled() > was) {
        found.push(About::Spills(shape.spilled(), spilled));
    }
    let scatter = same().map(Shape::scatter).reduce(f64::max);
    if shape.scatter() > LINES && scatter.is_none_or(|was| shape.scatter() > SLACK * was) {
        found.push(About::Scatters(shape.scatter(), scatter));
    }
    found
}

/// The rows whose figures are not those of the table, whichever way: how many a renewal would change.
pub fn stale(before: &Table, now: &Table) -> usize {
    now.rows
        .iter()
        .filter(|row| before.row(row) != Some(row))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{shape, table};

    fn card() -> &'static Card {
        Card::of("sm_90").expect("it is listed")
    }

    /// What is said of a table of one launch after it was changed.
    fn said(change: impl Fn(&mut Shape)) -> Vec<About> {
        let before = table(vec![shape("team::softmax")]);
        let mut now = before.clone();
        change(&mut now.rows[0].launches[0]);
        faults(&before, &now, card())
            .into_iter()
            .map(|fault| fault.about)
            .collect()
    }

    fn spilling(shape: &mut Shape, bytes: u32) {
        for built in shape.built.values_mut() {
            built.usage.spill_stores = bytes;
        }
    }

    #[test]
    fn what_did_not_change_is_no_fault_however_bad_it_is() {
        let mut bad = shape("a");
        spilling(&mut bad, 500);
        (bad.loads, bad.stores, bad.floor_us) = (Some(8.0), Some(32.0), 3000.0);
        let table = table(vec![bad]);
        assert_eq!(faults(&table, &table, card()), []);
        assert_eq!(stale(&table, &table), 0);
    }

    #[test]
    fn a_kernel_that_spills_scatters_or_serialises_anew_is_a_fault() {
        assert_eq!(
            said(|shape| spilling(shape, 64)),
            [About::Spills(64, Some(0))]
        );
        assert_eq!(
            said(|shape| shape.loads = Some(8.0)),
            [About::Scatters(8.0, Some(1.0))]
        );
        assert_eq!(
            said(|shape| shape.stores = Some(1.5)),
            [About::Scatters(1.5, Some(1.0))]
        );
        assert!(matches!(
            said(|shape| shape.floor_us = 50.0)[..],
            [About::Serialises(..)]
        ));
        let failed = said(|shape| drop(shape.failed.insert("sm_80".into(), "no".into())));
        assert_eq!(failed, [About::NotCompiled("sm_80".into(), "no".into())]);
    }

    #[test]
    fn what_stays_within_its_aim_may_become_worse() {
        assert_eq!(said(|shape| spilling(shape, SPILL)), []);
        assert_eq!(said(|shape| shape.loads = Some(LINES)), []);
        // 32 MB take 10 us.
        assert_eq!(said(|shape| shape.floor_us = 14.0), []);
    }

    #[test]
    fn a_kernel_or_a_problem_that_the_table_does_not_have_must_meet_the_aims() {
        let before = table(vec![shape("a")]);
        let mut now = before.clone();
        let mut other = shape("b");
        other.stores = Some(8.0);
        now.rows[0].launches.push(other);
        let found = faults(&before, &now, card());
        assert_eq!(found[0].about, About::Scatters(8.0, None));
        assert_eq!(
            found[0].to_string(),
            "softmax/forward/4096 rows of 1000, b: touches 8.00 lines for one (is new; 1.25 are allowed)"
        );
        now.rows[0].case = "another".into();
        assert_eq!(faults(&before, &now, card()).len(), 1);
        assert_eq!(stale(&before, &now), 1);
    }

    #[test]
    fn a_problem_that_is_refused_anew_is_a_fault() {
        let before = table(vec![shape("a")]);
        let mut now = table(Vec::new());
        now.rows[0].refused = Some("too large".into());
        assert!(matches!(
            faults(&before, &now, card())[..],
            [Fault {
                about: About::Refused(_),
                ..
            }]
        ));
        assert_eq!(faults(&now, &now, card()), []);
    }

    #[test]
    fn a_kernel_that_maps_of_16_bits_stop_is_a_fault() {
        let before = table(vec![shape("a")]);
        let mut now = before.clone();
        now.halves
            .get_or_insert_default()
            .failed
            .insert("a".into(), "no".into());
        let said = faults(&before, &now, card())[0].to_string();
        assert_eq!(said, "maps of 16 bits, a: is not compiled for sm_90: no");
    }

    #[test]
    fn a_table_without_registers_lets_spills_pass_and_nothing_else() {
        let mut now = table(vec![shape("a")]);
        now.rows[0].launches[0].built.clear();
        now.rows[0].launches[0].loads = Some(8.0);
        let before = table(vec![shape("a")]);
        assert_eq!(faults(&before, &now, card()).len(), 1);
    }
}
