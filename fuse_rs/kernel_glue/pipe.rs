// SPDX-License-Identifier: GPL-2.0

//! Messages to and from pipes.

use crate::bindings;
use crate::mem::pages::OwnedFolio;
use crate::mem::pages::PageRef;
use crate::mem::pages::SharedPage;
use crate::mem::pages::SharedPages;
use crate::mem::pages::PAGE_SIZE;
use crate::mem::user_pages::UserPages;
use crate::mm::lent::FolioParts;
use crate::uio::IovIterSource;
use crate::uio::MessageSink;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// A message that was taken out of a pipe.
///
/// # Invariants
///
/// Each buffer owns a reference to its page, which `pipe`'s operations give up.
pub(crate) struct TakenMessage {
    pipe: NonNull<bindings::pipe_inode_info>,
    buffers: KVVec<bindings::pipe_buffer>,
    len: usize,
}

impl TakenMessage {
    /// Takes the next `len` bytes out of `pipe`.
    ///
    /// # Context
    ///
    /// May sleep for the lock of the pipe.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the pipe does not hold as many, in which case it stays as it is; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `pipe` is valid as long as the value lives, and not locked by the caller.
    pub(crate) unsafe fn take(
        pipe: NonNull<bindings::pipe_inode_info>,
        len: usize,
    ) -> Result<Self> {
        let mut this = Self {
            pipe,
            buffers: KVVec::new(),
            len,
        };
        // SAFETY: By the safety requirements.
        unsafe { bindings::pipe_lock(pipe.as_ptr()) };
        // SAFETY: The pipe is locked.
        let taken = unsafe { this.take_locked() };
        // SAFETY: Locked above.
        unsafe { bindings::pipe_unlock(pipe.as_ptr()) };
        taken.map(|()| this)
    }

    /// # Safety
    ///
    /// The pipe is locked by the caller.
    unsafe fn take_locked(&mut self) -> Result {
        let pipe = self.pipe.as_ptr();
        let (mut there, mut count) = (0usize, 0u32);
        while there < self.len {
            // SAFETY: The pipe is locked, so its buffers stay.
            let buffer = unsafe { bindings::fuse_rs_helper_pipe_buffer(pipe, count).as_ref() };
            there += buffer.ok_or(EINVAL)?.len as usize;
            count += 1;
        }
        self.buffers.reserve(count as usize, GFP_KERNEL)?;
        let mut left = self.len;
        while left > 0 {
            // SAFETY: As above; nobody else changes the buffer.
            let buffer = unsafe { bindings::fuse_rs_helper_pipe_buffer(pipe, 0).as_mut() };
            let buffer = buffer.ok_or(EINVAL)?;
            // SAFETY: A buffer is plain data; which of the two copies owns the reference is
            // settled below.
            let mut mine = unsafe { core::ptr::read(buffer) };
            if buffer.len as usize <= left {
                // The pipe's copy is no buffer any more.
                buffer.ops = core::ptr::null();
                // SAFETY: The pipe is locked, and has a buffer to drop.
                unsafe { bindings::fuse_rs_helper_pipe_drop_buffer(pipe) };
            } else {
                // SAFETY: The buffer is valid; a reference of our own is taken.
                if !unsafe { bindings::fuse_rs_helper_pipe_buf_get(pipe, buffer) } {
                    return Err(EFAULT);
                }
                mine.len = left as u32;
                mine.flags &= !bindings::PIPE_BUF_FLAG_GIFT;
                buffer.offset += mine.len;
                buffer.len -= mine.len;
            }
            left -= mine.len as usize;
            // INVARIANT: The reference is ours. There is room, as counted above.
            if self.buffers.push_within_capacity(mine).is_err() {
                return Err(EFAULT);
            }
        }
        Ok(())
    }

    /// Lets `read` have the message.
    ///
    /// # Errors
    ///
    /// Those of `read`; `ENOMEM`; those of pages that cannot be had.
    pub(crate) fn with<R>(
        &mut self,
        read: impl FnOnce(&mut IovIterSource<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut parts = KVVec::with_capacity(self.buffers.len(), GFP_KERNEL)?;
        for buffer in self.buffers.iter_mut() {
            // SAFETY: The buffer is valid by the type's invariants. May sleep.
            to_result(unsafe {
                bindings::fuse_rs_helper_pipe_buf_confirm(self.pipe.as_ptr(), buffer)
            })?;
            parts.push(
                bindings::bio_vec {
                    bv_page: buffer.page,
                    bv_len: buffer.len,
                    bv_offset: buffer.offset,
                },
                GFP_KERNEL,
            )?;
        }
        let mut iter = core::mem::MaybeUninit::<bindings::iov_iter>::uninit();
        // SAFETY: The iterator refers to `parts` and to pages the buffers keep; both outlive it.
        // As long as `read` runs nobody else uses it.
        unsafe {
            bindings::iov_iter_bvec(
                iter.as_mut_ptr(),
                bindings::ITER_SOURCE,
                parts.as_ptr(),
                parts.len(),
                self.len,
            );
            read(IovIterSource::from_raw(iter.as_mut_ptr()))
        }
    }
}

impl Drop for TakenMessage {
    fn drop(&mut self) {
        let pipe = self.pipe.as_ptr();
        // SAFETY: The pipe is valid by the contract of `take`; operations of its buffers are
        // called with the pipe locked.
        unsafe {
            bindings::pipe_lock(pipe);
            for buffer in self.buffers.iter_mut() {
                bindings::fuse_rs_helper_pipe_buf_release(pipe, buffer);
            }
            bindings::pipe_unlock(pipe);
            // There may be room now.
            bindings::fuse_rs_helper_pipe_wake_writers(pipe);
        }
    }
}

/// Collects a message in pages for a pipe. Pages are allocated as they are filled.
pub(crate) struct PipeSink {
    full: KVec<PageRef>,
    last: Option<OwnedFolio>,
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

    /// Puts the pages into the pipe; returns how many bytes that were.
    ///
    /// # Safety
    ///
    /// `pipe` is locked by the caller and has room for as many pages as were announced.
    pub(crate) unsafe fn deliver(
        mut self,
        pipe: NonNull<bindings::pipe_inode_info>,
    ) -> Result<usize> {
        let last = self.last.take().map(OwnedFolio::into_ref);
        let mut total = 0usize;
        for page in Iterator::chain(self.full.into_iter(), last) {
            let (address, len) = page.into_raw();
            // SAFETY: The pipe is locked by the safety requirements; it takes over the page,
            // also when it fails.
            let added = unsafe {
                bindings::fuse_rs_helper_add_page_to_pipe(pipe.as_ptr(), address.cast(), len as u32)
            };
            total += crate::vfs::io::size_result(added)?;
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

    fn put(&mut self, bytes: &[u8]) -> Result {
        if bytes.len() > self.room() {
            return Err(EFAULT);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = match &mut self.last {
                Some(page) => page,
                None => {
                    self.pages_left = self.pages_left.saturating_sub(1);
                    self.last.insert(OwnedFolio::new()?)
                }
            };
            let added = page.append(rest);
            self.bytes_left = self.bytes_left.saturating_sub(added);
            rest = rest.get(added..).unwrap_or(&[]);
            if page.bytes().len() == PAGE_SIZE {
                self.close_page()?;
            }
        }
        Ok(())
    }

    fn put_user_pages(&mut self, pages: &UserPages) -> Result {
        // What is in a pipe must not change, so it is a copy.
        pages.copy()?.copy_to(self)
    }

    fn put_folios(&mut self, folios: &FolioParts) -> bool {
        let (pages, bytes) = (folios.count_pages(), folios.len());
        if pages > self.pages_left || bytes > self.bytes_left {
            return false;
        }
        // Room for the page that is closed, too; without waiting for memory.
        let reserved = self.full.reserve(pages.saturating_add(2), GFP_NOWAIT);
        if reserved.is_err() || self.close_page().is_err() {
            return false;
        }
        folios.pages().for_each(|page| {
            // There is room.
            let _ = self.full.push_within_capacity(page);
        });
        self.pages_left -= pages;
        self.bytes_left -= bytes;
        true
    }

    fn put_pages(&mut self, pages: &SharedPages<'_>) -> Result {
        pages.pages().try_for_each(|page| self.put_page(&page))
    }
}
