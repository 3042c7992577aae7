//! How the learning rate (`docs/methods.md` section 8.3) and the distillation weight (section 2.2) change as training goes on.

use std::f64::consts::PI;

use super::{Distill, Schedule, Train};
use ghostlight_kernels::planted;

/// A one-cycle schedule starts at the peak over this, as in Smith and Topin's super-convergence and PyTorch's `OneCycleLR`.
const ONE_CYCLE_START: f64 = 25.0;

/// Where a training stands when its learning rate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The step, counted from 0.
    pub step: usize,
    /// Steps of the whole training.
    pub steps: usize,
    /// Steps of one epoch.
    pub epoch_steps: usize,
    /// How often the schedule `"plateau"` has dropped.
    pub drops: usize,
}

/// Learning rate of a step.
///
/// The peak is reached after `warmup * steps` steps, the final learning rate of a cosine on the last one. A step beyond the last
/// keeps the last one's rate.
pub fn lr_at(train: &Train, moment: Moment) -> f32 {
    let Moment { step, steps, .. } = moment;
    let (peak, last) = (train.peak_lr, train.peak_lr * train.final_ratio);
    let rise = (train.warmup * steps as f64).round() as usize;
    let rise = planted::or("peak_comes_late", rise, rise + 1);
    let dropped = |drops: usize| peak * train.drop_factor.powi(drops.min(1 << 20) as i32);
    let rate = if step < rise {
        match train.schedule {
            Schedule::OneCycle => cosine(peak / ONE_CYCLE_START, peak, step as f64 / rise as f64),
            // Never 0: a first step that moves nothing would be wasted.
            _ => peak * (step + 1) as f64 / (rise + 1) as f64,
        }
    } else {
        match train.schedule {
            Schedule::Constant => peak,
            Schedule::Step => {
                let epoch = step.min(steps.saturating_sub(1)) / moment.epoch_steps.max(1);
                dropped(epoch / train.drop_every)
            }
            Schedule::Plateau => dropped(moment.drops),
            Schedule::OneCycle | Schedule::Cosine => {
                let fall = steps.saturating_sub(rise + 1).max(1);
                cosine(peak, last, (step - rise) as f64 / fall as f64)
            }
        }
    };
    rate as f32
}

/// Half a cosine wave from `from` at 0 to `to` at 1.
fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * progress.min(1.0)).cos())
}

impl Distill {
    /// Weight of the distillation loss in epoch `epoch`, counted from 1: `min(epoch / warmup_epochs, 1)`.
    pub fn weight_at(&self, epoch: usize) -> f32 {
        match self.warmup_epochs {
            0 => 1.0,
            warmup => (epoch as f64 / warmup as f64).min(1.0) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(step: usize, steps: usize) -> Moment {
        Moment {
            step,
            steps,
            epoch_steps: 10,
            drops: 0,
        }
    }

    fn rates(schedule: Schedule, warmup: f64, total: usize) -> Vec<f32> {
        let train = Train {
            schedule,
            warmup,
            peak_lr: 0.5,
            final_ratio: 0.01,
            ..Train::default()
        };
        (0..total)
            .map(|step| lr_at(&train, moment(step, total)))
            .collect()
    }

    #[test]
    fn one_cycle_rises_to_the_peak_once_and_ends_at_the_final_rate() {
        let rates = rates(Schedule::OneCycle, 0.25, 101);
        assert!((rates[0] - 0.5 / 25.0).abs() < 1e-7);
        assert_eq!(rates[25], 0.5);
        assert!((rates[100] - 0.005).abs() < 1e-7);
        assert!(rates[..=25].is_sorted());
        assert!(rates[25..].is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn half_way_down_a_cosine_stands_the_mean_of_both_ends() {
        let rates = rates(Schedule::Cosine, 0.0, 101);
        assert_eq!(rates[0], 0.5);
        assert!((rates[50] - 0.2525).abs() < 1e-6);
    }

    #[test]
    fn cosine_and_constant_rise_straight_and_never_start_at_nothing() {
        for schedule in [Schedule::Cosine, Schedule::Constant] {
            let rates = rates(schedule, 0.1, 40);
            assert!(rates[0] > 0.0);
            assert!((rates[3] - 4.0 * rates[0]).abs() < 1e-7);
            assert_eq!(rates[4], 0.5);
        }
        assert!(
            rates(Schedule::Constant, 0.1, 40)[4..]
                .iter()
                .all(|rate| *rate == 0.5)
        );
    }

    #[test]
    fn the_shortest_trainings_have_finite_rates_at_most_the_peak() {
        for schedule in [Schedule::OneCycle, Schedule::Cosine, Schedule::Constant] {
            for warmup in [0.0, 0.25, 0.9] {
                for total in 1..6 {
                    assert!(
                        rates(schedule, warmup, total)
                            .iter()
                            .all(|rate| (0.0..=0.5).contains(rate))
                    );
                }
            }
        }
        assert_eq!(
            lr_at(&Train::default(), moment(500, 100)),
            lr_at(&Train::default(), moment(99, 100))
        );
    }

    #[test]
    fn the_distillation_weight_ramps_up_from_the_first_epoch() {
        let distill = Distill {
            warmup_epochs: 4,
            ..Distill::default()
        };
        assert_eq!(
            [1, 2, 4, 9].map(|epoch| distill.weight_at(epoch)),
            [0.25, 0.5, 1.0, 1.0]
        );
        assert_eq!(
            Distill {
                warmup_epochs: 0,
                ..distill
            }
            .weight_at(1),
            1.0
        );
    }

    #[test]
    fn a_step_schedule_drops_every_few_epochs_and_a_plateau_as_often_as_it_was_told() {
        let step = Train {
            schedule: Schedule::Step,
            warmup: 0.0,
            drop_every: 2,
            ..Train::default()
        };
        let at = |train: &Train, step, drops| {
            let moment = Moment {
                drops,
                ..moment(step, 60)
            };
            f64::from(lr_at(train, moment)) / train.peak_lr
        };
        for (when, wanted) in [
            (0, 1.0),
            (19, 1.0),
            (20, 0.1),
            (39, 0.1),
            (40, 0.01),
            (900, 0.01),
        ] {
            assert!((at(&step, when, 3) - wanted).abs() < 1e-6, "step {when}");
        }
        let plateau = Train {
            schedule: Schedule::Plateau,
            drop_factor: 0.5,
            ..step
        };
        for (drops, wanted) in [(0, 1.0), (1, 0.5), (3, 0.125)] {
            assert!(
                (at(&plateau, 35, drops) - wanted).abs() < 1e-6,
                "{drops} drops"
            );
        }
    }

    #[test]
    fn half_way_up_a_cosine_stands_the_mean_of_both_ends_and_a_straight_rise_has_equal_steps() {
        let up = rates(Schedule::OneCycle, 0.2, 100);
        assert!((up[10] - (0.02 + 0.5) / 2.0).abs() < 1e-6);
        for schedule in [Schedule::Cosine, Schedule::Constant] {
            let up = rates(schedule, 0.1, 40);
            for (rate, wanted) in up.iter().zip([0.1, 0.2, 0.3, 0.4, 0.5]) {
                assert!((rate - wanted).abs() < 1e-6, "{rate}, wanted {wanted}");
            }
        }
    }
}
