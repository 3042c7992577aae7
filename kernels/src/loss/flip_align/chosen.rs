use super::Transform;
use crate::memory::Memory;
use crate::{Client, KernelError, Later};
use cubecl::prelude::BufferArg;

/// The bit code of a transform for each sample, on the device.
#[derive(Clone)]
pub struct Chosen {
    client: Client,
    memory: Memory,
    len: usize,
}

impl Chosen {
    pub(super) fn empty(client: &Client, len: usize) -> Self {
        Self {
            client: client.clone(),
            memory: Memory::empty(client, len.max(1) * size_of::<u32>()),
            len,
        }
    }

    pub(super) fn given(client: &Client, transforms: &[Transform]) -> Self {
        let mut codes: Vec<u32> = transforms.iter().map(|t| t.code()).collect();
        codes.resize(codes.len().max(1), 0);
        Self {
            client: client.clone(),
            memory: Memory::of(client, bytemuck::cast_slice(&codes)),
            len: transforms.len(),
        }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The transforms, copied to the host after every launch that writes them.
    ///
    /// # Errors
    /// [`KernelError::Device`] when a launch before this failed or the copy does.
    pub fn to_transforms(&self) -> Result<Vec<Transform>, KernelError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self
            .client
            .read_one(self.memory.handle())
            .map_err(|error| KernelError::Device(error.to_string()))?;
        transforms(&bytes, self.len)
    }

    /// [`Chosen::to_transforms`] of what was launched so far, without waiting; see [`Tensor::to_f64_later`](crate::Tensor::to_f64_later).
    pub fn to_transforms_later(&self) -> Later<Vec<Transform>> {
        let len = self.len;
        Later::begin(&self.client, &self.memory, move |bytes| {
            transforms(bytes, len)
        })
    }

    pub(super) fn arg(&self) -> BufferArg {
        // SAFETY: the memory holds `len` codes.
        unsafe { BufferArg::from_raw_parts(self.memory.argument(0), self.len) }
    }
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chosen({})", self.len)
    }
}

/// The first `len` transforms by their codes.
fn transforms(bytes: &[u8], len: usize) -> Result<Vec<Transform>, KernelError> {
    let codes = bytemuck::pod_collect_to_vec::<u8, u32>(bytes);
    let known = codes.into_iter().take(len).map(|code| {
        Transform::of_code(code)
            .ok_or_else(|| KernelError::Device(format!("{code} is no transform's code")))
    });
    known.collect()
}
