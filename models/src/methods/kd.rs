use super::{LogitLoss, Method};
use crate::recipe::Kd;
use ghostlight_kernels::loss::kd::KdOptions;

/// Classical distillation (Hinton, Vinyals and Dean 2015; `docs/methods.md` section 2.1).
pub struct KdMethod {
    /// Weight and temperature.
    pub kd: Kd,
}

impl Method for KdMethod {
    fn on_logits(&self, weight: f64, loss: &mut LogitLoss) {
        loss.teach(|terms, share| {
            terms.kd = Some(KdOptions {
                temperature: self.kd.temperature,
                weight: self.kd.weight * weight * share,
            });
        });
    }
}
