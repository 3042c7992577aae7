//! A launch executed, unit by unit, on memory that remembers who touched it: a kernel's result without a card, and what
//! `compute-sanitizer` would say of it.
//!
//! **What is found**: an access outside of a buffer or of the cube's shared memory, or across the alignment of its width; a read of memory
//! that nobody wrote; two units of a cube at one place between two barriers, or two cubes at one place at all, with a write among
//! them; a barrier that not all units of a cube reach; a unit that does not end. A write of what is there already disturbs nobody.
//!
//! **How.** A unit runs alone up to its next barrier, then the next one does: what one leaves for another must lie behind a barrier, so
//! that the order does not matter, or it is found. Every two bytes of memory remember who wrote them last and who read them since
//! ([`Buffer`]), with the launch, the cube and the barriers that were behind it.
//!
//! **What is not modelled**: time, caches, the order of memory beyond barriers, units of a warp in lockstep (a shuffle is told as a fault),
//! atomics, matrix instructions, and the last places of a card's approximations. Results are those of PTX, before `ptxas`.

mod buffer;
mod cube;
mod fault;

pub use buffer::Buffer;
pub use cube::run;
pub use fault::{Fault, Kind, Other, Place};
