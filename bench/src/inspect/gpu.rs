use super::{Text, reason};
use crate::input::{DTYPE, Operands};
use crate::naive::NAIVE;
use crate::phase::Phase;
use crate::session::Session;
use crate::suite::SuiteError;
use ghostlight_autodiff::{Client, DType, KernelError};
use ghostlight_offline::{
    Built, Card, Device, FORMAT, Halves, Kernel, Launch, Module, Program, Row, Shape, Table,
    ToolError, Toolkit, Usage, Walk, name,
};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Whether the kernels are looked at that are there to be beaten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naive {
    Wanted,
    LeftOut,
}

/// The phases' launches.
pub(super) struct Found {
    rows: Vec<(Row, Vec<Launch>)>,
}

/// What was compiled for one target of one kernel, by the kernel's address: it is compiled once.
type Assembled = HashMap<(usize, &'static str), Result<Usage, String>>;
/// A launch's walk, by the kernel's address and the geometry.
type Walks<'f> = HashMap<(usize, &'f ghostlight_offline::Geometry), Walk>;

impl Found {
    /// Launches every phase on `device`, on maps of `dtype`; kernels that are there to be beaten only where they are `wanted`.
    pub fn of(
        session: &Session,
        device: &Device,
        dtype: DType,
        wanted: Naive,
    ) -> Result<Self, SuiteError> {
        let mut rows = Vec::new();
        session.each(|phase| {
            for i in 0..phase.variants.len() {
                let name = &phase.variants[i].name;
                if name == NAIVE && wanted == Naive::LeftOut {
                    continue;
                }
                let prepared = || drop(device.launches());
                let refused = launch(&phase, i, device.client(), dtype, prepared);
                let cost = phase.cost;
                let row = Row {
                    op: phase.op.into(),
                    phase: phase.phase.into(),
                    case: phase.case.into(),
                    variant: name.to_string(),
                    // Costs are those of the type that the bench times.
                    bytes: (cost.bytes_read + cost.bytes_written) * dtype.size() as u64
                        / DTYPE.size() as u64,
                    macs: cost.macs,
                    refused: refused.err().map(|error| error.to_string()),
                    launches: Vec::new(),
                };
                rows.push((row, device.launches()));
            }
            Ok(())
        })?;
        Ok(Self { rows })
    }

    /// What is kept of launches on maps of 16 bits.
    pub fn halves(&self, card: &Card) -> Halves {
        let refused = self.rows.iter().filter(|(row, _)| row.refused.is_some());
        let mut halves = Halves {
            refused: refused.count(),
            ..Halves::default()
        };
        let mut widest = HashMap::new();
        for kernel in self.kernels() {
            let program = match kernel.module(card) {
                Some(Ok(module)) => Program::of(&module.ptx).map_err(|error| error.to_string()),
                Some(Err(error)) => Err(error.to_string()),
                None => continue,
            };
            match program {
                Ok(program) => {
                    widest.insert(std::ptr::from_ref(kernel) as usize, program.widest_load());
                }
                Err(reason) => {
                    halves.failed.insert(name(&kernel.path).into(), reason);
                }
            }
        }
        for launch in self.launches() {
            if let Some(Some(bits)) = widest.get(&address(&launch.kernel)) {
                *halves.widest.entry(*bits).or_default() += 1;
            }
        }
        halves
    }

    /// The figures, on the first of `targets` where they hang on a card.
    pub fn table(
        &self,
        targets: &[&'static Card],
        toolkit: Option<&Toolkit>,
    ) -> Result<Table, Box<dyn Error>> {
        let assembled = self.assembled(targets, toolkit)?;
        let walks = self.walks(targets[0]);
        let rows = self.rows.iter().map(|(row, launches)| {
            let shapes = launches.iter().map(|launch| {
                let key = (address(&launch.kernel), &launch.geometry);
                shape(launch, &walks[&key], targets, &assembled)
            });
            Row {
                launches: shapes.collect(),
                ..row.clone()
            }
        });
        Ok(Table {
            format: FORMAT,
            target: targets[0].target.into(),
            ptxas: toolkit.map(Toolkit::version).transpose()?,
            halves: None,
            rows: rows.collect(),
        })
    }

    fn launches(&self) -> impl Iterator<Item = &Launch> {
        self.rows.iter().flat_map(|(_, launches)| launches)
    }

    /// Every kernel once, in the order of launches.
    fn kernels(&self) -> Vec<&Kernel> {
        let mut seen = BTreeMap::new();
        for (i, launch) in self.launches().enumerate() {
            seen.entry(address(&launch.kernel))
                .or_insert((i, &*launch.kernel));
        }
        let mut kernels: Vec<_> = seen.into_values().collect();
        kernels.sort_by_key(|(i, _)| *i);
        kernels.into_iter().map(|(_, kernel)| kernel).collect()
    }

    fn assembled(
        &self,
        targets: &[&'static Card],
        toolkit: Option<&Toolkit>,
    ) -> Result<Assembled, ToolError> {
        let Some(toolkit) = toolkit else {
            return Ok(Assembled::new());
        };
        let kernels = self.kernels();
        let jobs = kernels
            .iter()
            .flat_map(|kernel| targets.iter().map(move |card| (*kernel, *card)));
        let jobs: Vec<(&Kernel, &'static Card)> = jobs.collect();
        let done = on_all_cores(&jobs, |(kernel, card)| {
            let module = compiled(kernel, card)?;
            Some(toolkit.assemble(&module.ptx, card))
        });
        let mut assembled = Assembled::new();
        for ((kernel, card), usage) in jobs.into_iter().zip(done) {
            let usage = match usage {
                Some(Err(error)) => Err(reason(error)?),
                Some(Ok(usage)) => Ok(usage),
                None => continue,
            };
            assembled.insert((std::ptr::from_ref(kernel) as usize, card.target), usage);
        }
        Ok(assembled)
    }

    fn walks(&self, card: &Card) -> Walks<'_> {
        let kernels = self.kernels();
        let programs: HashMap<usize, _> = kernels
            .iter()
            .filter_map(|kernel| {
                let program = Program::of(&compiled(kernel, card)?.ptx);
                Some((std::ptr::from_ref::<Kernel>(kernel) as usize, program))
            })
            .collect();
        let mut jobs: Vec<_> = self
            .launches()
            .map(|it| (address(&it.kernel), &it.geometry))
            .collect();
        jobs.sort_unstable();
        jobs.dedup();
        let done = on_all_cores(&jobs, |(kernel, geometry)| match programs.get(kernel) {
            Some(Ok(program)) => Walk::of(program, geometry),
            Some(Err(error)) => Walk {
                unknown: Some(error.to_string()),
                ..Walk::default()
            },
            None => Walk::default(),
        });
        jobs.into_iter().zip(done).collect()
    }

    /// Prints the text of every kernel.
    pub fn show(
        &self,
        card: &'static Card,
        show: Text,
        toolkit: Option<&Toolkit>,
    ) -> Result<(), Box<dyn Error>> {
        for kernel in self.kernels() {
            println!(
                "// {} for {}\n// {}",
                kernel.path,
                card.target,
                kernel.variant.replace('\n', "\n// ")
            );
            let text = match kernel.module(card) {
                Some(Ok(module)) => match show {
                    Text::Ptx => module.ptx.clone(),
                    Text::Ll => module.ir.clone(),
                    Text::Sass => match toolkit {
                        Some(toolkit) => toolkit.disassemble(&module.ptx, card)?,
                        None => return Err("--show sass needs ptxas and nvdisasm: `cargo xtask setup --ptxas` fetches them".into()),
                    },
                },
                Some(Err(error)) => format!("// not compiled: {error}"),
                None => String::new(),
            };
            println!("{text}");
        }
        Ok(())
    }
}

/// Calls the `i`-th variant of a phase; what its preparation launches is handed to `prepared`.
fn launch(
    phase: &Phase,
    i: usize,
    client: &Client,
    dtype: DType,
    prepared: impl FnOnce(),
) -> Result<(), KernelError> {
    let call = phase.variants[i].open(Operands::empty(client, &phase.inputs, dtype)?)?;
    prepared();
    call().map(drop)
}

fn shape(launch: &Launch, walk: &Walk, targets: &[&'static Card], assembled: &Assembled) -> Shape {
    let (kernel, geometry) = (&launch.kernel, &launch.geometry);
    let shared = compiled(kernel, targets[0]).map_or(0, |module| module.shared);
    let mut shape = Shape::of(
        &kernel.path,
        &kernel.variant,
        shared,
        geometry,
        walk,
        targets[0],
    );
    for card in targets {
        let failed = match kernel.module(card) {
            Some(Err(error)) => Some(error.to_string()),
            _ => match assembled.get(&(address(kernel), card.target)) {
                Some(Ok(usage)) => {
                    let built = Built::of(card, *usage, shared, geometry);
                    shape.built.insert(card.target.into(), built);
                    None
                }
                Some(Err(reason)) => Some(reason.clone()),
                None => None,
            },
        };
        if let Some(reason) = failed {
            shape.failed.insert(card.target.into(), reason);
        }
    }
    shape
}

fn compiled<'k>(kernel: &'k Kernel, card: &Card) -> Option<&'k Module> {
    kernel.module(card)?.as_ref().ok()
}

fn address(kernel: &Arc<Kernel>) -> usize {
    Arc::as_ptr(kernel) as usize
}

/// `each` of the jobs, in their order.
fn on_all_cores<J: Sync, T: Send>(jobs: &[J], each: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let next = Mutex::new(0..jobs.len());
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        loop {
            let job = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(i) = job else { return };
            let result = each(&jobs[i]);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((i, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}
