// SPDX-License-Identifier: GPL-2.0

//! Bounded writing and reading of message bytes.

use super::header::OUT_HEADER;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The message does not fit its buffer. Cannot happen when the buffer was sized by the same
/// operation that fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The bytes are not what the protocol allows at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Fills a message from front to back.
pub struct Writer<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Writes into `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            rest: buffer,
            written: 0,
        }
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends bytes.
    pub fn bytes(&mut self, data: &[u8]) -> Result<(), Overflow> {
        let rest = core::mem::take(&mut self.rest);
        let Some((head, tail)) = rest.split_at_mut_checked(data.len()) else {
            return Err(Overflow);
        };
        head.copy_from_slice(data);
        self.rest = tail;
        self.written = self.written.saturating_add(data.len());
        Ok(())
    }

    /// Appends a structure.
    pub fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), Overflow> {
        self.bytes(value.as_bytes())
    }

    /// Appends a name and the NUL that ends it on the wire.
    pub fn name(&mut self, name: Name<'_>) -> Result<(), Overflow> {
        self.bytes(name.0)?;
        self.bytes(&[0])
    }
}

/// Reads a message from front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes a structure; it need not be aligned.
    #[inline]
    pub fn take<T: FromBytes>(&mut self) -> Result<T, Malformed> {
        let (value, rest) = T::read_from_prefix(self.rest).map_err(|_| Malformed)?;
        self.rest = rest;
        Ok(value)
    }

    /// Takes `len` bytes.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Succeeds if everything was read.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// A name within a directory or a symbolic link's target: not empty, no NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.contains(&0) {
            None
        } else {
            Some(Self(bytes))
        }
    }

    /// The bytes without a terminating NUL.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Bytes it takes on the wire, with the NUL.
    pub fn wire_len(self) -> usize {
        self.0.len().saturating_add(1)
    }
}

/// Largest reply body a header can announce.
pub const MAX_BODY: usize = u32::MAX as usize - OUT_HEADER;
