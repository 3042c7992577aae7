//! Ladders: an operation from the loops of its definition to the project's own kernel, in a few small kernels, each of which changes one
//! thing. `docs/ladder.md` walks up both; the kernels lie in `bench/ladder`, a file for each rung.
//!
//! A ladder is a [`Phase`] like any other, of which the project's operation is `ours` and the rungs below it are the other variants on our device:
//! so they are verified, timed in turns and held against the device's limits as whatever the bench times. What a rung gained is the ratio of two
//! rows of one run.

#[path = "../../ladder/depthwise/mod.rs"]
mod depthwise;
#[path = "../../ladder/dkd/mod.rs"]
mod dkd;
mod page;
mod run;

pub use page::{markdown, tables};
pub(crate) use run::{Options, run};

use crate::contender::Variant;
use crate::input::Operands;
use crate::phase::Phase;
use ghostlight_autodiff::{KernelError, Tensor};

/// One kernel of a ladder, or a few that make one step together.
#[derive(Clone, Copy)]
pub struct Rung {
    /// What its row is called; the name of its file, but for the last.
    pub name: &'static str,
    /// What changed against the rung before, in a line.
    pub change: &'static str,
    /// One call.
    pub call: fn(&Operands) -> Result<Vec<Tensor>, KernelError>,
}

/// The rungs of one operation.
#[derive(Clone)]
pub struct Ladder {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What all of its rungs compute, in a line.
    pub computes: &'static str,
    /// From the naive one to the project's own, of which there are two at least.
    pub rungs: Vec<Rung>,
    /// The extents of the problems that it is measured on, the first one in a quick run.
    pub problems: &'static [&'static [usize]],
    phase: for<'a> fn(&'a str, &[usize], Variant<'a>) -> Phase<'a>,
}

impl Ladder {
    /// All that there are.
    pub fn all() -> [Self; 2] {
        [
            Self {
                name: "depthwise",
                computes: "a 3x3 depthwise convolution of stride 1 of images `[n, h, w, c]`",
                rungs: depthwise::RUNGS.to_vec(),
                problems: &depthwise::PROBLEMS,
                phase: depthwise::phase,
            },
            Self {
                name: "dkd",
                computes: "decoupled knowledge distillation and its gradient, of logits `[n, c]`",
                rungs: dkd::RUNGS.to_vec(),
                problems: &dkd::PROBLEMS,
                phase: dkd::phase,
            },
        ]
    }

    /// The ladders of these names, or all where there is none.
    ///
    /// # Errors
    /// No ladder is called so, which is told with those that there are.
    pub fn named(names: &[String]) -> Result<Vec<Self>, String> {
        let all = Self::all();
        if names.is_empty() {
            return Ok(all.to_vec());
        }
        let find = |name: &String| {
            let found = all.iter().find(|ladder| ladder.name == name).cloned();
            let known = || all.iter().map(|ladder| ladder.name).collect::<Vec<_>>();
            found.ok_or_else(|| {
                format!(
                    "there is no ladder `{name}`; there are {}",
                    known().join(", ")
                )
            })
        };
        names.iter().map(find).collect()
    }

    /// The problem of these extents, `case` by name: the last rung is ours, all others stand beside it.
    ///
    /// # Panics
    /// There is no rung, or the extents are not as many as the problem has.
    pub fn phase<'a>(&self, case: &'a str, extents: &[usize]) -> Phase<'a> {
        let variant = |rung: &Rung| Variant::new(rung.name, rung.call);
        let (last, others) = self.rungs.split_last().expect("a ladder has rungs");
        let phase = (self.phase)(case, extents, variant(last));
        others
            .iter()
            .fold(phase, |phase, rung| phase.beside(variant(rung)))
    }
}

/// What a problem of these extents is called.
pub fn case(extents: &[usize]) -> String {
    let words: Vec<String> = extents.iter().map(usize::to_string).collect();
    words.join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_that_is_none_is_told_with_those_that_there_are() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            let found = Ladder::named(&words)?;
            Ok::<_, String>(found.iter().map(|ladder| ladder.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]), Ok(vec!["depthwise", "dkd"]));
        assert_eq!(names(&["dkd"]), Ok(vec!["dkd"]));
        assert_eq!(
            names(&["dkd", "gemm"]),
            Err("there is no ladder `gemm`; there are depthwise, dkd".into())
        );
    }

    /// The ladders that this machine can compile for a card: exponentials and logarithms are libdevice's.
    #[cfg(feature = "inspect")]
    fn compiled() -> Vec<Ladder> {
        let has_libdevice = ghostlight_offline::Toolkit::find().is_some();
        if !has_libdevice {
            eprintln!(
                "skipped: dkd: there is no libdevice under CUDA_PATH (`cargo xtask setup --ptxas`)"
            );
        }
        let all = Ladder::all().into_iter();
        all.filter(|ladder| has_libdevice || ladder.name != "dkd")
            .collect()
    }

    #[cfg(feature = "inspect")]
    #[test]
    fn every_rung_compiles_for_a_card() {
        use ghostlight_offline::{Card, Device};

        let card = Card::of("sm_90").expect("it is listed");
        let device = Device::open(card, &[card]);
        for ladder in compiled() {
            let extents = ladder.problems[0];
            let case = case(extents);
            let phase = ladder.phase(&case, extents);
            for variant in &phase.variants {
                let operands = Operands::empty(device.client(), &phase.inputs, crate::DTYPE);
                let call = variant.open(operands.expect("labels")).expect("a call");
                drop(device.launches());
                call().expect("a launch");
                let launches = device.launches();
                assert!(!launches.is_empty(), "{} {}", ladder.name, variant.name);
                for launch in launches {
                    let module = launch.kernel.module(card).expect("it is a target");
                    let failed = module.as_ref().err();
                    assert_eq!(failed, None, "{} {}", ladder.name, launch.kernel.path);
                }
            }
        }
    }

    /// A GPU's vectors of 4 and units past the end of a grid, executed on the host, which finds what reads or writes where it must not.
    #[cfg(feature = "inspect")]
    #[test]
    fn every_rung_is_right_as_ptx() {
        let card = ghostlight_offline::Card::of("sm_80").expect("it is listed");
        let client = ghostlight_offline::interpreter(card);
        let small: [(&str, [&[usize]; 2]); 2] = [
            ("depthwise", [&[2, 3, 5, 8], &[1, 2, 6, 3]]),
            ("dkd", [&[5, 12], &[3, 7]]),
        ];
        for ladder in compiled() {
            let shapes = small.iter().find(|(name, _)| *name == ladder.name);
            for extents in shapes.expect("it has shapes").1 {
                let case = case(extents);
                let phase = ladder.phase(&case, extents);
                for variant in &phase.variants {
                    let mut rung = variant.contender(&client, &phase.inputs, &variant.name);
                    let found = phase.verify(rung.as_mut());
                    assert!(found.is_ok(), "{} {case}: {found:?}", variant.name);
                }
            }
        }
    }
}
