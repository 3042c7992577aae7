//! Teachers, students and ways to teach: one or several, in a file and on the command line.

use super::*;
use crate::recipe::Optimiser;

fn parse(text: &str) -> Recipe {
    Recipe::parse("mine.toml", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const TWO: &str = "
[[teacher]]
arch = 'efficientvit_m2'

[[teacher]]
arch = 'mobilevitv2_100'
train = { optimiser = 'adamw', peak_lr = 1e-3 }
";

fn archs(recipe: &Recipe) -> Vec<&str> {
    recipe
        .teacher
        .iter()
        .map(|teacher| teacher.arch.as_str())
        .collect()
}

#[test]
fn a_section_by_itself_is_a_list_of_one() {
    let wanted = parse("[[student]]\narch = 'resnet14'");
    for text in [
        "[student]\narch = 'resnet14'",
        "student.arch = 'resnet14'",
        "student = { arch = 'resnet14' }",
    ] {
        assert_eq!(parse(text), wanted);
    }
    assert_eq!((wanted.student.len(), wanted.student[0].epochs), (1, 10));
}

#[test]
fn several_teachers_have_keys_of_their_own_and_train_by_them() {
    let mut recipe = parse(TWO);
    assert_eq!(archs(&recipe), ["efficientvit_m2", "mobilevitv2_100"]);
    let [first, second] =
        [0, 1].map(|index: usize| recipe.train_with(&recipe.teacher[index].train));
    assert_eq!(first, recipe.train);
    assert_eq!((second.optimiser, second.peak_lr), (Optimiser::AdamW, 1e-3));
    assert_eq!(second.batch, recipe.train.batch);
    recipe.set("teacher.2.arch=resnet56").unwrap();
    recipe.set("teacher.1.train.batch=32").unwrap();
    assert_eq!(archs(&recipe), ["efficientvit_m2", "resnet56"]);
    assert_eq!(recipe.train_with(&recipe.teacher[0].train).batch, 32);
    assert_eq!(recipe.train_with(&recipe.teacher[1].train).peak_lr, 1e-3);
    assert_eq!(Recipe::parse("", &recipe.to_toml()).unwrap(), recipe);
}

#[test]
fn a_key_of_one_of_several_is_refused_without_its_number_and_with_a_wrong_one() {
    let mut recipe = parse(TWO);
    let before = recipe.clone();
    for (assignment, named) in [
        (
            "teacher.arch=resnet8",
            ["`teacher` is a list of 2", "as teacher.1.arch"],
        ),
        (
            "teacher.3.arch=resnet8",
            ["its number 3", "one of the 2 that the recipe has"],
        ),
        (
            "teacher.0.arch=resnet8",
            ["its number 0", "one of the 2 that the recipe has"],
        ),
        ("teacher.2=resnet8", ["its number 2", "with a key"]),
        (
            "student.2.arch=resnet8",
            ["its number 2", "one of the 1 that the recipe has"],
        ),
        (
            "teacher=resnet8",
            [
                "`teacher` is \"resnet8\"",
                "[teacher], or several, [[teacher]]",
            ],
        ),
        (
            "teacher=[1]",
            ["`teacher` is 1", "[teacher], or several, [[teacher]]"],
        ),
    ] {
        let refused = recipe.set(assignment).expect_err(assignment).to_string();
        for part in named {
            assert!(
                refused.starts_with("--set: ") && refused.contains(part),
                "{assignment}: {refused}"
            );
        }
    }
    assert_eq!(recipe, before);
    recipe.set("student.1.arch=resnet14").unwrap();
    assert_eq!(recipe.student[0].arch, "resnet14");
}

#[test]
fn a_way_that_names_no_term_is_decoupled_distillation_and_one_that_does_is_that_alone() {
    let terms = |text: &str| {
        parse(text)
            .distill
            .iter()
            .map(|way| way.terms())
            .collect::<Vec<_>>()
    };
    for text in [
        "",
        "[distill]",
        "distill.ce_weight = 0.5",
        "[[distill]]",
        "[distill]\nname = 'mine'",
    ] {
        assert_eq!(terms(text), [["dkd"]], "{text}");
    }
    assert_eq!(terms("[distill.kd]"), [["kd"]]);
    assert_eq!(
        terms("distill = { align = {}, kd = {} }"),
        [["kd", "align"]]
    );
    assert_eq!(
        terms("[[distill]]\nkd = {}\n[[distill]]"),
        [["kd"], ["dkd"]]
    );
    let mut recipe = parse("[distill.kd]");
    recipe.set("distill.cosine.weight=0.5").unwrap();
    assert_eq!(recipe.distill[0].terms(), ["kd", "cosine"]);
    recipe.set("distill.kd.weight=0").unwrap();
    assert_eq!(
        (recipe.distill[0].terms(), recipe.distill[0].title()),
        (vec!["cosine"], "cosine".into())
    );
}

#[test]
fn differences_name_the_element_of_a_list_that_differs() {
    let recipe = parse(TWO);
    let mut other = recipe.clone();
    other.set("teacher.2.epochs=3").unwrap();
    other.set("teacher.1.train.batch=32").unwrap();
    other.set("distill.dkd.beta=2").unwrap();
    let found = recipe.differences(&other);
    let keys: Vec<&str> = found
        .iter()
        .map(|difference| difference.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "teacher.2.epochs",
            "teacher.1.train.batch",
            "distill.dkd.beta"
        ]
    );
    assert_eq!(
        (found[0].left.as_str(), found[0].right.as_str()),
        ("10", "3")
    );
    assert_eq!(
        (found[1].left.as_str(), found[1].right.as_str()),
        ("", "32")
    );
    let fewer = Recipe {
        teacher: recipe.teacher[..1].to_vec(),
        ..recipe.clone()
    };
    assert!(!recipe.differences(&fewer).is_empty() && !fewer.differences(&recipe).is_empty());
}

/// Why `text`, each of whose values may be taken, is refused as a whole.
#[track_caller]
fn conflict(text: &str) -> String {
    match parse(text).validate() {
        Err(RecipeError::Conflict { conflict }) => conflict,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn ways_to_teach_that_ask_for_what_is_not_there_are_refused() {
    let two = "teacher = [{}, {}]\n";
    let five = "teacher = [{}, {}, {}, {}, {}]\n";
    for (text, named) in [
        (
            "teacher = []",
            ["`teacher` is an empty list", "[[teacher]]"],
        ),
        (
            "student = []",
            ["`student` is an empty list", "[[student]]"],
        ),
        (
            "distill = []",
            ["`distill` is an empty list", "[[distill]]"],
        ),
        (
            "distill.name = 'a/b'",
            ["`distill.name` = \"a/b\"", "letters, digits"],
        ),
        (
            "distill.name = '.hidden'",
            ["`distill.name` = \".hidden\"", "letters, digits"],
        ),
        (
            "[[distill]]\n[[distill]]\nname = 'alone'",
            ["`distill.2.name` = \"alone\"", "without a teacher"],
        ),
        (
            "[[distill]]\n[[distill]]\n",
            ["two ways to teach are called \"dkd\"", "`name`"],
        ),
        (
            "distill = { ce_weight = 0, kd = { weight = 0 } }",
            ["`distill.ce_weight` is 0", "raise one"],
        ),
        (
            "distill.teachers = [2]",
            ["`distill` listens to teacher 2", "the recipe has 1"],
        ),
        (
            "distill = { align = { teacher = 2 } }",
            ["`distill` listens to teacher 2", "the recipe has 1"],
        ),
        (
            "distill.dual = {}",
            ["`distill.dual` weighs two teachers", "listens to 1"],
        ),
        (
            &format!("{five}distill.dual = {{}}"),
            ["`distill.dual` weighs two teachers", "listens to 5"],
        ),
        (
            &format!("{two}distill.dual = {{ low = 0.7 }}"),
            ["`distill.dual.low` = 0.7", "`distill.dual.high` = 0.6"],
        ),
        (
            &format!("{two}distill = {{ turns = 'in_turn', dual = {{}} }}"),
            [
                "`distill.dual` weighs two teachers",
                "`distill.turns` = \"together\"",
            ],
        ),
        (
            &format!("{two}distill = {{ kd = {{}}, dual = {{}} }}"),
            ["`distill.dual`", "`distill.kd`"],
        ),
        (
            &format!("{two}distill.teachers = [2, 2]"),
            ["`distill.teachers`", "teacher 2 twice"],
        ),
        (
            &format!("{five}distill.kd = {{}}"),
            ["`distill` listens to 5 teachers at once", "4"],
        ),
        (
            "distill.align = { student_stages = ['a', 'b'] }",
            ["names 2 of the student's stages and 0", "one for each"],
        ),
        (
            "distill.align = { select = 'mixed' }",
            [
                "`distill.align.select` = \"mixed\"",
                "`distill.align.norm` = \"none\"",
            ],
        ),
        (
            "distill.cosine = { student_stage = 'a' }",
            ["`distill.cosine` names stages", "\"features\""],
        ),
        (
            "[teacher.train]\nmomentum = 0",
            ["`train.nesterov` = true", "`train.momentum` is 0"],
        ),
    ] {
        let refused = conflict(text);
        for part in named {
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}

#[test]
fn what_goes_together_is_taken() {
    let two = "teacher = [{}, {}]\n";
    for text in [
        "distill = { turns = 'in_turn', kd = {} }".to_string(),
        "teacher = [{}, {}, {}, {}, {}]\ndistill = { turns = 'in_turn', kd = {} }".into(),
        "teacher = [{}, {}, {}, {}, {}]\ndistill = { teachers = [5, 1], dual = {} }".into(),
        format!("{two}distill = {{ dual = {{ low = 0.6 }}, dkd = {{}}, cosine = {{}} }}"),
        format!(
            "{two}distill = {{ teachers = [2], align = {{ teacher = 1, select = 'mixed', norm = 'none' }} }}"
        ),
        "distill.cosine = { of = 'features', student_stage = 'a', teacher_stage = 'b' }".into(),
        "distill = { ce_weight = 0, cosine = {} }".into(),
        "[[distill]]\nname = 'A-1_b.c+d'\n[[distill]]".into(),
        "student = [{}, {}]".into(),
    ] {
        parse(&text)
            .validate()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}
