use crate::KernelError;
use crate::memory::Memory;
use cubecl::prelude::*;

/// Class labels on the device, checked against the number of classes when they are made.
#[derive(Clone, Debug)]
pub struct Labels {
    memory: Memory,
    len: usize,
    classes: usize,
}

impl Labels {
    /// Copies `labels` to the device.
    ///
    /// # Errors
    /// [`KernelError::Label`] for the first label that is not below `classes`.
    pub fn new(client: &Client, labels: &[u32], classes: usize) -> Result<Self, KernelError> {
        if let Some(sample) = labels.iter().position(|&label| label as usize >= classes) {
            let label = labels[sample];
            return Err(KernelError::Label {
                op: "labels",
                sample,
                label,
                classes,
            });
        }
        let padded: &[u32] = if labels.is_empty() { &[0] } else { labels };
        let memory = Memory::of(client, bytemuck::cast_slice(padded));
        Ok(Self {
            memory,
            len: labels.len(),
            classes,
        })
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of classes they were checked against.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The labels as a kernel's buffer argument.
    pub fn arg(&self) -> BufferArg {
        // SAFETY: the memory holds `len` labels.
        unsafe { BufferArg::from_raw_parts(self.memory.argument(0), self.len) }
    }
}
