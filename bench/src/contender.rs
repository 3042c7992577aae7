use crate::flush::Flush;
use crate::input::{Input, Operands};
use crate::naive::NAIVE;
use crate::turn::Turn;
use ghostlight_autodiff::{Client, KernelError, Tensor};
use ghostlight_kernels::tune::{self, Key, Named};
use serde_json::Value;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

/// Buffers of an output's size that are spoiled: as many as calls on their way may hold.
const SPOILED: usize = 3;

/// One phase of one problem, as every contender is told it.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    /// The operation.
    pub op: &'a str,
    /// The problem.
    pub case: &'a str,
    /// The phase.
    pub phase: &'a str,
    /// The problem's extents and options, for peers.
    pub arguments: &'a Value,
    /// The operands, in our layout.
    pub inputs: &'a [Input],
}

/// Something that computes a task: our kernels, or a peer's.
pub trait Contender {
    /// What its rows are called.
    fn name(&self) -> &str;

    /// Takes a draw of the operands, as many and in the order of the task's inputs. Whatever a user would do once (a layout, a
    /// plan, a compilation) is done here. The results of the last call stay what they are.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String>;

    /// Computes the task once, to the end of its work, and keeps the results. Returns the call's time in ms.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn call(&mut self) -> Result<f64, String>;

    /// Computes the task `count` times, at least once, and waits for the end of all of it; what queues its work need not wait in between.
    /// Returns the mean time of a call in ms.
    ///
    /// # Errors
    /// Those of [`Contender::call`].
    fn calls(&mut self, count: usize) -> Result<f64, String> {
        let times: Result<Vec<f64>, String> = (0..count).map(|_| self.call()).collect();
        Ok(times?.iter().sum::<f64>() / count as f64)
    }

    /// Lets go of the results, and spoils the memory that the next ones will get, where that can be done.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn forget(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// The results of the last call, in our layout.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String>;

    /// What the operands hold now, without labels; empty where they are out of sight.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String>;

    /// Whether it is so much slower than ours that a run over many problems times it on few of them.
    fn is_slow(&self) -> bool {
        false
    }

    /// The times in ms of one turn.
    ///
    /// # Errors
    /// Those of [`Contender::call`].
    fn turn(&mut self, turn: Turn, flush: &mut Flush) -> Result<Vec<f64>, String> {
        turn.take(|count| self.calls(count), || flush.run())
    }
}

/// A library that may have contenders for a task.
pub trait Peer {
    /// Its name and version, as the results list them.
    fn version(&self) -> [String; 2];

    /// The process that computes for it, where that is not our own.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Its contenders; none for what it does not have.
    fn contenders(&mut self, task: &Task) -> Vec<Box<dyn Contender>>;
}

/// One call on our device: launches the work and returns its outputs.
pub type Call<'a> = Box<dyn Fn() -> Result<Vec<Tensor>, KernelError> + 'a>;

type Open<'a> = dyn Fn(Rc<Operands>) -> Result<Call<'a>, KernelError> + 'a;

/// A variant on our own device: our kernels, a composition of them, or a naive kernel.
#[derive(Clone)]
pub struct Variant<'a> {
    pub(crate) name: Cow<'static, str>,
    open: Rc<Open<'a>>,
}

impl<'a> Variant<'a> {
    /// A variant whose call needs nothing but the operands.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        run: impl Fn(&Operands) -> Result<Vec<Tensor>, KernelError> + 'a,
    ) -> Self {
        let run = Rc::new(run);
        Self::prepared(name, move |operands| {
            let run = run.clone();
            Ok(Box::new(move || run(&operands)))
        })
    }

    /// A variant that makes something from the operands before any call.
    pub fn prepared(
        name: impl Into<Cow<'static, str>>,
        open: impl Fn(Rc<Operands>) -> Result<Call<'a>, KernelError> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            open: Rc::new(open),
        }
    }

    /// The same call under `name`, with `sizes` chosen where its launches ask for `key`'s.
    pub(crate) fn choosing(
        &self,
        name: impl Into<Cow<'static, str>>,
        key: &Key,
        sizes: &Named,
    ) -> Self {
        let (open, choice) = (self.open.clone(), Rc::new((key.clone(), sizes.clone())));
        Self::prepared(name, move |operands| {
            let call = tune::with(&choice.0, &choice.1, || open(operands))?;
            let choice = choice.clone();
            Ok(Box::new(move || tune::with(&choice.0, &choice.1, &call)))
        })
    }

    /// One call on these operands, prepared.
    ///
    /// # Errors
    /// Those of the operation.
    #[cfg(feature = "inspect")]
    pub(crate) fn open(&self, operands: Operands) -> Result<Call<'a>, KernelError> {
        (self.open)(Rc::new(operands))
    }

    /// The variant's contender on `client`'s device, under `name`.
    pub(crate) fn contender(
        &self,
        client: &Client,
        inputs: &[Input],
        name: &str,
    ) -> Box<dyn Contender + 'a> {
        Box::new(OnDevice {
            name: name.into(),
            client: client.clone(),
            inputs: inputs.to_vec(),
            open: self.open.clone(),
            loaded: None,
            outputs: Vec::new(),
        })
    }
}

struct OnDevice<'a> {
    name: String,
    client: Client,
    inputs: Vec<Input>,
    open: Rc<Open<'a>>,
    loaded: Option<(Rc<Operands>, Call<'a>)>,
    outputs: Vec<Tensor>,
}

impl Contender for OnDevice<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        let loaded = self.loaded.take().map(|(operands, _)| operands);
        let operands = match loaded {
            // Into the same memory: whoever remembers results by the place of their operands hands out old ones.
            Some(operands) => operands.rewritten(&self.client, &self.inputs, values),
            None => Operands::new(&self.client, &self.inputs, values),
        };
        let operands = Rc::new(operands.map_err(in_words)?);
        let call = (self.open)(operands.clone()).map_err(in_words)?;
        self.loaded = Some((operands, call));
        cubecl::future::block_on(self.client.sync()).map_err(in_words)
    }

    fn forget(&mut self) -> Result<(), String> {
        let lens: Vec<usize> = self.outputs.iter().map(Tensor::len).collect();
        self.outputs.clear();
        self.spoil_pool(&lens).map_err(in_words)
    }

    fn call(&mut self) -> Result<f64, String> {
        self.calls(1)
    }

    fn calls(&mut self, count: usize) -> Result<f64, String> {
        let Some((_, call)) = &self.loaded else {
            return Err("nothing was loaded".into());
        };
        self.outputs.clear();
        let start = Instant::now();
        for _ in 0..count {
            // The memory of the call before serves this one, as it would in a training step.
            self.outputs.clear();
            self.outputs = call().map_err(in_words)?;
        }
        cubecl::future::block_on(self.client.sync()).map_err(in_words)?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / count as f64)
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        let read = self.outputs.iter().map(Tensor::to_f64);
        read.collect::<Result<_, _>>().map_err(in_words)
    }

    fn is_slow(&self) -> bool {
        self.name == NAIVE
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        match &self.loaded {
            Some((operands, _)) => operands.read().map_err(in_words),
            None => Ok(Vec::new()),
        }
    }
}

impl OnDevice<'_> {
    /// Leaves NaN in the memory that outputs of these lengths will get: a kernel that writes nothing must not find in it what
    /// another one wrote.
    fn spoil_pool(&self, lens: &[usize]) -> Result<(), KernelError> {
        for &len in lens.iter().filter(|&&len| len > 0) {
            let spoiled: Result<Vec<Tensor>, _> = (0..SPOILED)
                .map(|_| Tensor::from_f32(&self.client, &vec![f32::NAN; len], &[len]))
                .collect();
            drop(spoiled?);
        }
        Ok(())
    }
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}
