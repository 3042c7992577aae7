//! Maps cut into tokens and put together: the reference on random shapes, numbers by hand, what is inverse and adjoint to what,
//! windows, values that are not finite, determinism, gradients through the tape, launches and refusals.

use ghostlight_autodiff::check::{GradcheckOptions, adjointness, gradcheck, values};
use ghostlight_autodiff::ops::{Merge, Partition};
use ghostlight_autodiff::{Tape, Var};
use ghostlight_kernels::attention::partition::{
    PartitionKind, PartitionProblem, merge, partition, reference,
};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, Windowed, assert_exact, assert_launches, assert_refuses_range,
    assert_refuses_shape, assert_same_bits, assert_same_bits_on_one_core, client, download, dtypes,
    has_f64, poison, reals, upload,
};
use proptest::prelude::*;

/// Fewer than a vector, a few, not quite a few, many.
const CHANNELS: [usize; 8] = [1, 3, 10, 12, 16, 36, 64, 100];
const KINDS: [PartitionKind; 2] = [PartitionKind::Block, PartitionKind::Grid];

/// One map and the blocks that it is cut into.
#[derive(Clone, Copy, Debug)]
struct Case {
    map: [usize; 4],
    kind: PartitionKind,
    size: [usize; 2],
}

impl Case {
    fn problem(&self) -> PartitionProblem {
        PartitionProblem::new(self.map, DType::F64, self.kind, self.size).unwrap()
    }

    fn tokens(&self) -> [usize; 3] {
        self.problem().tokens_shape()
    }

    /// Elements of map and tokens.
    fn lens(&self) -> [usize; 2] {
        [self.map.iter().product(), self.tokens().iter().product()]
    }

    /// The tokens of `map` and the map of `tokens`.
    fn apply(&self, map: &Tensor, tokens: &Tensor) -> [Tensor; 2] {
        let [_, h, w, _] = self.map;
        [
            partition(map, self.kind, self.size).unwrap(),
            merge(tokens, self.kind, self.size, [h, w]).unwrap(),
        ]
    }

    /// Both, on memory full of NaN.
    fn run(&self, map: &[f64], tokens: &[f64], dtype: DType) -> [Tensor; 2] {
        let map = upload(map, &self.map, dtype);
        let tokens = upload(tokens, &self.tokens(), dtype);
        poison(dtype, &[map.len(), tokens.len()]);
        let results = self.apply(&map, &tokens);
        assert_eq!(results[0].shape(), self.tokens());
        assert_eq!(results[1].shape(), self.map);
        results
    }
}

fn case(map: [usize; 4], kind: PartitionKind, size: [usize; 2]) -> Case {
    Case { map, kind, size }
}

fn kinds() -> impl Strategy<Value = PartitionKind> {
    prop::sample::select(&KINDS[..])
}

/// Blocks that divide the map and blocks that do not, single pixels, blocks larger than the map, empty batches.
fn cases() -> impl Strategy<Value = Case> {
    let side = || prop_oneof![1 => Just(1usize), 4 => 2usize..10, 1 => 10usize..30];
    let size = || prop_oneof![1 => Just(1usize), 4 => 2usize..8, 1 => 8usize..12];
    let batch = prop_oneof![1 => Just(0usize), 8 => 1usize..4];
    let channels = prop::sample::select(&CHANNELS[..]);
    let map = (batch, side(), side(), channels).prop_map(|(n, h, w, c)| [n, h, w, c]);
    (map, kinds(), [size(), size()]).prop_map(|(map, kind, size)| case(map, kind, size))
}

/// A few cases whose shapes matter to nobody.
fn several() -> [Case; 4] {
    [
        case([3, 8, 6, 24], PartitionKind::Grid, [2, 2]),
        case([2, 7, 9, 10], PartitionKind::Grid, [2, 4]),
        case([2, 14, 14, 64], PartitionKind::Block, [7, 7]),
        case([3, 4, 5, 36], PartitionKind::Block, [7, 3]),
    ]
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(96))]

    #[test]
    fn tokens_and_maps_are_exactly_those_of_the_reference(case in cases(), seed: u32) {
        let [map, tokens] = case.lens();
        let (map, tokens) = (reals(seed.into(), map), reals(1, tokens));
        let problem = case.problem();
        for dtype in dtypes() {
            let got = case.run(&map, &tokens, dtype);
            assert_exact("tokens", &got[0], &reference::partition(&problem, &map));
            assert_exact("map", &got[1], &reference::merge(&problem, &tokens));
        }
    }

    #[test]
    fn a_map_that_is_cut_and_put_together_is_itself(case in cases(), seed: u32) {
        let values = reals(seed.into(), case.lens()[0]);
        let [_, h, w, _] = case.map;
        for dtype in dtypes() {
            let map = upload(&values, &case.map, dtype);
            let tokens = partition(&map, case.kind, case.size).unwrap();
            let back = merge(&tokens, case.kind, case.size, [h, w]).unwrap();
            assert_same_bits("map", &map, &back);
        }
    }

    #[test]
    fn windows_of_larger_tensors_give_the_same_bits(case in cases(), before in 0usize..20, after in 0usize..20) {
        let [map, tokens] = case.lens();
        let (map, tokens) = (reals(1, map), reals(2, tokens));
        for dtype in dtypes() {
            let whole = case.run(&map, &tokens, dtype);
            let map = Windowed::of(&map, &case.map, dtype, before, after);
            let tokens = Windowed::of(&tokens, &case.tokens(), dtype, after, before);
            let windowed = case.apply(&map.window, &tokens.window);
            assert_same_bits("tokens", &whole[0], &windowed[0]);
            assert_same_bits("map", &whole[1], &windowed[1]);
        }
    }

    #[test]
    fn gradcheck_and_adjointness_through_the_tape(
        shape in [1usize..3, 1usize..6, 1usize..6, 1usize..4],
        size in [1usize..5, 1usize..5],
        kind in kinds(),
    ) {
        if !has_f64() {
            return Ok(());
        }
        let (client, [_, h, w, _]) = (client(), shape);
        let cut = Partition { kind, size };
        let join = Merge { kind, size, map: [h, w] };
        let input = |shape: &[usize]| [(values(1, shape.iter().product()), shape.to_vec())];
        let tokens = case(shape, kind, size).tokens();
        let apply = |tape: &Tape, v: &[Var]| tape.apply(cut, &[&v[0]]);
        gradcheck(&client, &input(&shape), apply, GradcheckOptions::default())?;
        let apply = |tape: &Tape, v: &[Var]| tape.apply(join, &[&v[0]]);
        gradcheck(&client, &input(&tokens), apply, GradcheckOptions::default())?;
        adjointness(&client, &shape, 2, |tape, x| tape.apply(cut, &[x]))?;
        adjointness(&client, &tokens, 3, |tape, x| tape.apply(join, &[x]))?;
    }
}

/// Pixels are numbered row by row; 9 stands for none.
#[test]
fn pixels_go_where_a_drawing_has_them() {
    let pixels: Vec<f64> = (1..=8).map(f64::from).collect();
    for (kind, size, wanted) in [
        // 1 2 | 3 4
        // 5 6 | 7 8
        (
            PartitionKind::Block,
            [2, 2],
            [1., 2., 5., 6., 3., 4., 7., 8.],
        ),
        (
            PartitionKind::Grid,
            [2, 2],
            [1., 3., 2., 4., 5., 7., 6., 8.],
        ),
        (
            PartitionKind::Block,
            [1, 4],
            [1., 2., 3., 4., 5., 6., 7., 8.],
        ),
        (
            PartitionKind::Grid,
            [1, 4],
            [1., 5., 2., 6., 3., 7., 4., 8.],
        ),
    ] {
        for dtype in dtypes() {
            let map = upload(&pixels, &[1, 2, 4, 1], dtype);
            let tokens = partition(&map, kind, size).unwrap();
            assert_exact(&format!("{kind:?} of {size:?}"), &tokens, &wanted);
        }
    }
    // 1 2 3 0
    // 4 5 6 0
    let map = upload(&pixels[..6], &[1, 2, 3, 1], DType::F32);
    let blocks = partition(&map, PartitionKind::Block, [2, 2]).unwrap();
    assert_exact("blocks", &blocks, &[1., 2., 4., 5., 3., 0., 6., 0.]);
    let grids = partition(&map, PartitionKind::Grid, [2, 2]).unwrap();
    assert_exact("grids", &grids, &[1., 3., 2., 0., 4., 6., 5., 0.]);
}

#[test]
fn a_value_that_is_not_finite_is_moved_as_any_other() {
    for case in several() {
        let [map, tokens] = case.lens();
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (mut map, mut tokens) = (reals(1, map), reals(2, tokens));
            // Beside what is filled up, and in the filling's own place.
            *map.last_mut().unwrap() = odd;
            *tokens.last_mut().unwrap() = odd;
            let problem = case.problem();
            let wanted = [
                reference::partition(&problem, &map),
                reference::merge(&problem, &tokens),
            ];
            for dtype in dtypes() {
                let got = case.run(&map, &tokens, dtype);
                for (got, wanted) in got.iter().zip(&wanted) {
                    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
                    assert!(download(got).iter().zip(wanted).all(same), "{case:?}");
                }
            }
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for case in several() {
        let [map, tokens] = case.lens();
        for dtype in dtypes() {
            let results = case.run(&reals(7, map), &reals(8, tokens), dtype);
            results.iter().for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core("one_core_gives_the_same_bits_as_all", &fingerprint);
}

#[test]
fn each_way_is_one_launch_and_an_empty_batch_none() {
    for (batch, launches) in [(2, 2), (0, 0)] {
        let dtype = dtypes()[0];
        for mut case in several() {
            case.map[0] = batch;
            let [map, tokens] = case.lens();
            let map = upload(&reals(1, map), &case.map, dtype);
            let tokens = upload(&reals(2, tokens), &case.tokens(), dtype);
            assert_launches("there and back", launches, || case.apply(&map, &tokens));
        }
    }
}

#[test]
fn refusals_come_in_the_documented_order() {
    let of = |shape: &[usize]| Tensor::empty(&client(), shape, DType::F32);
    let block = PartitionKind::Block;
    assert_refuses_shape(partition(&of(&[4, 4, 3]), block, [0, 0]), "x", &[4, 4, 3]);
    let x = of(&[2, 0, 4, 3]);
    assert_refuses_range(partition(&x, block, [0, 0]), "size[0]", 0);
    assert_refuses_range(partition(&x, block, [1, 32_768]), "size[1]", 32_768);
    for shape in [
        [2, 0, 4, 3],
        [2, 4, 32_768, 3],
        [2, 4, 4, 0],
        [usize::MAX, 4, 4, 3],
    ] {
        let refused = PartitionProblem::new(shape, DType::F32, block, [2, 2]);
        assert_refuses_shape(refused, "map", &shape);
    }
    let filled = partition(&of(&[1, 3, 3, 8]), block, [32_767, 32_767]);
    let said = filled.unwrap_err().to_string();
    assert!(
        said.starts_with("partition: tokens [1, 1073676289, 8] is past"),
        "{said}"
    );

    let refused = |shape: &[usize], map| merge(&of(shape), block, [2, 2], map);
    assert_refuses_shape(refused(&[2, 4], [0, 4]), "tokens", &[2, 4]);
    assert_refuses_shape(refused(&[2, 4, 3], [0, 4]), "map", &[1, 0, 4, 3]);
    // A map of 3 x 4 has four blocks of four pixels.
    assert_refuses_shape(refused(&[6, 4, 3], [3, 4]), "tokens", &[6, 4, 3]);
    assert_refuses_shape(refused(&[8, 3, 3], [3, 4]), "tokens", &[8, 3, 3]);
    assert_eq!(
        refused(&[8, 4, 3], [3, 4]).unwrap().shape(),
        [2, 3, 4, 3],
        "two maps"
    );
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(512))]

    #[test]
    fn no_shape_panics(
        map in prop::array::uniform4(prop_oneof![12 => 0usize..9, 1 => any::<usize>(), 1 => 32_760usize..32_775]),
        size in prop::array::uniform2(prop_oneof![12 => 0usize..9, 1 => any::<usize>(), 1 => 32_760usize..32_775]),
        kind in kinds(),
    ) {
        match PartitionProblem::new(map, DType::F64, kind, size) {
            Ok(problem) => {
                let [samples, length, c] = problem.tokens_shape();
                let [n, h, w, _] = map;
                prop_assert_eq!(c, map[3]);
                prop_assert!(samples * length >= n * h * w);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("partition: "), "{}", error),
        }
    }
}
