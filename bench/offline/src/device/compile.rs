//! From a kernel's definition to PTX, with the options of `cubecl-cuda`'s `compiler.rs`.

use crate::card::Card;
use cubecl::Compiler;
use cubecl_ir::DeviceProperties;
use cubecl_ir::nvidia::SmArch;
use cubecl_llvm::nvptx::ptx_version::PtxVersion;
use cubecl_llvm::{LlvmTarget, NvptxModule, PlironArtifact, PlironCompiler, PlironOptions};
use cubecl_server::id::KernelId;
use cubecl_server::kernel::{CubeKernel, define_kernel};
use cubecl_server::validation::{validate_cube_dim, validate_units};
use std::any::Any;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// CUDA 12.8: what most clusters' drivers load. The version of PTX follows from it, as in `cubecl-cuda`.
const DRIVER: i32 = 12_080;

/// Why a kernel became no PTX.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// The card cannot have cubes of its size, or CubeCL cannot lower it.
    #[error("{0}")]
    Refused(String),
    /// It panicked while it was expanded or lowered.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It wants more shared memory than a cube may have.
    #[error("asks for {asked} bytes of shared memory, of which a cube may have {most}")]
    Shared {
        /// Bytes asked for.
        asked: usize,
        /// Bytes there are.
        most: usize,
    },
}

/// What a driver would be handed.
#[derive(Clone, Debug)]
pub struct Module {
    /// PTX.
    pub ptx: String,
    /// The LLVM IR that it was made from.
    pub ir: String,
    /// Bytes of shared memory of a cube.
    pub shared: usize,
}

/// One kernel with its comptime choices, compiled for every target.
#[derive(Debug)]
pub struct Kernel {
    /// Its path without type arguments: `ghostlight_kernels::norm::softmax::team::softmax_by_teams`.
    pub path: String,
    /// Its comptime choices, as CubeCL prints them.
    pub variant: String,
    /// By target: `sm_90`.
    pub modules: Vec<(&'static str, Result<Module, CompileError>)>,
}

impl Kernel {
    /// What it became for `card`; none where the device was not told to compile for that.
    pub fn module(&self, card: &Card) -> Option<&Result<Module, CompileError>> {
        let mut modules = self.modules.iter();
        let (_, module) = modules.find(|(target, _)| *target == card.target)?;
        Some(module)
    }

    pub(super) fn compile(
        kernel: &dyn CubeKernel,
        targets: &[&'static Card],
        properties: &DeviceProperties,
    ) -> Self {
        let id = kernel.id();
        let modules = targets.iter().map(|card| {
            let compiled = catch_unwind(AssertUnwindSafe(|| module(kernel, &id, card, properties)));
            let module =
                compiled.unwrap_or_else(|panic| Err(CompileError::Panicked(words(&*panic))));
            (card.target, module)
        });
        let name = id.type_name();
        Self {
            path: name.split('<').next().unwrap_or(name).to_string(),
            variant: id.stable_format(),
            modules: modules.collect(),
        }
    }
}

fn module(
    kernel: &dyn CubeKernel,
    id: &KernelId,
    card: &Card,
    properties: &DeviceProperties,
) -> Result<Module, CompileError> {
    let refused = |error: &dyn ToString| CompileError::Refused(error.to_string());
    validate_cube_dim(properties, id).map_err(|error| refused(&error))?;
    validate_units(properties, id).map_err(|error| refused(&error))?;
    let options = PlironOptions {
        sm_arch: Some(SmArch::new(card.version, true)),
        ptx_version: PtxVersion::for_driver(DRIVER),
        grid_constants: card.version >= 70,
        ..Default::default()
    };
    let mut compiler = PlironCompiler {
        target: LlvmTarget::Nvptx,
    };
    // A definition is consumed by its compilation: one for each target.
    let definition = define_kernel(kernel).map_err(|error| refused(&error))?;
    let compiled = compiler.compile(definition, &options);
    let PlironArtifact::NvptxCode(module) = compiled.map_err(|error| refused(&error))? else {
        return Err(refused(&"the compiler made no PTX"));
    };
    if module.shared_memory_size > card.shared_of_cube {
        return Err(CompileError::Shared {
            asked: module.shared_memory_size,
            most: card.shared_of_cube,
        });
    }
    Ok(Module {
        ptx: text(&module),
        ir: module.ir,
        shared: module.shared_memory_size,
    })
}

fn text(module: &NvptxModule) -> String {
    let bytes: Vec<u8> = module.ptx.iter().map(|&byte| byte as u8).collect();
    let text = CStr::from_bytes_until_nul(&bytes).map(CStr::to_string_lossy);
    text.map_or_else(|_| String::new(), |text| text.into_owned())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
