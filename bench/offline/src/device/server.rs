//! What CubeCL asks of a device, answered without one.

use super::compile::Kernel;
use super::machine::{Machine, Pages};
use super::{ALIGNMENT, Launch, held, properties};
use crate::card::{CARDS, Card};
use crate::ptx::Geometry;
use crate::run::Buffer;
use cubecl::client::Client;
use cubecl_common::bytes::Bytes;
use cubecl_common::device::{DeviceId, DeviceService, ServerUtilitiesHandle, ServiceId};
use cubecl_common::profile::ProfileDuration;
use cubecl_environment::backtrace::BackTrace;
use cubecl_environment::future::DynFut;
use cubecl_environment::stream::StreamId;
use cubecl_ir::TargetProperties;
use cubecl_server::allocator::PitchedMemoryLayoutPolicy;
use cubecl_server::dry_run::LaunchMode;
use cubecl_server::id::KernelId;
use cubecl_server::kernel::CubeKernel;
use cubecl_server::logging::ServerLogger;
use cubecl_server::memory_management::{
    ManagedMemoryHandle, MemoryAllocationMode, StreamMemoryReport,
};
use cubecl_server::server::{
    BufferBinding, CopyDescriptor, CubeCount, IoError, KernelArguments, ProfileError,
    ProfilingToken, Server, ServerCommunication, ServerError, ServerStorage, ServerUtilities,
};
use cubecl_server::storage::ManagedResource;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What a device does with a launch.
pub(super) enum Work {
    /// Writes it down.
    Note(Arc<Mutex<Vec<Launch>>>),
    /// Executes it.
    Execute,
}

/// The client of a device that looks like `card` and compiles for `targets`.
pub(super) fn client(card: &'static Card, targets: &[&'static Card], work: Work) -> Client {
    let number = CARDS.iter().position(|it| it == card).unwrap_or(0);
    // Two devices for a card: the one that notes and the one that executes.
    let kind = u16::from(matches!(work, Work::Execute));
    let id = DeviceId::new(kind, number as u16);
    let (properties, logger) = (properties::of(card), Arc::new(ServerLogger::default()));
    let machine = match work {
        Work::Note(_) => None,
        Work::Execute => Some(Machine::new(card, &properties.memory, logger.clone())),
    };
    let (utilities, _captures) = ServerUtilities::init(
        ServiceId::of::<Pretender>(id),
        "cuda",
        properties,
        TargetProperties::default(),
        logger,
        PitchedMemoryLayoutPolicy::new(ALIGNMENT as usize),
    );
    let server = Pretender {
        utilities: Arc::new(utilities),
        targets: targets.to_vec(),
        launches: match work {
            Work::Note(launches) => launches,
            Work::Execute => Arc::default(),
        },
        machine,
        known: HashMap::new(),
    };
    Client::init(id, server)
}

#[derive(Debug)]
struct Pretender {
    utilities: Arc<ServerUtilities>,
    targets: Vec<&'static Card>,
    launches: Arc<Mutex<Vec<Launch>>>,
    /// Where launches are executed; none where they are noted.
    machine: Option<Machine>,
    known: HashMap<KernelId, Arc<Kernel>>,
}

impl DeviceService for Pretender {
    fn init(_: DeviceId) -> Self {
        unreachable!("the device is registered before any client is loaded")
    }

    fn utilities(&self) -> ServerUtilitiesHandle {
        self.utilities.clone() as ServerUtilitiesHandle
    }
}

impl Server for Pretender {
    fn initialize_memory(
        &mut self,
        handle: ManagedMemoryHandle,
        size: u64,
        _: StreamId,
    ) -> Result<(), ServerError> {
        match &mut self.machine {
            Some(machine) => machine.initialize(handle, size),
            None => Ok(()),
        }
    }

    fn logger(&self) -> Arc<ServerLogger> {
        self.utilities.logger.clone()
    }

    fn utilities(&self) -> Arc<ServerUtilities> {
        self.utilities.clone()
    }

    fn read(
        &mut self,
        descriptors: Vec<CopyDescriptor>,
        _: StreamId,
    ) -> DynFut<Result<Vec<Bytes>, ServerError>> {
        let mut read = |it: CopyDescriptor| {
            let bytes = it.shape.iter().product::<usize>() * it.elem_size;
            let mut found = match &mut self.machine {
                Some(machine) => machine.read(&it.handle)?,
                None => vec![0; bytes],
            };
            found.truncate(bytes);
            Ok(Bytes::from_bytes_vec(found))
        };
        let read: Result<Vec<Bytes>, ServerError> =
            descriptors.into_iter().map(&mut read).collect();
        Box::pin(async move { read })
    }

    fn write(&mut self, descriptors: Vec<(CopyDescriptor, Bytes)>, _: StreamId) {
        if let Some(machine) = &mut self.machine {
            for (descriptor, bytes) in descriptors {
                machine.write(&descriptor.handle, &bytes);
            }
        }
    }

    fn sync(
        &mut self,
        bindings: Vec<BufferBinding>,
        stream: StreamId,
    ) -> DynFut<Result<(), ServerError>> {
        let checked = self.check(bindings, stream);
        Box::pin(async { checked })
    }

    fn check(&mut self, bindings: Vec<BufferBinding>, _: StreamId) -> Result<(), ServerError> {
        match &self.machine {
            Some(machine) => machine.check(&bindings),
            None => Ok(()),
        }
    }

    unsafe fn launch(
        &mut self,
        kernel: Box<dyn CubeKernel>,
        count: CubeCount,
        arguments: KernelArguments,
        _: StreamId,
        mode: LaunchMode,
    ) {
        let id = kernel.id();
        let dim = [id.cube_dim.x, id.cube_dim.y, id.cube_dim.z];
        let (targets, properties) = (&self.targets, &self.utilities.properties);
        let compiled = self
            .known
            .entry(id)
            .or_insert_with(|| Arc::new(Kernel::compile(&*kernel, targets, properties)));
        let geometry = Geometry {
            cubes: match count {
                CubeCount::Static(x, y, z) => [x, y, z],
                // The device would have read it: it is not there.
                CubeCount::Dynamic(_) => [0; 3],
            },
            dim,
            buffers: arguments
                .buffers()
                .map(|buffer| buffer.offset_start.unwrap_or(0))
                .collect(),
            info: arguments.info.data.clone(),
        };
        let launch = Launch {
            kernel: compiled.clone(),
            geometry,
        };
        match &mut self.machine {
            Some(_) if mode.is_skipped() => {}
            Some(machine) => machine.launch(&launch, &arguments),
            None => held(&self.launches).push(launch),
        }
    }

    fn flush(&mut self, _: StreamId) -> Result<(), ServerError> {
        Ok(())
    }

    fn memory_report(&mut self, _: StreamId) -> Option<StreamMemoryReport> {
        None
    }

    fn memory_cleanup(&mut self, _: StreamId) -> Result<(), ServerError> {
        if let Some(machine) = &mut self.machine {
            machine.cleanup();
        }
        Ok(())
    }

    fn start_profile(&mut self, _: StreamId) -> Result<ProfilingToken, ServerError> {
        Ok(ProfilingToken { id: 0 })
    }

    fn end_profile(
        &mut self,
        _: StreamId,
        _: ProfilingToken,
    ) -> Result<ProfileDuration, ProfileError> {
        Err(ProfileError::NotRegistered {
            backtrace: BackTrace::capture(),
        })
    }

    fn allocation_mode(&mut self, _: MemoryAllocationMode, _: StreamId) {}
}

impl ServerCommunication for Pretender {}

impl ServerStorage for Pretender {
    type Storage = Pages;

    fn get_resource(
        &mut self,
        binding: BufferBinding,
        _: StreamId,
    ) -> Result<ManagedResource<Buffer>, ServerError> {
        match &mut self.machine {
            Some(machine) => machine.resource(binding),
            None => Err(IoError::UnsupportedIoOperation {
                backtrace: BackTrace::capture(),
            }
            .into()),
        }
    }
}
