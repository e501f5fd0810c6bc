// SPDX-License-Identifier: GPL-2.0

//! The wire format of FUSE 7.46, as `include/uapi/linux/fuse.h` defines it.
//!
//! Structures are plain data in host byte order. Their sizes are asserted here; what the fields
//! mean is checked by [`crate::op`] before anything else sees them.

pub mod attr;
pub mod cursor;
pub mod extension;
pub mod flags;
pub mod header;
pub mod ids;
pub mod init;
pub mod ioctl;
pub mod lock;
pub mod misc;
pub mod open;
pub mod poll;

/// Major protocol version.
pub const MAJOR: u32 = 7;
/// Highest minor protocol version we speak.
pub const MINOR: u32 = 46;
/// Lowest minor protocol version of a server we serve (umask in CREATE, MKNOD and MKDIR).
pub const MINOR_MIN: u32 = 12;

/// Asserts the size of a wire structure at compile time.
macro_rules! wire_size {
    ($($ty:ty = $size:expr),* $(,)?) => {
        $(const _: () = assert!(core::mem::size_of::<$ty>() == $size);)*
    };
}
pub(crate) use wire_size;
