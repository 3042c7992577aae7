//! What CubeCL asks of a device, answered without one.

use super::compile::Kernel;
use super::{ALIGNMENT, Launch, held, properties};
use crate::card::{CARDS, Card};
use crate::ptx::Geometry;
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
use cubecl_server::storage::{ComputeStorage, ManagedResource, StorageHandle, StorageId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The client of a device that looks like `card`, compiles for `targets` and writes launches down in `launches`.
pub(super) fn client(
    card: &'static Card,
    targets: &[&'static Card],
    launches: Arc<Mutex<Vec<Launch>>>,
) -> Client {
    let number = CARDS.iter().position(|it| it == card).unwrap_or(0);
    let id = DeviceId::new(0, number as u16);
    let (utilities, _captures) = ServerUtilities::init(
        ServiceId::of::<Pretender>(id),
        "cuda",
        properties::of(card),
        TargetProperties::default(),
        Arc::new(ServerLogger::default()),
        PitchedMemoryLayoutPolicy::new(ALIGNMENT as usize),
    );
    let server = Pretender {
        utilities: Arc::new(utilities),
        targets: targets.to_vec(),
        launches,
        known: HashMap::new(),
    };
    Client::init(id, server)
}

#[derive(Debug)]
struct Pretender {
    utilities: Arc<ServerUtilities>,
    targets: Vec<&'static Card>,
    launches: Arc<Mutex<Vec<Launch>>>,
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
        _: ManagedMemoryHandle,
        _: u64,
        _: StreamId,
    ) -> Result<(), ServerError> {
        Ok(())
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
        let zeros = |it: CopyDescriptor| {
            Bytes::from_bytes_vec(vec![0; it.shape.iter().product::<usize>() * it.elem_size])
        };
        let read = descriptors.into_iter().map(zeros).collect();
        Box::pin(async move { Ok(read) })
    }

    fn write(&mut self, _: Vec<(CopyDescriptor, Bytes)>, _: StreamId) {}

    fn sync(&mut self, _: Vec<BufferBinding>, _: StreamId) -> DynFut<Result<(), ServerError>> {
        Box::pin(async { Ok(()) })
    }

    fn check(&mut self, _: Vec<BufferBinding>, _: StreamId) -> Result<(), ServerError> {
        Ok(())
    }

    unsafe fn launch(
        &mut self,
        kernel: Box<dyn CubeKernel>,
        count: CubeCount,
        arguments: KernelArguments,
        _: StreamId,
        _: LaunchMode,
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
            info: arguments.info.data,
        };
        held(&self.launches).push(Launch {
            kernel: compiled.clone(),
            geometry,
        });
    }

    fn flush(&mut self, _: StreamId) -> Result<(), ServerError> {
        Ok(())
    }

    fn memory_report(&mut self, _: StreamId) -> Option<StreamMemoryReport> {
        None
    }

    fn memory_cleanup(&mut self, _: StreamId) -> Result<(), ServerError> {
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
    type Storage = NoStorage;

    fn get_resource(
        &mut self,
        _: BufferBinding,
        _: StreamId,
    ) -> Result<ManagedResource<()>, ServerError> {
        Err(nothing().into())
    }
}

/// Memory that is not there.
struct NoStorage;

fn nothing() -> IoError {
    IoError::UnsupportedIoOperation {
        backtrace: BackTrace::capture(),
    }
}

impl ComputeStorage for NoStorage {
    type Resource = ();

    fn alignment(&self) -> usize {
        ALIGNMENT as usize
    }

    fn get(&mut self, _: &StorageHandle) -> Result<(), IoError> {
        Err(nothing())
    }

    fn alloc(&mut self, _: u64) -> Result<StorageHandle, IoError> {
        Err(nothing())
    }

    fn dealloc(&mut self, _: StorageId) {}

    fn flush(&mut self) {}

    fn bytes_allocated(&self) -> u64 {
        0
    }
}
