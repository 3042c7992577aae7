//! A device that computes nothing: networks are counted on it.
//!
//! It hands out buffers without memory behind them and drops every launch, so that whatever runs on it is validated, planned and
//! costed as anywhere else, in microseconds and in no memory. What a cost model or `memory.rs`'s count of bytes says of a
//! network is thereby said by the operations that run it, and by no second list.

use cubecl::client::Client;
use cubecl_common::bytes::Bytes;
use cubecl_common::device::{DeviceId, DeviceService, ServerUtilitiesHandle, ServiceId};
use cubecl_common::profile::{ProfileDuration, TimingMethod};
use cubecl_environment::backtrace::BackTrace;
use cubecl_environment::future::DynFut;
use cubecl_environment::stream::StreamId;
use cubecl_ir::{
    AddressType, DeviceIdentity, DeviceProperties, ElemType, FloatKind, HardwareProperties,
    MemoryDeviceProperties, TargetProperties, UIntKind, VectorSize, features::TypeUsage,
};
use cubecl_server::allocator::ContiguousMemoryLayoutPolicy;
use cubecl_server::dry_run::LaunchMode;
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
use std::sync::{Arc, LazyLock};

/// What buffers are aligned to, in bytes.
const ALIGNMENT: u64 = 64;

/// The client of the device that computes nothing, shaped as a CPU of one core. What is read from it is zeros.
pub fn client() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let id = DeviceId::new(0, 0);
        let (utilities, _captures) = ServerUtilities::init(
            ServiceId::of::<Counting>(id),
            "counting",
            properties(),
            TargetProperties::default(),
            Arc::new(ServerLogger::default()),
            ContiguousMemoryLayoutPolicy::new(ALIGNMENT as usize),
        );
        Client::init(
            id,
            Counting {
                utilities: Arc::new(utilities),
            },
        )
    });
    CLIENT.clone()
}

fn properties() -> DeviceProperties {
    let hardware = HardwareProperties {
        load_width: 512,
        vector_register_count: None,
        plane_size_min: 1,
        plane_size_max: 1,
        max_bindings: 1024,
        max_shared_memory_size: 1 << 16,
        max_cube_count: (i32::MAX as u32, i32::MAX as u32, i32::MAX as u32),
        max_units_per_cube: 1,
        max_cube_dim: (1, 1, 1),
        num_streaming_multiprocessors: None,
        num_tensor_cores: None,
        min_tensor_cores_dim: None,
        num_cpu_cores: Some(1),
        last_level_cache_size: None,
        max_vector_size: VectorSize::MAX,
        cube_mma_reserved_shared_memory: 0,
    };
    let mut properties = DeviceProperties::new(
        Default::default(),
        MemoryDeviceProperties::new(u64::MAX / 4, ALIGNMENT),
        hardware,
        TimingMethod::System,
        DeviceIdentity {
            name: "a device that computes nothing".to_string(),
            fingerprint: "counting".to_string(),
            physical: None,
        },
    );
    properties.register_address_type(AddressType::U32);
    properties.register_address_type(AddressType::U64);
    let floats = [
        FloatKind::BF16,
        FloatKind::F16,
        FloatKind::F32,
        FloatKind::F64,
    ];
    let unsigned = [UIntKind::U8, UIntKind::U32, UIntKind::U64];
    let types = floats.map(ElemType::Float).into_iter();
    for ty in types.chain(unsigned.map(ElemType::UInt)) {
        properties.register_type_usage(ty, TypeUsage::all());
    }
    properties
}

#[derive(Debug)]
struct Counting {
    utilities: Arc<ServerUtilities>,
}

impl DeviceService for Counting {
    fn init(_: DeviceId) -> Self {
        unreachable!("the device is registered before any client is loaded")
    }

    fn utilities(&self) -> ServerUtilitiesHandle {
        self.utilities.clone() as ServerUtilitiesHandle
    }
}

impl Server for Counting {
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
        _: Box<dyn CubeKernel>,
        _: CubeCount,
        _: KernelArguments,
        _: StreamId,
        _: LaunchMode,
    ) {
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

impl ServerCommunication for Counting {}

impl ServerStorage for Counting {
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
