mod checks;
mod extent;
mod overlap;

use crate::lanes::ViewLaunch;
use crate::later::Later;
use crate::memory::Memory;
use crate::staging::Staged;
use crate::{DType, KernelError, planted};
use cubecl::prelude::*;
use extent::{elements, is_addressable};
use half::{bf16, f16};

/// A dense tensor on a device; images are `[n, h, w, c]`, channels innermost.
///
/// Cloning shares the memory. A tensor may be a slice of a larger buffer, as the parameters of a model are, or a **window** of the
/// channels of a larger tensor ([`Tensor::window`]): its pixels then lie further apart than it has channels. Operations that read
/// or write windows say so; all others refuse them.
#[derive(Clone)]
pub struct Tensor {
    client: Client,
    memory: Memory,
    shape: Vec<usize>,
    dtype: DType,
    /// Elements from the memory's first to this tensor's first.
    offset: usize,
    /// Elements from one pixel to the next: the last extent, unless this is a window.
    pitch: usize,
}

/// Elements that a tensor of `shape` has memory for.
fn memory_of(shape: &[usize]) -> usize {
    if is_addressable(shape) {
        elements(shape).max(1)
    } else {
        1
    }
}

/// Elements from one pixel to the next where nothing lies between them.
fn packed(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

impl Tensor {
    /// Room for a tensor whose elements are not yet defined. Of more than [`Tensor::MOST_ELEMENTS`] elements it has no memory, and every
    /// operation refuses it.
    pub fn empty(client: &Client, shape: &[usize], dtype: DType) -> Self {
        // A zero-sized allocation is no allocation: one element stands behind an empty tensor.
        let bytes = memory_of(shape) * dtype.size();
        Self {
            client: client.clone(),
            memory: Memory::empty(client, bytes),
            shape: shape.to_vec(),
            dtype,
            offset: 0,
            pitch: packed(shape),
        }
    }

    /// A tensor of zeros; see [`Tensor::empty`].
    pub fn zeros(client: &Client, shape: &[usize], dtype: DType) -> Self {
        let bytes = vec![0u8; memory_of(shape) * dtype.size()];
        Self::of_bytes(client, &bytes, shape, dtype)
    }

    /// Copies `values` to the device, converting them to `dtype`.
    ///
    /// # Errors
    /// In this order: [`KernelError::Shape`] when `values` does not fill `shape`; [`KernelError::TooLarge`].
    pub fn from_f64(
        client: &Client,
        values: &[f64],
        shape: &[usize],
        dtype: DType,
    ) -> Result<Self, KernelError> {
        check_len(values.len(), shape)?;
        let each = |convert: fn(f64) -> u16| values.iter().map(|&v| convert(v)).collect::<Vec<_>>();
        let of_bits =
            |bits: &[u16]| Self::of_bytes(client, bytemuck::cast_slice(bits), shape, dtype);
        Ok(match dtype {
            DType::F16 => of_bits(&each(|v| f16::from_f64(v).to_bits())),
            DType::Bf16 => of_bits(&each(|v| bf16::from_f64(v).to_bits())),
            DType::F32 => {
                let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                Self::of_bytes(client, bytemuck::cast_slice(&narrow), shape, dtype)
            }
            DType::F64 => Self::of_bytes(client, bytemuck::cast_slice(values), shape, dtype),
        })
    }

    /// Copies `values` to the device as [`DType::F32`].
    ///
    /// # Errors
    /// In this order: [`KernelError::Shape`] when `values` does not fill `shape`; [`KernelError::TooLarge`].
    pub fn from_f32(client: &Client, values: &[f32], shape: &[usize]) -> Result<Self, KernelError> {
        check_len(values.len(), shape)?;
        Ok(Self::of_bytes(
            client,
            bytemuck::cast_slice(values),
            shape,
            DType::F32,
        ))
    }

    /// A tensor of what `values` hold, as [`DType::F32`]: the device reads them where they lie, and then gives their memory back. Nothing is copied
    /// on this thread, save what is shorter than a vector.
    ///
    /// # Errors
    /// In this order: [`KernelError::Shape`] when `values` does not fill `shape`; [`KernelError::TooLarge`].
    pub fn from_staged(
        client: &Client,
        values: Staged,
        shape: &[usize],
    ) -> Result<Self, KernelError> {
        check_len(values.len(), shape)?;
        if values.is_empty() {
            return Self::from_f32(client, &values, shape);
        }
        Ok(Self {
            client: client.clone(),
            memory: Memory::taking(client, values.into_bytes()),
            shape: shape.to_vec(),
            dtype: DType::F32,
            offset: 0,
            pitch: packed(shape),
        })
    }

    fn of_bytes(client: &Client, bytes: &[u8], shape: &[usize], dtype: DType) -> Self {
        let padding = [0u8; 8];
        let bytes = if bytes.is_empty() {
            &padding[..dtype.size()]
        } else {
            bytes
        };
        Self {
            client: client.clone(),
            memory: Memory::of(client, bytes),
            shape: shape.to_vec(),
            dtype,
            offset: 0,
            pitch: packed(shape),
        }
    }

    /// The elements of `dtype` to whose multiples the start of a [`Tensor::slice`] is held on the device of `client`: 1 where a
    /// kernel's buffer may start anywhere (the CPU runtime), 64 floats where it must start at a multiple of 256 bytes.
    ///
    /// Whoever lays out tensors to be sliced starts each of them at a multiple of this.
    pub fn slice_alignment(client: &Client, dtype: DType) -> usize {
        let properties = client.properties();
        if properties.features.unaligned_io {
            return 1;
        }
        (properties.memory.alignment as usize / dtype.size()).max(1)
    }

    /// `shape` elements of this tensor, starting at element `start`; shares the memory.
    ///
    /// # Errors
    /// In this order: [`KernelError::Window`] when this tensor is a window, [`KernelError::Shape`] when the slice would reach past
    /// the end, [`KernelError::Range`] when `start` is no multiple of [`Tensor::slice_alignment`].
    pub fn slice(&self, start: usize, shape: &[usize]) -> Result<Self, KernelError> {
        self.check_whole("slice", "self")?;
        let len = elements(shape);
        if start.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(KernelError::Shape {
                op: "slice",
                tensor: "self",
                got: self.shape.clone(),
                wanted: format!("at least {len} elements from {start} on"),
            });
        }
        if !start.is_multiple_of(Self::slice_alignment(&self.client, self.dtype)) {
            let wanted = "a multiple of `Tensor::slice_alignment` on this device";
            return Err(KernelError::range("slice", "start", start, wanted));
        }
        let size = self.dtype.size() as u64;
        let behind = (self.len() - start - len) as u64 * size;
        Ok(Self {
            client: self.client.clone(),
            memory: self.memory.slice(start as u64 * size, behind),
            shape: shape.to_vec(),
            dtype: self.dtype,
            offset: 0,
            pitch: packed(shape),
        })
    }

    /// The channels `start..start + count` of every pixel, a pixel being all extents but the last; shares the memory.
    ///
    /// Writing both halves of a Ghost module into windows of one tensor is what a concatenation would have copied. A window of a
    /// window is one of the larger tensor.
    ///
    /// # Errors
    /// In this order: those of [`Tensor::check_addressable`]; [`KernelError::Shape`] when there is no axis of channels or the window would
    /// reach past it.
    pub fn window(&self, start: usize, count: usize) -> Result<Self, KernelError> {
        self.check_addressable("window", "self")?;
        let channels = self.shape.last().copied().unwrap_or(0);
        if self.shape.is_empty() || start.checked_add(count).is_none_or(|end| end > channels) {
            return Err(KernelError::Shape {
                op: "window",
                tensor: "self",
                got: self.shape.clone(),
                wanted: format!("at least {count} channels from {start} on"),
            });
        }
        let mut window = self.clone();
        if let Some(channels) = window.shape.last_mut() {
            *channels = count;
        }
        window.offset += start;
        Ok(window)
    }

    /// Whether other elements lie before, between or behind this tensor's own in its buffer.
    pub fn is_window(&self) -> bool {
        self.offset != 0 || self.pitch != packed(&self.shape)
    }

    /// Whether no other tensor shares the memory, so that its owner may have a result written over it: memory that was just read is
    /// not fetched once more before it is written.
    pub fn is_alone(&self) -> bool {
        self.memory.is_alone()
    }

    /// Whether this tensor is the window of `whole` that starts at channel `start`, in the same memory.
    pub fn lies_at(&self, whole: &Self, start: usize) -> bool {
        let pixels = |tensor: &Self| tensor.shape.split_last().map(|(_, rest)| rest.to_vec());
        self.memory.shares(&whole.memory)
            && self.memory.start() == whole.memory.start()
            && self.offset == whole.offset + start
            && self.pitch == whole.pitch
            && pixels(self) == pixels(whole)
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// In this order: [`KernelError::Window`] when this tensor is a window, [`KernelError::Shape`] when the number of elements
    /// differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self, KernelError> {
        self.check_whole("reshape", "self")?;
        if elements(shape) != self.len() || !is_addressable(shape) {
            return Err(KernelError::Shape {
                op: "reshape",
                tensor: "self",
                got: self.shape.clone(),
                wanted: format!("as many elements as {shape:?}"),
            });
        }
        Ok(Self {
            shape: shape.to_vec(),
            pitch: packed(shape),
            ..self.clone()
        })
    }

    /// The same pixels as `[pixels, c]`; a window stays one.
    pub fn rows(&self) -> Self {
        Self {
            shape: vec![self.pixels(), packed(&self.shape)],
            ..self.clone()
        }
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        elements(&self.shape)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The number of pixels: the product of all extents but the last.
    pub fn pixels(&self) -> usize {
        let (_, rest) = self.shape.split_last().unwrap_or((&1, &[]));
        elements(rest)
    }

    /// Copies the elements to the host, waiting for every launch that writes them.
    ///
    /// # Errors
    /// In this order: [`KernelError::TooLarge`]; [`KernelError::Device`] when a launch before this failed or the copy does.
    pub fn to_f64(&self) -> Result<Vec<f64>, KernelError> {
        Ok(numbers(&self.bytes()?, self.dtype))
    }

    /// [`Tensor::to_f64`] of what was launched so far, without waiting: the result is there when the launches that follow are made. Until
    /// then the tensor is not alone in its memory.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`]; what fails later is told then.
    pub fn to_f64_later(&self) -> Result<Later<Vec<f64>>, KernelError> {
        self.check_addressable("read", "self")?;
        let tensor = self.clone();
        Ok(Later::begin(&self.client, &self.memory, move |bytes| {
            Ok(match tensor.is_empty() {
                true => Vec::new(),
                false => numbers(&tensor.own(bytes), tensor.dtype),
            })
        }))
    }

    /// Copies the elements to the host as `f32`, waiting for every launch that writes them.
    ///
    /// # Errors
    /// In this order: [`KernelError::TooLarge`]; [`KernelError::Device`] when a launch before this failed or the copy does.
    pub fn to_f32(&self) -> Result<Vec<f32>, KernelError> {
        Ok(match self.dtype {
            DType::F16 => self.elements(|bits| f16::from_bits(bits).to_f32())?,
            DType::Bf16 => self.elements(|bits| bf16::from_bits(bits).to_f32())?,
            DType::F32 => self.elements(|v: f32| v)?,
            DType::F64 => self.elements(|v: f64| v as f32)?,
        })
    }

    fn elements<E: bytemuck::Pod, T>(
        &self,
        convert: impl Fn(E) -> T,
    ) -> Result<Vec<T>, KernelError> {
        let elements = bytemuck::pod_collect_to_vec::<u8, E>(&self.bytes()?);
        Ok(elements.into_iter().map(convert).collect())
    }

    fn bytes(&self) -> Result<Vec<u8>, KernelError> {
        self.check_addressable("read", "self")?;
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self
            .client
            .read_one(self.memory.handle())
            .map_err(|error| KernelError::Device(error.to_string()))?;
        Ok(self.own(&bytes))
    }

    /// Those of the memory's `bytes` that are this tensor's.
    fn own(&self, bytes: &[u8]) -> Vec<u8> {
        let size = self.dtype.size();
        let pixel = packed(&self.shape) * size;
        let (offset, pitch) = (self.offset * size, self.pitch * size);
        let pixels = (0..self.pixels()).map(|i| &bytes[offset + i * pitch..][..pixel]);
        pixels.collect::<Vec<_>>().concat()
    }

    /// The tensor, which a check has passed, as a kernel's buffer argument of `len / width` vectors of `width` elements. Of a window it is the elements from the
    /// larger tensor's first on: [`Tensor::check_whole`] keeps windows away from kernels that know none.
    pub fn arg(&self, width: usize) -> BufferArg {
        // SAFETY: the handle holds `len` elements of this type: every constructor allocates or checks that.
        unsafe { BufferArg::from_raw_parts(self.memory.argument(0), self.len() / width) }
    }

    /// The whole buffer behind the tensor, but for its first `skipped` bytes, as a kernel's argument of items of `item` elements,
    /// to be read where [`Tensor::view`] says.
    pub(crate) fn buffer(&self, item: usize, skipped: u64) -> BufferArg {
        let reach = match self.pixels() {
            0 => 0,
            pixels => self.offset + (pixels - 1) * self.pitch + packed(&self.shape),
        };
        let handle = self.memory.argument(skipped);
        let items =
            (reach.div_ceil(item)).saturating_sub((skipped as usize).div_ceil(self.dtype.size()));
        // SAFETY: a window's last element lies within the tensor that it was cut from.
        unsafe { BufferArg::from_raw_parts(handle, items) }
    }

    /// Where the pixels lie in [`Tensor::buffer`].
    pub(crate) fn view(&self) -> ViewLaunch {
        let (offset, pitch) = self.place();
        ViewLaunch::new(offset, pitch)
    }

    /// The element of [`Tensor::buffer`] at which the first pixel starts, and elements from one to the next.
    pub(crate) fn place(&self) -> (usize, usize) {
        let early = self.offset.saturating_sub(1);
        (planted::or("window_offset", self.offset, early), self.pitch)
    }

    /// Whether every pixel starts at a multiple of `width` elements.
    pub(crate) fn fits(&self, width: usize) -> bool {
        self.offset.is_multiple_of(width) && self.pitch.is_multiple_of(width)
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {:?})", self.shape, self.dtype)
    }
}

/// The numbers of `dtype` that `bytes` hold.
fn numbers(bytes: &[u8], dtype: DType) -> Vec<f64> {
    fn each<E: bytemuck::Pod>(bytes: &[u8], convert: impl Fn(E) -> f64) -> Vec<f64> {
        let elements = bytemuck::pod_collect_to_vec::<u8, E>(bytes);
        elements.into_iter().map(convert).collect()
    }
    match dtype {
        DType::F16 => each(bytes, |bits| f16::from_bits(bits).to_f64()),
        DType::Bf16 => each(bytes, |bits| bf16::from_bits(bits).to_f64()),
        DType::F32 => each(bytes, |v: f32| f64::from(v)),
        DType::F64 => each(bytes, |v| v),
    }
}

fn check_len(got: usize, shape: &[usize]) -> Result<(), KernelError> {
    if got == elements(shape) {
        return if is_addressable(shape) {
            Ok(())
        } else {
            Err(KernelError::TooLarge {
                op: "upload",
                tensor: "values",
                shape: shape.to_vec(),
            })
        };
    }
    let wanted = format!("as many values as {shape:?} holds");
    Err(KernelError::Shape {
        op: "upload",
        tensor: "values",
        got: vec![got],
        wanted,
    })
}
