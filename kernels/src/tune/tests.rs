use super::*;
use std::fs;

const KNOB: Knob<2, 2> = Knob {
    op: "test",
    class: ["rows", "columns"],
    sizes: [("tile", &[2, 4, 8]), ("block", &[1, 16])],
};

fn choose(class: [usize; 2]) -> [usize; 2] {
    KNOB.choose(DType::F32, class, [4, 1], |[tile, _]| tile <= class[0])
}

fn key(class: [usize; 2]) -> Key {
    Key {
        op: "test".into(),
        dtype: DType::F32,
        class: Named::of(KNOB.class, class),
    }
}

fn chosen(class: &str, sizes: &str) -> Chosen {
    Chosen {
        op: "test".into(),
        dtype: "f32".into(),
        class: class.parse().expect("a class"),
        sizes: sizes.parse().expect("sizes"),
        on: "test/forward/1".into(),
        gain: 1.2,
    }
}

#[test]
fn what_is_chosen_is_told_once_with_what_is_allowed_instead() {
    let (sizes, questions) = watch(|| [choose([4, 7]), choose([4, 7]), choose([9, 7])]);
    assert_eq!(sizes, [[4, 1]; 3]);
    let [small, large] = &questions[..] else {
        panic!("two classes: {questions:?}");
    };
    assert_eq!(small.key.to_string(), "test f32 rows=4 columns=7");
    assert_eq!(small.rule.to_string(), "tile=4 block=1");
    let told: Vec<String> = small.candidates.iter().map(Named::to_string).collect();
    assert_eq!(
        told,
        ["tile=2 block=1", "tile=2 block=16", "tile=4 block=16"]
    );
    assert_eq!(large.candidates.len(), 5);
    // Nothing is watched any more.
    assert!(!ASKED.get());
}

#[test]
fn a_choice_is_for_its_class() {
    let wide = Named::of(["tile", "block"], [8, 16]);
    let taken = with(&key([9, 7]), &wide, || [choose([9, 7]), choose([9, 8])]);
    assert_eq!(taken, [[8, 16], [4, 1]]);
    assert_eq!(choose([9, 7]), [4, 1]);
    // Not even by force what is not allowed.
    assert_eq!(with(&key([4, 7]), &wide, || choose([4, 7])), [4, 1]);
}

#[test]
fn a_panic_leaves_nothing_forced() {
    let wide = Named::of(["tile", "block"], [8, 16]);
    let panicked = std::panic::catch_unwind(|| with(&key([9, 7]), &wide, || panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(choose([9, 7]), [4, 1]);
}

#[test]
fn a_table_in_use_is_asked_for_what_it_knows() {
    let mut table = Table::new(&cubecl::Device::default().client());
    table.keep(
        &key([9, 70]),
        Some(chosen("rows=9 columns=70", "tile=8 block=16")),
    );
    // What another version called so, and what is not allowed, is not taken.
    table.keep(
        &key([10, 70]),
        Some(chosen("lines=10 columns=70", "tile=8 block=16")),
    );
    table.keep(
        &key([11, 70]),
        Some(chosen("rows=11 columns=70", "tile=8 depth=16")),
    );
    table.keep(
        &key([4, 70]),
        Some(chosen("rows=4 columns=70", "tile=8 block=16")),
    );
    use_table(&table);
    let taken = [[9, 70], [10, 70], [11, 70], [4, 70], [9, 71]].map(choose);
    use_rules();
    assert_eq!(taken, [[8, 16], [4, 1], [4, 1], [4, 1], [4, 1]]);
    assert_eq!(choose([9, 70]), [4, 1]);
    table.keep(&key([9, 70]), None);
    assert_eq!(table.choices.len(), 3);
}

#[test]
fn a_table_is_read_as_it_was_written_and_refused_with_its_file() {
    let client = cubecl::Device::default().client();
    let folder = std::env::temp_dir().join(format!("ghostlight-tuned-{}", std::process::id()));
    let file = folder.join("deeper/table.json");
    let mut table = Table::new(&client);
    table.keep(
        &key([9, 7]),
        Some(chosen("rows=9 columns=7", "tile=8 block=16")),
    );
    table.write(&file).expect("a folder of its own");
    assert_eq!(
        Table::read(&client, Some(&file)).expect("it was written"),
        table
    );
    let text = fs::read_to_string(&file).expect("it was written");
    let refused = |text: &str| {
        fs::write(&file, text).expect("it is there");
        let error = Table::read(&client, Some(&file))
            .expect_err(text)
            .to_string();
        assert!(error.starts_with(&file.display().to_string()), "{error}");
        error
    };
    for (right, wrong, reason) in [
        (table.device.as_str(), "another", "measured on `another`"),
        ("\"format\": 1", "\"format\": 2", "format 2, wanted 1"),
        ("\"f32\"", "\"f31\"", "no element type is called `f31`"),
        (
            "tile=8",
            "tile:8",
            "`tile:8` in `tile:8 block=16` is no name=number",
        ),
        ("\"gain\"", "\"pain\"", "unknown field `pain`"),
    ] {
        let error = refused(&text.replace(right, wrong));
        assert!(error.contains(reason), "{error}");
    }
    fs::remove_file(&file).expect("it is there");
    assert!(Table::read(&client, Some(&file)).is_err());
    fs::remove_dir_all(&folder).expect("it was made");
}
