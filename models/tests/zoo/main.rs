//! Every network of the zoo against what PyTorch, torchvision and timm count of it, and some against what they compute.

mod families;
mod mobilevit;
mod parity;

use ghostlight_models::zoo::{self, Architecture, Network, Size};
use serde_json::Value;

/// What the reference implementations count.
fn counted() -> Value {
    serde_json::from_str(include_str!("model_counts.json")).expect("the file is JSON")
}

fn numbers(of: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let entries = of.as_object().expect("an object").iter();
    entries.map(|(key, value)| (key.parse().expect("a number"), value))
}

#[test]
fn parameters_and_macs_are_the_references_to_the_last_one() {
    let counted = counted();
    for name in zoo::names() {
        let of = &counted["models"][name];
        assert!(of.is_object(), "{name} is not counted");
        for (classes, params) in numbers(&of["params"]) {
            let network = Network::sketch(Architecture::new(name, classes)).expect(name);
            assert_eq!(
                Some(network.store.parameter_count() as u64),
                params.as_u64(),
                "parameters of {name} for {classes} classes"
            );
        }
        if let Some(tensors) = of["state_dict_tensors"].as_u64() {
            let network = Network::sketch(Architecture::new(name, 10)).expect(name);
            let ours = network.store.specs().iter();
            // PyTorch counts the batches that each norm has seen.
            let ours = ours.map(|spec| 1 + u64::from(spec.path.ends_with(".running_mean")));
            assert_eq!(ours.sum::<u64>(), tensors, "tensors of {name}");
        }
        for (side, by_classes) in of.get("params_at_input").into_iter().flat_map(numbers) {
            for (classes, params) in numbers(by_classes) {
                let arch = Architecture::new(name, classes).images(side, side);
                let network = Network::sketch(arch).expect(name);
                assert_eq!(
                    Some(network.store.parameter_count() as u64),
                    params.as_u64(),
                    "parameters of {name} for {classes} classes at {side} px"
                );
            }
        }
        for (side, by_classes) in numbers(&of["macs"]) {
            for (classes, macs) in numbers(by_classes) {
                let arch = Architecture::new(name, classes).images(side, side);
                let network = Network::sketch(arch).expect(name);
                let Size { macs: ours, .. } = network.size().expect(name);
                assert_eq!(
                    Some(ours),
                    macs.as_u64(),
                    "MACs of {name} at {side} px for {classes} classes"
                );
            }
        }
    }
}

#[test]
fn a_training_step_of_every_network_is_accepted_and_holds_more_than_its_images() {
    for name in zoo::names() {
        let arch = Architecture::new(name, 10);
        let held = Network::step_bytes(arch, 8, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        let images = (8 * arch.image[0] * arch.image[1] * 3 * 4) as u64;
        assert!(held > 2 * images, "{name} holds {held} bytes");
        let double = Network::step_bytes(arch, 16, true).expect(name);
        assert!(
            double > held + 2 * images,
            "{name} holds {held} bytes for 8 images and {double} for 16"
        );
    }
}
