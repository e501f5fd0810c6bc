// SPDX-License-Identifier: GPL-2.0

//! INIT: the structures and the table of flags.

use super::flags::flag_set;
use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of INIT.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitIn {
    /// [`super::MAJOR`].
    pub major: u32,
    /// [`super::MINOR`].
    pub minor: u32,
    /// The readahead the mount would use, in bytes.
    pub max_readahead: u32,
    /// Low half of [`InitFlags`].
    pub flags: u32,
    /// High half of [`InitFlags`].
    pub flags2: u32,
    /// Zero.
    pub unused: [u32; 11],
}

/// Reply to INIT. Servers before 7.23 send the first 24 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitOut {
    /// The server's major version.
    pub major: u32,
    /// The server's minor version.
    pub minor: u32,
    /// Upper bound of readahead in bytes.
    pub max_readahead: u32,
    /// Low half of the flags the server takes up.
    pub flags: u32,
    /// Background requests at a time; zero for the default.
    pub max_background: u16,
    /// Background requests that count as congestion; zero for the default.
    pub congestion_threshold: u16,
    /// Upper bound of a WRITE in bytes.
    pub max_write: u32,
    /// Granularity of times in nanoseconds.
    pub time_gran: u32,
    /// Pages per request (with MAX_PAGES).
    pub max_pages: u16,
    /// Alignment of DAX mappings, as a power of two.
    pub map_alignment: u16,
    /// High half of the flags (with INIT_EXT).
    pub flags2: u32,
    /// Stacking depth (with PASSTHROUGH).
    pub max_stack_depth: u32,
    /// Seconds until an unanswered request ends the connection (with REQUEST_TIMEOUT).
    pub request_timeout: u16,
    /// Zero.
    pub unused: [u16; 11],
}

/// Size of the INIT reply of servers before 7.23.
pub const COMPAT_22_INIT_OUT: usize = 24;

wire_size!(InitIn = 64, InitOut = 64);

flag_set! {
    /// Features that the two sides agree on in INIT.
    InitFlags(u64) {
        /// Reads may be asynchronous.
        ASYNC_READ = 1 << 0;
        /// The server does POSIX locks.
        POSIX_LOCKS = 1 << 1;
        /// Size changes carry a file handle (obsolete bit of the protocol).
        FILE_OPS = 1 << 2;
        /// OPEN with O_TRUNC truncates.
        ATOMIC_O_TRUNC = 1 << 3;
        /// The file system can be exported: LOOKUP of "." and "..".
        EXPORT_SUPPORT = 1 << 4;
        /// WRITEs may be larger than 4 KiB.
        BIG_WRITES = 1 << 5;
        /// Do not apply the umask to modes.
        DONT_MASK = 1 << 6;
        /// The device takes spliced writes.
        SPLICE_WRITE = 1 << 7;
        /// The device moves spliced pages.
        SPLICE_MOVE = 1 << 8;
        /// The device can be spliced from.
        SPLICE_READ = 1 << 9;
        /// The server does BSD locks.
        FLOCK_LOCKS = 1 << 10;
        /// IOCTL works on directories.
        HAS_IOCTL_DIR = 1 << 11;
        /// Cached data is dropped when size or mtime changed.
        AUTO_INVAL_DATA = 1 << 12;
        /// READDIRPLUS instead of READDIR.
        DO_READDIRPLUS = 1 << 13;
        /// READDIRPLUS where it seems to pay.
        READDIRPLUS_AUTO = 1 << 14;
        /// Direct I/O may be asynchronous.
        ASYNC_DIO = 1 << 15;
        /// Write-back cache.
        WRITEBACK_CACHE = 1 << 16;
        /// OPEN may be answered with ENOSYS.
        NO_OPEN_SUPPORT = 1 << 17;
        /// Several lookups and readdirs at a time in one directory.
        PARALLEL_DIROPS = 1 << 18;
        /// The server drops set-id bits itself.
        HANDLE_KILLPRIV = 1 << 19;
        /// POSIX access control lists.
        POSIX_ACL = 1 << 20;
        /// Reading an aborted device gives ECONNABORTED.
        ABORT_ERROR = 1 << 21;
        /// `max_pages` of the reply is valid.
        MAX_PAGES = 1 << 22;
        /// Symbolic links may be cached.
        CACHE_SYMLINKS = 1 << 23;
        /// OPENDIR may be answered with ENOSYS.
        NO_OPENDIR_SUPPORT = 1 << 24;
        /// Data is dropped only when the server says so.
        EXPLICIT_INVAL_DATA = 1 << 25;
        /// `map_alignment` of the reply is valid.
        MAP_ALIGNMENT = 1 << 26;
        /// The server knows submounts.
        SUBMOUNTS = 1 << 27;
        /// As HANDLE_KILLPRIV, with per-request flags.
        HANDLE_KILLPRIV_V2 = 1 << 28;
        /// SETXATTR carries flags.
        SETXATTR_EXT = 1 << 29;
        /// `flags2` is valid.
        INIT_EXT = 1 << 30;
        /// Security context at creation.
        SECURITY_CTX = 1 << 32;
        /// Per-inode DAX.
        HAS_INODE_DAX = 1 << 33;
        /// Supplementary group at creation.
        CREATE_SUPP_GROUP = 1 << 34;
        /// Entries can be expired.
        HAS_EXPIRE_ONLY = 1 << 35;
        /// Shared mappings of direct files.
        DIRECT_IO_ALLOW_MMAP = 1 << 36;
        /// Passthrough of reads and writes.
        PASSTHROUGH = 1 << 37;
        /// No file handles across mounts.
        NO_EXPORT_SUPPORT = 1 << 38;
        /// Requests can be sent again.
        HAS_RESEND = 1 << 39;
        /// Id-mapped mounts.
        ALLOW_IDMAP = 1 << 40;
        /// Requests over io_uring.
        OVER_IO_URING = 1 << 41;
        /// `request_timeout` of the reply is valid.
        REQUEST_TIMEOUT = 1 << 42;
    }
}

impl InitFlags {
    /// The set from its two halves.
    pub const fn from_halves(low: u32, high: u32) -> Self {
        Self::from_bits(low as u64 | (high as u64) << 32)
    }

    /// The half in `flags`.
    pub const fn low(self) -> u32 {
        (self.bits() & 0xffff_ffff) as u32
    }

    /// The half in `flags2`.
    pub const fn high(self) -> u32 {
        (self.bits() >> 32) as u32
    }
}
