use cubecl::Device;
use cubecl::device::WgpuDeviceKind;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use ghostlight_kernels::{Client, DType};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

/// The device that the tests run on: the one that `GHOSTLIGHT_DEVICE` names, `cpu`, `lavapipe` or `ptx`, else the default one of the
/// runtimes that this build links. One build thus serves several lanes.
pub fn client() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let named = match std::env::var("GHOSTLIGHT_DEVICE").as_deref() {
            Err(_) => return Device::default().client(),
            Ok("cpu") => Device::cpu(),
            // Vulkan's device that is no hardware; the lane shows the loader no other driver than lavapipe.
            Ok("lavapipe") => Device::vulkan(WgpuDeviceKind::Cpu),
            #[cfg(feature = "ptx")]
            Ok("ptx") => return interpreter(),
            Ok(other) => panic!("GHOSTLIGHT_DEVICE is {other:?}, wanted cpu, lavapipe or ptx"),
        };
        let device =
            named.unwrap_or_else(|error| panic!("the device of GHOSTLIGHT_DEVICE: {error}"));
        device.client()
    });
    CLIENT.clone()
}

/// A card that is not there, whose PTX the host executes.
#[cfg(feature = "ptx")]
fn interpreter() -> Client {
    let card = ghostlight_offline::Card::of("sm_80").expect("the card is listed");
    ghostlight_offline::interpreter(card)
}

/// Says that something is skipped, once a process: on standard error itself, since what tests print is shown for failures alone.
pub fn skipped(what: &str, reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("skipped: {what}: {reason}\n");
    if SAID.lock().is_ok_and(|mut said| said.insert(line.clone())) {
        // A closed standard error is no reason to fail.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Whether the device computes in f64, as gradient checks do; where it does not, standard error says so.
pub fn has_f64() -> bool {
    let element = ElemType::Float(FloatKind::F64);
    let has = client().properties().supports_type(element);
    if !has {
        skipped("f64", "this device has no 64-bit floats");
    }
    has
}

/// The element types to test an operation of sums and products with: f32, and f64 if [`has_f64`].
pub fn dtypes() -> Vec<DType> {
    match has_f64() {
        true => vec![DType::F32, DType::F64],
        false => vec![DType::F32],
    }
}

/// [`has_f64`] for operations that take exponentials or logarithms. Shaders know those in 32 bits alone, and where Mesa compiles
/// them all the same they come to arbitrary numbers.
pub fn has_f64_exp() -> bool {
    static HAS_EXP: LazyLock<bool> = LazyLock::new(|| {
        let one = client().create_from_slice(&1f64.to_le_bytes());
        let out = client().empty(8);
        // SAFETY: both hold one element.
        let [x, y] = [&one, &out].map(|it| unsafe { BufferArg::from_raw_parts(it.clone(), 1) });
        let dim = CubeDim::new_1d(1);
        exponential::launch(&client(), CubeCount::Static(1, 1, 1), dim, x, y);
        client().read_one(out).is_ok_and(|bytes| {
            let bits: [u8; 8] = bytes[..8].try_into().expect("eight bytes were read");
            (f64::from_le_bytes(bits) - std::f64::consts::E).abs() < 1e-12
        })
    });
    let has = has_f64() && *HAS_EXP;
    if has_f64() && !has {
        let reason = "this device has them in 32 bits alone";
        skipped("exponentials and logarithms in f64", reason);
    }
    has
}

/// The element types to test an operation with that takes exponentials or logarithms: f32, and f64 if [`has_f64_exp`].
pub fn dtypes_with_exp() -> Vec<DType> {
    match has_f64_exp() {
        true => vec![DType::F32, DType::F64],
        false => vec![DType::F32],
    }
}

/// [`dtypes_with_exp`], each with its tolerance.
pub fn tolerances_with_exp(f32: f64, f64: f64) -> impl Iterator<Item = (DType, f64)> {
    dtypes_with_exp()
        .into_iter()
        .map(move |dtype| (dtype, if dtype == DType::F64 { f64 } else { f32 }))
}

/// How many rounds of loops a unit of this device goes through in one launch, those of all its loops together; `usize::MAX` where
/// no end was found.
///
/// Mesa's devices on the CPU (lavapipe, llvmpipe) leave every loop, without a word, once the unit has gone through 65,535 rounds:
/// problems that take more are the device's to get wrong.
fn most_rounds() -> usize {
    /// Far past every limit known; more would be a slow test.
    const ENOUGH: u32 = 1 << 21;
    static ROUNDS: LazyLock<usize> = LazyLock::new(|| {
        let out = client().empty(4);
        // SAFETY: it holds one element.
        let rounds = unsafe { BufferArg::from_raw_parts(out.clone(), 1) };
        let dim = CubeDim::new_1d(1);
        count::launch(&client(), CubeCount::Static(1, 1, 1), dim, rounds, ENOUGH);
        let bytes = client().read_one(out).expect("a loop that counts launches");
        let rounds: [u8; 4] = bytes[..4].try_into().expect("four bytes were read");
        match u32::from_le_bytes(rounds) {
            ENOUGH => usize::MAX,
            rounds => {
                skipped(
                    "problems of many rounds of loops",
                    &format!("this device leaves a unit's loops after {rounds}, without a word"),
                );
                rounds as usize
            }
        }
    });
    *ROUNDS
}

/// Whether `rounds` rounds of loops are within those of this device; where not, standard error says that `what` is skipped.
pub fn finishes_loops(what: &str, rounds: usize) -> bool {
    let finishes = rounds <= most_rounds();
    if !finishes {
        skipped(what, "it takes a unit too many rounds of loops");
    }
    finishes
}

/// `out[0] = exp(x[0])`.
#[cube(launch)]
fn exponential(x: &[f64], out: &mut [f64]) {
    out[0] = x[0].exp();
}

/// `out[0]` = how many of `rounds` rounds of a loop the unit goes through: a sum that no compiler turns into a product.
#[cube(launch)]
fn count(out: &mut [u32], rounds: u32) {
    let mut state = 1u32;
    let mut counted = 0u32;
    for _ in 0..rounds {
        state = state * 1_664_525 + 1_013_904_223;
        // The generator is back at 1 after 2^32 rounds, not before.
        counted += select(state == 1, 2u32, 1u32);
    }
    out[0] = counted;
}
