//! What MobileViTs make of maps whose sides their patches do not divide.

use ghostlight_autodiff::{DType, Tape, Tensor, Var};
use ghostlight_models::nn::Mode;
use ghostlight_models::zoo::{Architecture, Network};
use ghostlight_tests::{client, download};

const STAGES: [&str; 6] = [
    "stages.0",
    "stages.1",
    "stages.2",
    "stages.3",
    "stages.4",
    "final_conv",
];

/// The sides of the stages' maps, of an image `[h, w]`.
fn sides(name: &str, [h, w]: [usize; 2]) -> Vec<[usize; 2]> {
    let arch = Architecture::new(name, 3).images(h, w);
    let network = Network::new(&client(), DType::F32, arch, 1, 0).expect(name);
    let image = Tensor::from_f64(&client(), &vec![0.5; h * w * 3], &[1, h, w, 3], DType::F32);
    let image = Var::constant(image.expect("the values fill the shape"));
    let (logits, kept) = network
        .forward_with_stages(&Tape::new(), Mode::Infer, &image, &STAGES)
        .expect(name);
    assert!(download(logits.tensor()).iter().all(|z| z.is_finite()));
    let side = |stage: &Var| [stage.tensor().shape()[1], stage.tensor().shape()[2]];
    kept.iter().map(side).collect()
}

#[test]
fn odd_maps_are_resized_back_in_the_first_mobilevit_alone() {
    let square = |sides: [usize; 6]| sides.map(|side| [side; 2]).to_vec();
    assert_eq!(
        sides("mobilevit_xxs", [112, 112]),
        square([56, 28, 14, 7, 4, 4])
    );
    assert_eq!(
        sides("mobilevitv2_050", [112, 112]),
        square([56, 28, 14, 8, 4, 4])
    );
    let wide = [[17, 36], [9, 18], [5, 9], [3, 5], [2, 3], [2, 3]];
    assert_eq!(sides("mobilevit_xxs", [33, 71]), wide);
    let wide = [[17, 36], [9, 18], [6, 10], [4, 6], [2, 4], [2, 4]];
    assert_eq!(sides("mobilevitv2_050", [33, 71]), wide);
}

#[test]
fn no_image_is_too_small_to_train_on() {
    for name in ["mobilevit_xxs", "mobilevitv2_050"] {
        for [height, width] in [[1, 1], [2, 3], [16, 40], [31, 32]] {
            let arch = Architecture::new(name, 3).images(height, width);
            let step = Network::step_bytes(arch, 2, true);
            assert!(step.is_ok(), "{name} of {height} x {width}: {step:?}");
        }
    }
}
