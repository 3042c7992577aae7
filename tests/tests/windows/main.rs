//! Channel windows: what they show of the tensor that they were cut from, and who refuses them. Results in the place of operands, and
//! tensors that no index reaches.

mod in_place;
mod reach;

use ghostlight_kernels::attention::softmax::{AttentionOptions, attention, backward};
use ghostlight_kernels::{DType, KernelError, Tensor, pointwise};
use ghostlight_tests::{
    Windowed, assert_exact, assert_same_bits, client, download, dtypes, dtypes_with_exp, integers,
    reals, upload,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn a_window_shows_its_own_channels(
        (pixels, channels, before, after) in (0usize..7, 1usize..70, 0usize..20, 0usize..20),
        seed: u32,
    ) {
        let values = reals(seed.into(), pixels * channels);
        for dtype in dtypes() {
            let windowed = Windowed::of(&values, &[pixels, channels], dtype, before, after);
            prop_assert_eq!(windowed.window.shape(), &[pixels, channels]);
            prop_assert_eq!(&download(&windowed.window), &values);
            windowed.assert_gaps_untouched("nothing ran");
        }
    }

    #[test]
    fn filling_a_window_leaves_the_rest_alone(
        (pixels, channels, before, after) in (0usize..7, 1usize..70, 0usize..20, 0usize..20),
    ) {
        for dtype in dtypes() {
            let windowed = Windowed::room(&[pixels, channels], dtype, before, after);
            pointwise::fill(&windowed.window, 2.5);
            prop_assert!(download(&windowed.window).iter().all(|&v| v == 2.5));
            windowed.assert_gaps_untouched("fill");
        }
    }

    #[test]
    fn a_sum_reads_windows(
        (pixels, channels) in (1usize..9, prop::sample::select(&[1usize, 3, 10, 16, 36, 100][..])),
        [before, after] in [0usize..9, 0usize..9],
        seed: u32,
    ) {
        let (shape, count) = ([pixels, channels], pixels * channels);
        let (a, b) = (integers(seed.into(), count), integers(u64::from(seed) + 1, count));
        let wanted: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        for dtype in dtypes() {
            let windows = [
                Windowed::of(&a, &shape, dtype, before, after),
                Windowed::of(&b, &shape, dtype, after, before),
            ];
            let wholes = [upload(&a, &shape, dtype), upload(&b, &shape, dtype)];
            for (a, b) in [
                (&windows[0].window, &windows[1].window),
                (&windows[0].window, &wholes[1]),
                (&wholes[0], &windows[1].window),
                (&wholes[0], &wholes[1]),
            ] {
                assert_exact("a sum", &pointwise::add(a, b).unwrap(), &wanted);
            }
        }
    }

    #[test]
    fn no_window_panics(shape in prop::collection::vec(0usize..4, 0..4), start: usize, count: usize) {
        let tensor = Tensor::empty(&client(), &shape, DType::F32);
        let (start, count) = (start % 6, count % 6);
        let fits = shape.last().is_some_and(|&channels| start + count <= channels);
        prop_assert_eq!(tensor.window(start, count).is_ok(), fits);
        prop_assert!(tensor.window(usize::MAX, 2).is_err());
    }
}

#[test]
fn a_bias_by_offset_may_be_the_window_of_one_head() {
    let (heads, side) = (3, 4);
    let tokens = side * side;
    let options = AttentionOptions {
        heads: 1,
        scale: 0.5,
        offsets: Some([side, side]),
    };
    for dtype in dtypes_with_exp() {
        let of = |seed, channels| {
            let shape = [2, tokens, channels];
            upload(&reals(seed, 2 * tokens * channels), &shape, dtype)
        };
        let (q, k, v) = (of(1, 8), of(2, 8), of(3, 5));
        let table = reals(4, heads * tokens);
        let all = upload(&table, &[1, heads * tokens], dtype);
        for head in 0..heads {
            let own = &table[head * tokens..][..tokens];
            let own = upload(own, &[1, tokens], dtype);
            let window = all.window(head * tokens, tokens).unwrap();
            let [wanted, got] = [own, window].map(|bias| {
                let (out, saved) = attention(&q, &k, &v, Some(&bias), options).unwrap();
                let grads = backward(saved, &out).unwrap();
                [out, grads.q, grads.bias.unwrap()]
            });
            for (wanted, got) in wanted.iter().zip(&got) {
                assert_same_bits("beside a bias of its own", wanted, got);
            }
        }
    }
}

#[test]
fn a_window_of_a_window_is_one_of_the_larger_tensor() {
    let values: Vec<f64> = (0..24).map(f64::from).collect();
    let whole = upload(&values, &[3, 8], DType::F32);
    let inner = whole.window(2, 5).unwrap().window(1, 3).unwrap();
    let wanted: Vec<f64> = (0..3)
        .flat_map(|pixel| (3..6).map(move |c| f64::from(8 * pixel + c)))
        .collect();
    assert_eq!(download(&inner), wanted);
    assert!(!whole.window(0, 8).unwrap().is_window());
}

#[test]
fn operations_on_whole_tensors_refuse_windows() {
    let windowed = Windowed::room(&[2, 3], DType::F32, 1, 4);
    let whole = upload(&[0.0; 6], &[2, 3], DType::F32);
    let window = &windowed.window;
    for refused in [
        pointwise::add_into(window, &whole).err(),
        window.reshape(&[6]).err(),
        window.slice(0, &[2]).err(),
    ] {
        let Some(KernelError::Window {
            offset: 1,
            pitch: 8,
            ref shape,
            ..
        }) = refused
        else {
            panic!("{refused:?}, wanted a refusal of the window");
        };
        assert_eq!(shape, &[2, 3]);
    }
}
