use super::*;
use crate::methods::{DkdMethod, Lesson, Supervised};
use crate::recipe::{Allowed, FIELDS, RecipeError};
use ghostlight_autodiff::{Labels, Sgd, Tape, Tensor, Var};
use ghostlight_kernels::optim::sgd::SgdOptions;
use ghostlight_kernels::pointwise::dropout::{DropoutOptions, dropout};
use proptest::prelude::*;
use std::ops::Bound;

/// Steps of an epoch, a number with a beginning, a middle and an end.
const EPOCH: usize = 3;

/// What a recipe may say of a key, at the ends of what is allowed and between them.
fn values_of(allowed: Allowed) -> Vec<String> {
    match allowed {
        // An architecture is looked up and a file read, not computed with.
        Allowed::Name | Allowed::File => vec![],
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

fn recipes() -> impl Strategy<Value = Recipe> {
    let choices: Vec<_> = FIELDS
        .iter()
        .map(|&(key, allowed)| {
            let settings = values_of(allowed).into_iter();
            let mut settings: Vec<_> = settings
                .map(|value| Some(format!("{key}={value}")))
                .collect();
            settings.push(None);
            prop::sample::select(settings)
        })
        .collect();
    choices.prop_map(|settings| {
        let mut recipe = Recipe::default();
        for setting in settings.into_iter().flatten() {
            recipe.set(&setting).unwrap();
        }
        recipe
    })
}

/// What a training of `epochs` asks of the kernels in epoch `epoch`, on as little as there can be.
fn assert_kernels_take(recipe: &Recipe, method: &dyn Method, epochs: usize, epoch: usize) {
    let logits = |seed| {
        let values: Vec<f32> = values(seed, 6).into_iter().map(|v| v as f32).collect();
        Tensor::from_f32(&client(), &values, &[2, 3]).unwrap()
    };
    let train = &recipe.train;
    let rate = train.dropout.rate().unwrap_or(0.5);
    dropout(&logits(1), DropoutOptions { rate, seed: 1 }).unwrap();
    let student = Var::constant(logits(1));
    let terms = method.terms(&Lesson {
        tape: &Tape::new(),
        student: &student,
        teacher: Some(&logits(2)),
        labels: &Labels::new(&client(), &[2, 0], 3).unwrap(),
        epoch,
    });
    for term in terms.unwrap() {
        let value = term.weight * f64::from(term.value.tensor().to_f32().unwrap()[0]);
        assert!(value.is_finite(), "{} is {value}", term.name);
    }
    let parameters = logits(3);
    for step in 0..EPOCH {
        let learning_rate = recipe.lr_at((epoch - 1) * EPOCH + step, epochs * EPOCH);
        let options = SgdOptions {
            learning_rate: learning_rate.into(),
            momentum: train.momentum,
            weight_decay: train.weight_decay,
            nesterov: train.nesterov,
        };
        let stepped = Sgd::new(&parameters).step(&parameters, &logits(4), &logits(5), &options);
        stepped.unwrap();
    }
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(64))]

    #[test]
    fn a_recipe_that_is_accepted_asks_for_nothing_that_a_kernel_refuses(recipe in recipes()) {
        if let Err(refused) = recipe.validate() {
            let conflict = matches!(refused, RecipeError::Conflict { .. });
            prop_assert!(conflict, "{refused}");
            return Ok(());
        }
        let smoothing = recipe.train.label_smoothing;
        let alone = Supervised { smoothing };
        let taught = DkdMethod {
            distill: recipe.distill.clone(),
            supervised: Supervised { smoothing },
        };
        let (teacher, student) = (recipe.teacher.epochs, recipe.student.epochs);
        let trainings: [(&dyn Method, usize); 3] = [(&alone, teacher), (&alone, student), (&taught, student)];
        for (method, epochs) in trainings {
            for epoch in [1, epochs] {
                assert_kernels_take(&recipe, method, epochs, epoch);
            }
        }
    }
}
