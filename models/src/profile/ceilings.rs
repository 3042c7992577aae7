use ghostlight_autodiff::{Client, Cost, DType, KernelError, Tensor};
use ghostlight_kernels::matmul::gemm::gemm;
use ghostlight_kernels::pointwise;
use std::time::{Duration, Instant};

/// Rows, columns and depth of the product that is measured.
const SIDE: usize = 768;
/// Elements of the copy that is measured: past every cache but a last one.
const COPIED: usize = 16 << 20;
const TURNS: usize = 5;

/// What this project's own kernels reach on the device where nothing else holds them back: a large product, a large copy. The bench
/// (`docs/bench.md`) measures what the device itself can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Multiply-accumulates a second.
    pub macs: f64,
    /// Bytes a second, read and written.
    pub bytes: f64,
}

impl Ceilings {
    /// Measures both, within a second or two.
    ///
    /// # Errors
    /// [`KernelError::Device`] when a launch fails.
    pub fn measure(client: &Client) -> Result<Self, KernelError> {
        let square = Tensor::from_f32(client, &vec![0.5; SIDE * SIDE], &[SIDE, SIDE])?;
        let long = Tensor::zeros(client, &[COPIED], DType::F32);
        let one = Tensor::from_f32(client, &[1.0], &[1])?;
        let fastest = |run: &dyn Fn() -> Result<Tensor, KernelError>| {
            let mut least = Duration::MAX;
            for _ in 0..TURNS {
                let start = Instant::now();
                run()?;
                let _ = cubecl::future::block_on(client.sync());
                least = least.min(start.elapsed());
            }
            Ok::<f64, KernelError>(least.as_secs_f64().max(1e-9))
        };
        let product = fastest(&|| gemm(&square, &square, None))?;
        let copy = fastest(&|| pointwise::scale(&long, &one))?;
        Ok(Self {
            macs: (SIDE * SIDE * SIDE) as f64 / product,
            bytes: (2 * COPIED * DType::F32.size()) as f64 / copy,
        })
    }

    /// The share of a roofline that work of `cost` reached in `time`: 1 where the product's or the copy's speed was met.
    pub fn share(&self, cost: Cost, time: Duration) -> f64 {
        let bytes = (cost.bytes_read + cost.bytes_written) as f64 / self.bytes;
        let least = (cost.macs as f64 / self.macs).max(bytes);
        least / time.as_secs_f64().max(1e-9)
    }
}
