//! The memory of a device that executes what it is asked to launch.

use super::{ALIGNMENT, Launch};
use crate::card::Card;
use crate::ptx::Program;
use crate::run::{self, Buffer};
use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::MemoryDeviceProperties;
use cubecl_server::logging::ServerLogger;
use cubecl_server::memory_management::{
    Claim, Cleanup, ErrorGraph, ManagedMemoryHandle, MemoryConfiguration, MemoryManagement,
    MemoryManagementOptions, PageUpdate,
};
use cubecl_server::server::{BufferBinding, IoError, KernelArguments, ServerError};
use cubecl_server::storage::{
    ComputeStorage, ManagedResource, StorageHandle, StorageId, StorageUtilization,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Memory, the failures that lie on it, and the programs that were read.
pub(super) struct Machine {
    card: &'static Card,
    memory: MemoryManagement<Pages>,
    failures: ErrorGraph,
    /// By the kernel's address, which the device keeps.
    programs: HashMap<usize, Result<Arc<Program>, String>>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("card", &self.card.name)
            .finish()
    }
}

fn generic(reason: String) -> ServerError {
    ServerError::Generic {
        reason,
        backtrace: BackTrace::capture(),
    }
}

impl Machine {
    pub fn new(
        card: &'static Card,
        properties: &MemoryDeviceProperties,
        logger: Arc<ServerLogger>,
    ) -> Self {
        // A page an allocation: an access past a tensor's end is past everything.
        let memory = MemoryManagement::from_configuration(
            Pages::default(),
            properties,
            MemoryConfiguration::ExclusivePages,
            logger,
            MemoryManagementOptions::new("interpreted"),
        );
        Self {
            card,
            memory,
            failures: ErrorGraph::default(),
            programs: HashMap::new(),
        }
    }

    /// Room that nobody has written.
    pub fn initialize(
        &mut self,
        handle: ManagedMemoryHandle,
        size: u64,
    ) -> Result<(), ServerError> {
        let (memory, failures) = (&mut self.memory, &mut self.failures);
        let reserved = memory.reserve(size, PageUpdate::Allow, failures)?;
        memory.bind(reserved, handle.clone(), 0, failures)?;
        memory.get_resource(handle.binding(), None, None)?.forget();
        Ok(())
    }

    /// The bytes of a buffer, as far as its offsets leave it.
    pub fn buffer(&mut self, binding: &BufferBinding) -> Result<Buffer, ServerError> {
        let whole = self
            .memory
            .get_resource(binding.memory.clone(), None, None)?;
        let range = binding.range();
        Ok(whole.part(range.start as usize..range.end as usize))
    }

    pub fn resource(
        &mut self,
        binding: BufferBinding,
    ) -> Result<ManagedResource<Buffer>, ServerError> {
        let resource = self.buffer(&binding)?;
        Ok(ManagedResource::new(binding.memory, resource))
    }

    /// What a read of these buffers would find of failed launches.
    pub fn check(&self, bindings: &[BufferBinding]) -> Result<(), ServerError> {
        self.failures.reports(bindings.iter().filter_map(|binding| {
            let memory = binding.memory.id();
            if !binding.memory.descriptor().is_allocated() {
                return Some(Claim::Unallocated(memory));
            }
            let failure = self.memory.failure(&binding.memory, binding.range())?;
            Some(Claim::Failed(failure, memory))
        }))
    }

    pub fn read(&mut self, binding: &BufferBinding) -> Result<Vec<u8>, ServerError> {
        self.check(std::slice::from_ref(binding))?;
        Ok(self.buffer(binding)?.read())
    }

    pub fn write(&mut self, binding: &BufferBinding, bytes: &[u8]) {
        match self.buffer(binding) {
            Ok(buffer) => buffer.write(bytes),
            Err(error) => self.fail(error, std::iter::once(binding)),
        }
        self.memory
            .written(&binding.memory, binding.range(), &mut self.failures);
    }

    /// Executes a launch. What is wrong with it lies on what it was to write.
    pub fn launch(&mut self, launch: &Launch, arguments: &KernelArguments) {
        let written: Vec<BufferBinding> = arguments.buffers_written(None).cloned().collect();
        match self.execute(launch, arguments) {
            Ok(()) => {
                for binding in &written {
                    let range = binding.range();
                    self.memory
                        .written(&binding.memory, range, &mut self.failures);
                }
            }
            Err(error) => self.fail(error, written.iter()),
        }
    }

    fn execute(&mut self, launch: &Launch, arguments: &KernelArguments) -> Result<(), ServerError> {
        let read: Vec<BufferBinding> = arguments.buffers_read(None).cloned().collect();
        self.check(&read)?;
        let kernel = &launch.kernel;
        let wrong = |what: &dyn std::fmt::Display| generic(format!("{}: {what}", kernel.path));
        let Some(compiled) = kernel.module(self.card) else {
            return Err(wrong(&"was not compiled"));
        };
        let module = compiled.as_ref().map_err(|error| wrong(error))?;
        let program = self
            .programs
            .entry(Arc::as_ptr(kernel) as usize)
            .or_insert_with(|| match Program::of(&module.ptx) {
                Ok(program) => Ok(Arc::new(program)),
                Err(error) => Err(error.to_string()),
            })
            .clone();
        let program = program.map_err(|error| wrong(&error))?;
        let mut buffers = Vec::new();
        for binding in arguments.buffers() {
            buffers.push(self.buffer(binding)?);
        }
        run::run(&program, &launch.geometry, &buffers, module.shared).map_err(|fault| wrong(&fault))
    }

    fn fail<'b>(&mut self, error: ServerError, written: impl Iterator<Item = &'b BufferBinding>) {
        let failure = self.failures.insert(error);
        for binding in written {
            let range = binding.range();
            self.memory
                .taint(&binding.memory, range, failure, &mut self.failures);
        }
        self.failures.prune(failure);
    }

    pub fn cleanup(&mut self) {
        self.memory.cleanup(Cleanup::Explicit, &mut self.failures);
    }
}

/// Pages of memory that remember who touched them.
#[derive(Default)]
pub(super) struct Pages {
    pages: HashMap<StorageId, Buffer>,
}

impl ComputeStorage for Pages {
    type Resource = Buffer;

    fn alignment(&self) -> usize {
        ALIGNMENT as usize
    }

    fn get(&mut self, handle: &StorageHandle) -> Result<Buffer, IoError> {
        let page = self
            .pages
            .get(&handle.id)
            .ok_or_else(|| IoError::StorageHandleNotFound {
                reason: format!("{} among the pages", handle.id).into(),
                backtrace: BackTrace::capture(),
            })?;
        let start = handle.offset() as usize;
        Ok(page.part(start..start + handle.size() as usize))
    }

    fn alloc(&mut self, size: u64) -> Result<StorageHandle, IoError> {
        let id = StorageId::new();
        self.pages.insert(id, Buffer::new(size as usize));
        let utilization = StorageUtilization { offset: 0, size };
        Ok(StorageHandle { id, utilization })
    }

    fn dealloc(&mut self, id: StorageId) {
        self.pages.remove(&id);
    }

    fn flush(&mut self) {}

    fn bytes_allocated(&self) -> u64 {
        self.pages.values().map(|page| page.len() as u64).sum()
    }
}
