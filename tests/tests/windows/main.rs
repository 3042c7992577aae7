//! Channel windows: what they show of the tensor that they were cut from, and who refuses them. Results in the place of operands, and
//! tensors that no index reaches.

mod in_place;
mod reach;

use ghostlight_kernels::{DType, KernelError, Tensor, pointwise};
use ghostlight_tests::{Windowed, client, download, dtypes, reals, upload};
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
    fn no_window_panics(shape in prop::collection::vec(0usize..4, 0..4), start: usize, count: usize) {
        let tensor = Tensor::empty(&client(), &shape, DType::F32);
        let (start, count) = (start % 6, count % 6);
        let fits = shape.last().is_some_and(|&channels| start + count <= channels);
        prop_assert_eq!(tensor.window(start, count).is_ok(), fits);
        prop_assert!(tensor.window(usize::MAX, 2).is_err());
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
        pointwise::add(window, &whole).err(),
        pointwise::add(&whole, window).err(),
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
