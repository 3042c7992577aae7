//! The operation of `docs/your-own-operation.md`.

#[path = "../../../docs/examples/soft_sign.rs"]
mod example;

// ANCHOR: bench
use example::{SoftSign, reference, soft_sign_by_hand};
use ghostlight_autodiff::{Cost, Tape, Var};
use ghostlight_bench::{Input, Phase, Suite, SuiteError, Variant, values};
use ghostlight_kernels::pointwise::map_backward;
use serde_json::json;

const OP: &str = "soft_sign";

pub fn run(suite: &mut Suite) -> Result<(), SuiteError> {
    let (case, len) = ("n32 56x56 64", 32 * 56 * 56 * 64);
    let [read_one, read_two] =
        [1, 2].map(|reads| Cost::traffic(reads * len, len, 4).with_divisions(len));
    let (x, g) = (Input::random(1, &[len]), Input::random(2, &[len]));
    let arguments = json!({"len": len});
    suite.phase(
        Phase::new(
            [OP, case, "forward"],
            read_one,
            vec![x.clone()],
            // What differs from this gets no time.
            |v| values(v[0].iter().map(|&x| reference(x)[0]).collect()),
            |t| {
                let input = Var::constant(t[0].clone());
                Ok(vec![
                    Tape::new().apply(SoftSign, &[&input])?.tensor().clone(),
                ])
            },
        )
        .beside(Variant::new("by hand", |t| {
            Ok(vec![soft_sign_by_hand(&t[0])?])
        }))
        .for_peers(&arguments),
    )?;
    suite.phase(
        Phase::new(
            [OP, case, "backward"],
            read_two,
            vec![x, g],
            |v| {
                values(
                    v[0].iter()
                        .zip(&v[1])
                        .map(|(&x, g)| reference(x)[1] * g)
                        .collect(),
                )
            },
            |t| Ok(vec![map_backward(OP, &t[0], &t[1], SoftSign)?]),
        )
        .for_peers(&arguments),
    )
}
// ANCHOR_END: bench
