// SPDX-License-Identifier: GPL-2.0

//! Replies, and where they go.

use crate::prelude::*;
use fuse_pure::abi::header::OUT_HEADER;
use fuse_pure::op::ReplyShape;
use kernel_glue::mem::fill_with_zeroes;
use kernel_glue::mem::user_pages::UserPages;
use kernel_glue::mm::folio::FolioRun;

/// Bytes of a short reply: that of OPEN is the longest.
const SHORT_REPLY: usize = 16;

/// Bytes of a small reply: that of CREATE is the longest whose size is known.
const SMALL_REPLY: usize = 144;

/// Where the body of a reply goes. Small, since it is moved often.
pub(crate) enum ReplyBuffer {
    /// A few bytes, behind room for the header.
    Short([u8; OUT_HEADER + SHORT_REPLY]),
    /// Somewhat more, behind room for the header.
    Small(KBox<[u8; OUT_HEADER + SMALL_REPLY]>),
    /// Bytes, up to the capacity.
    Bytes(KVVec<u8>),
    /// The page cache.
    Folios(FolioRun),
    /// The caller's memory.
    Callers(UserPages),
}

impl ReplyBuffer {
    /// A buffer of our own for a reply of this shape.
    pub(crate) fn for_shape(shape: ReplyShape) -> Result<Self> {
        let capacity = shape.capacity();
        Ok(if capacity <= SHORT_REPLY {
            Self::Short([0; OUT_HEADER + SHORT_REPLY])
        } else if capacity <= SMALL_REPLY {
            Self::Small(KBox::init(pin_init::init_zeroed(), GFP_KERNEL)?)
        } else {
            Self::Bytes(KVVec::with_capacity(capacity, GFP_KERNEL)?)
        })
    }

    /// Header and body, if there is room for both in a row.
    fn in_a_row(&self) -> Option<&[u8]> {
        match self {
            Self::Short(bytes) => Some(bytes),
            Self::Small(bytes) => Some(&**bytes),
            Self::Bytes(_) | Self::Folios(_) | Self::Callers(_) => None,
        }
    }

    /// The header, if the buffer has room for it.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        self.in_a_row().and_then(|bytes| bytes.get(..OUT_HEADER))
    }

    /// Makes room for what somebody writes who is given the memory: all of it is initialised. Does not
    /// allocate.
    pub(crate) fn clear(&mut self) {
        if let Self::Bytes(bytes) = self {
            fill_with_zeroes(bytes);
        }
    }

    /// Takes `len` bytes from the server; `false` if it got fewer, in which case it may be tried
    /// again. Does not allocate.
    pub(crate) fn fill(&mut self, from: &mut IovIterSource<'_>, len: usize) -> bool {
        let copied = match self {
            Self::Short(bytes) => fill_body(bytes, from, len),
            Self::Small(bytes) => fill_body(&mut **bytes, from, len),
            Self::Bytes(bytes) => {
                bytes.clear();
                // The source holds just the body, and the capacity was made for its shape.
                from.copy_from_iter_vec(bytes, GFP_KERNEL).unwrap_or(0)
            }
            Self::Folios(run) => return run.fill(from, len),
            Self::Callers(pages) => return pages.fill(from, len),
        };
        copied == len
    }
}

/// Takes `len` bytes from the server behind room for the header; returns how many have come.
fn fill_body(bytes: &mut [u8], from: &mut IovIterSource<'_>, len: usize) -> usize {
    let body = bytes.get_mut(OUT_HEADER..).and_then(|b| b.get_mut(..len));
    body.map_or(0, |body| from.copy_from_iter(body))
}

/// A reply that has been received.
pub(crate) struct Reply {
    /// Its body.
    pub(crate) buffer: ReplyBuffer,
    /// Bytes of body.
    pub(crate) len: usize,
}

impl Reply {
    /// Of a request that is not answered.
    pub(crate) fn nothing() -> Self {
        Self {
            buffer: ReplyBuffer::Short([0; OUT_HEADER + SHORT_REPLY]),
            len: 0,
        }
    }

    /// The body, unless it went to where it belongs.
    pub(crate) fn body(&self) -> &[u8] {
        let body = match &self.buffer {
            ReplyBuffer::Bytes(bytes) => Some(&**bytes),
            other => other.in_a_row().and_then(|bytes| bytes.get(OUT_HEADER..)),
        };
        body.and_then(|body| body.get(..self.len)).unwrap_or(&[])
    }
}
