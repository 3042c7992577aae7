//! Values and gradients of a batch of two, computed from the definitions in double precision, digit by digit.

use super::*;

const STUDENT: [f64; 8] = [1.0, 2.0, -0.5, 0.3, 0.2, -1.0, 1.5, 0.0];
const FIRST: [f64; 8] = [3.0, 0.5, -1.0, 0.0, -0.5, 0.1, 2.5, 1.0];
const SECOND: [f64; 8] = [6.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 9.0];

fn scene(teachers: &[[f64; 8]]) -> Scene {
    Scene {
        student: STUDENT.to_vec(),
        teachers: teachers.iter().map(|logits| logits.to_vec()).collect(),
        labels: vec![0, 3],
    }
}

#[track_caller]
fn assert_golden(what: &str, found: &Found, value: f64, gradient: [f64; 8]) {
    let total = found.total();
    assert!(
        (total - value).abs() < 1e-9,
        "{what}: {total}, wanted {value}"
    );
    let close = found
        .gradient
        .iter()
        .zip(gradient)
        .all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close, "{what}: {:?}, wanted {gradient:?}", found.gradient);
}

#[test]
fn every_loss_on_logits_has_the_values_and_gradients_of_its_definition() {
    if !has_f64_exp() {
        return;
    }
    let labels = [
        -0.3873365694,
        0.3062509562,
        0.0251386093,
        0.0559470039,
        0.0863673965,
        0.0260133599,
        0.3169076001,
        -0.4292883564,
    ];
    let alone = scene(&[]).under(&Way::alone(0.0), 1, 1);
    assert_golden("labels", &alone, 1.7231005320, labels);
    let goldens: [(&str, f64, [f64; 8]); 9] = [
        (
            "kd = { temperature = 1 }",
            0.5257777202,
            [
                -0.3220482234,
                0.2705676506,
                0.0171765876,
                0.0343039851,
                0.0681121222,
                -0.0072499185,
                -0.0497593844,
                -0.0111028194,
            ],
        ),
        (
            "kd = { temperature = 4 }",
            0.6322401280,
            [
                -0.3170973053,
                0.2232424090,
                0.0509816721,
                0.0428732242,
                0.1418604537,
                -0.0417606345,
                -0.0593258195,
                -0.0407739997,
            ],
        ),
        (
            "dkd = { alpha = 1, beta = 1, temperature = 1 }",
            0.5998609049,
            [
                -0.3220482234,
                0.3766847326,
                -0.0076239075,
                -0.0470126017,
                0.0810006691,
                -0.0087999297,
                -0.0610979200,
                -0.0111028194,
            ],
        ),
        (
            "dkd = { alpha = 1, beta = 0, temperature = 4 }",
            0.4796694642,
            [
                -0.3170973053,
                0.1448573704,
                0.0775365630,
                0.0947033719,
                0.0130483110,
                0.0096664265,
                0.0180592622,
                -0.0407739997,
            ],
        ),
        (
            "dkd = { alpha = 0, beta = 1, temperature = 4 }",
            0.2215208962,
            [
                0.0,
                0.1353713096,
                -0.0458604145,
                -0.0895108951,
                0.1726139239,
                -0.0689145185,
                -0.1036994054,
                0.0,
            ],
        ),
        (
            "dkd = { alpha = 1, beta = 8, temperature = 4 }",
            2.2518366334,
            [
                -0.3170973053,
                1.2278278470,
                -0.2893467530,
                -0.6213837887,
                1.3939597023,
                -0.5416497214,
                -0.8115359812,
                -0.0407739997,
            ],
        ),
        (
            "cosine = { of = 'logits' }",
            0.3387842537,
            [
                -0.1457970260,
                0.0801124283,
                0.0391070148,
                0.0170855890,
                0.0720024212,
                -0.1185976186,
                -0.0886654019,
                -0.1005893697,
            ],
        ),
        (
            "cosine = { of = 'probabilities', temperature = 2 }",
            0.1391479355,
            [
                -0.0684278521,
                0.0625104688,
                0.0023478513,
                0.0035695320,
                0.0221265141,
                -0.0020637378,
                -0.0164028138,
                -0.0036599625,
            ],
        ),
        (
            "cosine = { of = 'probabilities', temperature = 4 }",
            0.0405231435,
            [
                -0.0193945683,
                0.0159297501,
                0.0017771877,
                0.0016876305,
                0.0082611377,
                -0.0017012933,
                -0.0044553065,
                -0.0021045378,
            ],
        ),
    ];
    let scene = scene(&[FIRST]);
    for (term, value, gradient) in goldens {
        for (ce_weight, of_labels) in [(0.0, 0.0), (0.5, 0.5)] {
            let way = way(
                &format!("distill = {{ ce_weight = {ce_weight:?}, warmup_epochs = 0, {term} }}"),
                0.0,
                1,
            );
            let value = value + of_labels * 1.7231005320;
            let gradient = std::array::from_fn(|i| gradient[i] + of_labels * labels[i]);
            assert_golden(term, &scene.under(&way, 1, 1), value, gradient);
        }
    }
}

#[test]
fn two_teachers_have_the_weights_value_and_gradient_of_their_definition() {
    if !has_f64_exp() {
        return;
    }
    let goldens: [(f64, [f64; 4], f64, [f64; 8]); 3] = [
        (
            1.0,
            [0.8013786384, 0.9939289038, 0.5, 0.5],
            1.4144785156,
            [
                -0.3695694518,
                0.2970238676,
                0.0228418417,
                0.0497037424,
                0.0817881607,
                0.0176821231,
                0.2251989455,
                -0.3246692293,
            ],
        ),
        (
            2.0,
            [0.5543711866, 0.9036565384, 0.3, 0.7],
            2.4592153213,
            [
                -0.4503566091,
                0.3277287421,
                0.0472166004,
                0.0754112665,
                0.1371222054,
                0.0494477258,
                0.2963788170,
                -0.4829487481,
            ],
        ),
        (
            5.0,
            [0.3638778514, 0.5800380894, 0.2638778514, 0.4800380894],
            2.3527246598,
            [
                -0.3834886583,
                0.2874755670,
                0.0389686928,
                0.0570443985,
                0.1308362051,
                0.0505317707,
                0.2776871444,
                -0.4590551202,
            ],
        ),
    ];
    for (temperature, weights, value, gradient) in goldens {
        let way = way(
            &format!("distill = {{ warmup_epochs = 0, dual = {{ temperature = {temperature} }} }}"),
            0.0,
            2,
        );
        let found = scene(&[FIRST, SECOND]).under(&way, 1, 1);
        let what = format!("two teachers at {temperature}");
        assert_golden(&what, &found, value, gradient);
        let names = ["confidence 1", "confidence 2", "weight 1", "weight 2"];
        assert_eq!(way.watches(), names);
        for ((name, found), wanted) in found.watched.iter().zip(names.into_iter().zip(weights)) {
            assert_eq!(name, wanted.0);
            assert!((found - wanted.1).abs() < 1e-6, "{what}: {name} is {found}");
        }
    }
}
