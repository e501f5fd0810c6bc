// SPDX-License-Identifier: GPL-2.0

//! INIT. What its reply means is decided by [`crate::logic::negotiate`].

use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::ids::Opcode;
use crate::abi::init::InitIn;
use crate::abi::init::InitOut;
use crate::logic::negotiate::Negotiated;
use crate::logic::negotiate::Offer;
use crate::logic::negotiate::Refusal;
use core::mem::size_of;

/// The first request of a connection.
pub struct Init {
    /// What the client can do.
    pub offer: Offer,
}

impl Operation for Init {
    const OPCODE: Opcode = Opcode::Init;
    type Reply = Result<Negotiated, Refusal>;

    fn body_len(&self) -> usize {
        size_of::<InitIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&self.offer.request())
    }

    fn shape(&self) -> ReplyShape {
        // Older servers know a shorter structure.
        ReplyShape::UpTo(size_of::<InitOut>())
    }

    fn parse(&self, body: &[u8]) -> Result<Self::Reply, Malformed> {
        Ok(self.offer.accept(body))
    }
}
