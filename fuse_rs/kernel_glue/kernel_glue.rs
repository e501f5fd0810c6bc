// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the parts of the kernel that a file system in Rust needs and the
//! kernel crate does not have (yet).
//!
//! This is the only crate of the module with `unsafe` in it. It knows nothing of the file system
//! above: every type here is meant as a candidate for the kernel crate.

#[macro_use]
mod macros;

mod bindings;

pub mod dev;
pub mod list;
pub mod mem;
pub mod mm;
pub mod sync;
pub mod sys;
pub mod uio;
pub mod vfs;

/// Prefix of log messages of this crate.
const __LOG_PREFIX: &[u8] = b"fuse_rs\0";
