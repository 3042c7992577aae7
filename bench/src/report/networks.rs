use super::summary::{Setting, distinct};
use crate::results::{CONTROL, OURS, Results, Row};
use serde::Serialize;

/// What a network spends on one phase of an operation: the time of each of its problems, times how often it has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkSum {
    /// The network.
    pub network: String,
    /// The operation.
    pub op: String,
    /// The phase.
    pub phase: String,
    /// Clock and caches of the rows.
    #[serde(flatten)]
    pub setting: Setting,
    /// Layers that were measured.
    pub layers: usize,
    /// Layers that the network has of this operation.
    pub of: usize,
    /// The sum of ours, in ms.
    pub ours_ms: f64,
    /// The sums of the others; of those alone that have a time wherever ours has one.
    pub peers: Vec<PeerSum>,
}

/// A peer's part of a [`NetworkSum`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerSum {
    /// The peer.
    pub variant: String,
    /// Its sum, in ms: ours times the ratios that were measured in turns with ours.
    pub ms: f64,
    /// Its sum over ours: above 1, ours is faster.
    pub ratio: f64,
}

/// The sums of every network of which ours has a time, in the order of measuring.
pub fn network_sums(results: &Results) -> Vec<NetworkSum> {
    let ours = results.rows.iter().filter(|row| row.variant == OURS);
    let keys = distinct(ours.flat_map(|row| {
        row.layers.iter().map(|layer| {
            let setting = Setting {
                clock: row.clock.clone(),
                cache: row.cache,
            };
            let names = [&layer.network, &row.op, &row.phase].map(String::clone);
            (names, setting)
        })
    }));
    let sum = |([network, op, phase], setting): ([String; 3], Setting)| {
        NetworkSum::of(results, network, op, phase, setting)
    };
    keys.into_iter().map(sum).collect()
}

impl NetworkSum {
    fn of(results: &Results, network: String, op: String, phase: String, setting: Setting) -> Self {
        let mut sum = Self {
            network,
            op,
            phase,
            setting,
            layers: 0,
            of: 0,
            ours_ms: 0.0,
            peers: Vec::new(),
        };
        let mut problems: Vec<(&Row, usize)> = Vec::new();
        for row in results.rows.iter().filter(|row| row.variant == OURS) {
            if let Some((times, of)) = sum.times(row) {
                sum.layers += times;
                sum.of = of;
                sum.ours_ms += times as f64 * row.median_ms;
                problems.push((row, times));
            }
        }
        let others = results
            .rows
            .iter()
            .filter(|row| row.variant != OURS && row.variant != CONTROL);
        for variant in distinct(others.map(|row| row.variant.as_str())) {
            let found: Option<Vec<f64>> = problems
                .iter()
                .map(|(ours, times)| {
                    let theirs = results
                        .rows
                        .iter()
                        .find(|row| row.variant == variant && row.is_beside(ours));
                    Some(*times as f64 * ours.median_ms * theirs?.ratio?)
                })
                .collect();
            if let Some(found) = found {
                let ms: f64 = found.iter().sum();
                sum.peers.push(PeerSum {
                    variant: variant.into(),
                    ms,
                    ratio: ms / sum.ours_ms,
                });
            }
        }
        sum
    }

    /// How many layers `row` stands for, and of how many, where it belongs to this sum.
    fn times(&self, row: &Row) -> Option<(usize, usize)> {
        let belongs = row.op == self.op
            && row.phase == self.phase
            && row.clock == self.setting.clock
            && row.cache == self.setting.cache;
        let layer = row
            .layers
            .iter()
            .find(|layer| layer.network == self.network)?;
        belongs.then_some((layer.times, layer.of))
    }
}
