//! A CubeCL device that pretends to be a card: it compiles every kernel that is launched on it as `cubecl-cuda` 0.11.3 would, up to the PTX that
//! the driver would be handed. One such device notes what is launched, allocates nothing and computes nothing ([`Device`]); another executes it on the
//! host ([`interpreter`]).
//!
//! `properties` is what it says of itself, `compile` what happens before and during a compilation, `server` what CubeCL asks of a device,
//! `machine` the memory of the one that executes.

mod compile;
mod machine;
mod properties;
mod server;

pub use compile::{CompileError, Kernel, Module};

use crate::card::Card;
use crate::ptx::Geometry;
use cubecl::client::Client;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `cuMallocPitched` aligns rows to; `cubecl-cuda` hard-codes it.
const ALIGNMENT: u64 = 512;

/// One launch.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What was launched.
    pub kernel: Arc<Kernel>,
    /// On how many units, with what.
    pub geometry: Geometry,
}

/// A pretended device.
pub struct Device {
    client: Client,
    launches: Arc<Mutex<Vec<Launch>>>,
}

impl Device {
    /// A device that looks like `card`, and compiles what is launched on it for each of `targets`. One for each card in a process.
    pub fn open(card: &'static Card, targets: &[&'static Card]) -> Self {
        let launches = Arc::new(Mutex::new(Vec::new()));
        let client = server::client(card, targets, server::Work::Note(launches.clone()));
        Self { client, launches }
    }

    /// The client to launch on. What is read from it is zeros.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The launches since the last call.
    pub fn launches(&self) -> Vec<Launch> {
        // Launches are the device thread's: what was asked for before is there when this comes back. That it computes nothing is no error.
        let _ = cubecl::future::block_on(self.client.sync());
        std::mem::take(&mut held(&self.launches))
    }
}

/// The client of a device that looks like `card` and executes launches, instruction by instruction, on the host ([`crate::run`]). A fault of a
/// launch is an error where what it was to write is read. One for each card in a process.
pub fn interpreter(card: &'static Card) -> Client {
    server::client(card, &[card], server::Work::Execute)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
