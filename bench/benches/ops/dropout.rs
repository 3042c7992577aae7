//! Dropout, both phases.

use ghostlight_bench::{Case, DTYPE, Input, Phase, Suite, SuiteError, catalogue, values};
use ghostlight_kernels::pointwise::dropout::{DropoutOptions, cost, dropout, reference};

const OP: &str = "dropout";
/// A library draws its own mask: its peer shows that it is one, and answers with ours.
const SEED: u64 = 1;

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    for case in suite.cases(OP, catalogue::dropped())? {
        let (name, shape, rate) = (case.name(), case.shape(), case.rate);
        let options = DropoutOptions { rate, seed: SEED };
        for (phase, seed) in [("forward", 1), ("backward", 2)] {
            suite.phase(
                Phase::new(
                    [OP, &name, phase],
                    cost::forward(shape.iter().product(), DTYPE, rate),
                    vec![Input::random(seed, &shape)],
                    |v| values(reference::forward(&v[0], options)),
                    |t| Ok(vec![dropout(&t[0], options)?]),
                )
                .for_peers(&case.arguments()),
            )?;
        }
    }
    Ok(())
}
