// SPDX-License-Identifier: GPL-2.0

//! Copying to and from whoever calls.

use crate::bindings;
use crate::mem::pages::OwnedPage;
use crate::mem::pages::PAGE_SIZE;
use core::ptr::NonNull;
pub use kernel::iov::IovIterDest;
pub use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Where a message goes, piece by piece.
pub trait MessageSink {
    /// Bytes that still fit.
    fn room(&self) -> usize;

    /// Appends bytes. May sleep and fault.
    ///
    /// # Errors
    ///
    /// `EFAULT` when they do not fit or the destination is bad; `ENOMEM`.
    fn put(&mut self, bytes: &[u8]) -> Result;
}

impl MessageSink for IovIterDest<'_> {
    fn room(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        if self.copy_to_iter(bytes) == bytes.len() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }
}

/// Collects a message in pages for a pipe. Pages are allocated as they are filled.
pub(crate) struct PipeSink {
    pages: KVec<OwnedPage>,
    len: usize,
    capacity: usize,
}

impl PipeSink {
    /// For a message of up to `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            pages: KVec::new(),
            len: 0,
            capacity,
        }
    }

    /// Puts the pages into the pipe; returns how many bytes that were.
    ///
    /// # Safety
    ///
    /// `pipe` is locked by the caller and has room for the capacity.
    pub(crate) unsafe fn deliver(self, pipe: NonNull<bindings::pipe_inode_info>) -> Result<usize> {
        let mut left = self.len;
        for page in self.pages {
            let part = left.min(PAGE_SIZE);
            // SAFETY: The pipe is locked by the safety requirements; it takes over the page,
            // also when it fails.
            let added = unsafe {
                bindings::fuse_rs_helper_add_page_to_pipe(
                    pipe.as_ptr(),
                    page.into_address().cast(),
                    part as u32,
                )
            };
            crate::vfs::file::size_result(added)?;
            left -= part;
        }
        Ok(self.len)
    }
}

impl MessageSink for PipeSink {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result {
        if bytes.len() > self.room() {
            return Err(EFAULT);
        }
        while !bytes.is_empty() {
            let offset = self.len % PAGE_SIZE;
            if offset == 0 {
                self.pages.push(OwnedPage::zeroed()?, GFP_KERNEL)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_SIZE - offset));
            if let Some(room) = self
                .pages
                .last_mut()
                .and_then(|page| page.bytes_mut().get_mut(offset..offset + now.len()))
            {
                room.copy_from_slice(now);
            }
            self.len += now.len();
            bytes = later;
        }
        Ok(())
    }
}
