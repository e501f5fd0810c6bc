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
use crate::abi::flags::SetxattrFlags;
use crate::abi::ids::Opcode;
use crate::abi::misc::GetxattrIn;
use crate::abi::misc::GetxattrOut;
use crate::abi::misc::SetxattrIn;
use crate::abi::misc::COMPAT_SETXATTR_IN;
use core::mem::size_of;
use zerocopy::IntoBytes;

/// Longest value, and longest list of names, that the kernel's interface has.
pub const MAX: u32 = 65536;

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
        // What is larger cannot be asked for; who tries will hear so.
        Ok(out.size.min(MAX) as usize)
    } else {
        Ok(body.len())
    }
}

/// A list is a sequence of names, not empty, each ended by a NUL.
fn check_list(list: &[u8]) -> Result<(), Malformed> {
    if list.is_empty() {
        return Ok(());
    }
    let names = list.strip_suffix(&[0]).ok_or(Malformed)?;
    if names.split(|byte| *byte == 0).any(|name| name.is_empty()) {
        return Err(Malformed);
    }
    Ok(())
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
        if self.size != 0 {
            check_list(body)?;
        }
        sized_reply(self.size, body)
    }
}

/// Sets an extended attribute, the value of which travels beside the body.
pub struct Setxattr<'a> {
    /// Full name of the attribute.
    pub name: Name<'a>,
    /// Bytes of the value.
    pub size: u32,
    /// `XATTR_CREATE`, `XATTR_REPLACE`.
    pub flags: u32,
    /// What else is to be done, for a server that understands it (SETXATTR_EXT).
    pub also: Option<SetxattrFlags>,
}

impl Setxattr<'_> {
    fn head_len(&self) -> usize {
        match self.also {
            Some(_) => size_of::<SetxattrIn>(),
            None => COMPAT_SETXATTR_IN,
        }
    }
}

impl Operation for Setxattr<'_> {
    const OPCODE: Opcode = Opcode::Setxattr;

    fn body_len(&self) -> usize {
        self.head_len().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        let head = SetxattrIn {
            size: self.size,
            flags: self.flags,
            setxattr_flags: self.also.map_or(0, SetxattrFlags::bits),
            padding: 0,
        };
        let (head, _) = head
            .as_bytes()
            .split_at_checked(self.head_len())
            .ok_or(Overflow)?;
        w.bytes(head)?;
        w.name(self.name)
    }

    header_reply!();
}

/// Removes an extended attribute.
pub struct Removexattr<'a> {
    /// Full name of the attribute.
    pub name: Name<'a>,
}

impl Operation for Removexattr<'_> {
    const OPCODE: Opcode = Opcode::Removexattr;

    fn body_len(&self) -> usize {
        self.name.wire_len()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.name(self.name)
    }

    header_reply!();
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_list_is_of_names() {
        let op = Listxattr { size: 100 };
        assert_eq!(op.parse(b""), Ok(0));
        assert_eq!(op.parse(b"user.a\0user.bc\0"), Ok(15));
        for bad in [b"user.a".as_slice(), b"\0", b"a\0\0", b"\0a\0", b"a\0\0b\0"] {
            assert!(op.parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let size = |size| GetxattrOut { size, padding: 0 }.as_bytes().to_vec();
        let get = Getxattr {
            name: Name::new(b"user.a").unwrap(),
            size: 0,
        };
        assert_eq!(get.parse(&size(7)), Ok(7));
        assert_eq!(get.parse(&size(u32::MAX)), Ok(65536));
        assert_eq!(Listxattr { size: 0 }.parse(&size(65537)), Ok(65536));
        assert_eq!(Getxattr { size: 3, ..get }.parse(b"abc"), Ok(3));
        assert_eq!(Listxattr { size: 9 }.shape(), ReplyShape::UpTo(9));
        assert_eq!(Listxattr { size: 0 }.shape(), ReplyShape::Exact(8));
    }

    #[test]
    fn the_value_is_not_in_the_body() {
        let op = Setxattr {
            name: Name::new(b"user.a").unwrap(),
            size: 65536,
            flags: 2,
            also: None,
        };
        let mut body = std::vec![0; op.body_len()];
        op.fill(&mut Writer::new(&mut body)).unwrap();
        assert_eq!(body, b"\0\0\x01\0\x02\0\0\0user.a\0");
        let op = Setxattr {
            also: Some(SetxattrFlags::ACL_KILL_SGID),
            ..op
        };
        let mut body = std::vec![0; op.body_len()];
        op.fill(&mut Writer::new(&mut body)).unwrap();
        assert_eq!(body, b"\0\0\x01\0\x02\0\0\0\x01\0\0\0\0\0\0\0user.a\0");
    }
}
