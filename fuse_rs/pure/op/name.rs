// SPDX-License-Identifier: GPL-2.0

//! Requests about names: UNLINK, RMDIR, RENAME, LINK, READLINK.

use super::entry::Entry;
use super::operation::header_reply;
use super::operation::struct_reply;
use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::attr::EntryOut;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::ids::NodeId;
use crate::abi::ids::Opcode;
use crate::abi::misc::LinkIn;
use crate::abi::misc::Rename2In;
use crate::abi::misc::RenameIn;
use core::mem::size_of;

/// Defines an operation whose body is one name and whose reply is empty.
macro_rules! name_op {
    ($(#[$doc:meta])* $op:ident) => {
        $(#[$doc])*
        pub struct $op<'a> {
            /// The name in the directory.
            pub name: Name<'a>,
        }

        impl Operation for $op<'_> {
            const OPCODE: Opcode = Opcode::$op;

            fn body_len(&self) -> usize {
                self.name.wire_len()
            }

            fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
                w.name(self.name)
            }

            header_reply!();
        }
    };
}

name_op! {
    /// Removes a name that is not a directory's.
    Unlink
}

name_op! {
    /// Removes an empty directory.
    Rmdir
}

/// Renames without further conditions.
pub struct Rename<'a> {
    /// The new directory.
    pub new_dir: NodeId,
    /// The old name.
    pub old: Name<'a>,
    /// The new name.
    pub new: Name<'a>,
}

impl Operation for Rename<'_> {
    const OPCODE: Opcode = Opcode::Rename;

    fn body_len(&self) -> usize {
        size_of::<RenameIn>()
            .saturating_add(self.old.wire_len())
            .saturating_add(self.new.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&RenameIn {
            newdir: self.new_dir.get(),
        })?;
        w.name(self.old)?;
        w.name(self.new)
    }

    header_reply!();
}

/// Renames under conditions (protocol 7.23).
pub struct Rename2<'a> {
    /// The new directory.
    pub new_dir: NodeId,
    /// `RENAME_*` flags of renameat2(2), as on the wire.
    pub flags: u32,
    /// The old name.
    pub old: Name<'a>,
    /// The new name.
    pub new: Name<'a>,
}

impl Operation for Rename2<'_> {
    const OPCODE: Opcode = Opcode::Rename2;

    fn body_len(&self) -> usize {
        size_of::<Rename2In>()
            .saturating_add(self.old.wire_len())
            .saturating_add(self.new.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&Rename2In {
            newdir: self.new_dir.get(),
            flags: self.flags,
            padding: 0,
        })?;
        w.name(self.old)?;
        w.name(self.new)
    }

    header_reply!();
}

/// Gives an inode another name.
pub struct Link<'a> {
    /// The inode.
    pub node: NodeId,
    /// The new name.
    pub name: Name<'a>,
}

impl Operation for Link<'_> {
    const OPCODE: Opcode = Opcode::Link;

    fn body_len(&self) -> usize {
        size_of::<LinkIn>().saturating_add(self.name.wire_len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&LinkIn {
            oldnodeid: self.node.get(),
        })?;
        w.name(self.name)
    }

    struct_reply!(EntryOut => Entry, |out, _this| Entry::from_wire(&out));
}

/// Reads a symbolic link.
pub struct Readlink {
    /// The longest target taken, in bytes.
    pub max: usize,
}

impl Operation for Readlink {
    const OPCODE: Opcode = Opcode::Readlink;
    /// The length of the target, which is at the start of the body.
    type Reply = usize;

    fn body_len(&self) -> usize {
        0
    }

    fn fill(&self, _: &mut Writer<'_>) -> Result<(), Overflow> {
        Ok(())
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::UpTo(self.max)
    }

    /// The target ends at the first NUL; some servers send the terminator of a string or a whole
    /// buffer.
    fn parse(&self, body: &[u8]) -> Result<usize, Malformed> {
        let target = body.split(|byte| *byte == 0).next().unwrap_or_default();
        let target = Name::new(target).ok_or(Malformed)?;
        Ok(target.as_bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_ends_at_a_nul() {
        let op = Readlink { max: 4095 };
        assert_eq!(op.parse(b"over/there"), Ok(10));
        assert_eq!(op.parse(b"over\0there"), Ok(4));
        assert_eq!(op.parse(b"over\0"), Ok(4));
        assert!(op.parse(b"").is_err());
        assert!(op.parse(b"\0over").is_err());
    }
}
