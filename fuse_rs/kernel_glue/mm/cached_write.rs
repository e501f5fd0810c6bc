// SPDX-License-Identifier: GPL-2.0

//! Writing into the page cache.

use super::folio::LockedFolio;
use crate::bindings;
use crate::mem::pages::PAGE_SIZE;
use crate::uio::Iter;
use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// The bits of the pages that a range of bytes touches.
fn bits_of(range: &Range<usize>) -> u64 {
    let below = |pages: usize| match u32::try_from(pages) {
        Ok(pages) => 1u64.checked_shl(pages).map_or(u64::MAX, |bit| bit - 1),
        Err(_) => u64::MAX,
    };
    below(range.end.div_ceil(PAGE_SIZE)) & !below(range.start / PAGE_SIZE)
}

impl LockedFolio {
    /// Copies up to `len` bytes from `source` to `offset`, but nothing that would have to be
    /// faulted in; returns how many it got.
    pub fn copy_present(
        &mut self,
        offset: usize,
        len: usize,
        source: &mut IovIterSource<'_>,
    ) -> usize {
        let len = len.min(self.size().saturating_sub(offset));
        // SAFETY: The range lies in the folio, which we have locked; the source is valid. With page
        // faults disabled nothing is waited for.
        unsafe {
            bindings::fuse_rs_helper_pagefault_disable();
            let copied =
                bindings::copy_folio_from_iter_atomic(self.as_ptr(), offset, len, source.raw());
            bindings::fuse_rs_helper_pagefault_enable();
            copied
        }
    }

    /// A part has been written to: the content is valid, and these pages are dirty.
    pub fn wrote(&mut self, part: Range<usize>) {
        self.mark_uptodate();
        self.add_dirty_bits(bits_of(&part));
        // SAFETY: We own the lock and a reference.
        unsafe { bindings::folio_mark_dirty(self.as_ptr()) };
    }
}

/// Takes the last `len` bytes that were copied from `source` back.
pub fn give_back(source: &mut IovIterSource<'_>, len: usize) {
    // SAFETY: The source is valid, and has advanced by at least as much.
    unsafe { bindings::iov_iter_revert(source.raw(), len) };
}

impl<T: FileSystem> Inode<T> {
    /// The folio at `position` of the page cache, locked, to be written to; made if it is not
    /// there, as large as `len` bytes need if possible.
    ///
    /// # Context
    ///
    /// May sleep, also for whoever has locked the folio.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn folio_for_write(&self, position: u64, len: usize) -> Result<LockedFolio> {
        let index = (position / PAGE_SIZE as u64) as usize;
        // SAFETY: The mapping is valid as long as the inode.
        let folio = unsafe { bindings::fuse_rs_helper_folio_for_write(self.mapping(), index, len) };
        let folio = NonNull::new(from_err_ptr(folio)?).ok_or(ENOMEM)?;
        // SAFETY: The folio is locked and comes with a reference.
        Ok(unsafe { LockedFolio::from_raw(folio) })
    }

    /// Makes who dirties pages wait if there are too many. A kill ends it.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn pace_dirtying(&self) {
        // SAFETY: The mapping is valid as long as the inode.
        unsafe { bindings::balance_dirty_pages_ratelimited(self.mapping()) };
    }

    /// Zeroes what is cached of the folio at `start` from there up to `end`.
    ///
    /// # Context
    ///
    /// May sleep, also for a folio that is being read.
    pub fn zero_cached(&self, start: u64, end: u64) {
        if let Some(mut folio) = self.lock_cached_folio(start / PAGE_SIZE as u64, false) {
            let at = |position: u64| {
                usize::try_from(position.saturating_sub(folio.position())).unwrap_or(usize::MAX)
            };
            let part = at(start)..at(end);
            if folio.is_uptodate() {
                folio.zero(part);
            }
        }
    }
}
