//! AdamW: the reference on random steps, PyTorch's trajectory, hostile values, determinism, the optimiser, and refusals.

mod refusals;

use ghostlight_autodiff::AdamW;
use ghostlight_kernels::optim::adamw::{AdamWOptions, AdamWState, reference, step};
use ghostlight_kernels::{DType, Tensor};
use ghostlight_tests::{
    Fingerprint, VALUE, assert_exact, assert_launches, assert_near, assert_same_bits,
    assert_same_bits_on_one_core, download, dtypes, naive, poison, reals, upload,
};
use proptest::prelude::*;

/// The five buffers of a step, on the host.
#[derive(Clone)]
struct Buffers {
    params: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    grads: Vec<f64>,
    decayed: Vec<f64>,
}

impl Buffers {
    fn random(len: usize, seed: u64) -> Self {
        let each = |i, f: fn(f64) -> f64| reals(seed + i, len).into_iter().map(f).collect();
        Self {
            params: each(0, |v| v),
            first: each(1, |v| v),
            second: each(2, f64::abs),
            grads: each(3, |v| v),
            decayed: each(4, |v| f64::from(v > 0.0)),
        }
    }

    /// Parameters and both moments after step `number` on the device.
    fn run(&self, options: &AdamWOptions, number: u64, dtype: DType) -> [Tensor; 3] {
        let [params, first, second, grads, decayed] = [
            &self.params,
            &self.first,
            &self.second,
            &self.grads,
            &self.decayed,
        ]
        .map(|values| upload(values, &[values.len()], dtype));
        poison(dtype, &[params.len()]);
        let state = AdamWState {
            params: &params,
            first: &first,
            second: &second,
        };
        step(state, &grads, &decayed, options, number).unwrap();
        assert_same_bits(
            "gradients stay",
            &grads,
            &upload(&self.grads, &[self.grads.len()], dtype),
        );
        [params, first, second]
    }

    /// The same of the reference.
    fn reference(&self, options: &AdamWOptions, number: u64) -> [Vec<f64>; 3] {
        let Self {
            mut params,
            mut first,
            mut second,
            ..
        } = self.clone();
        let state = [&mut params[..], &mut first[..], &mut second[..]];
        reference::step(state, &self.grads, &self.decayed, options, number);
        [params, first, second]
    }

    /// The sizes of the terms of [`Self::reference`].
    fn magnitude(&self, options: &AdamWOptions, number: u64) -> [Vec<f64>; 3] {
        let [before, after] =
            [&self.params, &self.reference(options, number)[0]].map(|v| v.to_vec());
        // The mean may cancel; what is left is divided by the root of the mean square.
        let first: Vec<f64> = self
            .first
            .iter()
            .zip(&self.grads)
            .map(|(m, g)| m.abs() + g.abs())
            .collect();
        let second: Vec<f64> = self.reference(options, number)[2].clone();
        let correction = |beta: f64| 1.0 - beta.powf(number as f64);
        let params = (0..before.len()).map(|i| {
            let root = (second[i] / correction(options.beta2)).sqrt() + options.epsilon;
            let moved = options.learning_rate * first[i] / correction(options.beta1) / root;
            before[i].abs() * (1.0 + options.learning_rate * options.weight_decay)
                + after[i].abs()
                + moved
        });
        [params.collect(), first, second]
    }
}

fn options() -> impl Strategy<Value = AdamWOptions> {
    let share = || prop_oneof![Just(0.0), Just(0.9), Just(0.999), 0.0..0.9999];
    let weight_decay = prop_oneof![Just(0.0), Just(5e-4), 0.0..1.0];
    let epsilon = prop_oneof![Just(1e-8), Just(1e-6), 1e-4..1.0];
    (0.0..0.1, share(), share(), epsilon, weight_decay).prop_map(
        |(learning_rate, beta1, beta2, epsilon, weight_decay)| AdamWOptions {
            learning_rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        },
    )
}

proptest! {
    #![proptest_config(ghostlight_tests::cases(48))]

    #[test]
    fn a_step_differs_from_the_reference_by_no_more_than_rounding(
        len in prop_oneof![0usize..40, 0usize..3000],
        options in options(),
        number in prop_oneof![Just(1u64), 1u64..50, Just(u64::MAX)],
        seed: u32,
    ) {
        let buffers = Buffers::random(len, seed.into());
        let (wanted, magnitude) = (buffers.reference(&options, number), buffers.magnitude(&options, number));
        for dtype in dtypes() {
            let got = buffers.run(&options, number, dtype);
            for (i, name) in ["params", "first", "second"].into_iter().enumerate() {
                assert_near(name, &got[i], &wanted[i], &magnitude[i], VALUE * naive(8));
            }
        }
    }
}

/// torch.optim.AdamW(lr=0.01, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1) in float64, three parameters with weight decay and one
/// without: gradients, then parameters, exp_avg and exp_avg_sq after each step.
const TRAJECTORY: [[[f64; 4]; 4]; 4] = [
    [
        [0.5, -0.1, 0.0, 2.0],
        [
            0.98900001999996,
            -1.988000099999,
            0.4995,
            2.9900000049999975,
        ],
        [0.05, -0.01, 0.0, 0.2],
        [0.0025, 0.0001, 0.0, 0.04],
    ],
    [
        [0.25, 0.3, 1e-3, -1.0],
        [
            0.978676563612429,
            -1.9909450593951608,
            0.49158636104603937,
            2.9873330123985213,
        ],
        [0.07, 0.021, 1e-4, 0.08],
        [0.0031, 0.000999, 1e-8, 0.0496],
    ],
    [
        [-1.0, 0.2, 0.0, 0.5],
        [
            0.9797561276238422,
            -1.9955917154792524,
            0.48535242580099747,
            2.983917671467596,
        ],
        [-0.037, 0.0389, 9e-5, 0.122],
        [0.013069, 0.00138901, 9.9e-9, 0.051604],
    ],
    [
        [0.0, 0.0, -2.0, 0.0],
        [
            0.9804661999693994,
            -1.9990456334235949,
            0.4906368834158705,
            2.9811136547253514,
        ],
        [-0.0333, 0.03501, -0.199919, 0.1098],
        [0.01293831, 0.0013751199, 0.04000000980100003, 0.05108796],
    ],
];
const OPTIONS: AdamWOptions = AdamWOptions {
    learning_rate: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-6,
    weight_decay: 0.1,
};
const START: [f64; 4] = [1.0, -2.0, 0.5, 3.0];
const DECAYED: [f64; 4] = [1.0, 1.0, 1.0, 0.0];

#[test]
fn four_steps_of_the_optimiser_follow_pytorchs_trajectory() {
    for dtype in dtypes() {
        let (params, decayed) = (upload(&START, &[4], dtype), upload(&DECAYED, &[4], dtype));
        let mut optimiser = AdamW::new(&params);
        for (number, [grads, wanted, first, second]) in (1..).zip(TRAJECTORY) {
            let grads = upload(&grads, &[4], dtype);
            let run = || optimiser.step(&params, &grads, &decayed, &OPTIONS).unwrap();
            assert_launches("a step", 2, run);
            assert_eq!(optimiser.steps(), number);
            assert_exact("gradients", &grads, &[0.0; 4]);
            assert_near("params", &params, &wanted, &[4.0; 4], VALUE);
            assert_near("first", optimiser.moments()[0], &first, &[1.0; 4], VALUE);
            assert_near(
                "second",
                optimiser.moments()[1],
                &second,
                &second,
                VALUE * naive(8),
            );
        }
    }
}

#[test]
fn an_optimiser_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let run = |stop: bool| {
        let (params, decayed) = (
            upload(&START, &[4], DType::F32),
            upload(&DECAYED, &[4], DType::F32),
        );
        let mut optimiser = AdamW::new(&params);
        for (i, [grads, ..]) in TRAJECTORY.into_iter().enumerate() {
            if stop && i == 2 {
                let (steps, mut restored) = (optimiser.steps(), AdamW::new(&params));
                restored.restore(optimiser.moments(), steps).unwrap();
                optimiser = restored;
            }
            optimiser
                .step(
                    &params,
                    &upload(&grads, &[4], DType::F32),
                    &decayed,
                    &OPTIONS,
                )
                .unwrap();
        }
        params
    };
    assert_same_bits("params", &run(true), &run(false));
}

#[test]
fn every_length_moves_each_parameter_once() {
    // Vectors, and what they leave over: the same parameter at every place must come to the same bits.
    for len in 1..=70 {
        let same = |v: f64| vec![v; len];
        let buffers = Buffers {
            params: same(0.75),
            first: same(0.5),
            second: same(0.25),
            grads: same(-0.5),
            decayed: same(1.0),
        };
        for dtype in dtypes() {
            let wanted = buffers.reference(&OPTIONS, 3);
            for (got, wanted) in buffers.run(&OPTIONS, 3, dtype).iter().zip(&wanted) {
                let got = download(got);
                assert!(
                    got.iter().all(|v| v.to_bits() == got[0].to_bits()),
                    "{len}: {got:?}"
                );
                assert!((got[0] - wanted[0]).abs() < 1e-6, "{len}: {}", got[0]);
            }
        }
    }
}

#[test]
fn a_parameter_without_gradient_only_decays_and_one_of_rest_stays() {
    let buffers = Buffers {
        params: vec![2.0; 40],
        first: vec![0.0; 40],
        second: vec![0.0; 40],
        grads: vec![0.0; 40],
        decayed: [vec![1.0; 20], vec![0.0; 20]].concat(),
    };
    let options = AdamWOptions {
        learning_rate: 0.5,
        weight_decay: 0.5,
        ..OPTIONS
    };
    for dtype in dtypes() {
        let wanted: Vec<f64> = [vec![1.5; 20], vec![2.0; 20]].concat();
        assert_exact("params", &buffers.run(&options, 1, dtype)[0], &wanted);
    }
}

#[test]
fn a_gradient_that_is_not_a_number_spoils_its_own_parameter_alone() {
    for len in [96, 97] {
        let clean = Buffers::random(len, 5);
        let mut spoiled = clean.clone();
        spoiled.grads[40] = f64::NAN;
        spoiled.grads[len - 1] = f64::NAN;
        for dtype in dtypes() {
            let (got, before) = (
                spoiled.run(&OPTIONS, 2, dtype),
                clean.run(&OPTIONS, 2, dtype),
            );
            for (i, (got, before)) in download(&got[0])
                .iter()
                .zip(download(&before[0]))
                .enumerate()
            {
                assert_eq!(got.is_nan(), i == 40 || i == len - 1, "parameter {i}");
                assert!(got.is_nan() || *got == before, "parameter {i}");
            }
        }
    }
}

#[test]
fn repeated_launches_and_one_core_give_the_same_bits() {
    let mut fingerprint = Fingerprint::default();
    for len in [1, 15, 10_007, 65_536] {
        let buffers = Buffers::random(len, 7);
        for dtype in dtypes() {
            let (first, again) = (
                buffers.run(&OPTIONS, 2, dtype),
                buffers.run(&OPTIONS, 2, dtype),
            );
            for i in 0..3 {
                assert_same_bits("again", &first[i], &again[i]);
                fingerprint.add(&first[i]);
            }
        }
    }
    assert_same_bits_on_one_core(
        "repeated_launches_and_one_core_give_the_same_bits",
        &fingerprint,
    );
}
