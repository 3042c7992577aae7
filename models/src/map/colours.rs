//! Colours that people tell apart, those too who do not see all of them.
//!
//! Each next colour is the one that is farthest from those before it, in the eyes of whoever confuses it most: with full sight, without the
//! cones for long, for middle or for short waves. Sight is simulated by the matrices of G. Machado, M. Oliveira and L. Fernandes, IEEE
//! Transactions on Visualization and Computer Graphics 15 (2009), 1291-1298, table 1, severity 1; distances are those of OKLab (B. Ottosson, 2020).

/// From linear RGB to linear RGB: full sight, protanopia, deuteranopia, tritanopia.
const SIGHTS: [[[f32; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [
        [0.152_286, 1.052_583, -0.204_868],
        [0.114_503, 0.786_281, 0.099_216],
        [-0.003_882, -0.048_116, 1.051_998],
    ],
    [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ],
    [
        [1.255_528, -0.076_749, -0.178_779],
        [-0.078_411, 0.930_809, 0.147_602],
        [0.004_733, 0.691_367, 0.303_900],
    ],
];

/// Steps between neighbouring candidates in each of red, green and blue.
const STEP: usize = 15;
/// How light colours may be, in OKLab: neither the white of what has no data nor the black of what is not there.
const LIGHTNESS: std::ops::RangeInclusive<f32> = 0.4..=0.9;
/// How colourful they are at least, in OKLab: a grey lies between all the others.
const LEAST_CHROMA: f32 = 0.07;
/// The first colour; all others follow from it.
const FIRST: [u8; 3] = [0, 105, 165];

/// `count` colours, the same ones first whatever the count.
pub fn colours(count: usize) -> Vec<[u8; 3]> {
    let levels = || (0..=255u8).step_by(STEP);
    let all = levels().flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])));
    let seen = |rgb: [u8; 3]| SIGHTS.each_ref().map(|sight| lab(rgb, sight));
    let candidates: Vec<_> = all
        .map(|rgb| (rgb, seen(rgb)))
        .filter(|(_, [[lightness, a, b], ..])| {
            LIGHTNESS.contains(lightness) && a.hypot(*b) >= LEAST_CHROMA
        })
        .collect();
    // The page and what has no data are white: no class is to look like it.
    let white = seen([255; 3]);
    let mut nearest: Vec<f32> = candidates.iter().map(|(_, c)| apart(c, &white)).collect();
    let mut chosen = Vec::with_capacity(count);
    let mut next = (FIRST, seen(FIRST));
    while chosen.len() < count {
        chosen.push(next.0);
        for (nearest, (_, candidate)) in nearest.iter_mut().zip(&candidates) {
            *nearest = nearest.min(apart(candidate, &next.1));
        }
        let farthest = nearest
            .iter()
            .zip(&candidates)
            .max_by(|a, b| a.0.total_cmp(b.0));
        let Some((_, farthest)) = farthest else { break };
        next = *farthest;
    }
    chosen
}

/// How far two colours are apart for whoever sees the least of it.
fn apart(a: &[[f32; 3]; 4], b: &[[f32; 3]; 4]) -> f32 {
    let distance = |(a, b): (&[f32; 3], &[f32; 3])| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f32>().sqrt()
    };
    a.iter().zip(b).map(distance).fold(f32::INFINITY, f32::min)
}

/// A colour in OKLab as `sight` sees it.
fn lab(rgb: [u8; 3], sight: &[[f32; 3]; 3]) -> [f32; 3] {
    let linear = rgb.map(|value| {
        let value = f32::from(value) / 255.0;
        match value <= 0.040_45 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    });
    let times = |matrix: &[[f32; 3]; 3], v: [f32; 3]| {
        matrix.map(|row| row.iter().zip(v).map(|(m, v)| m * v).sum::<f32>())
    };
    let seen = times(sight, linear).map(|value| value.clamp(0.0, 1.0));
    let cones = times(
        &[
            [0.412_221_47, 0.536_332_54, 0.051_445_995],
            [0.211_903_5, 0.680_699_5, 0.107_396_96],
            [0.088_302_46, 0.281_718_85, 0.629_978_7],
        ],
        seen,
    );
    times(
        &[
            [0.210_454_26, 0.793_617_8, -0.004_072_047],
            [1.977_998_5, -2.428_592_2, 0.450_593_7],
            [0.025_904_037, 0.782_771_77, -0.808_675_77],
        ],
        cones.map(f32::cbrt),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_classes_of_ten_look_alike_to_anyone() {
        let seen = |rgb: [u8; 3]| SIGHTS.each_ref().map(|sight| lab(rgb, sight));
        let ten: Vec<_> = colours(10)
            .into_iter()
            .chain([[255; 3]])
            .map(seen)
            .collect();
        for (i, a) in ten.iter().enumerate() {
            for (j, b) in ten.iter().enumerate().skip(i + 1) {
                // Two hundredths are a difference that is just seen.
                assert!(apart(a, b) > 0.11, "{i} and {j}: {}", apart(a, b));
            }
        }
    }

    #[test]
    fn as_many_classes_as_a_map_may_have_get_a_colour_of_their_own() {
        let all = colours(255);
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (255, 255));
        assert_eq!(all[..10], colours(10));
    }

    #[test]
    fn lightness_runs_from_black_to_white_and_greys_have_no_hue() {
        let full = &SIGHTS[0];
        assert!(lab([0; 3], full)[0].abs() < 1e-4);
        for grey in [60, 128, 255] {
            for sight in &SIGHTS {
                let [_, a, b] = lab([grey; 3], sight);
                assert!(a.abs() < 2e-3 && b.abs() < 2e-3, "{grey}: {a} {b}");
            }
        }
        assert!((lab([255; 3], full)[0] - 1.0).abs() < 1e-3);
        // Red and green of equal lightness are far apart, but not to those without cones for middle waves.
        let [red, green] = [[200, 60, 50], [96, 118, 40]];
        let apart = |sight| {
            let (a, b) = (lab(red, sight), lab(green, sight));
            ((a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)).sqrt()
        };
        assert!(
            apart(full) > 2.0 * apart(&SIGHTS[2]),
            "{} {}",
            apart(full),
            apart(&SIGHTS[2])
        );
    }
}
