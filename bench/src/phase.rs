use crate::contender::{Contender, Task, Variant};
use crate::input::{self, DTYPE, Input, Operands};
use crate::results::{Layer, Sweep};
use crate::verify::{Effect, Expected, Verified, verify};
use ghostlight_autodiff::{Cost, DType, KernelError, Tensor};
use serde_json::Value;

type Reference<'a> = dyn Fn(&[Vec<f64>]) -> Vec<Expected> + 'a;

/// One phase of one problem: what it costs, what it must come to, and who computes it.
pub struct Phase<'a> {
    /// The operation.
    pub op: &'a str,
    /// The problem.
    pub case: &'a str,
    /// The phase: `forward`, `grad_input`, `loss+grad`, ...
    pub phase: &'a str,
    /// The problem's extents and options, which peers are told; null keeps it from them.
    pub arguments: Value,
    /// The work of a call.
    pub cost: Cost,
    /// The element type of the operands, by whose peaks the work is judged.
    pub dtype: DType,
    /// The multiply-adds that no way of computing it saves, where they are fewer than those of the cost.
    pub least_macs: u64,
    /// The operands.
    pub inputs: Vec<Input>,
    /// The outputs in f64, from the values of the inputs.
    pub reference: Box<Reference<'a>>,
    /// What a call does to its operands.
    pub effect: Effect,
    /// Ours first, then what else runs on our device.
    pub variants: Vec<Variant<'a>>,
    /// The sweep that the problem is a point of.
    pub sweep: Option<Sweep>,
    /// The networks that have the problem.
    pub layers: Vec<Layer>,
}

impl<'a> Phase<'a> {
    /// A phase whose call needs nothing but the operands. `name` is operation, problem and phase; `reference` maps the inputs'
    /// values to the outputs' and `run` is one call of our kernel.
    pub fn new(
        name: [&'a str; 3],
        cost: Cost,
        inputs: Vec<Input>,
        reference: impl Fn(&[Vec<f64>]) -> Vec<Expected> + 'a,
        run: impl Fn(&Operands) -> Result<Vec<Tensor>, KernelError> + 'a,
    ) -> Self {
        Self::of(name, cost, inputs, reference, Variant::new("ours", run))
    }

    /// A phase of any variant of ours.
    pub fn of(
        [op, case, phase]: [&'a str; 3],
        cost: Cost,
        inputs: Vec<Input>,
        reference: impl Fn(&[Vec<f64>]) -> Vec<Expected> + 'a,
        ours: Variant<'a>,
    ) -> Self {
        Self {
            op,
            case,
            phase,
            arguments: Value::Null,
            least_macs: cost.macs,
            cost,
            dtype: DTYPE,
            inputs,
            reference: Box::new(reference),
            effect: Effect::Pure,
            variants: vec![ours],
            sweep: None,
            layers: Vec::new(),
        }
    }

    /// Tells peers of it.
    pub fn for_peers(mut self, arguments: &Value) -> Self {
        self.arguments = arguments.clone();
        self
    }

    /// Adds another variant on our device: `naive`, `unfused`, ...
    pub fn beside(mut self, variant: Variant<'a>) -> Self {
        self.variants.push(variant);
        self
    }

    /// Its call updates its operands.
    pub fn in_place(mut self) -> Self {
        self.effect = Effect::InPlace;
        self
    }

    /// Some ways of computing it need this share of the cost's multiply-adds alone.
    pub fn at_least(mut self, share: f64) -> Self {
        self.least_macs = (share * self.cost.macs as f64) as u64;
        self
    }

    /// Makes it a point of a sweep.
    pub fn point(mut self, sweep: Option<Sweep>) -> Self {
        self.sweep = sweep;
        self
    }

    /// `op/phase/case`, which filters are looked for in.
    pub fn line(&self) -> String {
        format!("{}/{}/{}", self.op, self.phase, self.case)
    }

    /// The work that no way of computing it saves.
    pub(crate) fn least(&self) -> Cost {
        Cost {
            macs: self.least_macs,
            ..self.cost
        }
    }

    /// Bytes of the operands, which a call touches at least.
    pub(crate) fn touched(&self) -> u64 {
        let elements: usize = self.inputs.iter().map(Input::len).sum();
        (elements * DTYPE.size()) as u64
    }

    /// What the outputs must be on the operands of `draw`.
    pub(crate) fn expected(&self, draw: u64) -> Vec<Expected> {
        let values: Vec<Vec<f64>> = input::draw(&self.inputs, draw)
            .into_iter()
            .map(|values| values.into_iter().map(f64::from).collect())
            .collect();
        (self.reference)(&values)
    }

    /// Whether `contender` computes this; why it gets no time where not.
    pub(crate) fn verify(&self, contender: &mut dyn Contender) -> Result<Verified, String> {
        verify(contender, &self.inputs, &self.expected(0), self.effect)
    }

    /// What peers are told.
    pub fn task(&self) -> Task<'_> {
        Task {
            op: self.op,
            case: self.case,
            phase: self.phase,
            arguments: &self.arguments,
            inputs: &self.inputs,
        }
    }
}

/// The only output has these values.
pub fn values(values: Vec<f64>) -> Vec<Expected> {
    vec![Expected::Values(values)]
}
