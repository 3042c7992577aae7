use super::{LogitLoss, Method};
use crate::recipe::Dkd;
use ghostlight_kernels::loss::dkd::DkdOptions;

/// Decoupled knowledge distillation (Zhao et al. 2022; `docs/methods.md` section 2.2).
pub struct DkdMethod {
    /// Weights and temperature.
    pub dkd: Dkd,
}

impl Method for DkdMethod {
    fn on_logits(&self, weight: f64, loss: &mut LogitLoss) {
        let Dkd {
            alpha,
            beta,
            temperature,
            ..
        } = self.dkd;
        loss.teach(|terms, share| {
            terms.dkd = Some(DkdOptions {
                alpha,
                beta,
                temperature,
                weight: self.dkd.weight * weight * share,
            });
        });
    }
}
