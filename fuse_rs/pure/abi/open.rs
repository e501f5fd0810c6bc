// SPDX-License-Identifier: GPL-2.0

//! Open files on the wire.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of OPEN and OPENDIR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenIn {
    /// `O_*` flags of the open.
    pub flags: u32,
    /// `FUSE_OPEN_*`.
    pub open_flags: u32,
}

/// Body of CREATE; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CreateIn {
    /// `O_*` flags of the open.
    pub flags: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
    /// `FUSE_OPEN_*`.
    pub open_flags: u32,
}

/// Reply to OPEN and OPENDIR, and the tail of the reply to CREATE.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenOut {
    /// The server's name for the open file.
    pub fh: u64,
    /// `FOPEN_*`.
    pub open_flags: u32,
    /// Backing file of passthrough.
    pub backing_id: i32,
}

/// Body of RELEASE and RELEASEDIR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReleaseIn {
    /// The open file.
    pub fh: u64,
    /// `O_*` flags of the open.
    pub flags: u32,
    /// `FUSE_RELEASE_*`.
    pub release_flags: u32,
    /// Lock owner whose locks end.
    pub lock_owner: u64,
}

/// Body of FLUSH.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlushIn {
    /// The open file.
    pub fh: u64,
    /// Zero.
    pub unused: u32,
    /// Zero.
    pub padding: u32,
    /// Lock owner whose locks end.
    pub lock_owner: u64,
}

/// Body of FSYNC and FSYNCDIR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FsyncIn {
    /// The open file.
    pub fh: u64,
    /// Bit 0: data only.
    pub fsync_flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of READ, READDIR and READDIRPLUS.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadIn {
    /// The open file.
    pub fh: u64,
    /// Where to start.
    pub offset: u64,
    /// Most bytes to return.
    pub size: u32,
    /// `FUSE_READ_*`.
    pub read_flags: u32,
    /// Lock owner.
    pub lock_owner: u64,
    /// `O_*` flags of the open file.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of WRITE; the data follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WriteIn {
    /// The open file.
    pub fh: u64,
    /// Where to start.
    pub offset: u64,
    /// Bytes of data.
    pub size: u32,
    /// `FUSE_WRITE_*`.
    pub write_flags: u32,
    /// Lock owner.
    pub lock_owner: u64,
    /// `O_*` flags of the open file.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to WRITE.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WriteOut {
    /// Bytes written.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of LSEEK.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LseekIn {
    /// The open file.
    pub fh: u64,
    /// Where to start.
    pub offset: u64,
    /// `SEEK_DATA` or `SEEK_HOLE`.
    pub whence: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to LSEEK.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LseekOut {
    /// What was found.
    pub offset: u64,
}

/// Body of FALLOCATE.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FallocateIn {
    /// The open file.
    pub fh: u64,
    /// Where the range starts.
    pub offset: u64,
    /// Bytes of the range.
    pub length: u64,
    /// `FALLOC_FL_*`.
    pub mode: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of BMAP.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BmapIn {
    /// Number of the block in the file.
    pub block: u64,
    /// Bytes of a block.
    pub blocksize: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to BMAP.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BmapOut {
    /// Number of the block on the device; zero for a hole.
    pub block: u64,
}

/// Body of COPY_FILE_RANGE and COPY_FILE_RANGE_64, which are sent to the inode that is copied from.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyFileRangeIn {
    /// The open file that is copied from.
    pub fh_in: u64,
    /// Where the copying starts.
    pub off_in: u64,
    /// The inode that is copied to.
    pub nodeid_out: u64,
    /// The open file that is copied to.
    pub fh_out: u64,
    /// Where the copy starts.
    pub off_out: u64,
    /// Bytes to copy.
    pub len: u64,
    /// Zero.
    pub flags: u64,
}

/// Reply to COPY_FILE_RANGE_64.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyFileRangeOut {
    /// Bytes copied.
    pub bytes_copied: u64,
}

wire_size!(
    OpenIn = 8,
    CreateIn = 16,
    OpenOut = 16,
    ReleaseIn = 24,
    FlushIn = 24,
    FsyncIn = 16,
    ReadIn = 40,
    WriteIn = 40,
    WriteOut = 8,
    LseekIn = 24,
    LseekOut = 8,
    FallocateIn = 32,
    BmapIn = 16,
    BmapOut = 8,
    CopyFileRangeIn = 56,
    CopyFileRangeOut = 8,
);
