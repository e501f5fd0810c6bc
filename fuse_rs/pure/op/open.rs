// SPDX-License-Identifier: GPL-2.0

//! The life of an open file: OPEN, FLUSH, FSYNC, RELEASE, for files and directories.

use super::operation::header_reply;
use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::OpenFlags;
use crate::abi::flags::OpenInFlags;
use crate::abi::flags::ReleaseFlags;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::open::FlushIn;
use crate::abi::open::FsyncIn;
use crate::abi::open::OpenIn;
use crate::abi::open::OpenOut;
use crate::abi::open::ReleaseIn;
use core::mem::size_of;

/// An open file of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The server's name for it.
    pub fh: FileHandle,
    /// What the server says of it.
    pub flags: OpenFlags,
}

impl Opened {
    /// From the wire; every value is possible.
    pub fn from_wire(out: &OpenOut) -> Self {
        Self {
            fh: FileHandle(out.fh),
            flags: OpenFlags::from_bits(out.open_flags),
        }
    }
}

/// Whether a request is about a file or a directory. The two have opcodes of their own.
pub trait Target {
    /// Whether it is a directory.
    const IS_DIRECTORY: bool;
    /// OPEN or OPENDIR.
    const OPEN: Opcode;
    /// RELEASE or RELEASEDIR.
    const RELEASE: Opcode;
    /// FSYNC or FSYNCDIR.
    const FSYNC: Opcode;
}

/// A file.
pub struct File;
/// A directory.
pub struct Directory;

impl Target for File {
    const IS_DIRECTORY: bool = false;
    const OPEN: Opcode = Opcode::Open;
    const RELEASE: Opcode = Opcode::Release;
    const FSYNC: Opcode = Opcode::Fsync;
}

impl Target for Directory {
    const IS_DIRECTORY: bool = true;
    const OPEN: Opcode = Opcode::Opendir;
    const RELEASE: Opcode = Opcode::Releasedir;
    const FSYNC: Opcode = Opcode::Fsyncdir;
}

/// Opens a file or directory.
pub struct Open<T: Target> {
    /// `O_*` flags, without those that only matter at creation.
    pub flags: u32,
    /// Drop the set-id bits along with truncating.
    pub kill_suidgid: bool,
    /// File or directory.
    pub target: T,
}

impl<T: Target> Operation for Open<T> {
    const OPCODE: Opcode = T::OPEN;

    fn body_len(&self) -> usize {
        size_of::<OpenIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&OpenIn {
            flags: self.flags,
            open_flags: OpenInFlags::when(self.kill_suidgid, OpenInFlags::KILL_SUIDGID).bits(),
        })
    }

    struct_reply!(OpenOut => Opened, |out, _this| Ok(Opened::from_wire(&out)));
}

/// Says that an open file is no longer used.
pub struct Release<T: Target> {
    /// The file.
    pub fh: FileHandle,
    /// `O_*` flags as they were last.
    pub flags: u32,
    /// Whose lock of flock(2) ends, if there is one.
    pub flock_owner: Option<u64>,
    /// File or directory.
    pub target: T,
}

impl<T: Target> Operation for Release<T> {
    const OPCODE: Opcode = T::RELEASE;

    fn body_len(&self) -> usize {
        size_of::<ReleaseIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&ReleaseIn {
            fh: self.fh.0,
            flags: self.flags,
            release_flags: ReleaseFlags::when(
                self.flock_owner.is_some(),
                ReleaseFlags::FLOCK_UNLOCK,
            )
            .bits(),
            lock_owner: self.flock_owner.unwrap_or(0),
        })
    }

    header_reply!();
}

/// Sent at each close of a descriptor.
pub struct Flush {
    /// The file.
    pub fh: FileHandle,
    /// Whose locks end.
    pub lock_owner: u64,
}

impl Operation for Flush {
    const OPCODE: Opcode = Opcode::Flush;

    fn body_len(&self) -> usize {
        size_of::<FlushIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&FlushIn {
            fh: self.fh.0,
            lock_owner: self.lock_owner,
            ..FlushIn::default()
        })
    }

    header_reply!();
}

/// Makes data durable.
pub struct Fsync<T: Target> {
    /// The file.
    pub fh: FileHandle,
    /// Without attributes that are not needed to read the data back.
    pub datasync: bool,
    /// File or directory.
    pub target: T,
}

impl<T: Target> Operation for Fsync<T> {
    const OPCODE: Opcode = T::FSYNC;

    fn body_len(&self) -> usize {
        size_of::<FsyncIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&FsyncIn {
            fh: self.fh.0,
            fsync_flags: u32::from(self.datasync),
            padding: 0,
        })
    }

    header_reply!();
}
