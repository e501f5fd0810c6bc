// SPDX-License-Identifier: GPL-2.0

//! Copying to and from whoever calls.

use crate::bindings;
use crate::mem::pages::OwnedPage;
use crate::mem::pages::PageRef;
use crate::mem::pages::SharedPage;
use crate::mem::pages::PAGE_SIZE;
use core::ptr::NonNull;
pub use kernel::iov::IovIterDest;
pub use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Makes sure that the next `len` bytes of `source` can be read, as far as that can be told.
///
/// # Context
///
/// May sleep, for as long as the owner of the memory likes.
///
/// # Errors
///
/// `EFAULT` when they cannot.
pub fn fault_in(source: &mut IovIterSource<'_>, len: usize) -> Result {
    // SAFETY: The source is valid; it is only read.
    let missing = unsafe { bindings::fault_in_iov_iter_readable(source.as_raw(), len) };
    if missing == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Runs `copy`, which does not wait for memory of the source that is not there: copies come up
/// short instead. If it returns `false`, the source is where it was before.
pub fn without_faults(
    source: &mut IovIterSource<'_>,
    copy: impl FnOnce(&mut IovIterSource<'_>) -> bool,
) -> bool {
    // SAFETY: An iterator is plain data that refers to what the source borrows.
    let before = unsafe { source.as_raw().read() };
    // SAFETY: Balanced below, on the same task.
    unsafe { bindings::fuse_rs_helper_pagefault_disable() };
    let done = copy(source);
    // SAFETY: As above.
    unsafe { bindings::fuse_rs_helper_pagefault_enable() };
    if !done {
        // SAFETY: This is what the source was when it was valid.
        unsafe { source.as_raw().write(before) };
    }
    done
}

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

    /// Appends a page, as [`MessageSink::put`] or without copying it.
    fn put_page(&mut self, page: &SharedPage<'_>) -> Result {
        self.put(page.bytes())
    }
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
    full: KVec<PageRef>,
    last: Option<OwnedPage>,
    /// Bytes and pages that still fit.
    bytes_left: usize,
    pages_left: usize,
}

impl PipeSink {
    /// For a message of up to `bytes` in up to `pages`.
    pub(crate) fn new(bytes: usize, pages: usize) -> Self {
        Self {
            full: KVec::new(),
            last: None,
            bytes_left: bytes,
            pages_left: pages,
        }
    }

    /// No more is added to the last page.
    fn close_page(&mut self) -> Result {
        if let Some(page) = self.last.take() {
            self.full.push(page.into_ref(), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Puts the pages into the pipe; returns how many bytes that were.
    ///
    /// # Safety
    ///
    /// `pipe` is locked by the caller and has room for as many pages as were announced.
    pub(crate) unsafe fn deliver(
        mut self,
        pipe: NonNull<bindings::pipe_inode_info>,
    ) -> Result<usize> {
        self.close_page()?;
        let mut total = 0usize;
        for page in self.full {
            let (address, len) = page.into_raw();
            // SAFETY: The pipe is locked by the safety requirements; it takes over the page,
            // also when it fails.
            let added = unsafe {
                bindings::fuse_rs_helper_add_page_to_pipe(pipe.as_ptr(), address.cast(), len as u32)
            };
            total += crate::vfs::file::size_result(added)?;
        }
        Ok(total)
    }
}

impl MessageSink for PipeSink {
    fn room(&self) -> usize {
        let spare = self
            .last
            .as_ref()
            .map_or(0, |page| PAGE_SIZE - page.bytes().len());
        self.bytes_left.min(
            self.pages_left
                .saturating_mul(PAGE_SIZE)
                .saturating_add(spare),
        )
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result {
        if bytes.len() > self.room() {
            return Err(EFAULT);
        }
        while !bytes.is_empty() {
            let page = match &mut self.last {
                Some(page) => page,
                None => {
                    self.pages_left = self.pages_left.saturating_sub(1);
                    self.last.insert(OwnedPage::new()?)
                }
            };
            let done = page.append(bytes);
            self.bytes_left = self.bytes_left.saturating_sub(done);
            bytes = bytes.get(done..).unwrap_or(&[]);
            if page.bytes().len() == PAGE_SIZE {
                self.close_page()?;
            }
        }
        Ok(())
    }

    fn put_page(&mut self, page: &SharedPage<'_>) -> Result {
        let len = page.bytes().len();
        if self.pages_left == 0 || len > self.bytes_left {
            // The rest of the last page may do.
            return self.put(page.bytes());
        }
        self.close_page()?;
        self.full.push(page.share(), GFP_KERNEL)?;
        self.pages_left -= 1;
        self.bytes_left -= len;
        Ok(())
    }
}
