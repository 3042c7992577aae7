//! Other libraries, each with the operations that it has.

#[cfg(feature = "peers")]
mod burn;
#[cfg(feature = "peers")]
mod linked;
mod torch;

#[cfg(feature = "peers")]
pub use burn::Burn;
pub use torch::Torch;

use crate::contender::Peer;

/// The peers that are there: those that are linked, and PyTorch under `python`, or where none is named under the `python3` that has
/// it.
///
/// # Errors
/// The interpreter that was named does not start, or has no PyTorch.
pub fn all(python: Option<&str>, compiled: bool) -> Result<Vec<Box<dyn Peer>>, String> {
    let mut peers = linked();
    match python.map(String::from).or_else(torch::found) {
        Some(python) => {
            let torch = Torch::start(&python, "cpu", compiled).map_err(|error| {
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

/// The libraries that are linked in.
#[cfg(feature = "peers")]
fn linked() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Burn::flex()),
        Box::new(Burn::cubecl(cubecl::Device::default())),
    ]
}

#[cfg(not(feature = "peers"))]
fn linked() -> Vec<Box<dyn Peer>> {
    eprintln!("burn, candle and CubeK stay blank: --features peers links them");
    Vec::new()
}
