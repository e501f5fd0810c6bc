// SPDX-License-Identifier: GPL-2.0

//! Messages without a reply: FORGET, BATCH_FORGET, INTERRUPT; and DESTROY.

use super::operation::header_reply;
use super::operation::Operation;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::header::InHeader;
use crate::abi::header::IN_HEADER;
use crate::abi::ids::NodeId;
use crate::abi::ids::Opcode;
use crate::abi::ids::Unique;
use crate::abi::misc::BatchForgetIn;
use crate::abi::misc::ForgetIn;
use crate::abi::misc::ForgetOne;
use crate::abi::misc::InterruptIn;
use core::mem::size_of;

/// Lookups of one inode to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    /// The inode.
    pub node: NodeId,
    /// How many.
    pub nlookup: u64,
}

/// First minor version with BATCH_FORGET.
pub const BATCH_FORGET_MINOR: u32 = 16;
/// Bytes of a FORGET message.
pub const FORGET_MESSAGE: usize = IN_HEADER + size_of::<ForgetIn>();
/// Bytes of a BATCH_FORGET message before its entries.
pub const BATCH_FORGET_HEAD: usize = IN_HEADER + size_of::<BatchForgetIn>();
/// Bytes of one entry of BATCH_FORGET.
pub const BATCH_FORGET_ENTRY: usize = size_of::<ForgetOne>();
/// Bytes of an INTERRUPT message.
pub const INTERRUPT_MESSAGE: usize = IN_HEADER + size_of::<InterruptIn>();

fn header(len: usize, opcode: Opcode, unique: Unique, nodeid: u64) -> InHeader {
    InHeader {
        len: u32::try_from(len).unwrap_or(u32::MAX),
        opcode: opcode.get(),
        unique: unique.get(),
        nodeid,
        ..InHeader::default()
    }
}

/// Writes a whole FORGET message.
pub fn write_forget(w: &mut Writer<'_>, unique: Unique, forget: Forget) -> Result<(), Overflow> {
    w.put(&header(
        FORGET_MESSAGE,
        Opcode::Forget,
        unique,
        forget.node.get(),
    ))?;
    w.put(&ForgetIn {
        nlookup: forget.nlookup,
    })
}

/// Writes the head of a BATCH_FORGET message with `count` entries.
pub fn write_batch_head(w: &mut Writer<'_>, unique: Unique, count: u32) -> Result<(), Overflow> {
    let len = BATCH_FORGET_HEAD.saturating_add(BATCH_FORGET_ENTRY.saturating_mul(count as usize));
    w.put(&header(len, Opcode::BatchForget, unique, 0))?;
    w.put(&BatchForgetIn { count, dummy: 0 })
}

/// Writes one entry of a BATCH_FORGET message.
pub fn write_batch_entry(w: &mut Writer<'_>, forget: Forget) -> Result<(), Overflow> {
    w.put(&ForgetOne {
        nodeid: forget.node.get(),
        nlookup: forget.nlookup,
    })
}

/// Writes a whole INTERRUPT message about `request`.
pub fn write_interrupt(w: &mut Writer<'_>, request: Unique) -> Result<(), Overflow> {
    w.put(&header(
        INTERRUPT_MESSAGE,
        Opcode::Interrupt,
        request.interrupt(),
        0,
    ))?;
    w.put(&InterruptIn {
        unique: request.get(),
    })
}

/// Says that the file system is no longer used.
pub struct Destroy;

impl Operation for Destroy {
    const OPCODE: Opcode = Opcode::Destroy;

    fn body_len(&self) -> usize {
        0
    }

    fn fill(&self, _: &mut Writer<'_>) -> Result<(), Overflow> {
        Ok(())
    }

    header_reply!();
}
