//! The cubes of a launch, on as many threads as there are cores.

use super::buffer::{Buffer, Conflict, Who};
use super::fault::{Fault, Kind, Place};
use crate::ptx::{Geometry, Program};
use crate::ptx::{Memory, Request, Space, Stop, Unit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Instructions of a unit between two barriers.
const MOST: u64 = 1 << 32;
/// Cubes that make another thread worth its start.
const FEW: u64 = 4;

/// Executes a launch of `program` on `buffers`, with `shared` bytes of shared memory a cube. The buffers are those of `geometry`, in their
/// order, each from where the launch sees it start.
///
/// # Errors
/// The first fault of the launch: of the first cube that has one, on one thread; of one of them, on several.
pub fn run(
    program: &Program,
    geometry: &Geometry,
    buffers: &[Buffer],
    shared: usize,
) -> Result<(), Fault> {
    static LAUNCHES: AtomicU32 = AtomicU32::new(0);
    let launch = LAUNCHES.fetch_add(1, Relaxed) % Who::LAUNCHES + 1;
    let (cubes, next) = (geometry.count(), AtomicU64::new(0));
    let found: Mutex<Option<Fault>> = Mutex::new(None);
    let work = || {
        let mut worker = Worker::new(program, geometry, buffers, shared, launch);
        loop {
            let cube = next.fetch_add(1, Relaxed);
            if cube >= cubes {
                break;
            }
            if let Err(fault) = worker.cube(cube) {
                // No other cube is begun.
                next.store(cubes, Relaxed);
                if let Ok(mut found) = found.lock() {
                    found.get_or_insert(fault);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let others = (cubes / FEW).min(cores as u64 - 1);
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    match found.into_inner() {
        Ok(Some(fault)) => Err(fault),
        _ => Ok(()),
    }
}

struct Worker<'l> {
    units: Vec<Unit>,
    view: View<'l>,
}

/// What a cube sees of memory.
struct View<'l> {
    program: &'l Program,
    geometry: &'l Geometry,
    buffers: &'l [Buffer],
    shared: Buffer,
    who: Who,
    cube: [u32; 3],
}

impl<'l> Worker<'l> {
    fn new(
        program: &'l Program,
        geometry: &'l Geometry,
        buffers: &'l [Buffer],
        shared: usize,
        launch: u32,
    ) -> Self {
        let unit = |number: u32| {
            let mut unit = Unit::new(number, program.registers());
            program.begin(&mut unit, geometry);
            unit
        };
        Self {
            units: (0..geometry.units()).map(unit).collect(),
            view: View {
                program,
                geometry,
                buffers,
                shared: Buffer::shared(shared),
                who: Who {
                    launch,
                    cube: 0,
                    barriers: 0,
                    unit: 0,
                },
                cube: [0; 3],
            },
        }
    }

    /// Runs the cube of this number.
    fn cube(&mut self, number: u64) -> Result<(), Fault> {
        let (view, units) = (&mut self.view, self.units.len());
        let [x, y, _] = view.geometry.cubes.map(u64::from);
        view.cube = [number % x, number / x % y, number / x / y].map(|at| at as u32);
        view.who = Who {
            cube: number as u32,
            barriers: 0,
            ..view.who
        };
        view.shared.forget();
        for unit in &mut self.units {
            unit.rewind();
            view.program.enter(unit, view.cube);
        }
        loop {
            let (mut waiting, mut barrier) = (0, None);
            for unit in &mut self.units {
                view.who.unit = unit.number;
                match unit.run(view.program, view, MOST)? {
                    Stop::End => {}
                    Stop::Late => return Err(view.fault(Kind::Endless(MOST), unit.number, None)),
                    Stop::Barrier(at) => {
                        waiting += usize::from(barrier.is_none_or(|barrier| barrier == at));
                        barrier.get_or_insert(at);
                    }
                }
            }
            match barrier {
                None => return Ok(()),
                Some(at) if waiting < units => {
                    return Err(view.fault(Kind::Barrier { waiting, units }, 0, Some(at)));
                }
                Some(_) => view.who.barriers = view.who.barriers.wrapping_add(1),
            }
        }
    }
}

impl View<'_> {
    fn fault(&self, kind: Kind, unit: u32, at: Option<usize>) -> Fault {
        Fault {
            kind,
            unit,
            cube: self.cube,
            instruction: at.map_or_else(String::new, |at| self.program.text(at)),
        }
    }

    /// The memory that a request goes to, and where in it.
    fn place(&self, request: Request) -> Result<(Place, &Buffer, usize), Fault> {
        let bytes = request.bytes * request.count;
        let wrong = |kind| Err(self.fault(kind, request.unit, Some(request.at)));
        let (place, buffer, offset, start) = match request.space {
            Space::Shared => {
                let offset = i64::from(request.address as u32 as i32);
                (Place::Shared, &self.shared, offset, 0)
            }
            Space::Global => {
                let Some((n, offset)) = self.geometry.buffer(request.address) else {
                    return wrong(Kind::NoBuffer(request.address));
                };
                let start = self.geometry.buffers[n] as i64;
                (Place::Buffer(n), &self.buffers[n], offset, start)
            }
            Space::Local | Space::Parameter => return wrong(Kind::Unknown),
        };
        let len = buffer.len();
        if offset < 0 || offset as usize + bytes > len {
            return wrong(Kind::Outside {
                place,
                offset,
                bytes,
                len,
            });
        }
        if (start + offset) % bytes as i64 != 0 {
            return wrong(Kind::Misaligned {
                place,
                offset: start + offset,
                bytes,
            });
        }
        Ok((place, buffer, offset as usize))
    }

    fn conflict(&self, request: Request, place: Place, conflict: (Conflict, usize)) -> Fault {
        let (conflict, offset) = conflict;
        let unit = request.unit;
        let kind = match conflict {
            Conflict::Unwritten => Kind::Unwritten { place, offset },
            Conflict::Cubes => Kind::Cubes { place, offset },
            Conflict::Units(other) => Kind::Units {
                place,
                offset,
                unit,
                other,
            },
        };
        self.fault(kind, unit, Some(request.at))
    }
}

impl Memory for View<'_> {
    type Fault = Fault;

    fn parameter(&mut self, n: usize, offset: u64, bytes: usize) -> u64 {
        self.geometry.parameter(n, offset, bytes)
    }

    fn load(&mut self, request: Request) -> Result<[u64; 4], Fault> {
        let (place, buffer, offset) = self.place(request)?;
        let mut found = [0; 4];
        for (i, found) in found.iter_mut().enumerate().take(request.count) {
            let loaded = buffer.load(self.who, offset + i * request.bytes, request.bytes);
            *found = loaded.map_err(|conflict| self.conflict(request, place, conflict))?;
        }
        Ok(found)
    }

    fn store(&mut self, request: Request, values: [u64; 4]) -> Result<(), Fault> {
        let (place, buffer, offset) = self.place(request)?;
        for (i, value) in values.into_iter().enumerate().take(request.count) {
            let stored = buffer.store(self.who, offset + i * request.bytes, request.bytes, value);
            stored.map_err(|conflict| self.conflict(request, place, conflict))?;
        }
        Ok(())
    }

    fn shuffle(&mut self, unit: u32, at: usize) -> Result<(), Fault> {
        Err(self.fault(Kind::Unknown, unit, Some(at)))
    }

    fn unknown(&mut self, unit: u32, at: usize) -> Result<(), Fault> {
        Err(self.fault(Kind::Unknown, unit, Some(at)))
    }
}
