//! The memory behind tensors, and in test builds the fences around it.
//!
//! Launches are unchecked, so an index past the end of a buffer is silent: the pool hands out memory next to memory. CubeCL has a
//! switch against that (`check_mode = "validate"` in `cubecl.toml`), but version 0.11.3 reads it and asks it nowhere; its CPU
//! runtime knows no checked launch either. So with the feature `fenced` and the environment variable `GHOSTLIGHT_FENCED`
//! every buffer lies between two fences that no launch owns:
//!
//! - they are NaN in every float type, and so is memory that was asked for empty: an element read from there spoils the result;
//! - they are read back when the last tensor of the buffer goes, and the process panics where one was written.
//!
//! Nothing in this asks anything of a runtime. It sees no access that jumps over a fence, and none between slices or windows of
//! one buffer. Where the device itself keeps launches from what lies ahead of a buffer, as wgpu does, it sees those behind alone.

use crate::{Client, planted};
use cubecl::server::Handle;
use cubecl_common::bytes::Bytes;
use std::sync::Arc;

/// Bytes of the shortest buffer: a vector of any kernel. WebGPU refuses a shorter one than the kernel's items, also where the kernel
/// reads none of them.
const LEAST: usize = 64;

/// Whether buffers have fences, behind which a planted bug may go.
pub(crate) fn is_fenced() -> bool {
    #[cfg(feature = "fenced")]
    return fences::are_up();
    #[cfg(not(feature = "fenced"))]
    false
}

/// Bytes of a buffer, counted among those that are held until its last sharer goes.
struct Counted(usize);

impl Counted {
    fn new(bytes: usize) -> Self {
        crate::launch::hold(bytes as i64);
        Self(bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        crate::launch::hold(-(self.0 as i64));
    }
}

/// A buffer, shared by its clones.
#[derive(Clone)]
pub(crate) struct Memory {
    handle: Handle,
    /// As many as tensors share the buffer. The handle's own count also holds what the runtime's threads still hold of it.
    sharers: Arc<Counted>,
    #[cfg(feature = "fenced")]
    _fences: Option<Arc<fences::Fences>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.handle.fmt(f)
    }
}

impl Memory {
    /// Room for `len` bytes, more than none.
    pub fn empty(client: &Client, len: usize) -> Self {
        crate::launch::count_allocation();
        #[cfg(feature = "fenced")]
        if fences::are_up() {
            return fences::around(client, &vec![fences::BYTE; len]);
        }
        Self::bare(client.empty(len.max(LEAST)), len)
    }

    /// A copy of `bytes`, more than none.
    pub fn of(client: &Client, bytes: &[u8]) -> Self {
        #[cfg(feature = "fenced")]
        if fences::are_up() {
            return fences::around(client, bytes);
        }
        let mut copy = bytes.to_vec();
        copy.resize(bytes.len().max(LEAST), 0);
        // `create_from_slice` copies once more, and so does `Bytes::from_bytes_vec`, for the sake of an alignment that no upload needs.
        Self::bare(client.create(Bytes::from_elems(copy)), bytes.len())
    }

    /// What the device reads of `bytes` where they lie, more than none.
    pub fn taking(client: &Client, bytes: Bytes) -> Self {
        if is_fenced() || bytes.len() < LEAST || planted::is("staged_memory_copied") {
            return Self::of(client, &bytes);
        }
        let len = bytes.len();
        Self::bare(client.create(bytes), len)
    }

    fn bare(handle: Handle, len: usize) -> Self {
        Self {
            handle,
            sharers: Arc::new(Counted::new(len)),
            #[cfg(feature = "fenced")]
            _fences: None,
        }
    }

    /// The same buffer, but for `before` bytes ahead and `behind` at the end.
    pub fn slice(&self, before: u64, behind: u64) -> Self {
        let mut slice = self.clone();
        slice.handle = slice.handle.offset_start(before).offset_end(behind);
        slice
    }

    /// Whether no clone or slice shares the buffer.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.sharers) == 1
    }

    /// Whether both lie in one buffer, not in equal ones.
    pub fn shares(&self, other: &Self) -> bool {
        std::ptr::eq(
            self.handle.memory.descriptor(),
            other.handle.memory.descriptor(),
        )
    }

    /// Bytes from the buffer's first to these.
    pub fn start(&self) -> usize {
        self.handle.offset_start.unwrap_or(0) as usize
    }

    /// The bytes to read back.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The bytes to launch with, but for the first `skipped`: to the end of the buffer and its fence, for a device that drops
    /// what a launch writes past its argument.
    pub fn argument(&self, skipped: u64) -> Handle {
        let mut handle = self.handle.clone().offset_start(skipped);
        if is_fenced() {
            handle.offset_end = None;
        }
        handle
    }
}

#[cfg(feature = "fenced")]
mod fences {
    use super::Memory;
    use crate::Client;
    use cubecl::server::Handle;
    use std::sync::{Arc, LazyLock};

    /// Wide enough for an index that is off by a row of a small image, a multiple of what every device asks of a buffer's start.
    const LEN: usize = 16 << 10;
    /// Numbers of nothing but ones are NaN, whatever their width.
    pub const BYTE: u8 = 0xff;

    pub fn are_up() -> bool {
        static UP: LazyLock<bool> =
            LazyLock::new(|| std::env::var_os("GHOSTLIGHT_FENCED").is_some());
        *UP
    }

    pub fn around(client: &Client, bytes: &[u8]) -> Memory {
        let fence = vec![BYTE; LEN];
        let whole = client.create_from_slice(&[&fence, bytes, &fence].concat());
        let end = LEN as u64;
        Memory {
            handle: whole.clone().offset_start(end).offset_end(end),
            sharers: Arc::new(super::Counted::new(bytes.len())),
            _fences: Some(Arc::new(Fences {
                client: client.clone(),
                whole,
                len: bytes.len(),
            })),
        }
    }

    /// Looks after the fences of one buffer.
    pub struct Fences {
        client: Client,
        whole: Handle,
        len: usize,
    }

    impl Drop for Fences {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            // Memory that cannot be read has failed its own reader already.
            let Ok(bytes) = self.client.read_one(self.whole.clone()) else {
                return;
            };
            let (ahead, rest) = bytes.split_at(LEN);
            for (place, fence) in [("ahead of", ahead), ("behind", &rest[self.len..])] {
                let written = fence.iter().filter(|&&byte| byte != BYTE).count();
                assert!(
                    written == 0,
                    "a launch wrote {written} bytes {place} a tensor of {} bytes",
                    self.len
                );
            }
        }
    }
}
