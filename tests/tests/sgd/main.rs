//! SGD: the reference on random steps, PyTorch's trajectory, hostile values, determinism and refusals.

mod refusals;

use ghostlight_autodiff::Sgd;
use ghostlight_kernels::optim::sgd::{SgdOptions, reference, step};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, VALUE, abs, assert_exact, assert_near, assert_same_bits,
    assert_same_bits_on_one_core, download, dtypes, integers, naive, poison, reals, upload,
};
use proptest::prelude::*;

const PLAIN: SgdOptions = SgdOptions {
    learning_rate: 0.5,
    momentum: 0.0,
    weight_decay: 0.0,
    nesterov: false,
};

/// The four buffers of a step, on the host.
#[derive(Clone)]
struct Buffers {
    params: Vec<f64>,
    grads: Vec<f64>,
    velocity: Vec<f64>,
    decayed: Vec<f64>,
}

impl Buffers {
    fn draw(len: usize, seed: u64, draw: fn(u64, usize) -> Vec<f64>) -> Self {
        let decayed = reals(seed + 3, len)
            .iter()
            .map(|v| f64::from(*v > 0.0))
            .collect();
        let [params, grads, velocity] = [0, 1, 2].map(|i| draw(seed + i, len));
        Self {
            params,
            grads,
            velocity,
            decayed,
        }
    }

    /// Parameters and velocity after `steps` steps on the device.
    fn run(&self, options: &SgdOptions, steps: usize, dtype: DType) -> [Tensor; 2] {
        let [params, grads, velocity, decayed] =
            [&self.params, &self.grads, &self.velocity, &self.decayed]
                .map(|values| upload(values, &[values.len()], dtype));
        poison(dtype, &[params.len()]);
        for _ in 0..steps {
            step(&params, &grads, &velocity, &decayed, options).unwrap();
        }
        assert_exact("gradients stay", &grads, &self.grads);
        [params, velocity]
    }

    /// Parameters and velocity after `steps` steps of the reference.
    fn reference(&self, options: &SgdOptions, steps: usize) -> [Vec<f64>; 2] {
        let (mut params, mut velocity) = (self.params.clone(), self.velocity.clone());
        for _ in 0..steps {
            reference::step(
                &mut params,
                &self.grads,
                &mut velocity,
                &self.decayed,
                options,
            );
        }
        [params, velocity]
    }

    /// The magnitudes of all terms of [`Self::reference`]: without signs, and with a step that adds.
    fn magnitude(&self, options: &SgdOptions, steps: usize) -> [Vec<f64>; 2] {
        let [params, grads, velocity] = [&self.params, &self.grads, &self.velocity].map(|v| abs(v));
        let bare = Self {
            params,
            grads,
            velocity,
            decayed: self.decayed.clone(),
        };
        let options = SgdOptions {
            learning_rate: -options.learning_rate,
            ..*options
        };
        bare.reference(&options, steps)
    }
}

fn options() -> impl Strategy<Value = SgdOptions> {
    let momentum = prop_oneof![Just(0.0), Just(0.9), 0.0..0.999];
    let weight_decay = prop_oneof![Just(0.0), Just(5e-4), 0.0..1.0];
    (0.0..2.0, momentum, weight_decay, any::<bool>()).prop_map(
        |(learning_rate, momentum, weight_decay, nesterov)| SgdOptions {
            learning_rate,
            momentum,
            weight_decay,
            nesterov: nesterov && momentum > 0.0,
        },
    )
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn halves_and_integers_move_exactly_as_the_reference(
        len in 0usize..3000,
        (learning_rate, momentum, weight_decay) in (0u32..4, 0u32..4, 0u32..4),
        nesterov: bool,
        seed: u32,
    ) {
        // Quarters and integers: two steps of them stay within the 24 bits of f32.
        let quarter = |v: u32| f64::from(v) / 4.0;
        let options = SgdOptions {
            learning_rate: quarter(learning_rate),
            momentum: quarter(momentum),
            weight_decay: quarter(weight_decay),
            nesterov: nesterov && momentum > 0,
        };
        let buffers = Buffers::draw(len, seed.into(), integers);
        let [params, velocity] = buffers.reference(&options, 2);
        for dtype in dtypes() {
            let got = buffers.run(&options, 2, dtype);
            assert_exact("params", &got[0], &params);
            assert_exact("velocity", &got[1], &velocity);
        }
    }

    #[test]
    fn reals_differ_from_the_reference_by_no_more_than_rounding(
        len in 0usize..3000,
        options in options(),
        seed: u32,
    ) {
        let buffers = Buffers::draw(len, seed.into(), reals);
        let (wanted, magnitude) = (buffers.reference(&options, 1), buffers.magnitude(&options, 1));
        for dtype in dtypes() {
            let got = buffers.run(&options, 1, dtype);
            assert_near("params", &got[0], &wanted[0], &magnitude[0], VALUE * naive(4));
            assert_near("velocity", &got[1], &wanted[1], &magnitude[1], VALUE * naive(3));
        }
    }
}

#[test]
fn three_steps_follow_pytorchs_trajectory() {
    // torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=0.01) from 1 with a gradient of 0.5 each time: parameter and buffer.
    let classical = [
        (0.949, 0.51),
        (0.852151, 0.96849),
        (0.714134749, 1.38016251),
    ];
    let nesterov = [
        (0.9031, 0.51),
        (0.76507411, 0.968031),
        (0.590209958191, 1.3788786411),
    ];
    let buffers = Buffers {
        params: vec![1.0],
        grads: vec![0.5],
        velocity: vec![0.0],
        decayed: vec![1.0],
    };
    for (nesterov, trajectory) in [(false, classical), (true, nesterov)] {
        let options = SgdOptions {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.01,
            nesterov,
        };
        for (steps, (param, buffer)) in (1..).zip(trajectory) {
            let wanted = buffers.reference(&options, steps);
            assert!(
                (wanted[0][0] - param).abs() < 1e-14,
                "reference: {wanted:?}"
            );
            for dtype in dtypes() {
                let [params, velocity] = buffers.run(&options, steps, dtype);
                assert_near("params", &params, &[param], &[2.0], 2.0);
                assert_near("velocity", &velocity, &[buffer], &[2.0], 2.0);
            }
        }
    }
}

#[test]
fn the_optimiser_clears_the_gradients_that_it_took() {
    let mut optimiser = Sgd::new(&upload(&[0.0; 3], &[3], DType::F32));
    let [params, grads, decayed] =
        [1.0, 0.5, 0.0].map(|value| upload(&[value; 3], &[3], DType::F32));
    for wanted in [0.75, 0.75] {
        optimiser.step(&params, &grads, &decayed, &PLAIN).unwrap();
        assert_exact("params", &params, &[wanted; 3]);
        assert_exact("grads", &grads, &[0.0; 3]);
    }
}

#[test]
fn an_optimiser_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let buffers = Buffers::draw(37, 8, reals);
    let params = upload(&buffers.params, &[37], DType::F32);
    let decayed = upload(&buffers.decayed, &[37], DType::F32);
    let mut optimiser = Sgd::new(&params);
    let grads = || upload(&buffers.grads, &[37], DType::F32);
    optimiser
        .step(&params, &grads(), &decayed, &lookahead())
        .unwrap();
    let mut resumed = Sgd::new(&params);
    resumed
        .restore(&upload(&download(optimiser.velocity()), &[37], DType::F32))
        .unwrap();
    let copy = upload(&download(&params), &[37], DType::F32);
    for (optimiser, params) in [(&mut optimiser, &params), (&mut resumed, &copy)] {
        optimiser
            .step(params, &grads(), &decayed, &lookahead())
            .unwrap();
    }
    assert_same_bits("params", &params, &copy);
    assert_same_bits("velocity", optimiser.velocity(), resumed.velocity());
}

#[test]
fn weight_decay_pulls_only_where_it_is_switched_on() {
    let options = SgdOptions {
        weight_decay: 0.5,
        ..PLAIN
    };
    let mut buffers = Buffers::draw(100, 3, integers);
    buffers.grads = vec![0.0; 100];
    buffers.velocity = vec![0.0; 100];
    for dtype in dtypes() {
        let [params, _] = buffers.run(&options, 1, dtype);
        for (i, (after, before)) in download(&params).iter().zip(&buffers.params).enumerate() {
            let wanted = if buffers.decayed[i] == 1.0 {
                before * 0.75
            } else {
                *before
            };
            assert_eq!(*after, wanted, "parameter {i}");
        }
    }
}

#[test]
fn a_learning_rate_of_zero_moves_the_velocity_alone() {
    let options = SgdOptions {
        learning_rate: 0.0,
        momentum: 0.5,
        ..PLAIN
    };
    let buffers = Buffers::draw(100, 4, integers);
    let wanted = buffers.reference(&options, 1);
    for dtype in dtypes() {
        let [params, velocity] = buffers.run(&options, 1, dtype);
        assert_exact("params", &params, &buffers.params);
        assert_exact("velocity", &velocity, &wanted[1]);
    }
}

#[test]
fn a_gradient_that_is_not_a_number_spoils_its_own_parameter_alone() {
    // 96 parameters go in vectors, 97 one by one.
    for len in [96, 97] {
        let clean = Buffers::draw(len, 5, reals);
        let mut spoiled = clean.clone();
        spoiled.grads[40] = f64::INFINITY;
        spoiled.velocity[41] = f64::NAN;
        let [params, grads, velocity, decayed] = [
            &spoiled.params,
            &spoiled.grads,
            &spoiled.velocity,
            &spoiled.decayed,
        ]
        .map(|values| upload(values, &[len], DType::F32));
        step(
            &params,
            &grads,
            &velocity,
            &decayed,
            &SgdOptions {
                momentum: 0.9,
                ..PLAIN
            },
        )
        .unwrap();
        let [before, _] = clean.run(
            &SgdOptions {
                momentum: 0.9,
                ..PLAIN
            },
            1,
            DType::F32,
        );
        for (i, (got, before)) in download(&params).iter().zip(download(&before)).enumerate() {
            match i {
                40 => assert_eq!(*got, f64::NEG_INFINITY),
                41 => assert!(got.is_nan()),
                _ => assert_eq!(*got, before, "parameter {i}"),
            }
        }
    }
}

fn lookahead() -> SgdOptions {
    SgdOptions {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: true,
    }
}

#[test]
fn repeated_launches_give_the_same_bits() {
    let buffers = Buffers::draw(10_007, 6, reals);
    for dtype in dtypes() {
        let first = buffers.run(&lookahead(), 3, dtype);
        for _ in 0..4 {
            let again = buffers.run(&lookahead(), 3, dtype);
            assert_same_bits("params", &first[0], &again[0]);
            assert_same_bits("velocity", &first[1], &again[1]);
        }
    }
}

#[test]
fn one_core_gives_the_same_bits_as_all() {
    let mut fingerprint = Fingerprint::default();
    for len in [1, 15, 10_007, 65_536] {
        let buffers = Buffers::draw(len, 7, reals);
        for dtype in dtypes() {
            let results = buffers.run(&lookahead(), 2, dtype);
            results.iter().for_each(|result| fingerprint.add(result));
        }
    }
    assert_same_bits_on_one_core("one_core_gives_the_same_bits_as_all", &fingerprint);
}
