// SPDX-License-Identifier: GPL-2.0

//! Device controls on the wire.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of IOCTL; the data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoctlIn {
    /// The open file.
    pub fh: u64,
    /// `FUSE_IOCTL_*`.
    pub flags: u32,
    /// The command.
    pub cmd: u32,
    /// The argument.
    pub arg: u64,
    /// Bytes of data that follow.
    pub in_size: u32,
    /// Most bytes of data in the reply.
    pub out_size: u32,
}

/// Reply to IOCTL; the data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoctlOut {
    /// What the call returns; negative for an errno.
    pub result: i32,
    /// `FUSE_IOCTL_RETRY`.
    pub flags: u32,
    /// Areas of memory to be read, for a retry.
    pub in_iovs: u32,
    /// Areas of memory to be written, for a retry.
    pub out_iovs: u32,
}

wire_size!(IoctlIn = 32, IoctlOut = 16);
