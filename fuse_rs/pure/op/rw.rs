// SPDX-License-Identifier: GPL-2.0

//! READ, READDIR and WRITE. Their data travels beside the body.

use super::operation::struct_reply;
use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::ReadFlags;
use crate::abi::flags::WriteFlags;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::open::ReadIn;
use crate::abi::open::WriteIn;
use crate::abi::open::WriteOut;
use core::mem::size_of;

/// Reads from a file.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The file.
    pub fh: FileHandle,
    /// Where to start, in bytes.
    pub offset: u64,
    /// Most bytes to return.
    pub size: u32,
    /// `O_*` flags of the open file.
    pub flags: u32,
    /// Whose locks allow it.
    pub lock_owner: Option<u64>,
}

impl Operation for Read {
    const OPCODE: Opcode = Opcode::Read;
    type Reply = ();

    fn body_len(&self) -> usize {
        size_of::<ReadIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&ReadIn {
            fh: self.fh.0,
            offset: self.offset,
            size: self.size,
            read_flags: ReadFlags::when(self.lock_owner.is_some(), ReadFlags::LOCKOWNER).bits(),
            lock_owner: self.lock_owner.unwrap_or(0),
            flags: self.flags,
            ..ReadIn::default()
        })
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::UpTo(self.size as usize)
    }

    fn parse(&self, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Reads entries of a directory; the reply is parsed by [`crate::logic::dirents`].
///
/// With `PLUS`, every entry comes with what LOOKUP would say of it, and counts a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Readdir<const PLUS: bool> {
    /// The open directory.
    pub fh: FileHandle,
    /// The server's position to continue from; zero for the start.
    pub offset: u64,
    /// Most bytes to return.
    pub size: u32,
    /// `O_*` flags of the open directory.
    pub flags: u32,
}

impl<const PLUS: bool> Operation for Readdir<PLUS> {
    const OPCODE: Opcode = if PLUS {
        Opcode::Readdirplus
    } else {
        Opcode::Readdir
    };
    type Reply = ();

    fn body_len(&self) -> usize {
        size_of::<ReadIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&ReadIn {
            fh: self.fh.0,
            offset: self.offset,
            size: self.size,
            flags: self.flags,
            ..ReadIn::default()
        })
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::UpTo(self.size as usize)
    }

    fn parse(&self, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Writes to a file.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The file.
    pub fh: FileHandle,
    /// Where to start, in bytes.
    pub offset: u64,
    /// Bytes of data that follow the body.
    pub size: u32,
    /// Properties of the write.
    pub write_flags: WriteFlags,
    /// `O_*` flags of the open file.
    pub flags: u32,
    /// Whose locks allow it.
    pub lock_owner: Option<u64>,
}

impl Operation for Write {
    const OPCODE: Opcode = Opcode::Write;

    fn body_len(&self) -> usize {
        size_of::<WriteIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        let owned = WriteFlags::when(self.lock_owner.is_some(), WriteFlags::LOCKOWNER);
        w.put(&WriteIn {
            fh: self.fh.0,
            offset: self.offset,
            size: self.size,
            write_flags: self.write_flags.with(owned).bits(),
            lock_owner: self.lock_owner.unwrap_or(0),
            flags: self.flags,
            ..WriteIn::default()
        })
    }

    // A server cannot have written more than it was given.
    struct_reply!(WriteOut => u32, |out, this| {
        if out.size > this.size {
            Err(Malformed)
        } else {
            Ok(out.size)
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn written_is_bounded_by_sent() {
        let op = Write {
            fh: FileHandle(0),
            offset: 0,
            size: 10,
            write_flags: WriteFlags::empty(),
            flags: 0,
            lock_owner: None,
        };
        let reply = |size| op.parse(WriteOut { size, padding: 0 }.as_bytes());
        assert_eq!(reply(10), Ok(10));
        assert_eq!(reply(0), Ok(0));
        assert!(reply(11).is_err());
    }
}
