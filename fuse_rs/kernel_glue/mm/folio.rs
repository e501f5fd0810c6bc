// SPDX-License-Identifier: GPL-2.0

//! Folios of the page cache.

use crate::bindings;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// A folio whose lock the value holds. Dropping it unlocks.
///
/// # Invariants
///
/// The folio is locked, and the value owns the lock and one reference.
pub struct LockedFolio {
    folio: NonNull<bindings::folio>,
}

// SAFETY: A folio lock is not bound to a task: whoever has the value may unlock.
unsafe impl Send for LockedFolio {}

impl LockedFolio {
    /// Takes over a locked folio.
    ///
    /// # Safety
    ///
    /// The folio is locked, and the caller gives up the lock and one reference.
    pub(crate) unsafe fn from_raw(folio: NonNull<bindings::folio>) -> Self {
        // INVARIANT: By the safety requirements.
        Self { folio }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::folio {
        self.folio.as_ptr()
    }

    pub(super) fn pointer(&self) -> NonNull<bindings::folio> {
        self.folio
    }

    /// Size in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_size(self.as_ptr()) }
    }

    /// Position in the file in bytes.
    #[inline]
    pub fn position(&self) -> u64 {
        // SAFETY: We own a reference, and a locked folio of the page cache has an index.
        unsafe { bindings::fuse_rs_helper_folio_pos(self.as_ptr()) as u64 }
    }

    /// Where the content is, for folios that are always mapped.
    pub(crate) fn address(&self) -> *mut u8 {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_address(self.as_ptr()).cast() }
    }

    /// Whether the folio belongs to `mapping`.
    pub(crate) fn is_in(&self, mapping: *mut bindings::address_space) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_mapping(self.as_ptr()) == mapping }
    }

    /// Whether the content is valid.
    pub fn is_uptodate(&self) -> bool {
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_uptodate(self.as_ptr()) }
    }

    /// Declares the content valid. The caller has written all of it.
    pub(crate) fn mark_uptodate(&mut self) {
        // SAFETY: We own the lock.
        unsafe { bindings::fuse_rs_helper_folio_mark_uptodate(self.as_ptr()) };
    }

    /// Copies `bytes` to `offset`, as far as they fit.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let len = bytes.len().min(self.size().saturating_sub(offset));
        if len > 0 {
            // SAFETY: The range lies in the folio, which we have locked; `bytes` is long enough.
            unsafe {
                bindings::fuse_rs_helper_memcpy_to_folio(
                    self.as_ptr(),
                    offset,
                    bytes.as_ptr().cast(),
                    len,
                )
            };
        }
    }

    /// Copies up to `len` bytes from `source` to `offset`; returns how many it got.
    ///
    /// # Context
    ///
    /// May sleep and fault.
    pub fn copy_from_iter(
        &mut self,
        offset: usize,
        len: usize,
        source: &mut IovIterSource<'_>,
    ) -> usize {
        let len = len.min(self.size().saturating_sub(offset));
        if len == 0 {
            return 0;
        }
        // SAFETY: The range lies in the folio, which we have locked; `source` is a valid source.
        unsafe {
            bindings::fuse_rs_helper_copy_folio_from_iter(
                self.as_ptr(),
                offset,
                len,
                source.as_raw(),
            )
        }
    }

    /// Zeroes a part, as far as it lies in the folio.
    pub fn zero(&mut self, part: Range<usize>) {
        let end = part.end.min(self.size());
        if part.start < end {
            // SAFETY: The range lies in the folio, which we have locked.
            unsafe { bindings::fuse_rs_helper_folio_zero_segment(self.as_ptr(), part.start, end) };
        }
    }

    /// Zeroes everything from `offset`.
    pub fn zero_from(&mut self, offset: usize) {
        self.zero(offset..usize::MAX);
    }

    /// Which pages are known to be dirty, as bits; `None` if no difference is made between them.
    pub(crate) fn dirty_bits(&self) -> Option<u64> {
        // SAFETY: We own the lock, under which private data is changed.
        match unsafe { bindings::fuse_rs_helper_folio_private(self.as_ptr()) } {
            0 => None,
            bits => Some(bits as u64),
        }
    }

    fn set_dirty_bits(&mut self, bits: u64) {
        // SAFETY: We own the lock; private data of such folios is a number.
        unsafe { bindings::fuse_rs_helper_folio_set_private(self.as_ptr(), bits as usize) };
    }

    /// Pages of the folio are about to become dirty: which, as bits. A folio that has become dirty
    /// without that is dirty as a whole.
    pub(crate) fn add_dirty_bits(&mut self, bits: u64) {
        let known = self.dirty_bits();
        if self.size() == crate::mem::pages::PAGE_SIZE || known == Some(known.unwrap_or(0) | bits) {
            return;
        }
        // SAFETY: We own a reference.
        let (dirty, pinned) = unsafe {
            (
                bindings::fuse_rs_helper_folio_is_dirty(self.as_ptr()),
                bindings::fuse_rs_helper_folio_is_pinned(self.as_ptr()),
            )
        };
        match known {
            // All of it is dirty, or whoever has pinned it may make any page of it so.
            None if dirty || pinned => {}
            known => self.set_dirty_bits(known.unwrap_or(0) | bits),
        }
    }

    /// Nothing of the folio is dirty any more. What is pinned may become dirty again without
    /// [`Self::add_dirty_bits`], so the same pages will be taken for dirty then.
    pub(super) fn clear_dirty_bits(&mut self) {
        // SAFETY: We own a reference.
        let pinned = unsafe { bindings::fuse_rs_helper_folio_is_pinned(self.as_ptr()) };
        if self.dirty_bits().is_some() && !pinned {
            self.set_dirty_bits(0);
        }
    }

    /// Leaves the lock to whoever has given it, or takes it over; gives up the reference.
    pub(crate) fn leave_locked(self) {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: We own a reference.
        unsafe { bindings::fuse_rs_helper_folio_put(this.as_ptr()) };
    }

    /// Marks a folio that was made clean for I/O as being written back, and as written.
    pub(crate) fn pass_through_writeback(&mut self) {
        self.clear_dirty_bits();
        // SAFETY: We own the lock and a reference; the folio is not being written back: such are
        // not made clean for I/O.
        unsafe {
            bindings::__folio_start_writeback(self.as_ptr(), false);
            bindings::folio_end_writeback(self.as_ptr());
        }
    }

    /// Makes a folio that was made clean for I/O dirty again.
    pub(crate) fn make_dirty_again(&self, control: *mut bindings::writeback_control) {
        // SAFETY: We own the lock and a reference; a control that is not null is that of the
        // writeback going on.
        unsafe {
            if control.is_null() {
                bindings::folio_mark_dirty(self.as_ptr());
            } else {
                bindings::folio_redirty_for_writepage(control, self.as_ptr());
            }
        }
    }

    /// Ends a read into the folio: marks it valid if all of it was written, and unlocks.
    pub(crate) fn end_read(self, success: bool) {
        // The kernel's function toggles the mark.
        let success = success && !self.is_uptodate();
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: We own the lock and a reference; both are given up here.
        unsafe {
            bindings::folio_end_read(this.as_ptr(), success);
            bindings::fuse_rs_helper_folio_put(this.as_ptr());
        }
    }
}

impl Drop for LockedFolio {
    fn drop(&mut self) {
        // SAFETY: We own the lock and a reference; both are given up here.
        unsafe {
            bindings::fuse_rs_helper_folio_unlock(self.as_ptr());
            bindings::fuse_rs_helper_folio_put(self.as_ptr());
        }
    }
}

/// A run of locked folios, adjacent in their file, that are to be filled.
///
/// Dropping it ends the read, with an error unless the run has been filled.
///
/// # Invariants
///
/// `filled` is set only when all bytes of all folios have been written.
pub struct FolioRun {
    folios: KVVec<LockedFolio>,
    start: u64,
    len: usize,
    filled: bool,
}

impl FolioRun {
    /// An empty run with room for `capacity` folios.
    pub fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self {
            folios: KVVec::with_capacity(capacity, GFP_KERNEL | __GFP_NOWARN)?,
            start: 0,
            len: 0,
            filled: false,
        })
    }

    /// Adds a folio; gives it back if it does not follow the last one or would have to allocate.
    pub fn push(&mut self, folio: LockedFolio) -> Result<(), LockedFolio> {
        let (position, size) = (folio.position(), folio.size());
        if self.filled {
            return Err(folio);
        }
        if self.folios.is_empty() {
            self.start = position;
        } else if position != self.start.wrapping_add(self.len as u64) {
            return Err(folio);
        }
        match self.folios.push_within_capacity(folio) {
            Ok(()) => {
                self.len = self.len.saturating_add(size);
                Ok(())
            }
            Err(kernel::alloc::kvec::PushError(folio)) => Err(folio),
        }
    }

    /// Position of the first byte in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Bytes in the run.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no folio.
    pub fn is_empty(&self) -> bool {
        self.folios.is_empty()
    }

    /// Fills the run with `len` bytes of `source` and zeroes the rest; `false` if `source` does not
    /// have them.
    pub fn fill(&mut self, source: &mut IovIterSource<'_>, len: usize) -> bool {
        let mut left = len.min(self.len);
        for folio in self.folios.iter_mut() {
            let part = left.min(folio.size());
            if folio.copy_from_iter(0, part, source) != part {
                return false;
            }
            folio.zero_from(part);
            left -= part;
        }
        self.filled = true;
        true
    }

    /// The folios.
    pub(crate) fn folios(&self) -> &[LockedFolio] {
        &self.folios
    }

    /// The first `len` bytes were filled by somebody who was given the memory: zeroes the rest.
    pub fn set_filled(&mut self, len: usize) {
        let mut left = len;
        for folio in self.folios.iter_mut() {
            let part = left.min(folio.size());
            folio.zero_from(part);
            left -= part;
        }
        self.filled = true;
    }

    /// Ends the read of all folios: with success if the run has been filled.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for FolioRun {
    fn drop(&mut self) {
        for folio in core::mem::take(&mut self.folios) {
            folio.end_read(self.filled);
        }
    }
}
