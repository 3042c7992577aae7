//! The properties that `cubecl-cuda` 0.11.3 would report for a card (its `runtime.rs`), but for matrix instructions, which no kernel of
//! ours asks for.

use super::ALIGNMENT;
use crate::card::Card;
use cubecl_common::profile::TimingMethod;
use cubecl_ir::features::{AtomicUsage, Plane, TypeUsage};
use cubecl_ir::{
    AddressType, DeviceIdentity, DeviceProperties, ElemType, FloatKind, HardwareProperties,
    IntKind, MemoryDeviceProperties, Type, UIntKind, VectorSize,
};
use cubecl_llvm::shared::lowered_features::{GpuTarget, restrict_features};

pub(super) fn of(card: &Card) -> DeviceProperties {
    let hardware = HardwareProperties {
        load_width: 128,
        vector_register_count: None,
        plane_size_min: 32,
        plane_size_max: 32,
        max_bindings: 1024,
        max_shared_memory_size: card.shared_of_cube,
        max_cube_count: (i32::MAX as u32, 65_535, 65_535),
        max_units_per_cube: 1024,
        max_cube_dim: (1024, 1024, 64),
        num_streaming_multiprocessors: Some(card.multiprocessors),
        num_tensor_cores: Some(4),
        min_tensor_cores_dim: Some(8),
        num_cpu_cores: None,
        last_level_cache_size: None,
        max_vector_size: VectorSize::MAX,
        cube_mma_reserved_shared_memory: 0,
    };
    let memory =
        MemoryDeviceProperties::new(card.memory / 4, ALIGNMENT).with_max_memory(card.memory);
    let identity = DeviceIdentity {
        name: card.name.to_string(),
        fingerprint: format!("ptx_sm{}", card.version),
        physical: None,
    };
    let mut properties = DeviceProperties::new(
        Default::default(),
        memory,
        hardware,
        TimingMethod::Device,
        identity,
    );
    register_types(&mut properties);
    properties.features.memory_reinterpret = true;
    properties.features.alignment = true;
    properties.features.device_memory_scope = true;
    for feature in [Plane::Sync, Plane::Ops, Plane::NonUniformControlFlow] {
        properties.features.plane.insert(feature);
    }
    restrict_features(&mut properties, GpuTarget::Nvptx);
    properties
}

/// `cubecl_cpp::register_supported_types`, whose crate would be a C++ compiler for two lists.
fn register_types(properties: &mut DeviceProperties) {
    properties.register_address_type(AddressType::U32);
    properties.register_address_type(AddressType::U64);
    let unsigned = [UIntKind::U8, UIntKind::U16, UIntKind::U32, UIntKind::U64].map(ElemType::UInt);
    let signed = [IntKind::I8, IntKind::I16, IntKind::I32, IntKind::I64].map(ElemType::Int);
    let floats = [
        FloatKind::BF16,
        FloatKind::F16,
        FloatKind::F32,
        FloatKind::Flex32,
        FloatKind::F64,
    ]
    .map(ElemType::Float);
    let types = [ElemType::Index, ElemType::Bool].into_iter();
    for ty in types.chain(unsigned).chain(signed).chain(floats) {
        properties.register_type_usage(ty, TypeUsage::all());
    }
    for ty in [UIntKind::U32, UIntKind::U64].map(ElemType::UInt) {
        properties.register_atomic_type_usage(Type::atomic(ty), AtomicUsage::all());
    }
    properties.register_atomic_type_usage(
        Type::atomic(ElemType::Float(FloatKind::F32)),
        AtomicUsage::Add | AtomicUsage::LoadStore | AtomicUsage::Exchange,
    );
}
