// SPDX-License-Identifier: GPL-2.0

//! The remaining request bodies.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of FORGET.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ForgetIn {
    /// Lookups given back.
    pub nlookup: u64,
}

/// Head of BATCH_FORGET.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BatchForgetIn {
    /// How many [`ForgetOne`] follow.
    pub count: u32,
    /// Zero.
    pub dummy: u32,
}

/// One inode of BATCH_FORGET.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ForgetOne {
    /// The inode.
    pub nodeid: u64,
    /// Lookups given back.
    pub nlookup: u64,
}

/// Body of INTERRUPT.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InterruptIn {
    /// The request to interrupt.
    pub unique: u64,
}

/// Body of MKNOD; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MknodIn {
    /// Type and permission bits.
    pub mode: u32,
    /// Device number, in the 32-bit user encoding.
    pub rdev: u32,
    /// The caller's umask.
    pub umask: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of MKDIR; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MkdirIn {
    /// Permission bits.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
}

/// Body of RENAME; both names follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RenameIn {
    /// The new directory.
    pub newdir: u64,
}

/// Body of RENAME2; both names follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename2In {
    /// The new directory.
    pub newdir: u64,
    /// `RENAME_*`.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of LINK; the new name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LinkIn {
    /// The inode to link.
    pub oldnodeid: u64,
}

/// Body of ACCESS.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AccessIn {
    /// `R_OK`, `W_OK`, `X_OK`.
    pub mask: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of GETXATTR and LISTXATTR; GETXATTR's name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetxattrIn {
    /// Size of the caller's buffer; zero asks for the size.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to GETXATTR and LISTXATTR that asked for the size.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetxattrOut {
    /// Size in bytes.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Head of SETXATTR; name and value follow. Servers without SETXATTR_EXT get the first
/// [`COMPAT_SETXATTR_IN`] bytes of it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetxattrIn {
    /// Size of the value in bytes.
    pub size: u32,
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub flags: u32,
    /// `FUSE_SETXATTR_*`.
    pub setxattr_flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Bytes of the head of SETXATTR before SETXATTR_EXT.
pub const COMPAT_SETXATTR_IN: usize = 8;

/// Body of the notification INVAL_INODE.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyInvalInodeOut {
    /// The inode.
    pub ino: u64,
    /// First byte of cached data that is stale; negative for attributes only.
    pub off: i64,
    /// Bytes; zero or less for all that follow.
    pub len: i64,
}

/// Head of the notification INVAL_ENTRY; the name follows, with a NUL.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyInvalEntryOut {
    /// The directory.
    pub parent: u64,
    /// Bytes of the name.
    pub namelen: u32,
    /// `FUSE_EXPIRE_ONLY`.
    pub flags: u32,
}

/// Head of the notification DELETE; the name follows, with a NUL.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyDeleteOut {
    /// The directory.
    pub parent: u64,
    /// What the name stood for.
    pub child: u64,
    /// Bytes of the name.
    pub namelen: u32,
    /// Zero.
    pub padding: u32,
}

/// Head of the notification STORE; data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyStoreOut {
    /// The inode.
    pub nodeid: u64,
    /// Where the data belongs, in bytes.
    pub offset: u64,
    /// Bytes of data.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// The notification RETRIEVE.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyRetrieveOut {
    /// The id that the NOTIFY_REPLY is to have.
    pub notify_unique: u64,
    /// The inode.
    pub nodeid: u64,
    /// Where the data is, in bytes.
    pub offset: u64,
    /// Most bytes of data.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Head of the notification PRUNE; node ids follow.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyPruneOut {
    /// How many node ids.
    pub count: u32,
    /// Zero.
    pub padding: u32,
    /// Zero.
    pub spare: u64,
}

/// Body of NOTIFY_REPLY; data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NotifyRetrieveIn {
    /// Zero.
    pub dummy1: u64,
    /// Where the data is, in bytes.
    pub offset: u64,
    /// Bytes of data.
    pub size: u32,
    /// Zero.
    pub dummy2: u32,
    /// Zero.
    pub dummy3: u64,
    /// Zero.
    pub dummy4: u64,
}

/// Body of SYNCFS.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SyncfsIn {
    /// Zero.
    pub padding: u64,
}

/// Body of SETUPMAPPING.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetupMappingIn {
    /// An open file, or all ones.
    pub fh: u64,
    /// Where the mapping starts in the file.
    pub foffset: u64,
    /// Bytes of the mapping.
    pub len: u64,
    /// [`super::flags::MappingFlags`].
    pub flags: u64,
    /// Where the mapping starts in the window.
    pub moffset: u64,
}

/// Head of REMOVEMAPPING.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveMappingIn {
    /// How many [`RemoveMappingOne`] follow.
    pub count: u32,
}

/// One mapping of REMOVEMAPPING.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveMappingOne {
    /// Where the mapping starts in the window.
    pub moffset: u64,
    /// Bytes of the mapping.
    pub len: u64,
}

wire_size!(
    ForgetIn = 8,
    BatchForgetIn = 8,
    ForgetOne = 16,
    InterruptIn = 8,
    NotifyInvalInodeOut = 24,
    NotifyInvalEntryOut = 16,
    NotifyDeleteOut = 24,
    NotifyStoreOut = 24,
    NotifyRetrieveOut = 32,
    NotifyPruneOut = 16,
    NotifyRetrieveIn = 40,
    MknodIn = 16,
    MkdirIn = 8,
    RenameIn = 8,
    Rename2In = 16,
    LinkIn = 8,
    AccessIn = 8,
    GetxattrIn = 8,
    GetxattrOut = 8,
    SetxattrIn = 16,
    SyncfsIn = 8,
    SetupMappingIn = 40,
    RemoveMappingIn = 4,
    RemoveMappingOne = 16,
);
