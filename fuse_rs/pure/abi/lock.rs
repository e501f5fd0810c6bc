// SPDX-License-Identifier: GPL-2.0

//! File locks on the wire.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A lock: whose, on what part of a file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FileLock {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
    pub kind: u32,
    /// The process that has it.
    pub pid: u32,
}

/// Body of GETLK, SETLK and SETLKW.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LkIn {
    /// The open file.
    pub fh: u64,
    /// Lock owner.
    pub owner: u64,
    /// The lock that is wanted.
    pub lk: FileLock,
    /// `FUSE_LK_*`.
    pub lk_flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to GETLK.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LkOut {
    /// A lock in the way.
    pub lk: FileLock,
}

wire_size!(FileLock = 24, LkIn = 48, LkOut = 24);
