use crate::contender::Variant;
use crate::input::draw;
use crate::phase::Phase;
use crate::results::{CONTROL, Cache, OURS, Row};
use crate::run::{Effort, Outcome, Runner};
use crate::stats::NOISE;
use ghostlight_kernels::tune::{Key, Named, Question, watch};
use std::fmt;

/// How much slower than the best the rule may be.
pub(super) const NEAR: f64 = 1.05;

/// What came of a class of problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The class.
    pub key: Key,
    /// The problem it was tried on, `op/phase/case`.
    pub on: String,
    /// What the rule takes.
    pub rule: Named,
    /// The fastest candidate, by turns with the rule alone; none where no candidate was right.
    pub best: Option<Tried>,
    /// What the rule itself read in those turns, under another name, over itself.
    pub control: Option<f64>,
    /// All candidates that were right, by their first turns, the fastest first.
    pub tried: Vec<Tried>,
    /// Those that were wrong, or of other bits, and why.
    pub refused: Vec<(Named, String)>,
}

/// A candidate with the rule's time over its own, and the interval of 95 %.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// What it takes.
    pub sizes: Named,
    /// Above 1 it is faster than the rule.
    pub gain: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Whether the rule's choice lies within 5 % of the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It does: the whole interval.
    Within,
    /// It does not: the whole interval.
    Beyond,
    /// It cannot be told.
    Unsure,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Within => "within",
            Self::Beyond => "BEYOND",
            Self::Unsure => "unsure",
        })
    }
}

/// What a call of the phase chooses.
pub(super) fn questions(runner: &Runner, phase: &Phase) -> Vec<Question> {
    let mut ours = phase.variants[0].contender(&runner.client, &phase.inputs, OURS);
    let values = draw(&phase.inputs, 0);
    let (called, questions) = watch(|| ours.load(&values).and_then(|()| ours.call()));
    // What cannot be called is refused where it is timed.
    drop(called);
    questions
        .into_iter()
        .filter(|it| !it.candidates.is_empty())
        .collect()
}

impl Trial {
    /// Tries the candidates of `question` on `phase`, of which `ours` asks it.
    pub(super) fn of<'a>(
        runner: &mut Runner,
        phase: &mut Phase<'a>,
        ours: &Variant<'a>,
        question: Question,
    ) -> Self {
        let Question {
            key,
            rule,
            candidates,
        } = question;
        runner.effort = Effort::QUICK;
        phase.variants = variants(ours, &key, &rule, &candidates);
        let all = runner.run(phase);
        let mut trial = Self {
            key,
            on: phase.line(),
            rule,
            best: None,
            control: None,
            tried: Vec::new(),
            refused: Vec::new(),
        };
        trial.take(&candidates, all);
        if let Some(best) = trial.tried.first().cloned() {
            runner.effort = Effort::DUEL;
            let sizes = std::slice::from_ref(&best.sizes);
            phase.variants = variants(ours, &trial.key, &trial.rule, sizes);
            let rows = runner.run(phase).rows;
            let control = rows.iter().find(|row| row.variant == CONTROL);
            trial.control = control.and_then(|row| row.ratio).map(f64::recip);
            let name = best.sizes.to_string();
            let again = rows.iter().find(|row| row.variant == name);
            trial.best = again.and_then(|row| Tried::of(best.sizes, row));
        }
        trial
    }

    /// Sorts the candidates into those that may be chosen and those that may not.
    fn take(&mut self, candidates: &[Named], outcome: Outcome) {
        let ours = outcome.rows.iter().find(|row| row.variant == OURS);
        for sizes in candidates {
            let name = sizes.to_string();
            let row = outcome
                .rows
                .iter()
                .find(|row| row.variant == name && row.cache == Cache::Hot);
            match row.zip(ours) {
                Some((row, ours)) if row.digest == ours.digest => {
                    self.tried.extend(Tried::of(sizes.clone(), row));
                }
                Some(_) => {
                    let reason = "other bits than the rule's, which no choice may have";
                    self.refused.push((sizes.clone(), reason.into()));
                }
                None => {
                    let said = outcome
                        .refused
                        .iter()
                        .find(|it| it.variant == name || it.is_ours());
                    let reason = said.map_or("no time".into(), |it| it.reason.clone());
                    self.refused.push((sizes.clone(), reason));
                }
            }
        }
        self.tried.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    }

    /// Whether the rule is near the best.
    pub fn reach(&self) -> Reach {
        match &self.best {
            Some(best) if best.low > NEAR => Reach::Beyond,
            Some(best) if best.high > NEAR => Reach::Unsure,
            _ => Reach::Within,
        }
    }

    /// The best where it is faster than the rule by more than a control may differ.
    pub fn faster(&self) -> Option<&Tried> {
        self.best.as_ref().filter(|best| best.low > 1.0 + NOISE)
    }
}

/// The rule as ours and the candidates beside it. The rule is held to its sizes as they are, so that both take the same time to choose.
fn variants<'a>(
    ours: &Variant<'a>,
    key: &Key,
    rule: &Named,
    candidates: &[Named],
) -> Vec<Variant<'a>> {
    let beside = candidates
        .iter()
        .map(|sizes| ours.choosing(sizes.to_string(), key, sizes));
    std::iter::once(ours.choosing(OURS, key, rule))
        .chain(beside)
        .collect()
}

impl Tried {
    fn of(sizes: Named, row: &Row) -> Option<Self> {
        Some(Self {
            sizes,
            gain: row.ratio?.recip(),
            low: row.ratio_high?.recip(),
            high: row.ratio_low?.recip(),
        })
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.rule)?;
        match &self.best {
            Some(Tried {
                sizes,
                gain,
                low,
                high,
            }) => write!(
                f,
                "; {sizes} is {gain:.2} ({low:.2} to {high:.2}) times as fast, the best of {}: {} 5 %",
                self.tried.len(),
                self.reach()
            )?,
            None => write!(f, "; no candidate")?,
        }
        for (sizes, reason) in &self.refused {
            write!(f, "\n    {sizes} refused: {reason}")?;
        }
        Ok(())
    }
}
