//! Other libraries, each with the operations that it has.

#[cfg(feature = "peers")]
mod burn;
#[cfg(feature = "peers")]
mod candle;
#[cfg(feature = "peers")]
mod cubek;
#[cfg(feature = "peers")]
mod linked;
pub(crate) mod process;
mod torch;

#[cfg(feature = "peers")]
pub use burn::Burn;
#[cfg(feature = "peers")]
pub use candle::Candle;
#[cfg(feature = "peers")]
pub use cubek::CubeK;
pub use torch::Torch;

use crate::contender::Peer;
use crate::step::TorchSteps;
use cubecl::Device;

/// The peers that are there beside `device`: those that are linked, and PyTorch under `python`, or where none is named under the `python3` that has
/// it.
///
/// # Errors
/// The interpreter that was named does not start, or has no PyTorch.
pub fn all(
    device: &Device,
    python: Option<&str>,
    compiled: bool,
) -> Result<Vec<Box<dyn Peer>>, String> {
    let mut peers = linked(device);
    match python.map(String::from).or_else(torch::found) {
        Some(python) => {
            let torch = Torch::start(&python, place(device), compiled).map_err(|error| {
                format!("--torch {python}: {error}; install it with {python} -m pip install torch")
            })?;
            peers.push(Box::new(torch));
        }
        None => {
            eprintln!("PyTorch stays blank: no python3 has it; --torch PYTHON names one that does")
        }
    }
    Ok(peers)
}

/// PyTorch under `python`, for whole steps beside `device`, on as many threads.
///
/// # Errors
/// The interpreter does not start, or lacks a library.
pub(crate) fn steps(device: &Device, python: &str, threads: usize) -> Result<TorchSteps, String> {
    let libraries = "torch torchvision timm numpy";
    TorchSteps::start(python, place(device), threads).map_err(|error| {
        format!("--torch {python}: {error}; install what it needs with {python} -m pip install {libraries}")
    })
}

/// What PyTorch calls the place of `device`.
fn place(device: &Device) -> &'static str {
    match device {
        Device::Cuda(_) => "cuda",
        _ => "cpu",
    }
}

/// The libraries that are linked in.
#[cfg(feature = "peers")]
fn linked(device: &Device) -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Burn::flex()),
        Box::new(Burn::cubecl(device.clone())),
        Box::new(Candle),
        Box::new(CubeK(device.client())),
    ]
}

#[cfg(not(feature = "peers"))]
fn linked(_: &Device) -> Vec<Box<dyn Peer>> {
    eprintln!(
        "burn, candle and CubeK stay blank: `--features peers` behind `cargo bench` or `cargo xtask bench report` links them, \
         which takes some twenty minutes of building once"
    );
    Vec::new()
}
