// SPDX-License-Identifier: GPL-2.0

//! Extended attributes.

use super::operation::header_reply;
use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Reader;
use crate::abi::cursor::Writer;
use crate::abi::ids::Opcode;
use crate::abi::misc::GetxattrIn;
use crate::abi::misc::GetxattrOut;
use crate::abi::misc::SetxattrIn;
use core::mem::size_of;

fn sized_shape(size: u32) -> ReplyShape {
    if size == 0 {
        ReplyShape::Exact(size_of::<GetxattrOut>())
    } else {
        ReplyShape::UpTo(size as usize)
    }
}

/// The size in a size-only reply, or the length of the data that was sent.
fn sized_reply(size: u32, body: &[u8]) -> Result<usize, Malformed> {
    if size == 0 {
        let out: GetxattrOut = Reader::new(body).take()?;
        Ok(out.size as usize)
    } else {
        Ok(body.len())
    }
}

/// Reads one extended attribute; a size of zero asks how large it is.
pub struct Getxattr<'a> {
    /// Full name of the attribute.
    pub name: Name<'a>,
    /// Size of the caller's buffer.
    pub size: u32,
}

impl Operation for Getxattr<'_> {
    const OPCODE: Opcode = Opcode::Getxattr;
    type Reply = usize;

    fn body_len(&self) -> usize {
        size_of::<GetxattrIn>().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&GetxattrIn {
            size: self.size,
            padding: 0,
        })?;
        w.name(self.name)
    }

    fn shape(&self) -> ReplyShape {
        sized_shape(self.size)
    }

    fn parse(&self, body: &[u8]) -> Result<usize, Malformed> {
        sized_reply(self.size, body)
    }
}

/// Lists the names of extended attributes; a size of zero asks how long the list is.
pub struct Listxattr {
    /// Size of the caller's buffer.
    pub size: u32,
}

impl Operation for Listxattr {
    const OPCODE: Opcode = Opcode::Listxattr;
    type Reply = usize;

    fn body_len(&self) -> usize {
        size_of::<GetxattrIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&GetxattrIn {
            size: self.size,
            padding: 0,
        })
    }

    fn shape(&self) -> ReplyShape {
        sized_shape(self.size)
    }

    fn parse(&self, body: &[u8]) -> Result<usize, Malformed> {
        let len = sized_reply(self.size, body)?;
        // A list is a sequence of names, each ended by a NUL.
        if self.size != 0 && body.last().is_some_and(|last| *last != 0) {
            return Err(Malformed);
        }
        Ok(len)
    }
}

/// Sets an extended attribute.
pub struct Setxattr<'a> {
    /// Full name of the attribute.
    pub name: Name<'a>,
    /// The value.
    pub value: &'a [u8],
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub flags: u32,
}

impl Operation for Setxattr<'_> {
    const OPCODE: Opcode = Opcode::Setxattr;

    fn body_len(&self) -> usize {
        size_of::<SetxattrIn>()
            .saturating_add(self.name.wire_len())
            .saturating_add(self.value.len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&SetxattrIn {
            size: u32::try_from(self.value.len()).map_err(|_| Overflow)?,
            flags: self.flags,
        })?;
        w.name(self.name)?;
        w.bytes(self.value)
    }

    header_reply!();
}
