//! The order of a check: element types, and within each the calls.

use super::call::{Called, Operands};
use super::difference::Place;
use super::reference::Wanted;
use super::{Check, CheckError, Checked, Circumstance, Difference, Differences, Subject};
use crate::check::{dot, poison, rounding, values};
use crate::{Client, DType, Function, KernelError, Tensor};
use ghostlight_kernels::planted;

/// What is found on the way.
struct Findings {
    differences: Vec<Difference>,
    checked: Checked,
}

impl<F: Function> Check<'_, F> {
    /// Makes all calls.
    ///
    /// # Errors
    /// In this order: [`CheckError::Unprobed`] without a reference; [`CheckError::Kernel`] and [`CheckError::Failed`], from the first call
    /// that fails; [`CheckError::Differs`] with all that is wrong; [`CheckError::Unprobed`] where the device stores none of the element types or no
    /// result has elements.
    pub fn run(&self, client: &Client) -> Result<Checked, CheckError> {
        if self.reference.value.is_none() {
            let missing = "there is no reference; `Check::reference` takes one";
            return Err(CheckError::Unprobed(missing.into()));
        }
        let mut dtypes = self.dtypes.clone();
        dtypes.retain(|dtype| dtype.is_on(client));
        if self.sampled && !dtypes.is_empty() {
            dtypes = vec![dtypes[self.draw(1, dtypes.len())]];
        }
        let mut findings = Findings {
            differences: Vec::new(),
            checked: Checked {
                dtypes: dtypes.clone(),
                calls: 0,
                elements: 0,
                windows: (0..self.inputs.len()).collect(),
            },
        };
        for dtype in dtypes {
            self.in_type(client, dtype, &mut findings)?;
        }
        let Findings {
            differences,
            checked,
        } = findings;
        if !differences.is_empty() {
            return Err(CheckError::Differs(Differences(differences)));
        }
        if checked.elements == 0 {
            let missing = format!("no result has elements, in the types {:?}", checked.dtypes);
            return Err(CheckError::Unprobed(missing));
        }
        Ok(checked)
    }

    /// A number below `count` that the seed gives for `purpose`.
    fn draw(&self, purpose: u64, count: usize) -> usize {
        let value = values(self.seed ^ purpose.rotate_left(48), 1)[0];
        ((value + 1.0) / 2.0 * count as f64) as usize % count
    }

    fn dtype_of(&self, input: usize, dtype: DType) -> DType {
        match self.wide.contains(&input) {
            true => dtype.accumulator(),
            false => dtype,
        }
    }

    /// The calls beside the first one.
    fn circumstances(&self, reads_windows: bool) -> Vec<Circumstance> {
        let count = self.inputs.len();
        let mut all = Vec::new();
        if !self.reference.inference {
            let masks: Vec<u32> = match count {
                0..=4 => (1..(1 << count) - 1).collect(),
                _ => {
                    let each = (0..count).map(|k| 1 << k);
                    each.clone()
                        .chain(each.map(|k| ((1 << count) - 1) ^ k))
                        .collect()
                }
            };
            let inputs = |mask: u32| (0..count).filter(|k| mask & (1 << k) != 0).collect();
            all.extend(
                masks
                    .into_iter()
                    .map(|mask| Circumstance::Needs(inputs(mask))),
            );
            all.push(Circumstance::Arrived);
            if reads_windows {
                all.push(Circumstance::GradientWindow);
            }
        }
        let with_channels = (0..count).filter(|&k| !self.inputs[k].1.is_empty());
        all.extend(with_channels.map(Circumstance::Window));
        all.push(Circumstance::Again);
        if self.sampled {
            all = vec![all.swap_remove(self.draw(2, all.len()))];
        }
        all
    }

    fn in_type(
        &self,
        client: &Client,
        dtype: DType,
        findings: &mut Findings,
    ) -> Result<(), CheckError> {
        let round = |values: &[f64], dtype: DType| -> Vec<f64> {
            values.iter().map(|&v| dtype.round(v)).collect()
        };
        let inputs: Vec<Vec<f64>> = (0..)
            .zip(&self.inputs)
            .map(|(k, (values, _))| round(values, self.dtype_of(k, dtype)))
            .collect();
        let arrived: Vec<Vec<f64>> = (0..)
            .zip(&inputs)
            .map(|(k, input)| round(&values(self.seed + 2 + k, input.len()), dtype))
            .collect();
        let each = (0..).zip(&inputs).zip(&self.inputs);
        let operands = Operands {
            client,
            inputs: each
                .map(|((k, own), (_, shape))| (&own[..], &shape[..], self.dtype_of(k, dtype)))
                .collect(),
            arrived: &arrived,
            around: [self.draw(3, 6), 1 + self.draw(4, 5)],
            inference: self.reference.inference,
        };
        let grad = |value: &Tensor| {
            let drawn = || values(self.seed, value.len());
            let grad = self.grad.clone().unwrap_or_else(drawn);
            round(&round(&grad, dtype), value.dtype())
        };
        let lens: Vec<usize> = inputs.iter().map(Vec::len).collect();
        let call = |circumstance: &Circumstance| {
            let function = (self.make)(client, dtype)?;
            poison(client, dtype, &lens)?;
            operands.call(function, circumstance, grad)
        };
        let failed = |circumstance: &Circumstance, error: KernelError| {
            CheckError::Failed(format!("in {dtype:?}, {circumstance}"), error)
        };

        let all = match self.reference.inference {
            true => Vec::new(),
            false => (0..self.inputs.len()).collect(),
        };
        let plain = Circumstance::Needs(all);
        let first = call(&plain).map_err(|error| failed(&plain, error))?;
        let wanted = Wanted::new(&self.reference, &inputs, &first.grad, dtype);
        let mut view = View {
            check: self,
            dtype,
            wanted,
            arrived: &arrived,
            findings,
        };
        view.hold(&first, &plain)?;
        view.adjoint(&first, &inputs, &plain)?;
        if view.findings.checked.dtypes.first() == Some(&dtype) {
            view.reference(&inputs, &first.grad, &plain);
        }
        for circumstance in self.circumstances((self.make)(client, dtype)?.reads_windows()) {
            let called = match (call(&circumstance), &circumstance) {
                (Err(KernelError::Window { .. }), Circumstance::Window(input)) => {
                    view.findings.checked.windows.retain(|k| k != input);
                    continue;
                }
                (called, circumstance) => called.map_err(|error| failed(circumstance, error))?,
            };
            view.hold(&called, &circumstance)?;
            view.same(&first, &called, &circumstance)?;
        }
        Ok(())
    }
}

/// One element type's results, as they are looked at.
struct View<'v, 'a, F> {
    check: &'v Check<'a, F>,
    dtype: DType,
    wanted: Wanted<'v, 'a>,
    arrived: &'v [Vec<f64>],
    findings: &'v mut Findings,
}

impl<F> View<'_, '_, F> {
    /// A unit of rounding of a sum of so many terms.
    fn unit(&self) -> f64 {
        let unit = rounding::unit(self.dtype);
        let least = match self.check.reference.differentiates() {
            // Central differences are off by this much.
            true => 1e-7,
            false => 0.0,
        };
        unit.max(least) * self.check.factor * rounding::naive(self.check.terms)
    }

    /// What every magnitude of a result has added to it.
    fn floor(&self, number: usize) -> f64 {
        let own = match number {
            0 => self.wanted.results[0]
                .iter()
                .fold(0.0, |top: f64, v| top.max(v.abs())),
            _ => self.wanted.grad().iter().map(|g| g.abs()).sum(),
        };
        match self.check.floor {
            0.0 => 0.0,
            share => share * own,
        }
    }

    fn found(&mut self, difference: Option<Difference>) {
        self.findings.differences.extend(difference);
    }

    /// Holds a call's value and gradients against the reference, and its inputs against what they were.
    fn hold(&mut self, called: &Called, circumstance: &Circumstance) -> Result<(), CheckError> {
        self.findings.checked.calls += 1;
        self.result(&called.value, 0, Subject::Value, circumstance)?;
        for (k, grad) in called.grads.iter().enumerate() {
            if let Some(grad) = grad {
                self.result(grad, k + 1, Subject::Gradient(k), circumstance)?;
            }
        }
        for (k, held) in called.held.iter().enumerate() {
            let (subject, shape) = (Subject::Input(k), held.tensor.shape());
            let place = Place {
                subject,
                dtype: self.dtype,
                circumstance,
                shape,
                spoiled: self.check.spoiled,
            };
            let difference = place.same(&held.tensor.to_f64()?, &held.values);
            self.found(difference);
        }
        Ok(())
    }

    fn result(
        &mut self,
        got: &Tensor,
        number: usize,
        subject: Subject,
        circumstance: &Circumstance,
    ) -> Result<(), CheckError> {
        let place = Place {
            subject,
            dtype: self.dtype,
            circumstance,
            shape: got.shape(),
            spoiled: self.check.spoiled,
        };
        let mut wanted = self.wanted.results[number].clone();
        if wanted.len() != got.len() {
            let (has, shape) = (wanted.len(), got.shape());
            let reason = format!(
                "the reference gives {has} elements of {subject}, which has the shape {shape:?}"
            );
            return Err(CheckError::Unprobed(reason));
        }
        let plus = match (circumstance, number) {
            (Circumstance::Arrived, 1..) => &self.arrived[number - 1][..],
            _ => &[],
        };
        for (wanted, plus) in wanted.iter_mut().zip(plus) {
            *wanted += plus;
        }
        let (unit, vanishing) = (self.unit(), rounding::vanishing(self.dtype));
        let plus = |i: usize| plus.get(i).map_or(0.0, |plus: &f64| plus.abs());
        let floor = self.floor(number);
        let allowed =
            |magnitude: &[f64], i: usize| unit * (magnitude[i] + plus(i) + floor) + vanishing;
        let got = got.to_f64()?;
        let likely = &self.wanted.likely[number];
        let mut difference = place.near(&got, &wanted, |i| allowed(likely, i));
        if difference.is_some() {
            let sure = self.wanted.sure(number);
            difference = place.near(&got, &wanted, |i| allowed(sure, i));
        }
        if planted::is("check_believes_everything") {
            difference = None;
        }
        self.findings.checked.elements += got.len();
        self.found(difference);
        Ok(())
    }

    /// Holds the bits of a call that has to give the same ones against the first call's.
    fn same(
        &mut self,
        first: &Called,
        called: &Called,
        circumstance: &Circumstance,
    ) -> Result<(), CheckError> {
        use Circumstance::{Again, GradientWindow, Window};
        if !matches!(circumstance, Again | GradientWindow | Window(_)) {
            return Ok(());
        }
        let gradients = first.grads.iter().zip(&called.grads).enumerate();
        let gradients = gradients.filter_map(|(k, (first, got))| {
            Some((Subject::Gradient(k), first.as_ref()?, got.as_ref()?))
        });
        let value = (Subject::Value, &first.value, &called.value);
        for (subject, first, got) in std::iter::once(value).chain(gradients) {
            let place = Place {
                subject,
                dtype: self.dtype,
                circumstance,
                shape: got.shape(),
                spoiled: self.check.spoiled,
            };
            let difference = place.same(&got.to_f64()?, &first.to_f64()?);
            self.found(difference);
        }
        Ok(())
    }

    /// `<f(x), g> = <x, f'(g)>` for each input in which the function is linear: errors of many elements mostly cancel.
    fn adjoint(
        &mut self,
        called: &Called,
        inputs: &[Vec<f64>],
        circumstance: &Circumstance,
    ) -> Result<(), CheckError> {
        let (y, g) = (called.value.to_f64()?, &called.grad);
        for &k in &self.check.linear_in {
            let Some(Some(grad)) = called.grads.get(k) else {
                continue;
            };
            let (x, grad) = (&inputs[k], grad.to_f64()?);
            let (forward, backward) = (dot(&y, g), dot(x, &grad));
            if !(forward.is_finite() && backward.is_finite()) {
                continue;
            }
            let allowed = |y: &[f64], x_grad: &[f64]| {
                let terms = || y.iter().zip(g).chain(x_grad.iter().zip(x));
                let sizes = || terms().map(|(size, by)| (size * by).abs());
                let squares: f64 = sizes().map(|size| size * size).sum();
                // What many share, as the rounding of a weight, and what each has for itself.
                let shared = 4.0 * rounding::unit(self.dtype) * self.check.factor;
                let own = 4.0 * self.unit() * squares.sqrt();
                let vanishing = rounding::vanishing(self.dtype) * (y.len() + x.len()) as f64;
                shared * sizes().sum::<f64>() + own + vanishing
            };
            let likely = &self.wanted.likely;
            let mut allowed_here = allowed(&likely[0], &likely[k + 1]);
            if (forward - backward).abs() > allowed_here {
                allowed_here = allowed(self.wanted.sure(0), self.wanted.sure(k + 1));
            }
            let subject = Subject::Adjoint(k);
            let place = Place {
                subject,
                dtype: self.dtype,
                circumstance,
                shape: &[],
                spoiled: self.check.spoiled,
            };
            let difference = place.near(&[backward], &[forward], |_| allowed_here);
            self.found(difference);
        }
        Ok(())
    }

    /// Holds the reference's gradient against its own values, along a random direction of each input. At an
    /// element's kink its part has to lie between the slopes of both sides.
    fn reference(&mut self, inputs: &[Vec<f64>], grad: &[f64], circumstance: &Circumstance) {
        const STEP: f64 = 1e-5;
        let reference = &self.check.reference;
        if reference.gradient.is_none() || reference.inference {
            return;
        }
        // Beside the operands: of two inputs at kinks, as whole numbers are, slopes may cancel in an element.
        let beside: Vec<Vec<f64>> = (0..)
            .zip(inputs)
            .map(|(k, input)| {
                let by = values(self.check.seed ^ 0xbe51de ^ k, input.len());
                input.iter().zip(by).map(|(x, by)| x + 1e-2 * by).collect()
            })
            .collect();
        let inputs = &beside[..];
        let results = reference.results(inputs, grad);
        let here = &results[0];
        let mut found = Vec::new();
        for (k, input) in inputs.iter().enumerate() {
            let along = values(self.check.seed ^ 0x5eed ^ k as u64, input.len());
            let moved = |by: f64| -> Vec<f64> {
                let mut inputs = inputs.to_vec();
                for (x, along) in inputs[k].iter_mut().zip(&along) {
                    *x += by * along;
                }
                reference.value(&inputs)
            };
            let (up, down) = (moved(STEP), moved(-STEP));
            let slopes = |to: &[f64], from: &[f64]| -> Vec<f64> {
                let differences = to.iter().zip(from).zip(grad);
                differences
                    .map(|((to, from), g)| (to - from) * g / STEP)
                    .collect()
            };
            let (ahead, behind) = (slopes(&up, here), slopes(here, &down));
            let both = || ahead.iter().zip(&behind);
            let numeric = both().map(|(a, b)| (a + b) / 2.0).sum::<f64>();
            let kinks = both().map(|(a, b)| (a - b).abs() / 2.0).sum::<f64>();
            let analytic = dot(&results[k + 1], &along);
            let sizes =
                |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum() };
            let rounding = 1e-14 * sizes(here, grad) / STEP;
            let scale = sizes(&results[k + 1], &along);
            let allowed = 1.001 * kinks + 1e-6 * scale + rounding;
            // What is not finite has no derivative to be held against.
            if numeric.is_finite() && allowed.is_finite() && analytic.is_finite() {
                let subject = Subject::Reference(k);
                let place = Place {
                    subject,
                    dtype: DType::F64,
                    circumstance,
                    shape: &[],
                    spoiled: self.check.spoiled,
                };
                found.extend(place.near(&[analytic], &[numeric], |_| allowed));
            }
        }
        self.findings.differences.extend(found);
    }
}
