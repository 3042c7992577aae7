use super::fused::Extents;
use cubecl::prelude::*;

/// A unit's scratch for the rows at hand, in vectors: for each temperature the lines that the gradient is made of, then the lines that
/// outlive a block only where a block is a row, then what is known of each segment, one lane a segment.
#[derive(CubeType, Clone, Copy)]
pub(super) struct ScratchLayout {
    base: usize,
    /// Vectors of a row, and of the part of it whose logits' distances are kept.
    line: usize,
    short_line: usize,
    /// Rows that are noted side by side.
    rows: usize,
    distances: usize,
    facts: usize,
    /// Facts and findings of one vector of segments.
    per_vector: usize,
}

/// Whose logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Network {
    Student,
    Teacher,
}

impl Network {
    /// Its target's logit.
    pub fn target(self) -> Fact {
        match self {
            Self::Student => Fact::StudentTarget,
            Self::Teacher => Fact::TeacherTarget,
        }
    }

    /// Its largest logit but the target's.
    pub fn max(self) -> Fact {
        match self {
            Self::Student => Fact::StudentMax,
            Self::Teacher => Fact::TeacherMax,
        }
    }

    /// Its sum of exponentials.
    pub fn sum(self) -> Finding {
        match self {
            Self::Student => Finding::StudentSum,
            Self::Teacher => Finding::TeacherSum,
        }
    }
}

/// What is known of a segment, whatever the temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// The target's logit in either network, and the largest of the others.
    StudentTarget,
    TeacherTarget,
    StudentMax,
    TeacherMax,
    /// The number of classes but the target.
    Counted,
    /// The gradient at the target, and what all others have in common.
    AtTarget,
    Even,
    /// Where what was fetched ahead ends, so that it is not left out for having no use.
    Fetched,
}

/// How many there are.
const FACTS: usize = Fact::Fetched as usize + 1;

/// What is found about a segment at each temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    /// The sums of exponentials, and of the student's distances to its maximum.
    StudentSum,
    TeacherSum,
    Distances,
    /// The teacher's sum over the student's, and its logarithm.
    Ratio,
    LogRatio,
    /// The divergence times the teacher's sum.
    Divergence,
    /// The gradient's factors of what is kept.
    Own,
    Apart,
}

/// How many there are.
const FINDINGS: usize = Finding::Apart as usize + 1;

#[cube]
impl ScratchLayout {
    /// Those of the unit at hand.
    ///
    /// `vectors` of segments are noted side by side.
    pub fn new(
        extents: &Extents,
        vectors: usize,
        #[comptime] temperatures: usize,
    ) -> ScratchLayout {
        let lines = comptime!(2 * temperatures).runtime() * extents.group * extents.line;
        let distances = extents.group * extents.short_line;
        let per_vector = comptime!(FACTS + FINDINGS * temperatures).runtime();
        let facts = vectors * per_vector;
        let base = ABSOLUTE_POS * (lines + distances + facts);
        ScratchLayout {
            base,
            line: extents.line,
            short_line: extents.short_line,
            rows: extents.group,
            distances: base + lines,
            facts: base + lines + distances,
            per_vector,
        }
    }

    /// Those of vector `v` of segments and of row `v`, as if they were the first.
    pub fn of(&self, v: usize) -> ScratchLayout {
        ScratchLayout {
            base: self.base + v * self.line,
            line: self.line,
            short_line: self.short_line,
            rows: self.rows,
            distances: self.distances + v * self.short_line,
            facts: self.facts + v * self.per_vector,
            per_vector: self.per_vector,
        }
    }

    /// The student's exponentials of row `row` of those side by side.
    pub fn student(&self, row: usize, #[comptime] t: usize) -> usize {
        self.base + (2 * t * self.rows + row) * self.line
    }

    /// The teacher's exponentials, later by how much the student's are larger, at the teacher's sum.
    pub fn teacher(&self, row: usize, #[comptime] t: usize) -> usize {
        self.base + ((2 * t + 1) * self.rows + row) * self.line
    }

    /// How much further a logit lies from its maximum in the teacher than in the student.
    pub fn distances(&self, row: usize) -> usize {
        self.distances + row * self.short_line
    }

    /// A fact about the segments of vector `v` of segments.
    pub fn fact(&self, v: usize, #[comptime] fact: Fact) -> usize {
        self.facts + v * self.per_vector + comptime!(fact as usize)
    }

    /// A finding about the segments of vector `v` of segments, at temperature `t`.
    pub fn finding(&self, v: usize, #[comptime] t: usize, #[comptime] finding: Finding) -> usize {
        let behind = comptime!(FACTS + t * FINDINGS + finding as usize);
        self.facts + v * self.per_vector + behind
    }
}

/// Vectors of the scratch of one unit.
pub(super) fn scratch_len(
    temperatures: usize,
    [group, line, short_line]: [usize; 3],
    vectors_of_segments: usize,
) -> usize {
    group * (2 * temperatures * line + short_line)
        + vectors_of_segments * (FACTS + FINDINGS * temperatures)
}
