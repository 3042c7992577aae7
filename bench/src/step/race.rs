//! Turns of our step and PyTorch's.

use super::case::Case;
use super::peer::TorchSteps;
use super::row::{Row, Way};
use super::workload::Workload;
use crate::count;
use crate::results::Ceilings;
use crate::turn::Turn;
use ghostlight_autodiff::{Client, KernelError, Tape};
use ghostlight_kernels::launch;
use std::error::Error;
use std::time::Instant;

/// As many rounds begin with us as with PyTorch.
const ROUNDS: usize = 6;

/// The first step of a turn finds caches and threads as the other side left them.
const TURN: Turn = Turn {
    discarded: 1,
    least: 2,
    ms: 400.0,
    cold: false,
    together: 1,
};

/// Times `case` in turns with `torch`, where there is one, and holds it against `ceilings`; training steps are `fused` unless somebody compares.
///
/// # Errors
/// An unknown network, a device without room, a launch that fails: ours. What fails on PyTorch's side is a blank with its reason.
pub fn race(
    client: &Client,
    case: &Case,
    mut torch: Option<&mut TorchSteps>,
    ceilings: Option<&Ceilings>,
    fused: bool,
) -> Result<(Row, Workload), Box<dyn Error>> {
    let (mut row, mut work) = look(client, case, ceilings, fused)?;
    if let Some(torch) = torch.as_deref_mut() {
        for &name in TorchSteps::ways(case.kind) {
            let failed = torch.load(case, name, &row.parameters).err();
            let (name, times) = (name.into(), Vec::new());
            row.peers.push(Way {
                name,
                times,
                failed,
            });
        }
    }
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            row.ours.push(turn(&mut work)?);
        }
        for way in row.peers.iter_mut().filter(|way| way.failed.is_none()) {
            let Some(torch) = torch.as_deref_mut() else {
                continue;
            };
            match torch.turn(&way.name, TURN) {
                Ok(times) => way.times.push(times),
                Err(reason) => (way.times, way.failed) = (Vec::new(), Some(reason)),
            }
        }
        if round % 2 == 1 {
            row.ours.push(turn(&mut work)?);
        }
    }
    if let Some(torch) = torch {
        torch.forget();
    }
    Ok((row, work))
}

/// A row without times, from two steps: the first, and one that is watched.
fn look(
    client: &Client,
    case: &Case,
    ceilings: Option<&Ceilings>,
    fused: bool,
) -> Result<(Row, Workload), Box<dyn Error>> {
    let [before, _] = launch::held_and_peak();
    let mut work = Workload::new(client, case)?.fused(fused);
    let first_ms = timed(&mut work)?;
    launch::reset_peak();
    let (costs, counts) = count(|| work.costs());
    let (costs, [_, peak]) = (costs?, launch::held_and_peak());
    let row = Row {
        case: case.clone(),
        parameters: work.parameters(),
        first_ms,
        ours: Vec::new(),
        peers: Vec::new(),
        limit_ms: ceilings.and_then(|it| it.of_operations(&costs)),
        peak_bytes: peak.saturating_sub(before),
        launches: counts.launches,
    };
    Ok((row, work))
}

fn turn(work: &mut Workload) -> Result<Vec<f64>, String> {
    TURN.take(|_| timed(work).map_err(|error| error.to_string()), || ())
}

/// One step, in ms.
fn timed(work: &mut Workload) -> Result<f64, KernelError> {
    let start = Instant::now();
    work.step(&Tape::new())?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::peers::process::Process;
    use crate::results::{Bandwidth, Cache};
    use std::process::Command;

    /// A peer of one line of Python for each question: so many parameters, and steps that take `ms`.
    fn peer(parameters: usize, fails: &str) -> TorchSteps {
        let script = format!(
            "import json, sys\n\
             for line in sys.stdin:\n    \
                 q = json.loads(line)\n    \
                 if 'hello' in q: a = {{'torch': '9', 'threads': 2}}\n    \
                 elif q['do'] == 'load': a = {{'parameters': [{parameters}]}}\n    \
                 elif q['do'] == 'turn': a = {{'ms': [5000.0]}}\n    \
                 else: a = {{}}\n    \
                 if q.get('way') == '{fails}': a = {{'error': 'no compiler'}}\n    \
                 print(json.dumps(a), flush=True)"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &script]);
        let process = Process::of(command).expect("python3");
        TorchSteps::over(process, 2).expect("a peer")
    }

    fn infer() -> (Client, Case) {
        let case = Case::of("infer:resnet8:2:16").expect("a case").remove(0);
        (cubecl::Device::default().client(), case)
    }

    #[test]
    fn a_network_of_another_size_gets_no_time() {
        let (client, case) = infer();
        let (row, _) =
            race(&client, &case, Some(&mut peer(77_850, "")), None, true).expect("ours runs");
        let first = row.peers[0].failed.as_deref().expect("refused");
        assert!(
            first.contains("[77850]") && first.contains("[78042]"),
            "{first}"
        );
        assert!(row.ratio().is_none() && row.ours.len() == ROUNDS);
    }

    #[test]
    fn a_way_that_fails_is_a_blank_and_the_others_take_their_turns() {
        let (client, case) = infer();
        let mut torch = peer(78_042, "compiled");
        let (row, _) = race(&client, &case, Some(&mut torch), None, true).expect("ours runs");
        let turns: Vec<usize> = row.peers.iter().map(|way| way.times.len()).collect();
        assert_eq!(turns, [ROUNDS, 0, ROUNDS]);
        assert_eq!(row.peers[1].failed.as_deref(), Some("no compiler"));
        let (best, ms) = row.best().expect("two ways");
        assert_eq!((best.name.as_str(), ms), ("eager", 5000.0));
        assert!(row.ratio().expect("pairs").value > 1.0);
    }

    #[test]
    fn a_training_step_is_looked_at_for_what_it_holds_launches_and_must_take() {
        let (client, _) = infer();
        let ceilings = Ceilings {
            memory: vec![Bandwidth {
                access: "copy".into(),
                cache: Cache::Cold,
                bytes: 1,
                gb_s: 1.0,
            }],
            gflop_s: f64::INFINITY,
            peaks: Vec::new(),
            launch_us: 0.0,
        };
        let needs = |batch| {
            let case = Case::of(&format!("train:resnet8:{batch}:16")).expect("a case");
            let (row, _) = look(&client, &case[0], Some(&ceilings), true).expect("ours runs");
            assert!((50..500).contains(&row.launches), "{row:?}");
            [row.peak_bytes as f64, 1e6 * row.limit_ms.expect("measured")]
        };
        let [one, two, three] = [needs(64), needs(128), needs(192)];
        // Values, gradients, velocities and what decays; the optimiser reads four of these and writes two.
        let parameters = 4.0 * 78_042.0;
        assert!(one[0] > 4.0 * parameters, "{one:?}");
        assert!(one[1] > 6.0 * parameters, "{one:?}");
        // All else comes as often as there are images, save partial sums.
        for i in [0, 1] {
            let growth = (three[i] - two[i]) / (two[i] - one[i]);
            assert!(
                (0.8..1.25).contains(&growth),
                "{growth}: {one:?}, {two:?}, {three:?}"
            );
        }
    }

    #[test]
    fn a_peer_on_other_threads_is_refused() {
        let mut command = Command::new("python3");
        command.args(["-c", "input(); print('{\"threads\": 8}', flush=True)"]);
        let process = Process::of(command).expect("python3");
        let error = TorchSteps::over(process, 2).err().expect("refused");
        assert!(error.contains("8 threads"), "{error}");
    }
}
