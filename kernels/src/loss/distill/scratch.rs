use super::blueprint::Extents;
use crate::planted;
use cubecl::prelude::*;

/// A unit's scratch for the rows at hand, in vectors: for each pair of softmaxes the lines that the gradient is made of, then for each
/// teacher the line that outlives a block only where a block is a row, then what is known of each segment, one lane a segment.
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
    #[cube(comptime)]
    contents: Contents,
}

/// How many pairs of softmaxes and teachers a scratch has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contents {
    pub pairs: usize,
    pub teachers: usize,
}

impl Contents {
    /// Facts and findings of one vector of segments.
    fn per_vector(self) -> usize {
        FACTS + FACTS_OF_NETWORK * (1 + self.teachers) + FINDINGS * self.pairs
    }

    /// Where the findings of pair `t` begin.
    fn findings(self, t: usize) -> usize {
        FACTS + FACTS_OF_NETWORK * (1 + self.teachers) + FINDINGS * t
    }

    /// Vectors of the scratch of one unit.
    pub fn len(self, [group, line, short_line]: [usize; 3], vectors_of_segments: usize) -> usize {
        group * (2 * self.pairs * line + self.teachers * short_line)
            + vectors_of_segments * self.per_vector()
    }
}

/// Whose logits: the place among all networks' of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(pub usize);

impl Network {
    pub const STUDENT: Self = Self(0);

    /// That of a teacher.
    pub fn teacher(teacher: usize) -> Self {
        Self(1 + planted::or("distill_first_teacher_for_all", teacher, 0))
    }

    /// Its target's logit.
    pub fn target(self) -> Fact {
        Fact::Target(self)
    }

    /// Its largest logit but the target's.
    pub fn max(self) -> Fact {
        Fact::Max(self)
    }

    /// Its sum of exponentials.
    pub fn sum(self) -> Finding {
        if self == Self::STUDENT {
            Finding::StudentSum
        } else {
            Finding::TeacherSum
        }
    }
}

/// What is known of a segment, whatever the temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// The number of classes but the target.
    Counted,
    /// The gradient at the target, what comes on top at the second class, and what all others have in common.
    AtTarget,
    AtSecond,
    Even,
    /// The second class' logit, and its share of the target's: 0 where it is the target.
    Second,
    Share,
    /// Where what was fetched ahead ends, so that it is not left out for having no use.
    Fetched,
    /// The target's logit in a network, and the largest of the others.
    Target(Network),
    Max(Network),
}

/// How many there are, beside those of each network.
const FACTS: usize = 7;
const FACTS_OF_NETWORK: usize = 2;

impl Fact {
    fn place(self) -> usize {
        match self {
            Self::Counted => 0,
            Self::AtTarget => 1,
            Self::Even => 2,
            Self::Fetched => 3,
            Self::AtSecond => 4,
            Self::Second => 5,
            Self::Share => 6,
            Self::Target(network) => FACTS + FACTS_OF_NETWORK * network.0,
            Self::Max(network) => FACTS + FACTS_OF_NETWORK * network.0 + 1,
        }
    }
}

/// What is found about a segment for each pair.
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
    pub fn new(extents: &Extents, vectors: usize, #[comptime] contents: Contents) -> ScratchLayout {
        let lines = comptime!(2 * contents.pairs).runtime() * extents.group * extents.line;
        let distances = comptime!(contents.teachers).runtime() * extents.group * extents.short_line;
        let per_vector = comptime!(contents.per_vector()).runtime();
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
            contents,
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
            contents: self.contents,
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
    pub fn distances(&self, row: usize, #[comptime] teacher: usize) -> usize {
        self.distances + (teacher * self.rows + row) * self.short_line
    }

    /// A fact about the segments of vector `v` of segments.
    pub fn fact(&self, v: usize, #[comptime] fact: Fact) -> usize {
        self.facts + v * self.per_vector + comptime!(fact.place())
    }

    /// A finding about the segments of vector `v` of segments, of pair `t`.
    pub fn finding(&self, v: usize, #[comptime] t: usize, #[comptime] finding: Finding) -> usize {
        let behind = comptime!(self.contents.findings(t) + finding as usize);
        self.facts + v * self.per_vector + behind
    }
}
