// SPDX-License-Identifier: GPL-2.0

//! Attributes and directory entries on the wire.

use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Attributes of an inode.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attr {
    /// Inode number shown to users.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Time of last access, seconds.
    pub atime: u64,
    /// Time of last modification, seconds.
    pub mtime: u64,
    /// Time of last status change, seconds.
    pub ctime: u64,
    /// Nanoseconds of `atime`.
    pub atimensec: u32,
    /// Nanoseconds of `mtime`.
    pub mtimensec: u32,
    /// Nanoseconds of `ctime`.
    pub ctimensec: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, in the 32-bit user encoding.
    pub rdev: u32,
    /// Preferred block size.
    pub blksize: u32,
    /// `FUSE_ATTR_*`.
    pub flags: u32,
}

/// A looked-up entry.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryOut {
    /// The inode; zero is "no such entry, remember that".
    pub nodeid: u64,
    /// Tells successive uses of the node id apart.
    pub generation: u64,
    /// Seconds for which the name may be cached.
    pub entry_valid: u64,
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds of `entry_valid`.
    pub entry_valid_nsec: u32,
    /// Nanoseconds of `attr_valid`.
    pub attr_valid_nsec: u32,
    /// The attributes.
    pub attr: Attr,
}

/// Body of GETATTR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetattrIn {
    /// Bit 0: `fh` is valid.
    pub getattr_flags: u32,
    /// Zero.
    pub dummy: u32,
    /// An open file.
    pub fh: u64,
}

/// Reply to GETATTR and SETATTR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AttrOut {
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds of `attr_valid`.
    pub attr_valid_nsec: u32,
    /// Zero.
    pub dummy: u32,
    /// The attributes.
    pub attr: Attr,
}

/// Body of SETATTR.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetattrIn {
    /// Which fields are to be set.
    pub valid: u32,
    /// Zero.
    pub padding: u32,
    /// An open file.
    pub fh: u64,
    /// Size in bytes.
    pub size: u64,
    /// Lock owner.
    pub lock_owner: u64,
    /// Time of last access, seconds.
    pub atime: u64,
    /// Time of last modification, seconds.
    pub mtime: u64,
    /// Time of last status change, seconds.
    pub ctime: u64,
    /// Nanoseconds of `atime`.
    pub atimensec: u32,
    /// Nanoseconds of `mtime`.
    pub mtimensec: u32,
    /// Nanoseconds of `ctime`.
    pub ctimensec: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Zero.
    pub unused4: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Zero.
    pub unused5: u32,
}

/// Head of one entry in a READDIR reply; the name follows.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Dirent {
    /// Inode number.
    pub ino: u64,
    /// Position after this entry.
    pub off: u64,
    /// Length of the name in bytes.
    pub namelen: u32,
    /// `DT_*`.
    pub kind: u32,
}

/// Reply to STATFS.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatfsOut {
    /// Size in fragments.
    pub blocks: u64,
    /// Free fragments.
    pub bfree: u64,
    /// Free fragments for users.
    pub bavail: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Block size in bytes.
    pub bsize: u32,
    /// Longest name.
    pub namelen: u32,
    /// Fragment size in bytes.
    pub frsize: u32,
    /// Zero.
    pub padding: u32,
    /// Zero.
    pub spare: [u32; 6],
}

/// Body of STATX.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatxIn {
    /// Bit 0: `fh` is valid.
    pub getattr_flags: u32,
    /// Zero.
    pub reserved: u32,
    /// An open file.
    pub fh: u64,
    /// `AT_STATX_*`.
    pub sx_flags: u32,
    /// `STATX_*`: what is asked for.
    pub sx_mask: u32,
}

/// A moment, in [`StatxOut`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SxTime {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds.
    pub tv_nsec: u32,
    /// Zero.
    pub reserved: i32,
}

/// Attributes as statx(2) has them.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Statx {
    /// `STATX_*`: what of this is there.
    pub mask: u32,
    /// Preferred block size.
    pub blksize: u32,
    /// `STATX_ATTR_*`.
    pub attributes: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits.
    pub mode: u16,
    /// Zero.
    pub spare0: [u16; 1],
    /// Inode number shown to users.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Which of `attributes` are supported.
    pub attributes_mask: u64,
    /// Time of last access.
    pub atime: SxTime,
    /// Time of birth.
    pub btime: SxTime,
    /// Time of last status change.
    pub ctime: SxTime,
    /// Time of last modification.
    pub mtime: SxTime,
    /// Device number of a device node.
    pub rdev_major: u32,
    /// The same.
    pub rdev_minor: u32,
    /// Device the inode is on.
    pub dev_major: u32,
    /// The same.
    pub dev_minor: u32,
    /// Zero.
    pub spare2: [u64; 14],
}

/// Reply to STATX.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatxOut {
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds of `attr_valid`.
    pub attr_valid_nsec: u32,
    /// Zero.
    pub flags: u32,
    /// Zero.
    pub spare: [u64; 2],
    /// The attributes.
    pub stat: Statx,
}

wire_size!(
    Attr = 88,
    EntryOut = 128,
    GetattrIn = 16,
    AttrOut = 104,
    SetattrIn = 88,
    Dirent = 24,
    StatfsOut = 80,
    StatxIn = 24,
    SxTime = 16,
    Statx = 256,
    StatxOut = 288,
);
