// SPDX-License-Identifier: GPL-2.0

//! Requests that make an inode: MKNOD, MKDIR, SYMLINK, CREATE, TMPFILE.

use super::entry::Entry;
use super::open::Opened;
use super::operation::struct_reply;
use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::attr::EntryOut;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Reader;
use crate::abi::cursor::Writer;
use crate::abi::flags::OpenInFlags;
use crate::abi::ids::Opcode;
use crate::abi::misc::MkdirIn;
use crate::abi::misc::MknodIn;
use crate::abi::open::CreateIn;
use crate::abi::open::OpenOut;
use core::mem::size_of;

/// Makes a file, device node, pipe or socket.
pub struct Mknod<'a> {
    /// The name.
    pub name: Name<'a>,
    /// Type and permission bits.
    pub mode: u32,
    /// Device number in the 32-bit user encoding.
    pub rdev: u32,
    /// The caller's umask.
    pub umask: u32,
}

impl Operation for Mknod<'_> {
    const OPCODE: Opcode = Opcode::Mknod;

    fn body_len(&self) -> usize {
        size_of::<MknodIn>().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&MknodIn {
            mode: self.mode,
            rdev: self.rdev,
            umask: self.umask,
            padding: 0,
        })?;
        w.name(self.name)
    }

    struct_reply!(EntryOut => Entry, |out, _this| Entry::from_wire(&out));
}

/// Makes a directory.
pub struct Mkdir<'a> {
    /// The name.
    pub name: Name<'a>,
    /// Permission bits.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
}

impl Operation for Mkdir<'_> {
    const OPCODE: Opcode = Opcode::Mkdir;

    fn body_len(&self) -> usize {
        size_of::<MkdirIn>().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&MkdirIn {
            mode: self.mode,
            umask: self.umask,
        })?;
        w.name(self.name)
    }

    struct_reply!(EntryOut => Entry, |out, _this| Entry::from_wire(&out));
}

/// Makes a symbolic link.
pub struct Symlink<'a> {
    /// The name.
    pub name: Name<'a>,
    /// What it points to.
    pub target: Name<'a>,
}

impl Operation for Symlink<'_> {
    const OPCODE: Opcode = Opcode::Symlink;

    fn body_len(&self) -> usize {
        self.name.wire_len().saturating_add(self.target.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.name(self.name)?;
        w.name(self.target)
    }

    struct_reply!(EntryOut => Entry, |out, _this| Entry::from_wire(&out));
}

/// Whether a new file gets a name. The two have opcodes of their own.
pub trait Creation {
    /// CREATE or TMPFILE.
    const OPCODE: Opcode;
}

/// It gets one.
pub struct Named;
/// It gets none; what is in its place on the wire means nothing.
pub struct Nameless;

impl Creation for Named {
    const OPCODE: Opcode = Opcode::Create;
}

impl Creation for Nameless {
    const OPCODE: Opcode = Opcode::Tmpfile;
}

/// Makes a file and opens it.
pub struct Create<'a, C: Creation> {
    /// The name.
    pub name: Name<'a>,
    /// `O_*` flags of the open.
    pub flags: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
    /// Drop the set-id bits of a file that is there and truncated.
    pub kill_suidgid: bool,
    /// Whether it gets a name.
    pub creation: C,
}

impl<C: Creation> Operation for Create<'_, C> {
    const OPCODE: Opcode = C::OPCODE;
    type Reply = (Entry, Opened);

    fn body_len(&self) -> usize {
        size_of::<CreateIn>().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&CreateIn {
            flags: self.flags,
            mode: self.mode,
            umask: self.umask,
            open_flags: OpenInFlags::when(self.kill_suidgid, OpenInFlags::KILL_SUIDGID).bits(),
        })?;
        w.name(self.name)
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::Exact(size_of::<EntryOut>() + size_of::<OpenOut>())
    }

    fn parse(&self, body: &[u8]) -> Result<Self::Reply, Malformed> {
        let mut reader = Reader::new(body);
        let entry: EntryOut = reader.take()?;
        let open: OpenOut = reader.take()?;
        reader.finish()?;
        Ok((Entry::from_wire(&entry)?, Opened::from_wire(&open)))
    }
}
