// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the parts of the kernel that a file system in Rust needs and the
//! kernel crate does not have (yet).
//!
//! This is the only crate of the module with `unsafe` in it. It knows nothing of the file system
//! above: every type here is meant as a candidate for the kernel crate.

#[macro_use]
mod macros;

mod bindings;

pub mod dax;
pub mod dev;
pub mod kobject;
pub mod list;
pub mod mem;
pub mod mm;
pub mod pipe;
pub mod sync;
pub mod sys;
pub mod sysctl;
pub mod uio;
pub mod vfs;
pub mod virtio;

// `i_size` is read and written in one piece, which on 32 bits it is not; and numbers that need more
// go into `unsigned long` and pointers: moments in nanoseconds, ids, pages of a file.
const _: () = assert!(
    core::mem::size_of::<usize>() == 8,
    "fuse_rs needs a kernel of 64 bits"
);

/// Prefix of log messages of this crate.
const __LOG_PREFIX: &[u8] = b"fuse_rs\0";
