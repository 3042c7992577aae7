//! Every network of the zoo against what PyTorch, torchvision and timm count of it, and some against what they compute.

mod parity;

use ghostlight_models::zoo::{self, Network, Size};
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
            let network = Network::sketch(name, classes).expect(name);
            assert_eq!(
                Some(network.store.parameter_count() as u64),
                params.as_u64(),
                "parameters of {name} for {classes} classes"
            );
        }
        for (side, by_classes) in numbers(&of["macs"]) {
            for (classes, macs) in numbers(by_classes) {
                let network = Network::sketch(name, classes).expect(name);
                let Size { macs: ours, .. } = network.size(side, side).expect(name);
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
        let side = zoo::native_size(name);
        let held =
            Network::step_bytes(name, 10, 8, [side; 2]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let images = (8 * side * side * 3 * 4) as u64;
        assert!(held > 2 * images, "{name} holds {held} bytes");
        let double = Network::step_bytes(name, 10, 16, [side; 2]).expect(name);
        assert!(
            double > held + 2 * images,
            "{name} holds {held} bytes for 8 images and {double} for 16"
        );
    }
}
