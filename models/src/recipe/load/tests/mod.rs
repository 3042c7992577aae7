mod fields;
mod lists;

use super::super::fields::Allowed;
use super::*;
use crate::recipe::Dkd;
use crate::recipe::{FIELDS, Schedule};

/// A recipe in which everything is on that can be. Not all of it goes together.
fn everything() -> Recipe {
    let mut recipe = Recipe::default();
    for assignment in [
        "distill.name=all",
        "distill.teachers=[1]",
        "distill.kd.weight=1",
        "distill.dual.temperature=3",
        "distill.cosine.student_stage=layer2",
        "distill.cosine.teacher_stage=layer3",
        "distill.align.student_stages=['layer1', 'layer2']",
        "distill.align.teacher_stages=['layer2', 'layer3']",
    ] {
        recipe.set(assignment).unwrap();
    }
    recipe
}

fn dkd(recipe: &Recipe) -> &Dkd {
    recipe.distill[0].dkd.as_ref().expect("the default term")
}

fn refusal(text: &str) -> String {
    Recipe::parse("mine.toml", text)
        .expect_err("the text should be refused")
        .to_string()
}

#[test]
fn the_table_of_fields_and_the_structs_name_the_same_keys() {
    let mut keys: Vec<_> = leaves(&everything().to_table())
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let mut known: Vec<_> = FIELDS.iter().map(|(key, _)| key.to_string()).collect();
    keys.sort();
    known.sort();
    assert_eq!(keys, known);
}

#[test]
fn the_defaults_and_every_named_recipe_are_valid() {
    Recipe::default().validate().unwrap();
    for name in Recipe::names() {
        Recipe::load(name).unwrap();
    }
}

#[test]
fn every_word_of_a_choice_is_understood() {
    for (key, allowed) in FIELDS {
        let Allowed::OneOf(words) = allowed else {
            continue;
        };
        for word in *words {
            let mut recipe = everything();
            recipe.set(&format!("{key}={word}")).unwrap();
            let written = leaves(&recipe.to_table());
            let found = written.iter().find(|(known, _)| known == key);
            assert_eq!(found.unwrap().1.as_str(), Some(*word), "{key}");
        }
    }
}

#[test]
fn dropout_rates_are_the_networks_own_or_one_number() {
    let of = |value: &str| {
        let mut recipe = Recipe::default();
        let set = recipe.set(&format!("train.dropout={value}"));
        set.map(|()| {
            assert_eq!(Recipe::parse("", &recipe.to_toml()).unwrap(), recipe);
            recipe.train.dropout.rate()
        })
    };
    assert_eq!(Recipe::default().train.dropout.rate(), None);
    for (value, rate) in [("own", None), ("0", Some(0.0)), ("0.3", Some(0.3))] {
        assert_eq!(of(value).unwrap(), rate, "{value}");
    }
    for value in ["1", "1.0", "-0.1", "nan", "theirs", "true", "''"] {
        let refused = of(value).unwrap_err().to_string();
        let allowed = "must be \"own\" or a number from 0 to 1 (excluded)";
        assert!(
            refused.contains("`train.dropout`") && refused.contains(allowed),
            "{refused}"
        );
    }
}

#[test]
fn a_resolved_recipe_reads_back_as_itself() {
    let mut recipe = everything();
    recipe.set("seed=9223372036854775807").unwrap();
    recipe.set("train.weight_decay=0.0001").unwrap();
    recipe.set("train.schedule=cosine").unwrap();
    let text = recipe.to_toml();
    assert_eq!(Recipe::parse("", &text).unwrap(), recipe);
    assert!(
        FIELDS
            .iter()
            .all(|(key, _)| text.contains(key.rsplit('.').next().unwrap()))
    );
}

#[test]
fn keys_left_out_keep_their_defaults() {
    let recipe = Recipe::parse("", "[train]\nbatch = 64\n[distill.dkd]\nbeta = 2").unwrap();
    assert_eq!((recipe.train.batch, dkd(&recipe).beta), (64, 2.0));
    assert_eq!(
        (recipe.train.peak_lr, recipe.train.schedule),
        (0.2, Schedule::OneCycle)
    );
}

#[test]
fn an_unknown_key_is_named_with_its_neighbour() {
    assert_eq!(
        refusal("[train]\nbacth = 64"),
        "mine.toml: unknown key `train.bacth`; did you mean `train.batch`?"
    );
    assert!(refusal("batch = 64").contains("did you mean `train.batch`"));
    assert!(refusal("[optimiser]\nmomentum = 0.5").contains("unknown key `optimiser.momentum`"));
    assert!(refusal("[empty]").contains("unknown key `empty`"));
}

#[test]
fn a_value_out_of_range_is_named_with_the_range() {
    assert_eq!(
        refusal("[train]\nbatch = 1"),
        "mine.toml: `train.batch` is 1, but must be a whole number from 2 to 4096"
    );
    assert_eq!(
        refusal("data.test_fraction = 1.0"),
        "mine.toml: `data.test_fraction` is 1.0, but must be a number above 0 and below 1"
    );
    assert!(refusal("train.peak_lr = nan").contains("`train.peak_lr` is nan"));
    assert!(refusal("distill.kd.temperature = inf").contains("from 0.1 to 100"));
    assert!(refusal("seed = -1").contains("from 0 to 2^63-1"));
    assert!(
        refusal("train.schedule = 'steps'").contains(r#"one of "one_cycle", "cosine", "constant""#)
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_like_one_out_of_range() {
    assert!(refusal("train.batch = 64.0").contains("`train.batch` is 64.0"));
    assert!(refusal("train.batch = 'many'").contains("whole number"));
    assert!(refusal("augment.dihedral = 1").contains("true or false"));
    assert!(refusal("teacher.arch = ' '").contains("a name in quotes"));
    assert!(refusal("train = 3").contains("a section of its own, [train]"));
    assert!(refusal("seed.x = 3").contains("`seed` is"));
    assert!(refusal("train.batch.size = 3").contains("`train.batch` is"));
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    assert!(refusal("[train]\nbatch 64").contains("line 2"));
}

#[test]
fn the_command_line_sets_values_of_every_type() {
    let mut recipe = Recipe::default();
    for assignment in [
        "teacher.arch=resnet56",
        "train.batch = 64",
        "augment.dihedral=false",
        "distill.dkd.alpha=0.5",
    ] {
        recipe.set(assignment).unwrap();
    }
    recipe.set_from("--seed", "seed", "7").unwrap();
    assert_eq!(
        (
            recipe.teacher[0].arch.as_str(),
            recipe.train.batch,
            recipe.seed
        ),
        ("resnet56", 64, 7)
    );
    assert_eq!((recipe.augment.dihedral, dkd(&recipe).alpha), (false, 0.5));
}

#[test]
fn a_refused_option_is_named_and_changes_nothing() {
    let mut recipe = Recipe::default();
    let mut refused = |assignment: &str| recipe.set(assignment).expect_err("refused").to_string();
    assert!(refused("train.batch=9999").starts_with("--set: `train.batch` is 9999"));
    assert!(refused("train.batch=").contains("whole number"));
    assert!(refused("train.bach=64").contains("did you mean `train.batch`"));
    assert!(refused("train.batch").contains("key=value"));
    assert!(refused("=3").contains("key=value"));
    assert!(
        recipe
            .set_from("--epochs", "student.epochs", "0")
            .unwrap_err()
            .to_string()
            .starts_with("--epochs: ")
    );
    assert_eq!(recipe, Recipe::default());
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let mut recipe = Recipe::default();
    recipe.set("data.image_size=8").unwrap();
    recipe.set("augment.shift=8").unwrap();
    assert!(
        recipe
            .validate()
            .unwrap_err()
            .to_string()
            .contains("lower the shift")
    );
    let level = Recipe::parse("", "train.momentum = 0").unwrap();
    let message = level.validate().unwrap_err().to_string();
    for part in [
        "`train.nesterov` = true",
        "`train.momentum` is 0",
        "`train.nesterov` = false",
    ] {
        assert!(message.contains(part), "{message}");
    }
    for key in ["train", "validation", "test"] {
        let text = format!("data.split_file = 'north.txt'\ndata.{key}_per_class = 5");
        let twice = Recipe::parse("", &text).unwrap();
        let message = twice.validate().unwrap_err().to_string();
        assert!(
            message.contains(&format!("`data.{key}_per_class`")),
            "{message}"
        );
    }
    let nothing = Recipe::parse(
        "",
        "distill.dkd.alpha = 0\ndistill.dkd.beta = 0\ndistill.ce_weight = 0",
    )
    .unwrap();
    assert!(matches!(
        nothing.validate(),
        Err(RecipeError::Conflict { .. })
    ));
}

#[test]
fn a_recipe_built_in_code_is_held_to_the_same_ranges() {
    let mut recipe = Recipe::default();
    recipe.train.peak_lr = f64::NAN;
    assert!(
        recipe
            .validate()
            .unwrap_err()
            .to_string()
            .contains("`train.peak_lr` is nan")
    );
}

#[test]
fn a_seed_beyond_what_toml_can_hold_is_refused_and_does_not_panic() {
    let recipe = Recipe {
        seed: u64::MAX,
        ..Recipe::default()
    };
    assert!(recipe.validate().unwrap_err().to_string().contains("seed"));
}

#[test]
fn a_recipe_that_is_neither_a_name_nor_a_file_lists_the_names() {
    let message = Recipe::load("eurosat").unwrap_err().to_string();
    assert!(message.contains("`default`") && message.contains("`synthetic`"));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Recipe::load(folder.path().to_str().unwrap()),
        Err(RecipeError::Unreadable { .. })
    ));
}

#[test]
fn differences_name_the_keys_on_which_recipes_disagree() {
    let mut other = Recipe::default();
    assert!(Recipe::default().differences(&other).is_empty());
    other.set("train.batch=64").unwrap();
    let expected = Difference {
        key: "train.batch".into(),
        left: "128".into(),
        right: "64".into(),
    };
    assert_eq!(Recipe::default().differences(&other), [expected]);
}

#[test]
fn a_named_recipe_is_the_one_of_its_name() {
    let [default, synthetic] = ["default", "synthetic"].map(|name| Recipe::load(name).unwrap());
    assert_ne!(default, synthetic);
    let text = include_str!("../../../../recipes/synthetic.toml");
    assert_eq!(synthetic, Recipe::parse("", text).unwrap());
}

#[test]
fn one_weight_of_a_distillation_above_0_is_enough() {
    let weights = ["dkd.alpha", "dkd.beta", "ce_weight"];
    for lone in weights {
        let mut recipe = Recipe::default();
        for key in weights {
            let weight = if key == lone { 0.5 } else { 0.0 };
            recipe.set(&format!("distill.{key}={weight}")).unwrap();
        }
        recipe.validate().unwrap();
    }
}

#[test]
fn without_a_momentum_there_is_nothing_to_look_ahead_along_and_that_is_all() {
    for (momentum, nesterov) in [(0.0, false), (0.1, false), (0.1, true)] {
        let mut recipe = Recipe::default();
        recipe.set(&format!("train.momentum={momentum}")).unwrap();
        recipe.set(&format!("train.nesterov={nesterov}")).unwrap();
        recipe.validate().unwrap();
    }
}
