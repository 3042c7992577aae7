//! The convolutions of a network of the zoo, as problems of the bench: what its forward pass launches, seen by an observer on a device
//! that computes nothing.

use crate::catalogue::{DenseCase, DepthwiseCase, GroupedCase};
use crate::results::Layer;
use crate::step::parse;
use crate::suite::{Case, SuiteError};
use ghostlight_autodiff::Event;
use ghostlight_models::zoo::{Architecture, Network};
use serde_json::Value;

/// Classes of the network; they change its classifier alone.
const CLASSES: usize = 10;

/// A problem that a network has.
#[derive(Debug)]
pub(crate) struct Problem {
    pub op: &'static str,
    case: String,
    pub arguments: Value,
    times: usize,
}

/// All convolutions of a network, each once.
#[derive(Debug)]
pub(crate) struct Layers {
    network: String,
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Those of the network that `text` names, as `ARCH:BATCH:SIZE`.
    ///
    /// # Errors
    /// [`SuiteError::Network`]: text of another form, an architecture that the zoo does not have, images too small for it.
    pub fn of(text: &str) -> Result<Self, SuiteError> {
        let wrong = |reason: String| SuiteError::Network {
            network: text.into(),
            reason,
        };
        let (name, batch, side) = parse(text).map_err(wrong)?;
        let arch = Architecture::new(name, CLASSES).images(side, side);
        let network = Network::sketch(arch).map_err(|error| wrong(error.to_string()))?;
        let events = network.events(batch);
        let events = events.map_err(|error| wrong(error.to_string()))?;
        let mut layers = Self {
            network: format!("{name}, {batch} x {side} px"),
            problems: Vec::new(),
        };
        events.iter().for_each(|event| layers.add(event));
        Ok(layers)
    }

    /// How often the network has the problem `case` of `op`.
    pub fn layer(&self, op: &str, case: &str) -> Option<Layer> {
        let same = self.problems.iter().filter(|problem| problem.op == op);
        let of = same.clone().map(|problem| problem.times).sum();
        let found = same.clone().find(|problem| problem.case == case)?;
        Some(Layer {
            network: self.network.clone(),
            times: found.times,
            of,
        })
    }

    /// Adds the convolutions of one operation, those within a Ghost module among them.
    fn add(&mut self, event: &Event) {
        let Some([n, h, w, ci]) = event
            .inputs
            .first()
            .and_then(|x| <[usize; 4]>::try_from(&x[..]).ok())
        else {
            return;
        };
        let &[_, oh, ow, _] = &event.shape[..] else {
            return;
        };
        let stride = (1..=h.max(1)).find(|&stride| h.div_ceil(stride) == oh);
        match (event.op, stride) {
            ("conv" | "conv_bias" | "conv_norm" | "depthwise" | "grouped_conv", Some(stride))
                if w.div_ceil(stride) == ow =>
            {
                self.convolution([n, h, w, ci], &event.inputs[1], stride);
            }
            ("ghost", Some(1)) => {
                let (primary, cheap) = (&event.inputs[1], &event.inputs[4]);
                self.convolution([n, h, w, ci], primary, 1);
                self.convolution([n, h, w, cheap[2]], cheap, 1);
            }
            _ => {}
        }
    }

    fn convolution(&mut self, [n, h, w, ci]: [usize; 4], weight: &[usize], stride: usize) {
        let sweep = None;
        match *weight {
            [k, kw, c] if k == kw => self.problem(
                "depthwise",
                &DepthwiseCase {
                    n,
                    h,
                    w,
                    c,
                    multiplier: 1,
                    k,
                    stride,
                    dilation: 1,
                    sweep,
                },
            ),
            [k, kw, channels, co] if k == kw && channels == ci => self.problem(
                "dense",
                &DenseCase {
                    n,
                    h,
                    w,
                    ci,
                    co,
                    k,
                    stride,
                    sweep,
                },
            ),
            [k, kw, channels, co] if k == kw && co == ci && channels > 0 => self.problem(
                "grouped",
                &GroupedCase {
                    n,
                    h,
                    w,
                    c: ci,
                    groups: ci / channels,
                    k,
                    stride,
                    sweep,
                },
            ),
            _ => {}
        }
    }

    fn problem<C: Case>(&mut self, op: &'static str, case: &C) {
        let name = case.name();
        let mut known = self.problems.iter_mut();
        match known.find(|problem| problem.op == op && problem.case == name) {
            Some(problem) => problem.times += 1,
            None => self.problems.push(Problem {
                op,
                case: name,
                arguments: case.arguments(),
                times: 1,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str, op: &str) -> usize {
        let layers = Layers::of(text).expect(text);
        let of_op = layers.problems.iter().filter(|problem| problem.op == op);
        of_op.map(|problem| problem.times).sum()
    }

    #[test]
    fn all_convolutions_of_a_network_are_found() {
        assert_eq!(count("resnet18:2:64", "dense"), 17 + 3);
        assert_eq!(count("vgg16_bn_gap:2:64", "dense"), 13);
        assert_eq!(count("mobilenet_v2:2:64", "depthwise"), 17);
        assert_eq!(count("mobilenet_v2:2:64", "dense"), 2 + 17 + 16);
        assert_eq!(count("regnetx_002:2:64", "grouped"), 1 + 1 + 4 + 7);
        // Two Ghost modules a bottleneck, four strides, and five shortcuts.
        assert_eq!(count("ghostnet_100:2:64", "depthwise"), 2 * 16 + 4 + 5);
    }

    #[test]
    fn a_problem_knows_how_often_the_network_has_it() {
        let layers = Layers::of("resnet18:2:64").expect("a network");
        let layer = layers.layer("dense", "n2 16x16 64->64 k3 s1");
        let layer = layer.expect("the first stage");
        assert_eq!((layer.times, layer.of), (4, 20));
        assert!(layers.layer("depthwise", "n2 16x16 64->64 k3 s1").is_none());
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_way_out() {
        for (text, wanted) in [
            ("resnet18", "ARCH:BATCH:SIZE"),
            ("resnet19:2:64", "nearest"),
            ("vgg16:1:3", "vgg16:1:3"),
        ] {
            let error = Layers::of(text).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
