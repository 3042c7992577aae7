//! What a launch is compiled for, and its extents.

use super::passes::Wanted;
use super::problem::{CosineUse, DistillProblem, Uses};
use super::scratch::{Contents, Network};
use super::terms::of_teacher;
use crate::Client;
use crate::loss::cosine::fused as cosine;
use crate::loss::decay::Exponential;
use crate::loss::log_space::series_terms;
use cubecl::prelude::*;

/// What a launch is compiled for, beside the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Blueprint {
    /// The terms of each pair of softmaxes.
    pub uses: Vec<Uses>,
    /// Networks that teach.
    pub teachers: usize,
    pub cosines: Vec<CosineBlueprint>,
    /// Whether the terms are multiplied by numbers on the device.
    pub factored: bool,
    /// Whether the cross-entropy has a second class for each sample.
    pub mixed: bool,
    /// Without labels every sample's target is class 0: classical distillation may be split at any class.
    pub labelled: bool,
    pub exponential: Exponential,
    /// Whether to fetch the logits behind those whose exponentials are taken.
    pub ahead: bool,
    /// Whether no row is split.
    pub whole: bool,
    /// Of the divergences' polynomial.
    pub terms: usize,
}

/// What is compiled for a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CosineBlueprint {
    pub teacher: usize,
    /// Of the losses.
    pub row: usize,
    pub between: cosine::Blueprint,
}

impl CosineBlueprint {
    fn of(
        CosineUse {
            teacher,
            row,
            options,
        }: CosineUse,
    ) -> Self {
        Self {
            teacher,
            row,
            between: options.blueprint(),
        }
    }

    /// The teacher.
    pub fn network(&self) -> Network {
        Network::teacher(self.teacher)
    }

    /// The place of its factor.
    pub fn factor(&self, blueprint: &Blueprint) -> Option<usize> {
        blueprint.factored.then(|| of_teacher(self.teacher))
    }
}

impl Blueprint {
    /// For rows that may be split, without fetching ahead.
    pub fn of(problem: &DistillProblem, client: &Client) -> Self {
        let accumulator = problem.dtype.accumulator();
        let pairs = problem.pairs();
        let cosines = problem.cosines().into_iter();
        Self {
            uses: pairs.iter().map(|&(_, uses)| uses).collect(),
            teachers: problem.options.teachers.len(),
            cosines: cosines.map(CosineBlueprint::of).collect(),
            factored: problem.factors > 0,
            mixed: problem.options.mixed().is_some(),
            labelled: problem.options.needs_labels(),
            exponential: Exponential::of(client, accumulator),
            ahead: false,
            whole: false,
            terms: series_terms(accumulator),
        }
    }

    /// For each pair, whether it has a teacher's softmax.
    pub fn taught(&self) -> Vec<bool> {
        self.uses
            .iter()
            .map(|uses| uses.teacher.is_some())
            .collect()
    }

    /// What a scratch has room for.
    pub fn contents(&self) -> Contents {
        Contents {
            pairs: self.uses.len(),
            teachers: self.teachers,
        }
    }

    /// The networks whose softmaxes are taken.
    pub fn networks(&self) -> Vec<Network> {
        let read = |&teacher: &usize| self.uses.iter().any(|uses| uses.teacher == Some(teacher));
        let teachers = (0..self.teachers).filter(read).map(Network::teacher);
        let student = (!self.uses.is_empty()).then_some(Network::STUDENT);
        student.into_iter().chain(teachers).collect()
    }

    /// The last pair that `network` is in.
    pub fn last_of(&self, network: Network) -> usize {
        let all = network == Network::STUDENT;
        let found = self
            .uses
            .iter()
            .rposition(|uses| all || uses.network() == network);
        found.unwrap_or(0)
    }

    /// What the exponentials' walk of pair `t` is to find.
    pub fn wanted(&self, t: usize) -> Wanted {
        let Uses {
            teacher,
            cross_entropy,
            ..
        } = self.uses[t];
        let first = self.uses.iter().position(|uses| uses.teacher == teacher);
        Wanted {
            exponential: self.exponential,
            teacher,
            distances: cross_entropy.is_some(),
            ahead: t == 0 && self.ahead,
            apart: teacher.is_some() && first == Some(t),
        }
    }
}

/// The extents of a launch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Extents {
    pub batch: usize,
    pub classes: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// Rows of one unit.
    pub run: usize,
    /// Rows that are noted side by side.
    pub group: usize,
    /// Vectors of a row's notes, and of the part that outlives no block.
    pub line: usize,
    pub short_line: usize,
    /// From one sample's factors to the next's.
    pub factors: usize,
}
