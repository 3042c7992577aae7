//! The loop that a unit spends most time in.

use super::instruction::{Instruction, Op, Space};
use super::program::Program;

impl Program {
    /// The instructions of the loop that most of `passes` went round in: passes over each instruction, in their order.
    pub(super) fn hot(&self, passes: &[u64]) -> Hot {
        let back = self.instructions.iter().enumerate();
        let mut loops: Vec<(usize, usize)> = back
            .filter(|(at, it)| it.op == Op::Branch && it.target <= *at)
            .map(|(at, it)| (it.target, at))
            .collect();
        // One loop may jump back from several places.
        loops.sort_unstable();
        loops.dedup_by(|later, first| {
            let same = later.0 == first.0;
            first.1 = if same { first.1.max(later.1) } else { first.1 };
            same
        });
        let holds = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 <= b.0 && b.1 <= a.1;
        let inner = loops
            .iter()
            .filter(|a| !loops.iter().any(|b| holds(a, b)))
            .copied();
        let went = |&(from, to): &(usize, usize)| passes[from..=to].iter().sum::<u64>();
        let whole = (0, self.instructions.len().saturating_sub(1));
        let (from, to) = inner.max_by_key(went).unwrap_or(whole);
        match self.instructions.get(from..=to) {
            Some(instructions) => Hot::of(instructions),
            None => Hot::default(),
        }
    }
}

/// What the innermost loop that a unit spends most time in is made of; the whole kernel where it has no loop.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// Instructions.
    pub instructions: u32,
    /// Multiply-adds in floating point.
    pub fma: u32,
    /// Exponentials, logarithms, reciprocals, roots.
    pub special: u32,
    /// Loads from global memory by bits, as `4x128 2x32`.
    pub loads: String,
    /// Stores to global memory.
    pub stores: String,
    /// Loads from shared memory.
    pub shared: String,
}

impl Hot {
    fn of(instructions: &[Instruction]) -> Self {
        let count = |is: fn(&Instruction) -> bool| instructions.iter().filter(|it| is(it)).count();
        let widths = |op: Op| {
            let mut of: Vec<(usize, usize)> = Vec::new();
            for it in instructions.iter().filter(|it| it.op == op) {
                let bits = it.bytes() * 8;
                match of.iter_mut().find(|(width, _)| *width == bits) {
                    Some((_, times)) => *times += 1,
                    None => of.push((bits, 1)),
                }
            }
            of.sort_unstable_by(|a, b| b.cmp(a));
            let words: Vec<String> = of
                .iter()
                .map(|(bits, times)| format!("{times}x{bits}"))
                .collect();
            words.join(" ")
        };
        Self {
            instructions: instructions.len() as u32,
            fma: count(|it| it.words[0] == "fma") as u32,
            special: count(|it| {
                matches!(
                    &*it.words[0],
                    "ex2" | "lg2" | "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "tanh"
                )
            }) as u32,
            loads: widths(Op::Load(Space::Global)),
            stores: widths(Op::Store(Space::Global)),
            shared: widths(Op::Load(Space::Shared)),
        }
    }
}
