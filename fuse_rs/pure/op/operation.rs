// SPDX-License-Identifier: GPL-2.0

//! What every request has in common.

use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::ids::Opcode;

/// What the body of a successful reply may look like, as far as its length goes.
///
/// The transport checks a reply against this once, before a byte of the body is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyShape {
    /// The request is never answered.
    NoReply,
    /// Exactly this many bytes; zero for a reply that is a header only.
    Exact(usize),
    /// Up to this many bytes.
    UpTo(usize),
}

impl ReplyShape {
    /// A reply without a body.
    pub const HEADER: Self = Self::Exact(0);

    /// Whether a body of `len` bytes has this shape.
    pub const fn allows(self, len: usize) -> bool {
        match self {
            Self::NoReply => false,
            Self::Exact(exact) => len == exact,
            Self::UpTo(max) => len <= max,
        }
    }

    /// The most bytes a body of this shape can have.
    pub const fn capacity(self) -> usize {
        match self {
            Self::NoReply => 0,
            Self::Exact(n) | Self::UpTo(n) => n,
        }
    }
}

/// A request.
///
/// Data pages of READ, READDIR and WRITE are not part of the body: the connection carries them
/// beside it.
pub trait Operation {
    /// The opcode in the header.
    const OPCODE: Opcode;

    /// What a successful reply says, checked.
    type Reply;

    /// Bytes that [`Operation::fill`] writes.
    fn body_len(&self) -> usize;

    /// Writes the body of the request.
    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow>;

    /// What the reply may look like.
    fn shape(&self) -> ReplyShape;

    /// Checks the body of a successful reply. Its length has the shape already.
    fn parse(&self, body: &[u8]) -> Result<Self::Reply, Malformed>;
}

/// Implements the parts of [`Operation`] for requests whose body is one structure (made by the
/// given expression) followed by names, and whose reply has no body.
macro_rules! header_reply {
    () => {
        type Reply = ();

        fn shape(&self) -> $crate::op::ReplyShape {
            $crate::op::ReplyShape::HEADER
        }

        fn parse(&self, _: &[u8]) -> Result<(), $crate::abi::cursor::Malformed> {
            Ok(())
        }
    };
}
pub(crate) use header_reply;

/// Implements the parts of [`Operation`] for requests that are answered with one structure.
macro_rules! struct_reply {
    ($wire:ty => $reply:ty, |$value:ident, $this:ident| $parse:expr) => {
        type Reply = $reply;

        fn shape(&self) -> $crate::op::ReplyShape {
            $crate::op::ReplyShape::Exact(core::mem::size_of::<$wire>())
        }

        fn parse(&self, body: &[u8]) -> Result<$reply, $crate::abi::cursor::Malformed> {
            let mut reader = $crate::abi::cursor::Reader::new(body);
            let $value: $wire = reader.take()?;
            reader.finish()?;
            let $this = self;
            let _ = $this;
            $parse
        }
    };
}
pub(crate) use struct_reply;
