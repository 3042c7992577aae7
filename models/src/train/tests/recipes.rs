use super::*;
use crate::methods::{Answers, Lesson};
use crate::recipe::{Allowed, FIELDS, Moment, Optimiser, RecipeError, Teacher, lr_at};
use ghostlight_autodiff::{AdamW, Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::adamw::AdamWOptions;
use ghostlight_kernels::optim::sgd::SgdOptions;
use ghostlight_kernels::pointwise::dropout::{DropoutOptions, dropout};
use proptest::prelude::*;
use std::ops::Bound;

/// Steps of an epoch, a number with a beginning, a middle and an end.
const EPOCH: usize = 3;

/// What a recipe may say of a key, at the ends of what is allowed and between them.
fn values_of(allowed: Allowed) -> Vec<String> {
    match allowed {
        // An architecture or a stage is looked up, not computed with.
        Allowed::Name | Allowed::Names | Allowed::File => vec![],
        Allowed::Numbers(_) => ["[1]", "[2]", "[2, 1]", "[1, 2]"].map(String::from).into(),
        Allowed::Flag => vec!["true".into(), "false".into()],
        Allowed::OneOf(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
        Allowed::Whole(min, max) => [min, min + 1, max].map(|n| n.to_string()).into(),
        Allowed::ZeroOrWhole(min, max) => [0, min, max].map(|n| n.to_string()).into(),
        Allowed::WordOrReal(word, min, max) => {
            let mut values = values_of(Allowed::Real(min, max));
            values.push(format!("\"{word}\""));
            values
        }
        Allowed::Real(min, max) => {
            let end = |bound: Bound<f64>, inwards: fn(f64) -> f64| match bound {
                Bound::Included(end) => end,
                Bound::Excluded(end) => inwards(end),
                Bound::Unbounded => unreachable!("a recipe's numbers have ends"),
            };
            let (min, max) = (end(min, f64::next_up), end(max, f64::next_down));
            [min, 0.5 * (min + max), max]
                .map(|x| format!("{x:e}"))
                .into()
        }
    }
}

/// The terms of a way to teach, each of which is on or off.
const TERMS: [&str; 5] = ["kd", "dkd", "dual", "cosine", "align"];

fn recipes() -> impl Strategy<Value = Recipe> {
    let choices: Vec<_> = FIELDS
        .iter()
        .map(|&(key, allowed)| {
            let settings = values_of(allowed).into_iter();
            let mut settings: Vec<_> = settings.map(|value| Some((key, value))).collect();
            settings.push(None);
            prop::sample::select(settings)
        })
        .collect();
    (choices, prop::sample::subsequence(&TERMS[..], 0..=5)).prop_map(|(settings, on)| {
        let mut recipe = Recipe {
            teacher: vec![Teacher::default(); 2],
            ..Recipe::default()
        };
        recipe.distill[0].dkd = None;
        for term in &on {
            let first = FIELDS
                .iter()
                .find(|(key, _)| key.starts_with(&format!("distill.{term}.")));
            // A term is on from the first key that is said of it.
            let (key, allowed) = first.expect("a term has keys");
            let value = values_of(*allowed).pop().expect("a number");
            recipe.set(&format!("{key}={value}")).unwrap();
        }
        for (key, value) in settings.into_iter().flatten() {
            let parts: Vec<&str> = key.split('.').collect();
            let off = parts[0] == "distill" && TERMS.contains(&parts[1]) && !on.contains(&parts[1]);
            let keys = match parts[0] {
                "teacher" => vec![
                    key.replace("teacher.", "teacher.1."),
                    key.replace("teacher.", "teacher.2."),
                ],
                _ => vec![key.to_string()],
            };
            for key in keys.iter().filter(|_| !off) {
                recipe.set(&format!("{key}={value}")).unwrap();
            }
        }
        recipe
    })
}

/// Values `shape`.
fn drawn(seed: u64, shape: &[usize]) -> Tensor {
    let values = values(seed, shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    Tensor::from_f32(&client(), &values, shape).unwrap()
}

/// What a training of `epochs` asks of the kernels in epoch `epoch`, on as little as there can be.
fn assert_kernels_take(
    recipe: &Recipe,
    way: &Way,
    arch: Architecture,
    epochs: usize,
    epoch: usize,
) {
    let (images, classes) = (2, 3);
    let maps = Network::maps(arch).unwrap();
    let stages = |names: &[String], seed| -> Vec<(String, Tensor)> {
        let found = names.iter().map(|name| {
            let (_, [h, w, c]) = maps.iter().find(|(known, _)| known == name).unwrap();
            (name.clone(), drawn(seed, &[images, *h, *w, *c]))
        });
        found.collect()
    };
    let train = &recipe.train;
    let rate = train.dropout.rate().unwrap_or(0.5);
    dropout(
        &drawn(1, &[images, classes]),
        DropoutOptions { rate, seed: 1 },
    )
    .unwrap();
    let mut teachers: [Option<Answers<Tensor>>; 2] = [None, None];
    for need in way.needs(epoch, epochs) {
        teachers[need.teacher] = Some(Answers {
            logits: drawn(2 + need.teacher as u64, &[images, classes]),
            stages: stages(&need.stages, 5),
        });
    }
    let kept = stages(&way.student_stages(), 6).into_iter();
    let student = Answers {
        logits: Var::constant(drawn(1, &[images, classes])),
        stages: kept.map(|(name, map)| (name, Var::constant(map))).collect(),
    };
    let loss = way.loss(
        &Lesson {
            tape: &Tape::new(),
            student: &student,
            teachers: &teachers,
            labels: &Labels::new(&client(), &[2, 0], classes).unwrap(),
            mixed: None,
            epoch,
            seed: 9,
        },
        epochs,
    );
    let loss = loss.unwrap();
    for reading in loss.terms.into_iter().chain(loss.watched) {
        for (name, value) in reading
            .names
            .iter()
            .zip((reading.begin)().unwrap()().unwrap())
        {
            assert!(value.is_finite(), "{name} is {value}");
        }
    }
    let parameters = drawn(3, &[6]);
    let (grads, decayed) = (drawn(4, &[6]), drawn(5, &[6]));
    for step in 0..EPOCH {
        let moment = Moment {
            step: (epoch - 1) * EPOCH + step,
            steps: epochs * EPOCH,
            epoch_steps: EPOCH,
            drops: epoch,
        };
        let learning_rate = lr_at(train, moment).into();
        let options = SgdOptions {
            learning_rate,
            momentum: train.momentum,
            weight_decay: train.weight_decay,
            nesterov: train.nesterov,
        };
        let of_adamw = AdamWOptions {
            learning_rate,
            beta1: train.beta1,
            beta2: train.beta2,
            epsilon: train.epsilon,
            weight_decay: train.weight_decay,
        };
        let stepped = match train.optimiser {
            Optimiser::Sgd => Sgd::new(&parameters).step(&parameters, &grads, &decayed, &options),
            Optimiser::AdamW => {
                AdamW::new(&parameters).step(&parameters, &grads, &decayed, &of_adamw)
            }
        };
        stepped.unwrap();
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(96))]

    #[test]
    fn a_recipe_that_is_accepted_asks_for_nothing_that_a_kernel_refuses(recipe in recipes()) {
        if let Err(refused) = recipe.validate() {
            let conflict = matches!(refused, RecipeError::Conflict { .. });
            prop_assert!(conflict, "{refused}");
            return Ok(());
        }
        let smoothing = recipe.train.label_smoothing;
        let arch = Architecture::new("resnet8", 3).images(SIDE, SIDE);
        let taught = Way::new(&client(), &recipe.distill[0], smoothing, arch, &[arch, arch], (1, 1));
        let (teacher, student) = (recipe.teacher[0].epochs, recipe.student[0].epochs);
        let alone = Way::alone(smoothing);
        for (way, epochs) in [(&alone, teacher), (&alone, student), (&taught.unwrap(), student)] {
            for epoch in [1, epochs] {
                assert_kernels_take(&recipe, way, arch, epochs, epoch);
            }
        }
    }
}
