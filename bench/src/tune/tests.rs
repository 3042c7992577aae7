use super::trial::{Reach, Tried};
use super::*;
use crate::{Input, Phase, Suite, SuiteError, values};
use ghostlight_autodiff::{Cost, DType, KernelError, Tensor};
use ghostlight_kernels::pointwise::activation::{Activation, activation};
use ghostlight_kernels::pointwise::add;
use ghostlight_kernels::tune::{Key, Knob, Named};

/// Ways to compute a ReLU: the rule's, 1, does so twenty times; 2 once; 3 is off by a rounding, which no error tells; 4 is no ReLU.
const WAY: Knob<1, 1> = Knob {
    op: "relu",
    class: ["len"],
    sizes: [("way", &[1, 2, 3, 4, 5])],
};
const LEN: usize = 30_000;

fn relu(x: &Tensor) -> Result<Vec<Tensor>, KernelError> {
    let [way] = WAY.choose(DType::F32, [LEN], [1], |[way]| way < 5);
    let of = |x: &Tensor| activation(x, Activation::Relu);
    Ok(vec![match way {
        1 => {
            (0..19).for_each(|_| drop(of(x)));
            of(x)
        }
        2 => of(x),
        3 => {
            let small = Tensor::from_f32(x.client(), &vec![1e-6; LEN], x.shape())?;
            add(&of(x), &small)?
        }
        _ => activation(x, Activation::HardSwish),
    }])
}

fn family(suite: &mut Suite) -> Result<(), SuiteError> {
    let wanted = |v: &[Vec<f64>]| values(v[0].iter().map(|x| x.max(0.0)).collect());
    let cost = Cost::traffic(LEN, LEN, 4);
    for name in ["relu", "same"] {
        let inputs = vec![Input::random(1, &[LEN])];
        suite.phase(Phase::new(
            [name, "30000", "forward"],
            cost,
            inputs,
            wanted,
            |t| relu(&t[0]),
        ))?;
    }
    let inputs = vec![Input::random(1, &[LEN])];
    let ours = |t: &crate::Operands| Ok(vec![activation(&t[0], Activation::Relu)]);
    suite.phase(Phase::new(
        ["none", "30000", "forward"],
        cost,
        inputs,
        wanted,
        ours,
    ))
}

fn options(folder: &Path, filters: &[&str]) -> Options {
    let filters: Vec<String> = filters.iter().map(|word| word.to_string()).collect();
    Options {
        quick: false,
        out: Some(folder.join("table.json")),
        write: Some(folder.join("page.md")),
        problems: Problems::of(&filters),
    }
}

#[test]
fn what_is_faster_and_of_the_same_bits_is_kept_and_all_else_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), &[]);
    let families: [crate::Family; 1] = [family];
    let session = Session::new(&families, &options.problems).expect("phases");
    // Of the second operation the class is the same, and the third has none.
    assert_eq!(run(&session, &options).expect("a table"), 2);
    let client = cubecl::Device::default().client();
    let table = Table::read(&client, options.out.as_deref()).expect("it was written");
    let [chosen] = &table.choices[..] else {
        panic!("one class: {table:?}");
    };
    assert_eq!(
        (chosen.class.to_string(), chosen.sizes.to_string()),
        ("len=30000".into(), "way=2".into())
    );
    assert_eq!(chosen.on, "relu/forward/30000");
    assert!(chosen.gain > 2.0, "{table:?}");
    let page = fs::read_to_string(folder.path().join("page.md")).expect("it was written");
    for said in [
        "| relu | f32 len=30000 | way=1 | way=2 |",
        "beyond it in 1",
        "BEYOND",
        "way=3 refused: other bits than the rule's",
        "way=4 refused: output 0 differs from the reference",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
}

#[test]
fn what_stands_in_the_way_of_a_table_is_told_before_anything_is_timed() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), &["none"]);
    let families: [crate::Family; 1] = [family];
    let session = Session::new(&families, &options.problems).expect("a phase");
    let error = run(&session, &options)
        .expect_err("it chooses nothing")
        .to_string();
    assert!(
        error.starts_with("none of these has anything to choose"),
        "{error}"
    );
    let path = folder.path().join("table.json");
    fs::write(&path, "[]").expect("a file");
    let error = run(&session, &options)
        .expect_err("it is no table")
        .to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}

#[test]
fn a_rule_is_near_the_best_by_its_interval() {
    let reach = |low: f64, high: f64| {
        let sizes = Named::default();
        let best = Some(Tried {
            sizes,
            gain: (low * high).sqrt(),
            low,
            high,
        });
        let key = Key {
            op: "relu".into(),
            dtype: DType::F32,
            class: Named::default(),
        };
        let trial = Trial {
            key,
            on: String::new(),
            rule: Named::default(),
            best,
            control: None,
            tried: Vec::new(),
            refused: Vec::new(),
        };
        (trial.reach(), trial.faster().is_some())
    };
    assert_eq!(reach(0.9, 1.04), (Reach::Within, false));
    assert_eq!(reach(1.035, 1.045), (Reach::Within, true));
    assert_eq!(reach(1.02, 1.2), (Reach::Unsure, false));
    assert_eq!(reach(1.06, 1.2), (Reach::Beyond, true));
}
